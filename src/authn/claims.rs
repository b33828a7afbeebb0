//! The claims of a verified token, each of the type that it must have (RFC 7519, 4.1).

use serde_json::Value;

use crate::policy::Issuer;
use crate::principal::{Claims, numeric_date};
use crate::rejection::{Reason, Rejection, kind, list, moment as time, shown, span};

/// Rejects a token for a claim whose type or form is another than what it must be.
pub fn unfit(name: &str, value: &Value, wanted: &str) -> Rejection {
    let cause = format!("the claim `{}` is {}; it must be {wanted}", shown(name), kind(value));
    Rejection::because(Reason::TokenClaimInvalid, cause)
}

/// Rejects a token for a claim that it must have.
pub fn missing(name: &str) -> Rejection {
    Rejection::because(
        Reason::TokenClaimMissing,
        format!("the claim `{}` is missing", shown(name)),
    )
}

/// Checks lifetime, audience and required claims.
pub fn check(claims: &Claims, issuer: &Issuer, now: i64) -> Result<(), Rejection> {
    lifetime(claims, issuer.leeway, now)?;
    audience(claims, issuer)?;
    for name in &issuer.required_claims {
        match claims.get(name) {
            None => return Err(missing(name)),
            Some(value @ Value::Null) => return Err(unfit(name, value, "a value: the policy requires the claim")),
            Some(_) => {}
        }
    }
    match claims.get("sub") {
        Some(Value::String(subject)) if !subject.is_empty() => Ok(()),
        Some(value) => Err(unfit("sub", value, "a text that is not empty")),
        None => Ok(()),
    }
}

/// RFC 7519, 4.1.4 to 4.1.6: valid before `exp` and from `nbf` on, give or take the leeway.
#[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
pub fn lifetime(claims: &Claims, leeway: i64, now: i64) -> Result<(), Rejection> {
    let expires = moment(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    let not_before = moment(claims, "nbf")?;
    moment(claims, "iat")?;
    if (now - leeway) as f64 >= expires {
        return Err(expired(expires, now));
    }
    match not_before {
        Some(not_before) if ((now + leeway) as f64) < not_before => Err(not_yet_valid(not_before, now)),
        _ => Ok(()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the claim is in range: it was verified")]
fn expired(at: f64, now: i64) -> Rejection {
    let at = at as i64;
    let cause = format!("the token expired {} ago, at {}", span(now - at), time(at));
    Rejection::because(Reason::TokenExpired, cause)
}

#[expect(clippy::cast_possible_truncation, reason = "the claim is in range: it was verified")]
fn not_yet_valid(from: f64, now: i64) -> Rejection {
    let from = from.ceil() as i64;
    let cause = format!("the token becomes valid in {}, at {}", span(from - now), time(from));
    Rejection::because(Reason::TokenNotYetValid, cause)
}

/// RFC 7519, 2, `NumericDate`: an integer or a decimal.
fn moment(claims: &Claims, name: &str) -> Result<Option<f64>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match numeric_date(value) {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(unfit(name, value, "the seconds since 1970, up to the year 9999")),
        },
    }
}

/// Checks that a token is for an accepted audience. If the policy says that another claim than `aud` names it, a token
/// with `aud` has to fit twice.
fn audience(claims: &Claims, issuer: &Issuer) -> Result<(), Rejection> {
    let (aud, claim) = ("aud", issuer.audience_claim.as_str());
    let Some(accepted) = &issuer.audiences else {
        return claims.get(aud).map_or(Ok(()), |value| audiences(aud, value).map(drop));
    };
    let value = claims.get(claim).ok_or_else(|| missing(claim))?;
    names_one_of(accepted, claim, value)?;
    match claims.get(aud).filter(|value| claim != aud && !value.is_null()) {
        Some(value) => names_one_of(accepted, aud, value),
        None => Ok(()),
    }
}

/// Checks that a claim names one of some audiences.
fn names_one_of(accepted: &[String], name: &str, value: &Value) -> Result<(), Rejection> {
    let named = audiences(name, value)?;
    if accepted.iter().any(|audience| named.contains(&audience.as_str())) {
        return Ok(());
    }
    let (named, accepted) = (list(named), list(accepted.iter().map(String::as_str)));
    let cause = match name {
        "aud" => format!("the token is for {named}; accepted: {accepted}"),
        name => format!("the token has {named} in `{}`; accepted: {accepted}", shown(name)),
    };
    Err(Rejection::because(Reason::TokenAudienceMismatch, cause))
}

/// RFC 7519, 4.1.3: one text, or a list of texts.
fn audiences<'c>(name: &str, value: &'c Value) -> Result<Vec<&'c str>, Rejection> {
    const WANTED: &str = "a text, or a list of texts";
    match value {
        Value::String(one) => Ok(vec![one]),
        Value::Array(items) => {
            let texts: Option<_> = items.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| {
                let faulty = items.iter().enumerate().find(|(_, item)| !item.is_string());
                let (at, item) = faulty.map_or((0, value), |(at, item)| (at + 1, item));
                let (name, kind) = (shown(name), kind(item));
                let cause = format!("item {at} of the claim `{name}` is {kind}; it must be a text");
                Rejection::because(Reason::TokenClaimInvalid, cause)
            })
        }
        _ => Err(unfit(name, value, WANTED)),
    }
}

//! The claims of a verified token, each of the type that it must have (RFC 7519, 4.1).

use serde_json::Value;

use crate::policy::Issuer;
use crate::principal::{Claims, claim_at};
use crate::rejection::{Reason, Rejection, list, moment as time, shown, span};

/// The last moment that a claim may name: the end of the year 9999, in seconds.
const LAST_MOMENT: f64 = 253_402_300_799.0;

/// Rejects a token for a claim that is not of the form that it must have.
pub fn invalid(name: &str) -> Rejection {
    Rejection::because(
        Reason::TokenClaimInvalid,
        format!("the claim `{}` is invalid", shown(name)),
    )
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
    audience(claims, issuer.audiences.as_deref())?;
    for name in &issuer.required_claims {
        match claims.get(name) {
            None => return Err(missing(name)),
            Some(Value::Null) => return Err(invalid(name)),
            Some(_) => {}
        }
    }
    match claims.get("sub") {
        Some(Value::String(subject)) if !subject.is_empty() => Ok(()),
        Some(_) => Err(invalid("sub")),
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
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=LAST_MOMENT).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(invalid(name)),
        },
    }
}

/// RFC 7519, 4.1.3: one text, or a list of texts.
fn audience(claims: &Claims, accepted: Option<&[String]>) -> Result<(), Rejection> {
    let named: Vec<&str> = match claims.get("aud") {
        None if accepted.is_some() => return Err(missing("aud")),
        None => return Ok(()),
        Some(Value::String(one)) => vec![one],
        Some(value) => texts(value).ok_or_else(|| invalid("aud"))?,
    };
    match accepted {
        Some(accepted) if !accepted.iter().any(|a| named.contains(&a.as_str())) => {
            let accepted = list(accepted.iter().map(String::as_str));
            let cause = format!("the token is for {}; accepted: {accepted}", list(named));
            Err(Rejection::because(Reason::TokenAudienceMismatch, cause))
        }
        _ => Ok(()),
    }
}

/// The roles in a claim: a list of texts.
pub fn roles(claims: &Claims, path: &[String]) -> Result<Vec<String>, Rejection> {
    read_list(claims, path)
}

/// The scopes: the list `scopes`, or else `scope`, split at spaces only (RFC 8693, 4.2).
pub fn scopes(claims: &Claims) -> Result<Vec<String>, Rejection> {
    if claims.contains_key("scopes") {
        return read_list(claims, &["scopes".to_owned()]);
    }
    match claims.get("scope") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text
            .split(' ')
            .filter(|s| !s.is_empty())
            .map(ToOwned::to_owned)
            .collect()),
        Some(_) => Err(invalid("scope")),
    }
}

fn read_list(claims: &Claims, path: &[String]) -> Result<Vec<String>, Rejection> {
    let Some(value) = claim_at(claims, path) else {
        return Ok(Vec::new());
    };
    let texts = texts(value).ok_or_else(|| invalid(&path.join(".")))?;
    Ok(texts.into_iter().map(ToOwned::to_owned).collect())
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

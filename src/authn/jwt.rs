//! Bearer token to principal: RFC 7515 (form and signature), 7519 (claims), 8725 (what to refuse).

use serde_json::Value;

use super::claims;
use super::json;
use super::jws::Jws;
use crate::policy::Issuer;
use crate::principal::{AuthMethod, Claims, Principal};
use crate::rejection::{Reason, Rejection};

/// Verifies a token of one of some issuers at a time in seconds since the epoch.
pub fn verify(token: &str, issuers: &[Issuer], now: i64) -> Result<Principal, Rejection> {
    let jws = Jws::parse(token)?;
    let claims = json::object(jws.payload())
        .ok_or_else(|| Rejection::because(Reason::TokenMalformed, "the claims are no object with unique names"))?;
    let (index, issuer) = pick(issuers, &claims)?;
    // Before any key is looked for: only what the issuer may have signed is worth that.
    let algorithm = jws.algorithm_among(&issuer.algorithms)?;
    let keys = issuer.keys.load();
    let Some(keys) = keys.as_deref() else {
        let cause = format!("no key set of `{}` could be had", issuer.label());
        return Err(Rejection::because(Reason::KeysUnavailable, cause).for_want_of_keys(index));
    };
    jws.verify(keys, algorithm)
        .map_err(|rejection| match rejection.reason() {
            Reason::TokenKeyUnknown => rejection.for_want_of_keys(index),
            _ => rejection,
        })?;
    claims::check(&claims, issuer, now)?;
    principal(claims, issuer)
}

/// `iss` picks the issuer, before anything else is tried: never "the first that works".
fn pick<'i>(issuers: &'i [Issuer], claims: &Claims) -> Result<(usize, &'i Issuer), Rejection> {
    if let [only] = issuers
        && only.name.is_none()
    {
        return Ok((0, only));
    }
    match claims.get("iss") {
        None => Err(claims::missing("iss")),
        Some(Value::String(name)) => issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| issuer.name.as_ref() == Some(name))
            .ok_or_else(|| Reason::TokenIssuerMismatch.into()),
        Some(_) => Err(claims::invalid("iss")),
    }
}

fn principal(claims: Claims, issuer: &Issuer) -> Result<Principal, Rejection> {
    Ok(Principal {
        methods: vec![AuthMethod::Jwt],
        subject: claims.get("sub").and_then(Value::as_str).map(ToOwned::to_owned),
        roles: claims::roles(&claims, &issuer.roles_claim)?,
        scopes: claims::scopes(&claims)?,
        claims,
        ..Principal::default()
    })
}

#[cfg(test)]
mod tests;

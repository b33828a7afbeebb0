//! Tokens that their issuer bound to a key (claim `cnf`, RFC 7800): such a token is good only for the
//! client that has the key. What a token is bound to is read once; whether the client has the key is
//! verified on each request.

use serde_json::Value;

use crate::credential::Thumbprint;
use crate::policy::BindingMode;
use crate::principal::{Binding, Claims, Principal};
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;

/// The member for a client certificate (RFC 8705, 3.1).
const CERTIFICATE: &str = "x5t#S256";

/// The other registered members (RFC 7800, 3; RFC 9449, 6.1; RFC 9203, 3.2.1), each with why a token
/// that has it is rejected. Members that are not registered are ignored (RFC 7800, 3.1).
const UNVERIFIED: [(&str, &str); 6] = [
    (
        "jkt",
        "the token is bound by `jkt`: it needs a DPoP proof and cannot come as a bearer token",
    ),
    ("jwk", "the token is bound by `jwk`, which cannot be verified"),
    ("jwe", "the token is bound by `jwe`, which cannot be verified"),
    ("kid", "the token is bound by `kid`, which cannot be verified"),
    ("jku", "the token is bound by `jku`, which cannot be verified"),
    ("osc", "the token is bound by `osc`, which cannot be verified"),
];

/// Reads what a token is bound to. Rejects a binding that cannot be verified, and a token without one
/// where the issuer's tokens must have one.
pub fn read(claims: &Claims, mode: BindingMode) -> Result<Binding, Rejection> {
    let binding = match (claims.get("cnf"), mode) {
        (None, _) => Binding::Unbound,
        (Some(_), BindingMode::Ignore) => Binding::Ignored,
        (Some(confirmation), _) => confirmed(confirmation)?,
    };
    match (binding, mode) {
        (Binding::Unbound, BindingMode::Required) => Err(Rejection::because(
            Reason::TokenBindingMissing,
            "the token is not bound to a key, and the issuer has `binding: required`",
        )),
        _ => Ok(binding),
    }
}

/// Reads the claim `cnf`: all of its registered members must hold.
fn confirmed(confirmation: &Value) -> Result<Binding, Rejection> {
    let unverified = |cause| Rejection::because(Reason::TokenBindingUnverified, cause);
    let members = confirmation.as_object().filter(|members| !members.is_empty());
    let members = members.ok_or_else(|| unverified("the claim `cnf` is not an object with members"))?;
    if let Some((_, why)) = UNVERIFIED.iter().find(|(name, _)| members.contains_key(*name)) {
        return Err(unverified(why));
    }
    match members.get(CERTIFICATE) {
        None => Ok(Binding::Unbound),
        Some(value) => value
            .as_str()
            .and_then(Thumbprint::parse)
            .map(Binding::Certificate)
            .ok_or_else(|| unverified("the member `x5t#S256` of `cnf` is not a SHA-256 digest in base64url")),
    }
}

/// Verifies that the connection has the key that the token of a principal is bound to.
pub fn check(principal: &Principal, request: &RequestFacts<'_>) -> Result<(), Rejection> {
    let Some(Binding::Certificate(bound)) = principal.token.as_ref().map(|token| token.binding) else {
        return Ok(());
    };
    let why = match request.client_certificate {
        None => "the token is bound to a client certificate, and the connection has none",
        Some(certificate) => match certificate.unproven(request.now) {
            Some(why) => why,
            None if certificate.thumbprint == Some(bound) => return Ok(()),
            None => "the token is bound to another client certificate than that of the connection",
        },
    };
    Err(Rejection::because(Reason::TokenBindingMismatch, why))
}

#[cfg(test)]
mod tests;

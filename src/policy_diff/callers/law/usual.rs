//! What of a caller does not matter, in one form: then it is in the class of the usual caller of its kind.

use http::header::AUTHORIZATION;
use serde_json::Value;

use super::super::pair::{MethodClass, Pair};
use super::super::parts::{ClaimValue, Known, Parts, Sent};
use super::super::places::{no_token_in, places};
use super::super::rules::{TENANT, THUMBPRINT};
use crate::policy::{Issuer, Policy};
use crate::principal::AuthMethod;
use crate::rehearsal::TokenPlace;
use crate::request::Body;

/// Takes tokens away that no side looks at. What is not a token is in their places.
pub(super) fn read(pair: &Pair<'_>, mut parts: Parts, method: MethodClass) -> Parts {
    let all = places(pair, method);
    parts
        .places
        .retain(|place| *place == TokenPlace::Authorization || all.contains(place));
    if matches!(parts.body.0, Body::Sized(_)) {
        // A request with a body opens no WebSocket.
        let is_elsewhere = |place: &TokenPlace| !matches!(place, TokenPlace::WebSocketProtocol(_));
        parts.places.retain(is_elsewhere);
        parts.handshake = false;
    }
    if parts.places.is_empty() {
        parts.token = None;
    }
    if parts.token.is_some() && !pair.asking(AuthMethod::Jwt).any(|policy| is_read(policy, &parts)) {
        parts.token = None;
        for patch in parts.places.clone().iter().flat_map(no_token_in) {
            patch.apply(&mut parts);
        }
        parts.places = vec![TokenPlace::Authorization];
    }
    parts
}

fn is_read(policy: &Policy, parts: &Parts) -> bool {
    let (sources, places) = (&policy.sources, &parts.places);
    let is_in_authorization = places.contains(&TokenPlace::Authorization);
    let has_authorization = is_in_authorization || !parts.header(&AUTHORIZATION).is_empty();
    if sources.is_authorization_alone() || (sources.authorization && has_authorization) {
        return is_in_authorization;
    }
    places.iter().any(|place| match place {
        TokenPlace::Authorization => false,
        TokenPlace::Header(name) => sources.read.headers.contains(name),
        TokenPlace::Cookie(name) => sources.read.cookies.contains(name),
        TokenPlace::Query(name) => sources.read.queries.contains(name),
        TokenPlace::WebSocketProtocol(name) => sources.read.protocols.contains(name),
    })
}

/// Gives a token an id, unless that makes it another token, and says whether it is revoked at all.
pub(super) fn revocation(parts: &mut Parts, pair: &Pair<'_>) {
    let is_read = |issuer: &Issuer| issuer.required_claims.iter().any(|claim| claim == "jti");
    let reads = pair
        .asking(AuthMethod::Jwt)
        .flat_map(|policy| &policy.issuers)
        .any(is_read);
    let Some(token) = &mut parts.token else { return };
    let is_text = |name: &str| token.claims.get(name).is_some_and(Value::is_string);
    parts.known = match parts.known {
        Known::Jti if is_text("jti") => Known::All,
        Known::Subject if is_text("sub") => Known::All,
        Known::Jti | Known::Subject => Known::Nothing,
        other => other,
    };
    if !reads && !token.claims.contains_key("jti") {
        token.claims.insert("jti".into(), "id".into());
    }
}

/// Binds a token as the usual one is bound, if its client has the certificate, and to another one otherwise.
pub(super) fn binding(parts: &mut Parts, base: &Parts) {
    let Some(token) = &mut parts.token else { return };
    let bound = token
        .claims
        .get("cnf")
        .and_then(|cnf| cnf.get("x5t#S256"))
        .and_then(Value::as_str);
    let Some(bound) = bound else { return };
    let has_it = parts
        .certificate
        .as_ref()
        .is_some_and(|certificate| certificate.unproven(parts.now).is_none());
    if bound != THUMBPRINT {
        return;
    }
    let usual = base.token.as_ref().and_then(|token| token.claims.get("cnf"));
    match (has_it, usual) {
        (true, Some(usual)) => drop(token.claims.insert("cnf".into(), usual.clone())),
        (true, None) => drop(token.claims.remove("cnf")),
        (false, _) => {
            let other = serde_json::json!({ "x5t#S256": "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
            token.claims.insert("cnf".into(), other);
        }
    }
}

/// Renames tenants, so that the one that the token names first is the usual one. Which name a tenant has does not matter.
pub(super) fn tenant(pair: &Pair<'_>, parts: &Parts) -> Parts {
    let mut parts = parts.clone();
    let paths: Vec<_> = pair
        .asking(AuthMethod::Jwt)
        .filter_map(|policy| policy.tenant.as_ref())
        .flat_map(|rule| &rule.claims)
        .collect();
    let named = paths.iter().find_map(|path| match parts.claim(path)? {
        ClaimValue::Plain(Value::String(text)) => Some(text),
        ClaimValue::Plain(Value::Array(items)) => items.first()?.as_str().map(str::to_owned),
        _ => None,
    });
    let Some(first) = named.filter(|name| name != TENANT && name.len() == TENANT.len()) else {
        return parts;
    };
    if let Some(token) = &mut parts.token {
        token.claims.values_mut().for_each(|value| swap(value, &first));
    }
    for (_, values) in &mut parts.headers {
        for value in values {
            if let Sent::Value(text) = value {
                if *text == first.as_str() {
                    *text = TENANT.parse().unwrap();
                } else if text == TENANT {
                    *text = first.parse().unwrap();
                }
            }
        }
    }
    parts
}

fn swap(value: &mut Value, first: &str) {
    match value {
        Value::String(text) if text == first => TENANT.clone_into(text),
        Value::String(text) if text == TENANT => first.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| swap(item, first)),
        Value::Object(members) => members.values_mut().for_each(|value| swap(value, first)),
        _ => {}
    }
}

/// Signs a token as the usual one is signed.
pub(super) fn signer(parts: &Parts, base: &Parts) -> Parts {
    let mut parts = parts.clone();
    if let (Some(token), Some(usual)) = (&mut parts.token, &base.token) {
        token.signer = usual.signer.clone();
        token.algorithm = usual.algorithm;
    }
    parts
}

//! How a caller of a change is shown to `sidegate explain`.

use http::HeaderName;
use serde_json::{Map, Value, json};

use crate::policy::{Policy, PolicySet};
use crate::policy_diff::caller_class::{CallerClass, TokenClass};
use crate::policy_diff::types::Change;

/// A tenant, and another one.
const TENANTS: [&str; 2] = [
    "00000000-0000-4000-a000-000000000001",
    "00000000-0000-4000-a000-000000000002",
];

/// Returns the options that show a caller for whom a change matters: claims and headers, or the absence of a credential.
pub(super) fn options(now: &PolicySet, change: &Change) -> Vec<String> {
    let delta = &change.delta;
    let mut all = delta
        .gained
        .iter()
        .chain(&delta.lost)
        .chain(&delta.forwarded)
        .chain(&delta.rejected);
    let caller = all.next().map(|change| &change.caller);
    let policy = change.now.policy.and_then(|index| now.get(index));
    let shown = caller.and_then(|caller| with_token(policy?, caller));
    shown.unwrap_or_else(|| vec!["--without-secrets".to_owned()])
}

/// Returns the options for a caller with a token that can be made, and without another credential.
fn with_token(policy: &Policy, caller: &CallerClass) -> Option<Vec<String>> {
    let is_alone = caller.key.is_none() && caller.certificate.is_none();
    let token = caller
        .token
        .as_ref()
        .filter(|token| is_alone && token.fault.is_none() && token.place.is_none())?;
    let claims = claims(policy, token)?;
    let mut options = vec!["--claims".to_owned(), Value::Object(claims).to_string()];
    let tenant_header = policy.tenant.as_ref().map(|rule| &rule.header);
    let is_named = |name: &HeaderName| caller.headers.contains_key(name.as_str());
    if let Some(name) = tenant_header.filter(|name| !is_named(name)) {
        let [own, other] = TENANTS;
        let tenant = if token.tenant.is_none() { own } else { other };
        options.extend(["-H".to_owned(), format!("{name}: {tenant}")]);
    }
    for (name, value) in &caller.headers {
        let header = value.as_ref().map(|value| format!("{name}: {value}"));
        options.extend(header.into_iter().flat_map(|header| ["-H".to_owned(), header]));
    }
    Some(options)
}

/// Returns the claims of a token, of the issuer that is meant.
fn claims(policy: &Policy, token: &TokenClass) -> Option<Map<String, Value>> {
    let mut claims = Map::new();
    let has_name = |name: &str| {
        policy
            .issuers
            .iter()
            .find(|issuer| issuer.names.texts().any(|text| text == name))
    };
    let issuer = match &token.issuer {
        Some(name) => has_name(name)?,
        None => policy.issuers.first()?,
    };
    if policy.issuers.len() > 1 {
        claims.insert("iss".to_owned(), json!(issuer.names.texts().next()?));
    }
    for name in &issuer.required_claims {
        claims.insert(name.clone(), json!("user-7"));
    }
    for path in policy.tenant.iter().flat_map(|rule| &rule.claims) {
        insert(&mut claims, path, json!(TENANTS.first()));
    }
    let granted = [
        (&issuer.roles_claim, &token.roles),
        (&issuer.scopes_claim, &token.scopes),
    ];
    for (claim, names) in granted {
        if let Some((path, names)) = claim.paths.first().zip(names.as_ref()) {
            insert(&mut claims, path, json!(names));
        }
    }
    claims.extend(token.claims.iter().map(|(name, value)| (name.clone(), value.clone())));
    Some(claims)
}

/// Inserts a claim at the end of a path.
fn insert(claims: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => _ = claims.insert(name.clone(), value),
        [name, rest @ ..] => {
            let below = claims.entry(name.clone()).or_insert_with(|| json!({}));
            if let Value::Object(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

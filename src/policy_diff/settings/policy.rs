//! Settings of a policy and of its issuers, of two policies whose requests meet.

use super::change::{Pair, Place};
use super::values::{allowed, fallback, period};
use crate::policy::Policy;
use crate::policy::issuer::{Issuer, IssuerKeys};
use crate::policy::remote_keys::RemoteKeys;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::fields::document::{Document, Step};
use crate::request::path::{Allowance, EncodedSlash};

/// A field that is compared by what it means.
type Compiled = (&'static str, fn(&Policy) -> Option<String>);

/// A field of remote keys that is compared by what it means.
type CompiledOfKeys = (&'static str, fn(&RemoteKeys) -> String);

/// The fields that are compared by what they mean.
const COMPILED: [Compiled; 8] = [
    ("upstream.connect_timeout", |policy| {
        Some(period(policy.upstream.connect_timeout))
    }),
    ("upstream.idle_timeout", |policy| {
        Some(period(policy.upstream.idle_timeout))
    }),
    ("upstream.spiffe_id", |policy| policy.upstream.spiffe_id.clone()),
    ("streams.idle_timeout", |policy| {
        Some(period(policy.streams.idle_timeout))
    }),
    ("paths.allow", |policy| Some(allowed(policy.allowance))),
    ("paths.encoded_slash", |policy| encoded_slash(policy.allowance)),
    ("revocation.max_stale", |policy| {
        policy.revocation.as_ref().map(|rule| period(rule.max_stale))
    }),
    ("revocation.when_unavailable", |policy| {
        let rule = policy.revocation.as_ref();
        rule.map(|rule| fallback(rule.when_unavailable).to_owned())
    }),
];

/// The fields that name files, which are compared as they are written.
const WRITTEN: [&str; 3] = ["upstream.ca_file", "upstream.client_certificate", "upstream.client_key"];

fn encoded_slash(allowance: Allowance) -> Option<String> {
    (allowance.encoded_slash == EncodedSlash::Opaque).then(|| "opaque".to_owned())
}

/// Compares two policies.
pub(super) fn compare(pair: &Pair<'_>) -> Vec<FieldChange> {
    let (was, now) = (pair.was.policy, pair.now.policy);
    let revocation = was.revocation.is_some() && now.revocation.is_some();
    let compiled = COMPILED
        .iter()
        .filter(|(field, _)| revocation || !field.starts_with("revocation."))
        .filter_map(|(field, value)| pair.change(&Place::plain(field), value(was), value(now)));
    let written = WRITTEN.iter().filter_map(|field| pair.written(&Place::plain(field)));
    let mut found: Vec<_> = compiled.chain(written).collect();
    for (new, issuer) in now.issuers.iter().enumerate() {
        let old = was
            .issuers
            .iter()
            .position(|other| other.signer == issuer.signer && other.names == issuer.names);
        let old = old.or_else(|| was.issuers.iter().position(|other| other.names == issuer.names));
        if let Some((old, other)) = old.and_then(|old| Some((old, was.issuers.get(old)?))) {
            found.extend(issuers(pair, (old, other), (new, issuer)));
        }
    }
    found
}

/// Compares how two issuers fetch their keys.
fn issuers(pair: &Pair<'_>, (old, was): (usize, &Issuer), (new, now): (usize, &Issuer)) -> Vec<FieldChange> {
    let (IssuerKeys::Remote(was), IssuerKeys::Remote(now)) = (&was.keys, &now.keys) else {
        return Vec::new();
    };
    let keys = |index| {
        [
            Step::Key("jwt".to_owned()),
            Step::Key("issuers".to_owned()),
            Step::Item(index),
            Step::Key("keys".to_owned()),
        ]
    };
    let kind = |document: &Document, index| {
        let names = ["jwks", "oidc"];
        names.into_iter().find(|name| {
            let path: Vec<_> = keys(index).into_iter().chain([Step::Key((*name).to_owned())]).collect();
            document.at(&path).is_some()
        })
    };
    let (Some(old_kind), Some(new_kind)) = (kind(pair.was.document, old), kind(pair.now.document, new)) else {
        return Vec::new();
    };
    let place = |field: &str| {
        let ends = |index, kind: &str| {
            let end = [Step::Key(kind.to_owned()), Step::Key(field.to_owned())];
            keys(index).into_iter().chain(end).collect()
        };
        Place {
            was: ends(old, old_kind),
            now: ends(new, new_kind),
        }
    };
    let compiled: [CompiledOfKeys; 3] = [
        ("refresh", |keys| period(keys.refresh)),
        ("max_stale", |keys| period(keys.max_stale)),
        ("allow_http", |keys| keys.allow_http.to_string()),
    ];
    let compiled = compiled
        .iter()
        .filter_map(|(field, value)| pair.change(&place(field), Some(value(was)), Some(value(now))));
    let written = ["ca_file", "bearer_token_file"]
        .iter()
        .filter_map(|field| pair.written(&place(field)));
    compiled.chain(written).collect()
}

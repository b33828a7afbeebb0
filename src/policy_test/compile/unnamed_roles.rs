//! Roles of callers that no policy names: they open no route.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value as Json;

use crate::document::suggestion::{closest, did_you_mean};
use crate::policy::{Issuer, Policy};
use crate::policy_test::document::ClaimsDocument;

/// A role in the token of a caller.
#[derive(Debug)]
pub(super) struct Role {
    /// The role.
    pub(super) name: String,
    /// The bytes of the claim that has it.
    pub(super) span: Range<usize>,
    /// What to do about it, if none of the policies names it.
    pub(super) help: Option<String>,
}

/// Returns the roles of a token, with what is odd about them for the policies that its caller meets. Nothing is odd where these name
/// no role. A role that is like no other is left alone where a test of the caller expects a rejection that may be for a missing role.
pub(super) fn roles(token: &ClaimsDocument, (met, may_miss): (&[&Policy], bool)) -> Vec<Role> {
    let named: BTreeSet<_> = met.iter().flat_map(|policy| named(policy)).collect();
    let issuers = met.iter().flat_map(|policy| &policy.issuers);
    let claims: BTreeSet<_> = issuers.filter_map(claim).collect();
    let help = |role: &str| {
        let close = closest(role, named.iter().copied());
        let is_fine = named.is_empty() || named.contains(role) || (close.is_none() && may_miss);
        (!is_fine).then(|| close.map_or_else(|| "correct it, or leave it out".to_owned(), did_you_mean))
    };
    let claims = token.claims.iter().filter(|claim| claims.contains(claim.name.as_str()));
    let of_claims = claims.flat_map(|claim| texts(&claim.value).map(|role| (role, claim.span.clone())));
    let roles = of_claims.map(|(role, span)| Role {
        name: role.to_owned(),
        span,
        help: help(role),
    });
    roles.collect()
}

/// The roles that a policy names.
fn named(policy: &Policy) -> impl Iterator<Item = &str> {
    let routes = policy.routes.iter().flat_map(|route| &route.requirement.roles);
    routes.map(String::as_str).chain(policy.roles.names())
}

/// The claim with roles, where it stands outermost in a token.
fn claim(issuer: &Issuer) -> Option<&str> {
    match issuer.roles_claim.paths.as_slice() {
        [path] => match path.as_slice() {
            [name] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// The texts that a claim is, or that it lists.
fn texts(value: &Json) -> impl Iterator<Item = &str> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    value.as_str().into_iter().chain(items.iter().filter_map(Json::as_str))
}

//! The claims that a policy reads: any other claim of a token changes nothing.

use std::collections::BTreeSet;

use crate::policy::condition::{Condition, HeaderTest};
use crate::policy::identity::IdentitySource;
use crate::policy::{Issuer, Policy};

/// The claims that are read of every token.
const ALWAYS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "cnf"];

/// Returns the names of the claims that a policy reads, of those that stand outermost in a token.
pub fn read_claims(policy: &Policy) -> BTreeSet<&str> {
    let mut read = BTreeSet::from(ALWAYS);
    if policy.revocation.is_some() {
        read.insert("jti");
    }
    let mut paths: Vec<&[String]> = Vec::new();
    for issuer in &policy.issuers {
        read.insert(&issuer.audience_claim);
        read.extend(issuer.required_claims.iter().map(String::as_str));
        read.extend(
            issuer
                .names
                .pattern()
                .into_iter()
                .flat_map(|pattern| pattern.template().claims()),
        );
        paths.extend(of_issuer(issuer));
    }
    let tenant = policy.tenant.iter().flat_map(|rule| &rule.claims);
    paths.extend(tenant.map(Vec::as_slice));
    paths.extend(
        policy
            .identity
            .headers()
            .iter()
            .filter_map(|header| match &header.source {
                IdentitySource::Claim(path) => Some(path.as_slice()),
                _ => None,
            }),
    );
    for route in &policy.routes {
        paths.extend(route.requirement.conditions.iter().filter_map(of_condition));
        paths.extend(route.quotas.iter().map(|quota| quota.plan_claim.as_slice()));
    }
    read.extend(paths.into_iter().filter_map(|path| path.first()).map(String::as_str));
    read
}

fn of_issuer(issuer: &Issuer) -> impl Iterator<Item = &[String]> {
    let grants = issuer.roles_claim.paths.iter().chain(&issuer.scopes_claim.paths);
    grants
        .map(Vec::as_slice)
        .chain(issuer.when.iter().filter_map(of_condition))
}

/// Returns the path of the claim that a condition reads.
fn of_condition(condition: &Condition) -> Option<&[String]> {
    match condition {
        Condition::Claim { path, .. }
        | Condition::Header {
            test: HeaderTest::EqualsClaim(path),
            ..
        } => Some(path),
        Condition::Header { .. } | Condition::Client { .. } => None,
    }
}

//! Whether the rules of each side hold for values of the claims and headers that they read.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::policy::Issuer;
use crate::policy::condition::{Condition, Subject};
use crate::policy::issuer::GrantClaims;
use crate::policy::tenant::TenantRule;
use crate::principal::Claims;
use crate::rehearsal::Request;
use crate::request::path::{Allowance, NormalizedPath};

/// What a rule holds values against.
#[derive(Debug)]
pub(super) enum Test<'p> {
    /// A condition, with the leeway of the issuer.
    Condition(&'p Condition, i64),
    /// The audiences.
    Audience(&'p Issuer),
    /// Names of which a token must have one.
    Roles(&'p GrantClaims, BTreeSet<&'p str>),
    /// The rule about tenants.
    Tenant(&'p TenantRule),
}

/// Claims and headers to hold rules against.
pub(super) struct Tried {
    pub(super) claims: Claims,
    request: Request,
}

impl Tried {
    /// Makes them for a path.
    pub(super) fn new(claims: Claims, headers: &[(HeaderName, HeaderValue)], path: &str) -> Self {
        let mut request = Request::new(Method::GET, path, "localhost", 0);
        request.headers.extend(headers.iter().cloned());
        Self { claims, request }
    }
}

impl Test<'_> {
    /// Returns whether it may hold for a list.
    pub(super) const fn takes_lists(&self) -> bool {
        use crate::policy::condition::ClaimTest;
        match self {
            Self::Condition(Condition::Claim { test, .. }, _) => {
                matches!(test, ClaimTest::Has(_) | ClaimTest::HasAny(_))
            }
            Self::Condition(..) => false,
            Self::Audience(_) | Self::Roles(..) => true,
            Self::Tenant(rule) => rule.lists,
        }
    }

    pub(super) fn holds(&self, tried: &Tried) -> bool {
        let facts = tried.request.facts();
        match self {
            Self::Condition(condition, leeway) => {
                let path = NormalizedPath::parse(tried.request.target.as_bytes(), Allowance::default());
                let subject = Subject {
                    claims: Some(&tried.claims),
                    request: path.as_ref().ok().map(|path| (&facts, path)),
                    now: 0,
                    leeway: *leeway,
                };
                condition.check(&subject).is_ok()
            }
            Self::Audience(issuer) => {
                let wanted = issuer.audiences.iter().flatten();
                let found = tried
                    .claims
                    .get(&issuer.audience_claim)
                    .map(|value| names(value, false));
                let found = found.flatten().unwrap_or_default();
                wanted.into_iter().any(|audience| found.contains(&audience.as_str()))
            }
            Self::Roles(from, wanted) => {
                let mut found = from.of(&tried.claims).map(|(_, value)| names(value, from.splits_text));
                found.any(|found| found.is_some_and(|found| found.iter().any(|name| wanted.contains(name))))
            }
            Self::Tenant(rule) => {
                let claimed = rule.in_claims(&tried.claims);
                let Some((_, named)) = rule.in_header(&tried.request.headers) else {
                    return !rule.header_required && rule.agreed(&claimed).is_some();
                };
                named.is_some_and(|named| match rule.lists {
                    true => claimed.contains(&named),
                    false => rule.agreed(&claimed) == Some(&named),
                })
            }
        }
    }
}

/// The names in a claim, if it is a text or a list of texts.
fn names(value: &Value, splits_text: bool) -> Option<Vec<&str>> {
    match value {
        Value::String(text) if splits_text => Some(text.split(' ').collect()),
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

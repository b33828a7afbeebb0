//! The rule that a token belongs to the tenant that the request names.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::document::TenantFormat;
use crate::principal::{Claims, TenantId, claim_at};

/// Which tenants a token may act for, and how a request names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRule {
    /// The header that names the tenant.
    pub header: HeaderName,
    /// The claims that must all name it, each by the names that lead to it.
    pub claims: Vec<Vec<String>>,
    /// What a tenant looks like.
    pub format: TenantFormat,
    /// Whether a claim may list several tenants.
    pub lists: bool,
    /// Whether a request must have the header. Without it, the claims name the tenant.
    pub header_required: bool,
}

/// What a claim says about tenants.
#[derive(Debug, PartialEq, Eq)]
pub enum ClaimedTenants {
    /// The token does not have the claim.
    Missing,
    /// The claim is of another form than the rule has.
    Invalid,
    /// The claim names these.
    Named(Vec<TenantId>),
}

impl TenantRule {
    /// Reads a tenant; `None` if the text is not one.
    pub fn parse(&self, text: &str) -> Option<TenantId> {
        match self.format {
            TenantFormat::Uuid => TenantId::parse(text),
            TenantFormat::Text => TenantId::of_text(text),
        }
    }

    /// Whether a tenant that is named elsewhere can be one of this rule.
    pub fn may_be(&self, tenant: &TenantId) -> bool {
        matches!(tenant, TenantId::Uuid(_)) || self.format == TenantFormat::Text
    }

    /// Reads the header; the tenant is `None` if its value is not one.
    pub fn in_header<'r>(&self, headers: &'r HeaderMap) -> Option<(&'r HeaderValue, Option<TenantId>)> {
        let value = headers.get(&self.header)?;
        Some((value, value.to_str().ok().and_then(|text| self.parse(text))))
    }

    /// Reads one of the claims.
    pub fn in_claim(&self, claims: &Claims, path: &[String]) -> ClaimedTenants {
        let read = |value: &Value| value.as_str().and_then(|text| self.parse(text));
        let tenants = match claim_at(claims, path) {
            None => return ClaimedTenants::Missing,
            Some(Value::Array(items)) if self.lists => items.iter().map(read).collect(),
            Some(value) => read(value).map(|tenant| vec![tenant]),
        };
        tenants.map_or(ClaimedTenants::Invalid, ClaimedTenants::Named)
    }

    /// Reads all claims: the tenant of each, as far as it names one; with lists, the tenants that every claim names.
    pub fn in_claims(&self, claims: &Claims) -> Vec<TenantId> {
        let mut named = self.claims.iter().map(|path| match self.in_claim(claims, path) {
            ClaimedTenants::Named(tenants) => tenants,
            ClaimedTenants::Missing | ClaimedTenants::Invalid => Vec::new(),
        });
        if !self.lists {
            return named.flatten().collect();
        }
        let first = named.next().unwrap_or_default();
        named.fold(first, |mut common, tenants| {
            let tenants: HashSet<_> = tenants.into_iter().collect();
            common.retain(|tenant| tenants.contains(tenant));
            common
        })
    }

    /// Returns the one tenant that the claims agree on. With lists, it is the request that names one of them.
    pub fn agreed<'t>(&self, tenants: &'t [TenantId]) -> Option<&'t TenantId> {
        let first = tenants.first().filter(|_| !self.lists)?;
        let all = tenants.len() == self.claims.len() && tenants.iter().all(|tenant| tenant == first);
        all.then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(format: TenantFormat, lists: bool) -> TenantRule {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TenantRule {
            header: HeaderName::from_static("x-tenant-id"),
            claims: vec![path(&["org"]), path(&["organization", "id"])],
            format,
            lists,
            header_required: true,
        }
    }

    #[test]
    fn claims_name_tenants_of_the_format() {
        let uuid = "a0000001-0000-0000-0000-000000000001";
        let (text, both) = (rule(TenantFormat::Text, false), rule(TenantFormat::Text, true));
        for (rule, org, id, want, agreed) in [
            (&text, json!("a"), json!("a"), "a a", Some("a")),
            (&text, json!("a"), json!("A"), "a A", None),
            (&text, json!("a"), json!(null), "a", None),
            (&text, json!(["a"]), json!("a"), "a", None),
            (&text, json!("a b"), json!("a"), "a", None),
            (&both, json!(["a", "b"]), json!(["b", "a"]), "a b", None),
            (&both, json!(["a", "b"]), json!("b"), "b", None),
            (&both, json!(["a", "b"]), json!(["b", 7]), "", None),
            (&both, json!([]), json!("b"), "", None),
            (&both, json!("b"), json!({}), "", None),
            (
                &rule(TenantFormat::Uuid, false),
                json!(uuid),
                json!(uuid.to_uppercase()),
                &format!("{uuid} {uuid}"),
                Some(uuid),
            ),
            (&rule(TenantFormat::Uuid, false), json!(uuid), json!("a"), uuid, None),
        ] {
            let claims = json!({ "org": org, "organization": { "id": id } });
            let tenants = rule.in_claims(claims.as_object().unwrap());
            let names: Vec<_> = tenants.iter().map(ToString::to_string).collect();
            assert_eq!(names.join(" "), want, "{claims}");
            assert_eq!(
                rule.agreed(&tenants).map(ToString::to_string).as_deref(),
                agreed,
                "{claims}"
            );
        }
    }
}

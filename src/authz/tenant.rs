//! The tenant of a request: the one that its header and its token agree on.

use serde_json::Value;

use super::TenantProof;
use crate::authn::claims;
use crate::policy::Policy;
use crate::policy::document::TenantFormat;
use crate::policy::tenant::{ClaimedTenants, TenantRule};
use crate::principal::{AuthMethod, Claims, Principal, TenantId, claim_at, written};
use crate::rejection::{Reason, Rejection, kind, shown};
use crate::request::RequestFacts;

/// Verifies that the header and all listed claims name one tenant. Only tokens name tenants.
pub fn verify_tenant(
    policy: &Policy,
    principal: &Principal,
    request: &RequestFacts<'_>,
) -> Result<TenantProof, Rejection> {
    let Some(rule) = policy
        .tenant
        .as_ref()
        .filter(|_| principal.methods.contains(AuthMethod::Jwt))
    else {
        return Ok(TenantProof::without_tenant());
    };
    let named = in_header(rule, request)?;
    let claimed = principal.token.as_ref().map_or(&[][..], |token| &token.tenants);
    let proven = match &named {
        Some(named) if rule.lists => claimed.iter().find(|tenant| *tenant == named),
        Some(named) => rule.agreed(claimed).filter(|tenant| *tenant == named),
        None => rule.agreed(claimed),
    };
    match proven {
        Some(tenant) => Ok(TenantProof(Some(tenant.clone()))),
        None => Err(first_fault(rule, principal, named.as_ref())),
    }
}

/// Reads the tenant that a request names; `None` where it may leave that to its token.
fn in_header(rule: &TenantRule, request: &RequestFacts<'_>) -> Result<Option<TenantId>, Rejection> {
    let name = &rule.header;
    match rule.in_header(request.headers) {
        Some((_, Some(tenant))) => Ok(Some(tenant)),
        Some((value, None)) => {
            let format = describe(rule.format);
            let cause = format!("`{name}` has {} bytes and is not {format}", value.len());
            Err(Rejection::because(Reason::TenantHeaderInvalid, cause))
        }
        None if rule.header_required => {
            let cause = format!("the request has no `{name}`");
            Err(Rejection::because(Reason::TenantHeaderMissing, cause))
        }
        None if rule.lists => {
            let cause = format!("the request has no `{name}`, and the token may list several tenants");
            Err(Rejection::because(Reason::TenantHeaderMissing, cause))
        }
        None => Ok(None),
    }
}

/// Returns why the first claim at fault does not name the tenant of the header, or of the claims before it.
fn first_fault(rule: &TenantRule, principal: &Principal, header: Option<&TenantId>) -> Rejection {
    let Some(token) = principal.token.as_deref() else {
        return Reason::InternalError.into();
    };
    let mut named = header.cloned();
    for path in &rule.claims {
        let tenants = match rule.in_claim(&token.claims, path) {
            ClaimedTenants::Missing => return claims::missing(&written(path)),
            ClaimedTenants::Invalid => return invalid(rule, &token.claims, path),
            ClaimedTenants::Named(tenants) => tenants,
        };
        match (&named, tenants.first()) {
            (Some(named), _) if tenants.contains(named) => {}
            (None, Some(tenant)) => named = Some(tenant.clone()),
            (_, tenant) => return mismatch(rule, path, tenant.filter(|_| !rule.lists), header),
        }
    }
    Reason::InternalError.into()
}

/// Says what a claim is in place of a tenant.
fn invalid(rule: &TenantRule, claims: &Claims, path: &[String]) -> Rejection {
    let (claim, format) = (written(path), describe(rule.format));
    let is_tenant = |value: &Value| value.as_str().is_some_and(|text| rule.parse(text).is_some());
    let what = |value: &Value| match value {
        Value::String(_) => format!("is not {format}"),
        value => format!("is {}; it must be {format}", kind(value)),
    };
    let cause = match claim_at(claims, path) {
        Some(Value::Array(items)) if rule.lists => {
            let faulty = items.iter().enumerate().find(|(_, item)| !is_tenant(item));
            let faulty = faulty.map(|(at, item)| format!("item {} of the claim `{claim}` {}", at + 1, what(item)));
            faulty.unwrap_or_default()
        }
        Some(value) => format!("the claim `{claim}` {}", what(value)),
        None => return claims::missing(&claim),
    };
    Rejection::because(Reason::TokenClaimInvalid, cause)
}

const fn describe(format: TenantFormat) -> &'static str {
    match format {
        TenantFormat::Uuid => "a UUID with hyphens",
        TenantFormat::Text => "a text of 1 to 128 visible ASCII characters",
    }
}

fn mismatch(rule: &TenantRule, path: &[String], claimed: Option<&TenantId>, header: Option<&TenantId>) -> Rejection {
    let claim = written(path);
    let claimed = claimed.map_or_else(|| "other tenants".to_owned(), |tenant| shown(&tenant.to_string()));
    let other = match header {
        Some(_) => "the header names another tenant",
        None => "another claim names another tenant",
    };
    let cause = format!("the claim `{claim}` names {claimed}, and {other}");
    let rejection = Rejection::because(Reason::TenantMismatch, cause);
    match header {
        Some(tenant) => rejection.unverified(rule.header.to_string(), &tenant.to_string()),
        None => rejection,
    }
}

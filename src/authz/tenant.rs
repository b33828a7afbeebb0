//! The tenant of a request: the one that its header and its token agree on.

use super::TenantProof;
use crate::authn::claims;
use crate::policy::Policy;
use crate::policy::document::TenantFormat;
use crate::policy::tenant::{ClaimedTenants, TenantRule};
use crate::principal::{AuthMethod, Principal, TenantId, written};
use crate::rejection::{Reason, Rejection, shown};
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
        None => Err(first_fault(rule, principal, named)),
    }
}

/// Reads the tenant that a request names; `None` where it may leave that to its token.
fn in_header(rule: &TenantRule, request: &RequestFacts<'_>) -> Result<Option<TenantId>, Rejection> {
    let name = &rule.header;
    match rule.in_header(request.headers) {
        Some((_, Some(tenant))) => Ok(Some(tenant)),
        Some((value, None)) => {
            let format = match rule.format {
                TenantFormat::Uuid => "a UUID with hyphens",
                TenantFormat::Text => "a text of 1 to 128 visible ASCII characters",
            };
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
fn first_fault(rule: &TenantRule, principal: &Principal, header: Option<TenantId>) -> Rejection {
    let Some(token) = principal.token.as_deref() else {
        return Reason::InternalError.into();
    };
    let mut named = header.clone();
    for path in &rule.claims {
        let tenants = match rule.in_claim(&token.claims, path) {
            ClaimedTenants::Missing => return claims::missing(&written(path)),
            ClaimedTenants::Invalid => return claims::invalid(&written(path)),
            ClaimedTenants::Named(tenants) => tenants,
        };
        match (&named, tenants.first()) {
            (Some(named), _) if tenants.contains(named) => {}
            (None, Some(tenant)) => named = Some(tenant.clone()),
            (_, tenant) => return mismatch(rule, path, tenant.filter(|_| !rule.lists), header.as_ref()),
        }
    }
    Reason::InternalError.into()
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

//! Principal and requirement to [`Permit`]. Nothing else can make one, and no request goes
//! upstream without one.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::policy::Policy;
use crate::policy::route::Requirement;
use crate::principal::{
    AuthMethod, Grants, IdentityFields, Methods, OmittedHeaders, Principal, TenantId, VerifiedToken,
};
use crate::rejection::{Reason, Rejection, list};

pub mod conditions;
mod found;
mod tenant;

pub use tenant::verify_tenant;

use conditions::ConditionProof;

/// The proof that a request may be forwarded, and the identity headers that it is forwarded with.
#[derive(Debug, Clone, PartialEq)]
pub struct Permit {
    identity: Option<IdentityFields>,
    omitted: OmittedHeaders,
    methods: Methods,
}

impl Permit {
    /// Returns the identity headers for the service, each once.
    pub fn identity(&self) -> &[(HeaderName, HeaderValue)] {
        self.identity.as_deref().unwrap_or_default()
    }

    /// Returns the names of identity headers that are left out because their values cannot stand in a header.
    pub const fn omitted(&self) -> &OmittedHeaders {
        &self.omitted
    }

    /// Whether the caller was authenticated this way, among others.
    pub fn proves(&self, method: AuthMethod) -> bool {
        self.methods.contains(method)
    }

    /// Whether the request meets what its route asks for.
    pub const fn meets_requirement(&self) -> bool {
        self.identity.is_some()
    }

    /// Makes a permit that proves nothing: the request is forwarded without any verified identity. Only for
    /// a route in `mode: shadow` whose rejection was noted.
    pub(crate) fn without_identity(_noted: &Rejection) -> Self {
        Self {
            identity: None,
            omitted: None,
            methods: Methods::default(),
        }
    }
}

/// The proof that a request is for the tenant of its token, or that no tenant is asked for.
#[derive(Debug)]
#[must_use]
pub struct TenantProof(Option<TenantId>);

impl TenantProof {
    /// The proof of a request by a caller whose policy, or whose method, knows no tenants.
    fn without_tenant() -> Self {
        Self(None)
    }

    /// The tenant.
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.0.as_ref()
    }
}

/// The proof that a caller has one of the roles that a route requires.
#[derive(Debug)]
#[must_use]
pub struct RoleProof<'r>(&'r Requirement);

/// The proof that a caller has all of the scopes that a route requires.
#[derive(Debug)]
#[must_use]
pub struct ScopeProof<'r>(&'r Requirement);

/// Checks that the principal has one of the roles, itself or by the hierarchy.
pub fn check_roles<'r>(
    requirement: &'r Requirement,
    principal: &Principal,
    policy: &Policy,
) -> Result<RoleProof<'r>, Rejection> {
    let wanted = &requirement.roles;
    let has = |role: &String| principal.roles().iter().any(|own| policy.roles.covers(own, role));
    if wanted.is_empty() || wanted.iter().any(has) {
        return Ok(RoleProof(requirement));
    }
    readable(principal, |token| &token.roles)?;
    let (wanted, found) = (list(wanted.iter().map(String::as_str)), found::roles(principal, policy));
    let cause = format!("one of these roles is needed: {wanted}; {found}");
    Err(Rejection::because(Reason::RoleMissing, cause))
}

/// Checks that the principal has all of the scopes.
pub fn check_scopes<'r>(
    requirement: &'r Requirement,
    principal: &Principal,
    policy: &Policy,
) -> Result<ScopeProof<'r>, Rejection> {
    let missing = |scope: &&String| !principal.scopes().contains(scope);
    match requirement.scopes.iter().find(missing) {
        None => Ok(ScopeProof(requirement)),
        Some(scope) => {
            readable(principal, |token| &token.scopes)?;
            let found = found::scopes(principal, policy);
            let cause = format!("the scope `{scope}` is missing; {found}");
            Err(Rejection::because(Reason::ScopeMissing, cause))
        }
    }
}

/// Rejects a token whose claims of roles or of scopes have another type, once a route asks for one.
fn readable(principal: &Principal, grants: impl Fn(&VerifiedToken) -> &Grants) -> Result<(), Rejection> {
    let fault = principal.token.as_deref().and_then(|token| grants(token).fault());
    match fault {
        Some(fault) => Err(Rejection::because(Reason::TokenClaimInvalid, fault.to_owned())),
        None => Ok(()),
    }
}

/// Makes the permit of a principal, of the proofs that it meets the requirement of its route.
pub fn authorize(
    principal: &Principal,
    policy: &Policy,
    (tenant, roles, scopes, conditions): (TenantProof, RoleProof<'_>, ScopeProof<'_>, ConditionProof<'_>),
) -> Result<Permit, Rejection> {
    // Proofs of one request and one route.
    let is_of_one_route = std::ptr::eq(roles.0, scopes.0) && std::ptr::eq(roles.0, conditions.0);
    if principal.tenant != tenant.0 || !is_of_one_route {
        return Err(Reason::InternalError.into());
    }
    let prepared = principal
        .identity
        .as_ref()
        .filter(|identity| identity.tenant == principal.tenant);
    let (identity, omitted) = match prepared {
        Some(identity) => (Arc::clone(&identity.fields), identity.omitted.clone()),
        None => policy
            .identity
            .fields(principal)
            .map_err(|unfit| Rejection::because(Reason::TokenClaimInvalid, unfit.cause()))?,
    };
    Ok(Permit {
        identity: Some(identity),
        omitted,
        methods: principal.methods,
    })
}

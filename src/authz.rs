//! Principal and requirement to [`Permit`]. Nothing else can make one, and no request goes
//! upstream without one.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::authn::claims;
use crate::policy::identity::InvalidClaim;
use crate::policy::route::{Requirement, Route};
use crate::policy::{Policy, TenantRule};
use crate::principal::{AuthMethod, IdentityFields, Methods, Principal, TenantId};
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;

/// The proof that a request may be forwarded, and the identity headers that it is forwarded with.
#[derive(Debug, Clone, PartialEq)]
pub struct Permit {
    identity: Option<IdentityFields>,
    methods: Methods,
}

impl Permit {
    /// What the service is told about the caller: each header once.
    pub fn identity(&self) -> &[(HeaderName, HeaderValue)] {
        self.identity.as_deref().unwrap_or_default()
    }

    /// Whether the caller was authenticated this way, among others.
    pub fn proves(&self, method: AuthMethod) -> bool {
        self.methods.contains(method)
    }

    /// A permit that proves nothing: the request goes on without any verified identity. Only for
    /// a route in `mode: shadow` whose rejection was noted.
    pub(crate) fn without_identity(_noted: &Rejection) -> Self {
        Self {
            identity: None,
            methods: Methods::default(),
        }
    }
}

/// The tenant that the header and all listed claims agree on. A principal without a token has
/// none to agree with.
pub fn verify_tenant(
    rule: &TenantRule,
    principal: &Principal,
    request: &RequestFacts<'_>,
) -> Result<TenantId, Rejection> {
    let header = request.headers.get(&rule.header).ok_or(Reason::TenantHeaderMissing)?;
    let named = header
        .to_str()
        .ok()
        .and_then(TenantId::parse)
        .ok_or(Reason::TenantHeaderInvalid)?;
    let claim = |name: &str| principal.token.as_ref().and_then(|token| token.claims.get(name));
    for name in &rule.claims {
        let claim = claim(name).ok_or_else(|| claims::missing(name))?;
        let tenant = claim
            .as_str()
            .and_then(TenantId::parse)
            .ok_or_else(|| claims::invalid(name))?;
        if tenant != named {
            let cause = format!("the claim `{name}` names another tenant than the header");
            return Err(Rejection::because(Reason::TenantMismatch, cause));
        }
    }
    Ok(named)
}

/// Whether the principal has one of the roles, itself or by the hierarchy.
pub fn check_roles(requirement: &Requirement, principal: &Principal, policy: &Policy) -> Result<(), Rejection> {
    let wanted = &requirement.roles;
    let has = |role: &String| principal.roles().iter().any(|own| policy.roles.covers(own, role));
    if wanted.is_empty() || wanted.iter().any(has) {
        return Ok(());
    }
    let cause = format!("one of these roles is needed: {}", wanted.join(", "));
    Err(Rejection::because(Reason::RoleMissing, cause))
}

/// Whether the principal has all of the scopes.
pub fn check_scopes(requirement: &Requirement, principal: &Principal) -> Result<(), Rejection> {
    match requirement
        .scopes
        .iter()
        .find(|scope| !principal.scopes().contains(scope))
    {
        None => Ok(()),
        Some(scope) => {
            let cause = format!("the scope `{scope}` is missing");
            Err(Rejection::because(Reason::ScopeMissing, cause))
        }
    }
}

/// Makes the permit of a principal that meets the requirement of a route. It looks at the
/// requirement itself, whatever its caller has seen to already.
pub fn permit(principal: &Principal, policy: &Policy, route: &Route) -> Result<Permit, Rejection> {
    check_roles(&route.requirement, principal, policy)?;
    check_scopes(&route.requirement, principal)?;
    let prepared = principal.told.as_ref().filter(|told| told.tenant == principal.tenant);
    let identity = match prepared {
        Some(told) => Arc::clone(&told.fields),
        None => policy
            .identity
            .fields(principal)
            .map_err(|InvalidClaim(name)| claims::invalid(&name))?,
    };
    Ok(Permit {
        identity: Some(identity),
        methods: principal.methods,
    })
}

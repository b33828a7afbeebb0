//! Principal and requirement to [`Permit`]. Nothing else can make one, and no request goes
//! upstream without one.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::authn::claims;
use crate::policy::identity::IdentitySource;
use crate::policy::route::{Requirement, Route};
use crate::policy::{Policy, TenantRule};
use crate::principal::{AuthMethod, Principal, TenantId, claim_at};
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;

/// The proof that a request may be forwarded, and the identity headers that it is forwarded with.
#[derive(Debug, Clone, PartialEq)]
pub struct Permit {
    identity: Vec<(HeaderName, HeaderValue)>,
    methods: Vec<AuthMethod>,
}

impl Permit {
    /// What the service is told about the caller: each header once.
    pub fn identity(&self) -> &[(HeaderName, HeaderValue)] {
        &self.identity
    }

    /// Whether the caller was authenticated this way, among others.
    pub fn proves(&self, method: AuthMethod) -> bool {
        self.methods.contains(&method)
    }

    /// A permit that proves nothing: the request goes on without any verified identity. Only for
    /// a route in `mode: shadow` whose rejection was noted.
    pub(crate) fn without_identity(_noted: &Rejection) -> Self {
        Self {
            identity: Vec::new(),
            methods: Vec::new(),
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
    for name in &rule.claims {
        let claim = principal.claims.get(name).ok_or_else(|| claims::missing(name))?;
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
    let has = |role: &String| principal.roles.iter().any(|own| policy.roles.covers(own, role));
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
        .find(|scope| !principal.scopes.contains(scope))
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
    let mut identity = Vec::with_capacity(policy.identity.headers().len());
    for header in policy.identity.headers() {
        if let Some(text) = value_of(&header.source, principal)? {
            let value = HeaderValue::from_str(&text).map_err(|_| claims::invalid(header.name.as_str()))?;
            identity.push((header.name.clone(), value));
        }
    }
    Ok(Permit {
        identity,
        methods: principal.methods.clone(),
    })
}

fn value_of(source: &IdentitySource, principal: &Principal) -> Result<Option<String>, Rejection> {
    match source {
        IdentitySource::Tenant => Ok(principal.tenant.map(|tenant| tenant.to_string())),
        IdentitySource::AuthMethod => Ok(Some(principal.auth_method())),
        IdentitySource::ClientId => Ok(principal.client.clone()),
        IdentitySource::Roles => join(principal.roles.iter().map(String::as_str), "roles"),
        IdentitySource::Scopes => join(principal.scopes.iter().map(String::as_str), "scopes"),
        IdentitySource::Claim(path) => match claim_at(&principal.claims, path) {
            // Issuers write `null` for what they do not know.
            None | Some(Value::Null) => Ok(None),
            Some(value) => claim_value(value, &path.join(".")),
        },
    }
}

/// A claim as a header value. Only what survives the way unchanged: visible ASCII and inner
/// spaces; a number as it is written; a list joined with commas.
fn claim_value(value: &Value, name: &str) -> Result<Option<String>, Rejection> {
    match value {
        Value::String(text) if is_visible(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            join(texts.ok_or_else(|| claims::invalid(name))?.into_iter(), name)
        }
        _ => Err(claims::invalid(name)),
    }
}

/// Joins a list with commas. An item that has a comma itself would become two on the way.
fn join<'i>(items: impl Iterator<Item = &'i str>, name: &str) -> Result<Option<String>, Rejection> {
    let items: Vec<_> = items.collect();
    let fine = |item: &&str| !item.is_empty() && !item.contains(',') && is_visible(item);
    if !items.iter().all(fine) {
        return Err(claims::invalid(name));
    }
    Ok(Some(items.join(",")).filter(|text| !text.is_empty()))
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && text.trim().len() == text.len()
}

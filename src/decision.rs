//! One request in, one decision out: a pure function that the proxy, `explain` and the tests share.
//!
//! head → path → host and route → method → credentials → tenant → roles and scopes → conditions →
//! content → idempotency key. The first rejection ends it. The checks of the store are left to [`StoreChecks`].

use http::{HeaderName, Method};

use crate::authn::sources::{self, Presented, SEC_FETCH_SITE};
use crate::authn::token_cache::CacheResult;
use crate::authn::{self, Context};
use crate::authz::conditions::{self, ConditionProof};
use crate::authz::{self, Permit};
use crate::idempotency;
use crate::policy::route::Route;
use crate::policy::token_sources::SourceKind;
use crate::policy::{Matched, Mode, Policy, PolicySet, Scope};
use crate::principal::{AuthMethod, Principal};
use crate::rejection::{Reason, Rejection};
use crate::request::names::FoldedName;
use crate::request::path::NormalizedPath;
use crate::request::{RequestFacts, is_sandbox, nominated};
use crate::revocation::Revocations;

mod content;
mod evaluator;
mod head;
mod lookup;
mod metadata;
mod preflight;
mod steps;
mod store_checks;

pub use content::BodyLimit;
pub use evaluator::Evaluator;
pub use steps::{Observer, Step};
pub use store_checks::StoreChecks;

use head::{check_head, malformed};
use steps::step;

/// The outcome, and what led to it: `'p` is the life of the policies, `'r` that of the request.
#[derive(Debug)]
pub struct Decision<'p, 'r> {
    /// The policy that the request is for, which says how errors are written, and the route that matched.
    pub matched: Matched<'p>,
    /// The one reading of the path; absent if it has none.
    pub path: Option<NormalizedPath<'r>>,
    /// The caller, as far as it was proven: also where it is rejected in the end.
    pub principal: Option<Principal>,
    /// Whether the token was known, where one was looked at.
    pub lookup: Option<CacheResult>,
    /// The place of the token, where that is not `Authorization`.
    pub source: Option<SourceKind>,
    /// What the store has to be asked before an allowed request is forwarded.
    pub checks: StoreChecks<'p>,
    /// What is to be done.
    pub outcome: Outcome,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Outcome {
    /// Forward it with the identity of the permit.
    Allow(Permit),
    /// Reject it.
    Deny(Rejection),
    /// Respond to `OPTIONS *` (RFC 9110, 9.3.7), which asks about the server and no service.
    ServerOptions,
    /// Respond to the preflight of a page (Fetch, 4.8), which may send the request that it asks about. The routes of the
    /// path take these methods.
    Preflight(Vec<Method>),
    /// Respond with the metadata of the protected resource of the policy (RFC 9728).
    Metadata,
    /// Forward it without an identity, and count the rejection that `enforce` would make of it.
    ShadowDeny(Permit, Rejection),
}

impl Outcome {
    /// The word in metrics and logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Allow(_) | Self::ServerOptions => "allow",
            Self::Preflight(_) => "preflight",
            Self::Metadata => "metadata",
            Self::Deny(_) => "deny",
            Self::ShadowDeny(..) => "shadow_deny",
        }
    }

    /// Why not, even where it is not enforced.
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Allow(_) | Self::ServerOptions | Self::Preflight(_) | Self::Metadata => None,
            Self::Deny(rejection) | Self::ShadowDeny(_, rejection) => Some(rejection),
        }
    }

    /// What the request may be forwarded with.
    pub const fn permit(&self) -> Option<&Permit> {
        match self {
            Self::Allow(permit) | Self::ShadowDeny(permit, _) => Some(permit),
            Self::Deny(_) | Self::ServerOptions | Self::Preflight(_) | Self::Metadata => None,
        }
    }
}

/// Decides a request.
pub fn decide<'p, 'r>(
    evaluator: &'p Evaluator,
    request: &RequestFacts<'r>,
    revocations: Revocations<'_>,
    observer: &mut impl Observer,
) -> Decision<'p, 'r> {
    let mut decision = Decision {
        matched: Matched::default(),
        path: None,
        principal: None,
        lookup: None,
        source: None,
        checks: StoreChecks::default(),
        outcome: Outcome::ServerOptions,
    };
    let found = find_route(evaluator.policies(), request, &mut decision, observer);
    decision.outcome = match found {
        Ok(Found::Route((index, policy, route), presented)) => {
            if let Presented::Elsewhere(kind, _) = presented {
                decision.source = Some(kind);
            }
            let context = Context {
                policy: (policy, index),
                keys: evaluator.keys().of_policy(index),
                tokens: evaluator.tokens(),
                revocations,
                presented,
            };
            decide_route((context, route), request, &mut decision, observer)
        }
        Ok(Found::Own(outcome)) => outcome,
        Err(rejection) => Outcome::Deny(rejection),
    };
    decision
}

/// What a request is for.
enum Found<'p, 'r> {
    /// A route of a policy, by the place of the policy, and where the token of the request may be.
    Route((usize, &'p Policy, &'p Route), Presented<'r>),
    /// Sidegate itself, which responds.
    Own(Outcome),
}

/// Finds the policy, the route and the token of a request, or that it is for Sidegate itself.
fn find_route<'p, 'r>(
    policies: &'p PolicySet,
    request: &RequestFacts<'r>,
    decision: &mut Decision<'p, 'r>,
    observer: &mut impl Observer,
) -> Result<Found<'p, 'r>, Rejection> {
    if let Some(index) = policies.metadata_for(request.host(), request.path) {
        decision.matched = of_policy(policies, Some(index));
        metadata::check(decision.matched, request, observer)?;
        return Ok(Found::Own(Outcome::Metadata));
    }
    let spelled = policies.by_raw_prefix(request.host(), request.path);
    decision.matched = of_policy(policies, spelled);
    step(Step::Request, observer, |observer| {
        check_head(request)?;
        check_headers(decision.matched.policy(), request)?;
        observer.passed(Step::Request, || "well-formed".into());
        Ok(())
    })?;
    if request.is_server_options() {
        decision.matched = Matched::default();
        observer.passed(Step::Path, || "Sidegate itself responds, without a service".into());
        return Ok(Found::Own(Outcome::ServerOptions));
    }
    let (path, index) = step(Step::Path, observer, |_| lookup::resolve(policies, spelled, request))?;
    observer.passed(Step::Path, || path.as_str().to_owned());
    let path = &*decision.path.insert(path);
    if index != spelled {
        decision.matched = of_policy(policies, index);
        step(Step::Request, observer, |_| {
            check_headers(decision.matched.policy(), request)
        })?;
    }
    if let Some((route, methods)) = preflight::find(policies, index, (path, request), observer) {
        decision.matched = policies.matched(route.into());
        return Ok(Found::Own(Outcome::Preflight(methods)));
    }
    let route = step(Step::Route, observer, |_| lookup::find(policies, index, path, request))?;
    let (policy, matched) = policies.route(route).ok_or(Reason::InternalError)?;
    step(Step::Request, observer, |_| {
        check_tenant_header(policy, matched, request)
    })?;
    decision.matched = policies.matched(route.into());
    observer.passed(Step::Route, || format!("{} ({})", matched.pattern, matched.location));
    if matched.is_denied() {
        return step(Step::Route, observer, |_| Err(Reason::RouteDenied.into()));
    }
    let presented = step(Step::Request, observer, |_| find_token((policy, matched), request))?;
    Ok(Found::Route((route.policy, policy, matched), presented))
}

/// Finds the one place of the request that a token may be in, if the route accepts one.
fn find_token<'r>((policy, route): (&Policy, &Route), request: &RequestFacts<'r>) -> Result<Presented<'r>, Rejection> {
    match route.authentication.methods().contains(&AuthMethod::Jwt) {
        true => sources::find(&policy.sources, request),
        false => Ok(Presented::Nothing),
    }
}

fn of_policy(policies: &PolicySet, policy: Option<usize>) -> Matched<'_> {
    policies.matched(Scope { policy, route: None })
}

/// Checks that each header that a policy reads occurs once at most, and does not end with this hop. A client's
/// identity headers are not read, so they may end here as well. A header that a condition compares is not met if it
/// occurs twice, on routes with the condition.
fn check_headers(policy: Option<&Policy>, request: &RequestFacts<'_>) -> Result<(), Rejection> {
    let Some(policy) = policy else { return Ok(()) };
    if let Some((name, reason)) = authn::single_headers(policy).find(|(name, _)| request.repeats(name)) {
        return Err(Rejection::because(reason, format!("`{name}` occurs twice")));
    }
    let is_nominated = nominated::has(request.headers, |name| {
        let mut compared = policy.compared.iter();
        authn::single_headers(policy).any(|(read, _)| name.spells(read))
            || compared.any(|header| name.spells(header))
            || (!policy.sources.read.cookies.is_empty() && name.spells(&SEC_FETCH_SITE))
    });
    match is_nominated {
        true => Err(malformed(nominated::NOMINATED)),
        false => Ok(()),
    }
}

/// Checks that a tenant header that a route passes occurs once at most.
fn check_tenant_header(policy: &Policy, route: &Route, request: &RequestFacts<'_>) -> Result<(), Rejection> {
    let is_tenant = |name: &HeaderName| FoldedName::with(name.as_str(), |name| policy.is_reserved(&name));
    let mut repeated = route.pass_through.iter().filter(|name| request.repeats(name));
    match repeated.find(|name| is_tenant(name)) {
        Some(name) => Err(Rejection::because(
            Reason::TenantHeaderInvalid,
            format!("`{name}` occurs twice"),
        )),
        None => Ok(()),
    }
}

/// Decides a request by its route.
fn decide_route<'p>(
    (context, route): (Context<'_>, &'p Route),
    request: &RequestFacts<'_>,
    decision: &mut Decision<'p, '_>,
    observer: &mut impl Observer,
) -> Outcome {
    match authorize((context, route), request, decision, observer) {
        Ok(permit) => Outcome::Allow(permit),
        // A limit does not depend on the policy, and holds in shadow mode, too.
        Err(rejection) if route.mode == Mode::Shadow && rejection.reason() != Reason::BodyTooLarge => {
            Outcome::ShadowDeny(Permit::without_identity(&rejection), rejection)
        }
        Err(rejection) => Outcome::Deny(rejection),
    }
}

fn authorize<'p>(
    (context, route): (Context<'_>, &'p Route),
    request: &RequestFacts<'_>,
    decision: &mut Decision<'p, '_>,
    observer: &mut impl Observer,
) -> Result<Permit, Rejection> {
    let (policy, _) = context.policy;
    let principal = step(Step::Credentials, observer, |observer| {
        let principal = authn::authenticate(&route.authentication, context, request, &mut decision.lookup)?;
        observer.passed(Step::Credentials, || steps::describe(&principal, context));
        if let Some(token) = &principal.token {
            observer.passed(Step::Binding, || token.binding.passed().to_owned());
            steps::issuer_conditions((policy, token), request.now, observer);
        }
        Ok(principal)
    })?;
    let principal = decision.principal.insert(principal);
    let tenant = step(Step::Tenant, observer, |observer| {
        let proof = authz::verify_tenant(policy, principal, request)?;
        if let Some(tenant) = proof.tenant() {
            observer.passed(Step::Tenant, || steps::describe_tenant(tenant, policy, request));
        }
        Ok(proof)
    })?;
    principal.tenant = tenant.tenant().cloned();
    let roles = step(Step::Roles, observer, |observer| {
        let proof = authz::check_roles(&route.requirement, principal, policy)?;
        observer.passed(Step::Roles, || steps::needed(&route.requirement.roles, "one of"));
        Ok(proof)
    })?;
    let scopes = step(Step::Scopes, observer, |observer| {
        let proof = authz::check_scopes(&route.requirement, principal, policy)?;
        observer.passed(Step::Scopes, || steps::needed(&route.requirement.scopes, "all of"));
        Ok(proof)
    })?;
    let path = decision.path.as_ref().ok_or(Reason::InternalError)?;
    let conditions = check_conditions((route, policy), principal, (request, path), observer)?;
    let proofs = (tenant, roles, scopes, conditions);
    let permit = step(Step::Credentials, observer, |_| {
        authz::authorize(principal, policy, proofs)
    })?;
    if permit.omitted().is_some() {
        for unfit in policy.identity.unfit(principal) {
            observer.passed(Step::Identity, || format!("left out: {}", unfit.cause()));
        }
    }
    step(Step::Content, observer, |observer| {
        content::check(route, request)?;
        observer.passed(Step::Content, || steps::describe_content(route, request));
        Ok(())
    })?;
    decision.checks = store_checks(route, request, principal, observer)?;
    Ok(permit)
}

/// Checks the conditions of the route, each a step.
fn check_conditions<'p, O: Observer>(
    (route, policy): (&'p Route, &Policy),
    principal: &Principal,
    request: (&RequestFacts<'_>, &NormalizedPath<'_>),
    observer: &mut O,
) -> Result<ConditionProof<'p>, Rejection> {
    let requirement = &route.requirement;
    let subject = conditions::subject(requirement, policy, principal, request);
    step(Step::Condition, observer, |observer| {
        let shows_values = observer.shows_values();
        conditions::check(requirement, &subject, shows_values, |condition| {
            observer.passed(Step::Condition, || condition.describe(&subject, Ok(()), shows_values));
        })
    })
}

/// Names what the store has to be asked. A key that cannot be one is rejected.
fn store_checks<'p>(
    route: &'p Route,
    request: &RequestFacts<'_>,
    principal: &Principal,
    observer: &mut impl Observer,
) -> Result<StoreChecks<'p>, Rejection> {
    let mut checks = StoreChecks {
        idempotency: None,
        quotas: &route.quotas,
        sandbox: route.sandbox && is_sandbox(request.headers),
    };
    if let Some(rule) = &route.idempotency {
        checks.idempotency = step(Step::Idempotency, observer, |observer| {
            let key = idempotency::key(rule, request.method, request.headers)?;
            observer.passed(Step::Idempotency, || steps::describe_key(key));
            Ok(key.map(|key| (&**rule, key)))
        })?;
    }
    if !checks.quotas.is_empty() {
        observer.passed(Step::Quota, || steps::describe_quotas(&checks, principal));
    }
    Ok(checks)
}

#[cfg(test)]
mod tests;

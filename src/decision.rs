//! One request in, one decision out: a pure function that the proxy, `explain` and the tests share.
//!
//! malformed → path → host and route → method → credentials → tenant → roles and scopes → content →
//! idempotency key. The first no ends it. What only the store can tell comes after.

use std::sync::Arc;

use http::{HeaderName, Method};
use uuid::Uuid;

use crate::authn::token_cache::Lookup;
use crate::authn::{self, Context};
use crate::authz::{self, Permit};
use crate::idempotency;
use crate::policy::route::Route;
use crate::policy::store_rules::Quota;
use crate::policy::{Mode, Policy, PolicySet, RouteIndex};
use crate::principal::{AuthMethod, Principal};
use crate::rejection::{Reason, Rejection};
use crate::request::names::FoldedName;
use crate::request::path::NormalizedPath;
use crate::request::{Body, RequestFacts, is_sandbox, nominated};
use crate::revocation::Revocations;

mod evaluator;
mod lookup;

pub use evaluator::Evaluator;

/// The outcome and the route that led to it.
#[derive(Debug)]
pub struct Decision<'r> {
    /// The policy that the request is for; it says how errors are written.
    pub policy: Option<usize>,
    /// The route that matched.
    pub route: Option<RouteIndex>,
    /// The one reading of the path; absent if it has none.
    pub path: Option<NormalizedPath<'r>>,
    /// The caller, as far as it was proven: also where it is refused in the end.
    pub principal: Option<Principal>,
    /// Whether the token was known, where one was looked at.
    pub lookup: Option<Lookup>,
    /// What is to be done.
    pub outcome: Outcome,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Outcome {
    /// Forward it with the identity of the permit.
    Allow(Permit),
    /// Answer it.
    Deny(Rejection),
    /// Say that the server is there: `OPTIONS *` (RFC 9110, 9.3.7), which is for no service.
    Ping,
    /// Forward it without an identity, and count what would have been the answer.
    ShadowDeny(Permit, Rejection),
}

impl Outcome {
    /// The word in metrics and logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Allow(_) | Self::Ping => "allow",
            Self::Deny(_) => "deny",
            Self::ShadowDeny(..) => "shadow_deny",
        }
    }

    /// Why not, even where it is not enforced.
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Allow(_) | Self::Ping => None,
            Self::Deny(rejection) | Self::ShadowDeny(_, rejection) => Some(rejection),
        }
    }

    /// Whether the request is answered here, and asks no service.
    pub const fn is_ping(&self) -> bool {
        matches!(self, Self::Ping)
    }

    /// What the request may be forwarded with.
    pub const fn permit(&self) -> Option<&Permit> {
        match self {
            Self::Allow(permit) | Self::ShadowDeny(permit, _) => Some(permit),
            Self::Deny(_) | Self::Ping => None,
        }
    }
}

/// A step of a decision, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Is it a request at all?
    Request,
    /// Has the path one reading?
    Path,
    /// Which policy and route?
    Route,
    /// Who is calling?
    Credentials,
    /// Has the client the key that its token is bound to?
    Binding,
    /// For which tenant?
    Tenant,
    /// With which roles?
    Roles,
    /// With which scopes?
    Scopes,
    /// With which content?
    Content,
    /// Is it one that may come again?
    Idempotency,
    /// How often may it come?
    Quota,
}

impl Step {
    /// The word in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Path => "path",
            Self::Route => "route",
            Self::Credentials => "credentials",
            Self::Binding => "binding",
            Self::Tenant => "tenant",
            Self::Roles => "roles",
            Self::Scopes => "scopes",
            Self::Content => "content",
            Self::Idempotency => "idempotency",
            Self::Quota => "quota",
        }
    }
}

/// Whoever wants to see the steps of a decision. The proxy does not, and pays nothing for it.
pub trait Observer {
    /// A step was passed; the words are made only if somebody listens.
    fn passed(&mut self, step: Step, how: impl FnOnce() -> String);
    /// A step ended the decision.
    fn failed(&mut self, step: Step, rejection: &Rejection);
}

impl Observer for () {
    fn passed(&mut self, _: Step, _: impl FnOnce() -> String) {}
    fn failed(&mut self, _: Step, _: &Rejection) {}
}

/// Decides a request.
pub fn decide<'r>(
    evaluator: &Evaluator,
    request: &RequestFacts<'r>,
    revocations: Revocations<'_>,
    observer: &mut impl Observer,
) -> Decision<'r> {
    let policies = evaluator.policies();
    let spelled = policies.spelled(request.host(), request.path);
    if let Some(over) = request.limits.exceeded_by(request) {
        let malformed = request.malformed().map(malformed);
        return deny(Step::Request, spelled, None, malformed.unwrap_or(over.into()), observer);
    }
    if *request.method == Method::CONNECT {
        let rejection = Rejection::method_not_allowed(Vec::new());
        return deny(Step::Request, spelled, None, rejection, observer);
    }
    let cause = request.malformed().map(malformed);
    if let Some(rejection) = cause.or_else(|| malformed_for(policies, spelled, request)) {
        return deny(Step::Request, spelled, None, rejection, observer);
    }
    observer.passed(Step::Request, || "well-formed".into());
    if request.is_ping() {
        observer.passed(Step::Path, || "no service is asked; Sidegate answers".into());
        return Decision {
            policy: None,
            route: None,
            path: None,
            principal: None,
            lookup: None,
            outcome: Outcome::Ping,
        };
    }
    let (path, policy) = match lookup::resolve(policies, spelled, request) {
        Ok(resolved) => resolved,
        Err(rejection) => return deny(Step::Path, spelled, None, rejection, observer),
    };
    observer.passed(Step::Path, || path.as_str().to_owned());
    if let Some(rejection) = malformed_for(policies, policy, request).filter(|_| policy != spelled) {
        return deny(Step::Request, policy, Some(path), rejection, observer);
    }
    let route = match lookup::find(policies, policy, &path, request) {
        Ok(route) => route,
        Err(rejection) => return deny(Step::Route, policy, Some(path), rejection, observer),
    };
    let mut caller = Caller::default();
    let outcome = match policies.route(route) {
        Some((policy, matched)) => {
            if let Some(name) = repeated_tenant(policy, matched, request) {
                let rejection = Rejection::because(Reason::TenantHeaderInvalid, format!("`{name}` is there twice"));
                return deny(Step::Request, Some(route.policy), Some(path), rejection, observer);
            }
            observer.passed(Step::Route, || format!("{} ({})", matched.pattern, matched.location));
            let context = Context {
                policy: (policy, route.policy),
                keys: evaluator.keys().of_policy(route.policy),
                tokens: evaluator.tokens(),
                revocations,
            };
            judge((context, matched), request, &mut caller, observer)
        }
        None => Outcome::Deny(Reason::InternalError.into()),
    };
    Decision {
        policy: Some(route.policy),
        route: Some(route),
        path: Some(path),
        principal: caller.principal,
        lookup: caller.lookup,
        outcome,
    }
}

/// The tenant header that a route passes, if it is there twice.
fn repeated_tenant<'r>(policy: &Policy, route: &'r Route, request: &RequestFacts<'_>) -> Option<&'r HeaderName> {
    let is_tenant = |name: &HeaderName| FoldedName::look(name.as_str(), |name| policy.owns(&name));
    let mut repeated = route.pass.iter().filter(|name| request.repeats(name));
    repeated.find(|name| is_tenant(name))
}

fn deny<'r>(
    step: Step,
    policy: Option<usize>,
    path: Option<NormalizedPath<'r>>,
    rejection: Rejection,
    observer: &mut impl Observer,
) -> Decision<'r> {
    observer.failed(step, &rejection);
    Decision {
        policy,
        route: None,
        path,
        principal: None,
        lookup: None,
        outcome: Outcome::Deny(rejection),
    }
}

fn malformed(cause: &'static str) -> Rejection {
    Rejection::because(Reason::RequestMalformed, cause)
}

/// What makes a request malformed for a policy: a header that the policy reads is there twice, or ends
/// with this hop. A client's identity headers are not read, so they may end here as well.
fn malformed_for(policies: &PolicySet, policy: Option<usize>, request: &RequestFacts<'_>) -> Option<Rejection> {
    let policy = policy.and_then(|index| policies.get(index))?;
    if let Some((name, reason)) = authn::single_headers(policy).find(|(name, _)| request.repeats(name)) {
        return Some(Rejection::because(reason, format!("`{name}` is there twice")));
    }
    nominated::has(request.headers, |name| {
        authn::single_headers(policy).any(|(read, _)| name.spells(read))
    })
    .then(|| Rejection::because(Reason::RequestMalformed, nominated::NOMINATED))
}

/// What was found out of the caller.
#[derive(Debug, Default)]
struct Caller {
    principal: Option<Principal>,
    lookup: Option<Lookup>,
}

/// What a route makes of a request.
fn judge(
    (context, route): (Context<'_>, &Route),
    request: &RequestFacts<'_>,
    caller: &mut Caller,
    observer: &mut impl Observer,
) -> Outcome {
    match authorize((context, route), request, caller, observer) {
        Ok(permit) => Outcome::Allow(permit),
        // A limit is no matter of policy, and holds in shadow mode too.
        Err(rejection) if route.mode == Mode::Shadow && rejection.reason() != Reason::BodyTooLarge => {
            Outcome::ShadowDeny(Permit::without_identity(&rejection), rejection)
        }
        Err(rejection) => Outcome::Deny(rejection),
    }
}

fn authorize(
    (context, route): (Context<'_>, &Route),
    request: &RequestFacts<'_>,
    caller: &mut Caller,
    observer: &mut impl Observer,
) -> Result<Permit, Rejection> {
    let (policy, _) = context.policy;
    let principal = step(Step::Credentials, observer, |observer| {
        let principal = authn::authenticate(&route.authentication, context, request, &mut caller.lookup)?;
        observer.passed(Step::Credentials, || describe(&principal, context));
        if let Some(token) = &principal.token {
            observer.passed(Step::Binding, || token.binding.passed().to_owned());
        }
        Ok(principal)
    })?;
    let principal = caller.principal.insert(principal);
    if let Some(rule) = policy
        .tenant
        .as_ref()
        .filter(|_| principal.methods.contains(AuthMethod::Jwt))
    {
        principal.tenant = step(Step::Tenant, observer, |observer| {
            let tenant = authz::verify_tenant(rule, principal, request)?;
            observer.passed(Step::Tenant, || tenant.to_string());
            Ok(Some(tenant))
        })?;
    }
    step(Step::Roles, observer, |observer| {
        authz::check_roles(&route.requirement, principal, policy)?;
        observer.passed(Step::Roles, || needed(&route.requirement.roles, "one of"));
        Ok(())
    })?;
    step(Step::Scopes, observer, |observer| {
        authz::check_scopes(&route.requirement, principal)?;
        observer.passed(Step::Scopes, || needed(&route.requirement.scopes, "all of"));
        Ok(())
    })?;
    let permit = step(Step::Credentials, observer, |_| authz::permit(principal, policy, route))?;
    step(Step::Content, observer, |observer| {
        check_content(route, request)?;
        observer.passed(Step::Content, || describe_content(route, request));
        Ok(())
    })?;
    if let Some(rule) = &route.idempotency {
        step(Step::Idempotency, observer, |observer| {
            let key = idempotency::key(rule, request.method, request.headers)?;
            observer.passed(Step::Idempotency, || describe_key(key));
            Ok(())
        })?;
    }
    if !route.quotas.is_empty() {
        observer.passed(Step::Quota, || describe_quotas(route, principal, request));
    }
    Ok(permit)
}

/// Runs a step and reports how it failed, if it did.
fn step<T, O: Observer>(
    step: Step,
    observer: &mut O,
    run: impl FnOnce(&mut O) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let result = run(observer);
    if let Err(rejection) = &result {
        let binding = rejection.reason().is_about_binding();
        observer.failed(if binding { Step::Binding } else { step }, rejection);
    }
    result
}

fn describe(principal: &Principal, context: Context<'_>) -> String {
    let who = [principal.subject(), principal.client.as_deref()];
    let who: Vec<_> = who.into_iter().flatten().collect();
    let mut text = match who.is_empty() {
        true => principal.methods.text().into_owned(),
        false => format!("{}: {}", principal.methods.text(), who.join(", ")),
    };
    let unasked = matches!(context.revocations, Revocations::Unasked) && context.policy.0.revocation.is_some();
    if unasked && principal.methods.contains(AuthMethod::Jwt) {
        text.push_str("; the running Sidegate knows whether the token is revoked");
    }
    text
}

fn needed(names: &[String], how: &str) -> String {
    match names.is_empty() {
        true => "none needed".into(),
        false => format!("has {how} {}", names.join(", ")),
    }
}

fn describe_content(route: &Route, request: &RequestFacts<'_>) -> String {
    let types = route.content_types.join(", ");
    match (is_bodiless(request), types.is_empty()) {
        (true, true) => "no body".into(),
        (true, false) => format!("no body; one that is written would have to be {types}"),
        (false, _) => "accepted".into(),
    }
}

fn describe_key(key: Option<Uuid>) -> String {
    match key {
        Some(key) => format!("{key}; the running Sidegate knows whether it was answered"),
        None => "without a key".into(),
    }
}

fn describe_quotas(route: &Route, principal: &Principal, request: &RequestFacts<'_>) -> String {
    if route.sandbox && is_sandbox(request.headers) {
        return "not counted, for a sandbox".into();
    }
    let rate = |quota: &Arc<Quota>| {
        let plan = quota.plan(principal);
        let limit = quota.rate_of(plan).limit();
        format!("{}: {limit} in {}s", quota.name, quota.window.as_secs_f64())
    };
    let rates: Vec<_> = route.quotas.iter().map(rate).collect();
    format!("{}; the running Sidegate counts", rates.join(", "))
}

/// Without a body and without a type there is nothing that could be of the wrong one.
fn is_bodiless(request: &RequestFacts<'_>) -> bool {
    request.body == Body::None && !request.headers.contains_key(http::header::CONTENT_TYPE)
}

/// The media type of what is written, and the length of what is said to come.
fn check_content(route: &Route, request: &RequestFacts<'_>) -> Result<(), Rejection> {
    let writes = matches!(*request.method, Method::POST | Method::PUT | Method::PATCH);
    if writes && !is_bodiless(request) && !route.content_types.is_empty() {
        let given = request.media_type();
        if !given.is_some_and(|given| {
            route
                .content_types
                .iter()
                .any(|known| known.eq_ignore_ascii_case(given))
        }) {
            let cause = format!("one of these is needed: {}", route.content_types.join(", "));
            return Err(Rejection::because(Reason::ContentTypeUnsupported, cause));
        }
    }
    match request.body {
        Body::Sized(length) if length > request.limits.body_bytes => Err(Reason::BodyTooLarge.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

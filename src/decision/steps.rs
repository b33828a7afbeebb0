//! The steps of a decision, and what `explain` says of each.

use std::sync::Arc;

use uuid::Uuid;

use super::content;
use super::store_checks::StoreChecks;
use crate::authn::sources::Presented;
use crate::authn::{Context, conditions, jwt};
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy::store_rules::Quota;
use crate::principal::{AuthMethod, Principal, TenantId, VerifiedToken};
use crate::rejection::{Rejection, shown};
use crate::request::RequestFacts;
use crate::revocation::Revocations;

/// A step of a decision, for `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Is it a request at all?
    Request,
    /// Has the path one reading?
    Path,
    /// Which page of another origin may read the response?
    Cors,
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
    /// Does it meet the conditions?
    Condition,
    /// Which identity headers cannot be set?
    Identity,
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
            Self::Cors => "cors",
            Self::Route => "route",
            Self::Credentials => "credentials",
            Self::Binding => "binding",
            Self::Tenant => "tenant",
            Self::Roles => "roles",
            Self::Scopes => "scopes",
            Self::Condition => "condition",
            Self::Identity => "identity",
            Self::Content => "content",
            Self::Idempotency => "idempotency",
            Self::Quota => "quota",
        }
    }
}

/// What sees the steps of a decision. The proxy has no observer, and pays nothing for it.
pub trait Observer {
    /// A step was passed; the words are made only if they are wanted.
    fn passed(&mut self, step: Step, how: impl FnOnce() -> String);
    /// The browser of a page will block something, which changes nothing of the decision. The words are made only if they are wanted.
    fn blocked(&mut self, step: Step, how: impl FnOnce() -> String);
    /// A step ended the decision.
    fn failed(&mut self, step: Step, rejection: &Rejection);
    /// Whether the observer wants words at all.
    fn is_observing(&self) -> bool {
        true
    }
    /// Whether the words may have the values that conditions compare.
    fn shows_values(&self) -> bool {
        false
    }
}

impl Observer for () {
    fn passed(&mut self, _: Step, _: impl FnOnce() -> String) {}
    fn blocked(&mut self, _: Step, _: impl FnOnce() -> String) {}
    fn failed(&mut self, _: Step, _: &Rejection) {}
    fn is_observing(&self) -> bool {
        false
    }
}

/// Runs a step and reports how it failed, if it did.
pub(super) fn step<T, O: Observer>(
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

pub(super) fn describe(principal: &Principal, context: Context<'_>) -> String {
    let who = [principal.subject(), principal.client.as_deref()];
    let who: Vec<_> = who.into_iter().flatten().map(shown).collect();
    let mut text = match who.is_empty() {
        true => principal.methods.text().into_owned(),
        false => format!("{}: {}", principal.methods.text(), who.join(", ")),
    };
    if let Presented::Elsewhere(kind, _) = context.presented
        && principal.token.is_some()
    {
        text.push_str("; the token is in the ");
        text.push_str(kind.noun());
    }
    let issuer = principal.token.as_ref().and_then(|token| {
        let (_, issuer) = jwt::pick(&context.policy.0.issuers, &token.claims).ok()?;
        issuer.names.pattern()
    });
    if let Some(pattern) = issuer {
        text.push_str("; `iss` fits ");
        text.push_str(pattern.template().text());
    }
    let unasked = matches!(context.revocations, Revocations::Unasked) && context.policy.0.revocation.is_some();
    if unasked && principal.methods.contains(AuthMethod::Jwt) {
        text.push_str("; the running Sidegate knows whether the token is revoked");
    }
    text
}

pub(super) fn describe_tenant(tenant: &TenantId, policy: &Policy, request: &RequestFacts<'_>) -> String {
    let header = policy.tenant.as_ref().map(|rule| &rule.header);
    match header.filter(|header| !request.headers.contains_key(*header)) {
        Some(header) => format!("{tenant}, as the token says; the request has no `{header}`"),
        None => tenant.to_string(),
    }
}

/// Tells the conditions of the issuer, which were checked with the token.
pub(super) fn issuer_conditions((policy, token): (&Policy, &VerifiedToken), now: i64, observer: &mut impl Observer) {
    if !observer.is_observing() {
        return;
    }
    if let Ok((_, issuer)) = jwt::pick(&policy.issuers, &token.claims) {
        for met in conditions::describe(issuer, &token.claims, now, observer.shows_values()) {
            observer.passed(Step::Condition, || met);
        }
    }
}

pub(super) fn needed(names: &[String], how: &str) -> String {
    match names.is_empty() {
        true => "none needed".into(),
        false => format!("has {how} {}", names.join(", ")),
    }
}

pub(super) fn describe_content(route: &Route, request: &RequestFacts<'_>) -> String {
    let types = route.content_types.join(", ");
    match (content::is_bodiless(request), types.is_empty()) {
        (true, true) => "no body".into(),
        (true, false) => format!("no body; one that is written would have to be {types}"),
        (false, _) => "accepted".into(),
    }
}

pub(super) fn describe_key(key: Option<Uuid>) -> String {
    match key {
        Some(key) => format!("{key}; the running Sidegate knows whether its response is stored"),
        None => "without a key".into(),
    }
}

pub(super) fn describe_quotas(checks: &StoreChecks<'_>, principal: &Principal) -> String {
    if checks.sandbox {
        return "not counted, for a sandbox".into();
    }
    let rate = |quota: &Arc<Quota>| {
        let plan = quota.plan(principal);
        let limit = quota.rate_of(plan).limit();
        format!("{}: {limit} in {}s", quota.name, quota.window.as_secs_f64())
    };
    let rates: Vec<_> = checks.quotas.iter().map(rate).collect();
    format!("{}; the running Sidegate counts", rates.join(", "))
}

//! The record of a request, which is counted and logged once at its end.
//!
//! A request has one decision, and at most one failure. The decision is all that Sidegate finds out
//! before it forwards the request or responds itself: policies, keys, the store with its quotas and
//! idempotency keys, and whether there is a slot. A dependency that is missing makes the decision, as in
//! `keys_unavailable`, `store_unavailable` and `overloaded`. The decision alone sets `decision` and
//! `reason`, in the log and in the metrics. A failure is an error response, or a response that is cut
//! off, for a reason that occurs later: the upstream, the rest of the body, Sidegate itself. It sets
//! `failure`. A client that goes away is neither: the status of its request is 0.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CACHE_CONTROL, REFERRER_POLICY};
use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::client_limit::CountedRequest;
use super::concurrency_limit::ConcurrencyPermit;
use super::local_response::LocalResponse;
use super::rate_limit_fields::RateLimits;
use super::rejection_response::{ErrorContext, render};
use super::snapshot::Snapshot;
use super::trace_context::RequestIds;
use crate::decision::Decision;
use crate::policy::route::Route;
use crate::policy::token_sources::SourceKind;
use crate::policy::{Matched, Scope};
use crate::principal::{OmittedHeaders, Principal};
use crate::rejection::Rejection;
use crate::request::target::{RequestHost, RequestTarget};
use crate::request::{Downstream, RequestFacts, grpc_type};
use crate::telemetry::access_log::AccessLine;
use crate::telemetry::metrics::NONE;

mod responses;

/// The decision on a request that is allowed.
const ALLOW: &str = "allow";

/// The decision on a preflight that Sidegate itself answers.
const PREFLIGHT: &str = "preflight";

/// The decision on a request that is rejected.
const DENY: &str = "deny";

/// Counts and logs a request once: when it is finished, or when it is dropped before.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct RequestRecord {
    /// The policies that were in force when the request began.
    pub snapshot: Arc<Snapshot>,
    /// When the head of the request was read.
    pub started: Instant,
    /// When the last check before forwarding ended.
    pub admitted: Instant,
    /// The method.
    pub method: Method,
    /// The target as the client sent it, but without a token in the query once the policy is known.
    pub target: RequestTarget,
    /// The connection that the request arrived on.
    pub downstream: Downstream,
    /// The address of the client: that of the peer, or the one that trusted proxies forward.
    pub client: Option<IpAddr>,
    /// The host as the client sent it.
    pub host: RequestHost,
    /// The ids of the request.
    pub ids: RequestIds,
    /// The policy that the request is for, and the route that matched.
    pub scope: Scope,
    /// The place of the token, where that is not `Authorization`.
    source: Option<SourceKind>,
    /// Whether the query had a token, which `target` has no more.
    had_token_in_query: bool,
    /// The authenticated caller.
    pub principal: Option<Principal>,
    /// `first` or `replayed`, where the request has an idempotency key.
    pub idempotency: Option<&'static str>,
    /// Identity headers that the upstream does not receive, because their values cannot stand in a header.
    omitted: OmittedHeaders,
    /// What is left of the quotas of the caller.
    pub rate_limits: RateLimits,
    /// The response, as far as it was sent.
    pub response: ResponseSummary,
    grpc: Option<HeaderValue>,
    /// The value of `Access-Control-Allow-Origin`, where the policy has `cors` and lists the origin of the request.
    allowed_origin: Option<HeaderValue>,
    /// `allow`, `deny`, `shadow_deny`, `preflight` or `metadata`; `none` until the request is admitted or rejected.
    decision: &'static str,
    decision_duration: Duration,
    /// Why the decision rejects the request, or would in `enforce`.
    rejection: Option<Rejection>,
    /// The failure after the decision.
    failure: Option<Rejection>,
    /// Held until the request ends.
    slot: Option<(ConcurrencyPermit, CountedRequest)>,
    access_log: bool,
    is_decision_counted: bool,
    is_finished: bool,
}

/// The response as far as it was sent, and the time that the upstream took.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseSummary {
    /// The status that the client received; 0 if it received no response.
    pub status: u16,
    /// The status of the upstream's response.
    pub upstream_status: Option<u16>,
    /// How long the upstream took to send the head of its response.
    pub upstream_duration: Option<Duration>,
    /// The bytes of the request's body.
    pub bytes_in: u64,
    /// The bytes of the response's body.
    pub bytes_out: u64,
}

impl RequestRecord {
    /// Begins the record of a request whose head is read. The request is in flight until the record is dropped.
    pub(super) fn begin(snapshot: Arc<Snapshot>, access_log: bool) -> Self {
        snapshot.metrics.in_flight().inc();
        let now = Instant::now();
        Self {
            snapshot,
            started: now,
            admitted: now,
            method: Method::default(),
            target: RequestTarget::default(),
            downstream: Downstream::default(),
            client: None,
            host: RequestHost::None,
            ids: RequestIds::default(),
            scope: Scope::default(),
            source: None,
            had_token_in_query: false,
            principal: None,
            idempotency: None,
            omitted: None,
            rate_limits: RateLimits::default(),
            response: ResponseSummary::default(),
            grpc: None,
            allowed_origin: None,
            decision: NONE,
            decision_duration: Duration::ZERO,
            rejection: None,
            failure: None,
            slot: None,
            access_log,
            is_decision_counted: false,
            is_finished: false,
        }
    }

    /// Records the facts that are counted and logged.
    pub fn describe(&mut self, facts: &RequestFacts<'_>, target: &RequestTarget) {
        self.method = facts.method.clone();
        self.target = target.clone();
        self.downstream = facts.downstream;
        self.ids = RequestIds::of(facts.headers, facts.downstream.trusted);
        self.grpc = grpc_type(facts.headers).cloned();
    }

    /// Returns the policy and route of the request.
    pub fn matched(&self) -> Matched<'_> {
        self.snapshot.policies().matched(self.scope)
    }

    /// Records what the policies decided, and how long that took.
    pub(super) fn decided(&mut self, decision: &Decision<'_, '_>, started: Instant) {
        self.admitted = Instant::now();
        self.decision_duration = self.admitted - started;
        self.scope = decision.matched.scope();
        self.source = decision.source;
        if let Some(policy) = decision
            .matched
            .policy()
            .filter(|policy| !policy.sources.removed.queries.is_empty())
        {
            self.had_token_in_query = self
                .target
                .remove_parameters(|name| policy.sources.removed.is_query(name));
        }
        if decision.outcome.rejection().is_some_and(Rejection::is_for_wrong_type) {
            self.snapshot.metrics.condition_type(self.scope);
        }
        let unknown = |principal: &Principal| principal.revocation_unknown;
        if decision.principal.as_ref().is_some_and(unknown) {
            self.snapshot.metrics.failed_open(self.scope, "revocation");
        }
    }

    /// Records the rejection that `enforce` would have made.
    pub(super) fn would_reject(&mut self, rejection: Rejection) {
        self.rejection = Some(rejection);
    }

    /// Records that the request is admitted, as the policies decided.
    pub(super) fn admit(&mut self, decision: &'static str) {
        self.decision = decision;
    }

    /// Counts and records identity headers that are left out of the forwarded request.
    pub(super) fn omit(&mut self, omitted: &OmittedHeaders) {
        for name in omitted.iter().flat_map(|names| names.iter()) {
            self.snapshot.metrics.omitted_header(self.scope, name);
        }
        self.omitted.clone_from(omitted);
    }

    /// Records a rejection, which may come after the policies allowed the request.
    pub fn reject(&mut self, rejection: &Rejection) {
        if self.decision_duration.is_zero() {
            // No policy was asked.
            self.decision_duration = self.started.elapsed();
        }
        self.decision = DENY;
        self.rejection = Some(rejection.clone());
    }

    /// Holds a slot until the request ends.
    pub(super) fn hold(&mut self, slot: (ConcurrencyPermit, CountedRequest)) {
        self.slot = Some(slot);
    }

    /// Counts the decision, once, when it is final: nothing that happens later changes it.
    pub fn count_decision(&mut self) {
        let is_open = self.decision == NONE;
        if is_open || std::mem::replace(&mut self.is_decision_counted, true) {
            return;
        }
        let reason = self.rejection.as_ref().map(Rejection::reason);
        let metrics = &self.snapshot.metrics;
        metrics.decision(self.scope, self.decision, reason, self.decision_duration);
    }

    /// Records a failure after the decision and before the end of the response. Only the first one counts.
    pub fn fail(&mut self, failure: Rejection) {
        if self.failure.is_some() || self.is_finished {
            return;
        }
        self.snapshot.metrics.failure(self.scope, failure.reason());
        self.failure = Some(failure);
    }

    /// Returns the failure after the decision.
    pub const fn failure(&self) -> Option<&Rejection> {
        self.failure.as_ref()
    }

    /// Renders the response to a rejection or a failure, with what is left of the quotas.
    pub fn rejection_response(&self, rejection: &Rejection) -> LocalResponse {
        let path = self.target.shown_path();
        let context = ErrorContext {
            grpc: self.grpc.as_ref(),
            allowed_origin: self.allowed_origin.as_ref(),
            had_token_in_query: self.had_token_in_query,
            ..ErrorContext::new(
                self.snapshot.policies(),
                self.matched(),
                &self.ids,
                path,
                Timestamp::now(),
            )
        };
        let mut response = render(rejection, &context);
        response.headers.extend(self.rate_limits.fields());
        response
    }

    /// Returns the fields that keep a URL with a token from caches and other sites, unless the response has its own.
    pub fn private_fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let fields = [(CACHE_CONTROL, "private"), (REFERRER_POLICY, "no-referrer")];
        let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
        self.had_token_in_query.then_some(fields).into_iter().flatten()
    }

    /// Returns whether the client speaks gRPC.
    pub const fn is_grpc(&self) -> bool {
        self.grpc.is_some()
    }

    /// Counts and logs the request, once.
    pub fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        self.count_decision();
        let (response, duration) = (self.response, self.started.elapsed());
        let metrics = &self.snapshot.metrics;
        metrics.request(self.scope, &self.method, response.status, duration);
        if let Some(upstream) = response.upstream_duration {
            metrics.upstream(self.scope, upstream);
        }
        if self.access_log && self.has_line() {
            self.log(duration);
        }
    }

    /// Returns whether the request has a line: on a route with `log: off`, an allowed one and a preflight have none unless they
    /// failed, here or in the service.
    fn has_line(&self) -> bool {
        let is_quiet = self.matched().route().is_some_and(|route| !route.access_log);
        !is_quiet
            || ![ALLOW, PREFLIGHT].contains(&self.decision)
            || self.failure.is_some()
            || self.response.status >= 500
    }

    fn log(&self, duration: Duration) {
        let matched = self.matched();
        let (policy, route) = (matched.policy(), matched.route());
        let (rejection, failure) = (self.rejection.as_ref(), self.failure.as_ref());
        // The caller of a rejected request is known as far as its credentials were proven.
        let principal = self.principal.as_ref().or_else(|| rejection?.caller());
        let response = &self.response;
        AccessLine {
            request_id: self.ids.request_id(),
            trace_id: self.ids.trace_id(),
            service: policy.map_or(NONE, |policy| &policy.service),
            route: route.map_or(NONE, |route| &route.pattern),
            auth: route.map_or(NONE, Route::auth_label),
            decision: self.decision,
            source: self.source.map(SourceKind::as_str),
            idempotency: self.idempotency,
            reason: rejection.map(|rejection| rejection.reason().code()),
            cause: rejection.map(Rejection::cause),
            unverified: rejection.map(Rejection::claimed).filter(|claimed| !claimed.is_empty()),
            failure: failure.map(|failure| failure.reason().code()),
            failure_cause: failure.map(Rejection::cause),
            subject: principal.and_then(Principal::subject),
            tenant: principal.and_then(|principal| principal.tenant.as_ref()),
            client_id: principal.and_then(|principal| principal.client.as_deref()),
            omitted_headers: self.omitted.as_deref().unwrap_or_default(),
            method: self.method.as_str(),
            path: &self.target.shown_path(),
            client: self.client,
            peer: self.downstream.peer,
            host: self.host.shown().as_deref(),
            status: response.status,
            upstream_status: response.upstream_status,
            bytes_in: response.bytes_in,
            bytes_out: response.bytes_out,
            duration,
            upstream_duration: response.upstream_duration,
            decision_duration: self.decision_duration,
        }
        .write();
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.finish();
        self.snapshot.metrics.in_flight().dec();
    }
}

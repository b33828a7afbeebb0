//! What is kept of one request from its first phase to its log line.
//!
//! A request has one decision, and at most one failure. The decision is all that Sidegate finds out
//! before it forwards the request or answers it itself: policies, keys, the store with its quotas and
//! idempotency keys, and whether there is room. A dependency that is missing makes the decision, as in
//! `keys_unavailable`, `store_unavailable` and `overloaded`. The decision alone sets `decision` and
//! `reason`, in the log and in the metrics. A failure is an error response, or a response that breaks
//! off, for a reason that comes up later: the upstream, the rest of the body, Sidegate itself. It sets
//! `failure`. A client that goes away is neither: the status of its request is 0.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method};
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use prometheus::IntGauge;

use super::body_rate::{BodyRate, BodyRateLimits};
use super::client_limit::CountedRequest;
use super::in_force::InForce;
use super::quotas::RateLimits;
use super::stall_watchdog::StallWatchdog;
use crate::admission::concurrency_limit::{Place, Places};
use crate::admission::rejection_response::ErrorContext;
use crate::admission::trace_context::RequestIds;
use crate::authz::Permit;
use crate::config::Limits;
use crate::decision::{Decision, Outcome};
use crate::policy::route::Route;
use crate::policy::{Matched, Scope};
use crate::principal::Principal;
use crate::rejection::{Reason, Rejection};
use crate::request::target::RequestTarget;
use crate::request::{Downstream, content_length};
use crate::telemetry::access_log::AccessLine;
use crate::telemetry::metrics::{Metrics, NONE};

/// One request.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, in any combination"
)]
pub struct RequestContext {
    /// When its head was there.
    pub started: Instant,
    /// The policies that it began with, and keeps.
    pub in_force: Arc<InForce>,
    /// The ids of the request.
    pub ids: RequestIds,
    /// The connection that it came by.
    pub downstream: Downstream,
    /// The target as the client sent it.
    pub target: RequestTarget,
    /// The policy that the request is for, and the route that matched.
    pub scope: Scope,
    /// The path and query that are forwarded.
    pub forward: Bytes,
    /// The caller, as far as it was proven.
    pub principal: Option<Principal>,
    /// The proof that the request may be forwarded.
    pub permit: Option<Permit>,
    /// Whether it is for no service, and is answered here.
    pub is_server_options: bool,
    /// Why the decision rejects it, or would in `enforce`.
    pub rejection: Option<Rejection>,
    /// What went wrong after the decision.
    failure: Option<Rejection>,
    /// `allow`, `deny` or `shadow_deny`.
    pub decision: &'static str,
    counted: bool,
    /// How long the decision took.
    pub decision_duration: Duration,
    /// The content type of a client that speaks gRPC.
    pub grpc: Option<HeaderValue>,
    /// The bytes of the request's body so far.
    pub body_bytes: u64,
    pace: BodyRate,
    /// When a service was chosen.
    pub upstream_started: Option<Instant>,
    /// How long the service took to the head of its response.
    pub upstream_duration: Option<Duration>,
    /// The status that the service answered with.
    pub upstream_status: Option<u16>,
    /// Whether the service has said all.
    pub response_over: bool,
    ended: bool,
    watch: Option<StallWatchdog>,
    /// What is left of the caller's quotas.
    pub rate_limits: RateLimits,
    /// `first` or `replayed`, where the request has an idempotency key.
    pub idempotency: Option<&'static str>,
    /// Whom a request tells about itself that was handed over.
    report: Option<Arc<Mutex<Report>>>,
    presence: Presence,
}

/// That a request is there: counted, with its place, until it is over.
#[derive(Debug, Default)]
pub struct Presence {
    place: Option<Place>,
    counted: CountedRequest,
    _in_flight: Option<InFlight>,
}

/// What a request that was handed over tells the one that has the client.
#[derive(Debug, Clone, Default)]
pub struct Report {
    failure: Option<Rejection>,
    upstream_status: Option<u16>,
    upstream_duration: Option<Duration>,
    /// Whether the end of the connection is the end of the response.
    has_open_end: bool,
}

impl Report {
    /// Whether nothing tells the whole response from a part of it.
    pub const fn has_open_end(&self) -> bool {
        self.has_open_end
    }

    /// Whether the service answered.
    pub const fn is_of_the_service(&self) -> bool {
        self.upstream_status.is_some() && self.failure.is_none()
    }

    /// Whether neither the service answered nor Sidegate.
    pub const fn is_of_the_engine(&self) -> bool {
        self.upstream_status.is_none() && self.failure.is_none()
    }
}

/// A request that is not yet answered.
#[derive(Debug)]
struct InFlight(IntGauge);

impl InFlight {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl RequestContext {
    /// A request begins.
    pub fn begin(in_force: Arc<InForce>, metrics: &Metrics) -> Self {
        let presence = Presence {
            place: None,
            counted: CountedRequest::default(),
            _in_flight: Some(InFlight::new(metrics.in_flight())),
        };
        Self::new(in_force, presence)
    }

    fn new(in_force: Arc<InForce>, presence: Presence) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            in_force,
            ids: RequestIds::default(),
            downstream: Downstream::default(),
            target: RequestTarget::default(),
            scope: Scope::default(),
            forward: Bytes::new(),
            principal: None,
            permit: None,
            is_server_options: false,
            rejection: None,
            failure: None,
            decision: "deny",
            counted: false,
            decision_duration: Duration::ZERO,
            grpc: None,
            body_bytes: 0,
            pace: BodyRate::start(now),
            upstream_started: None,
            upstream_duration: None,
            upstream_status: None,
            response_over: false,
            ended: false,
            watch: StallWatchdog::of_request(),
            rate_limits: RateLimits::default(),
            idempotency: None,
            report: None,
            presence,
        }
    }

    /// Whether another request handed this one over.
    pub const fn is_handed_over(&self) -> bool {
        self.report.is_some()
    }

    /// Gives the presence away to whoever takes care of the request from now on.
    pub fn give_presence(&mut self) -> Presence {
        std::mem::take(&mut self.presence)
    }

    /// The context of a request that goes on in place of this one, with its permit. It is not
    /// counted and not logged; it reports instead.
    #[must_use]
    pub fn hand_over(&mut self, report: &Arc<Mutex<Report>>) -> Self {
        Self {
            ids: self.ids.clone(),
            downstream: self.downstream,
            target: self.target.clone(),
            scope: self.scope,
            forward: self.forward.clone(),
            permit: self.permit.take(),
            decision: self.decision,
            counted: true,
            ended: true,
            watch: self.watch.clone(),
            report: Some(Arc::clone(report)),
            ..Self::new(Arc::clone(&self.in_force), Presence::default())
        }
    }

    /// Tells the request that has the client what became of this one.
    pub fn tell(&self) {
        if let Some(report) = &self.report {
            let mut report = report.lock();
            *report = Report {
                failure: self.failure.clone(),
                upstream_status: self.upstream_status,
                upstream_duration: self.upstream_duration,
                has_open_end: report.has_open_end,
            };
        }
    }

    /// Tells it that the end of the connection is the end of the response.
    pub fn tell_open_end(&self) {
        if let Some(report) = &self.report {
            report.lock().has_open_end = true;
        }
    }

    /// Takes over what became of a request that was handed over.
    pub fn told(&mut self, report: Report) {
        if let Some(failure) = report.failure {
            self.fail(failure);
        }
        self.upstream_status = report.upstream_status;
        self.upstream_duration = report.upstream_duration;
    }

    /// Whether the request may be forwarded as one that was allowed.
    pub fn is_allowed(&self) -> bool {
        self.permit.is_some() && self.rejection.is_none()
    }

    /// Refuses a request after all that was allowed.
    pub fn refuse(&mut self, rejection: Rejection) {
        self.permit = None;
        self.decision = "deny";
        self.rejection = Some(rejection);
    }

    /// Records what went wrong after the decision. The first failure counts, once; a request that was
    /// handed over reports it instead.
    pub fn fail(&mut self, failure: Rejection) {
        if self.failure.is_some() {
            return;
        }
        if !self.is_handed_over() {
            self.in_force.metrics.failure(self.scope, failure.reason());
        }
        self.failure = Some(failure);
    }

    /// Keeps what was decided.
    pub fn decided(&mut self, decision: Decision<'_, '_>, target: &RequestTarget) {
        self.scope = decision.matched.scope();
        self.decision = decision.outcome.label();
        self.is_server_options = decision.outcome.is_server_options();
        self.principal = decision.principal;
        if let Some(path) = &decision.path {
            self.forward = target.with_path(path.as_str().as_bytes());
        }
        (self.permit, self.rejection) = match decision.outcome {
            Outcome::Allow(permit) => (Some(permit), None),
            Outcome::ServerOptions => (None, None),
            Outcome::Deny(rejection) => (None, Some(rejection)),
            Outcome::ShadowDeny(permit, rejection) => (Some(permit), Some(rejection)),
        };
    }

    /// Takes one of the places for requests that are with services, for a client that was counted.
    pub fn take_place(&mut self, places: &Places, counted: CountedRequest) -> Result<(), Rejection> {
        let place = places.take().ok_or(Reason::Overloaded)?;
        self.presence.place = Some(place);
        self.presence.counted = counted;
        Ok(())
    }

    /// The policy and route of the request.
    pub fn matched(&self) -> Matched<'_> {
        self.in_force.policies.matched(self.scope)
    }

    /// How an error of this request is written.
    pub fn error_context(&self) -> ErrorContext<'_> {
        let (matched, now) = (self.matched(), jiff::Timestamp::now());
        ErrorContext {
            grpc: self.grpc.as_ref(),
            ..ErrorContext::new(
                &self.in_force.policies,
                matched,
                &self.ids,
                self.target.shown_path(),
                now,
            )
        }
    }

    /// Counts the decision, once, when it is final: nothing that happens later changes it.
    pub fn count_decision(&mut self) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let reason = self.rejection.as_ref().map(Rejection::reason);
        let metrics = &self.in_force.metrics;
        metrics.decision(self.scope, self.decision, reason, self.decision_duration);
    }

    /// A part of the body came. Whether the body is as fast as it has to be: not while the service
    /// answers, for the two may talk.
    pub fn body_came(&mut self, length: usize, limits: &Limits) -> bool {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.body_bytes = self.body_bytes.saturating_add(length);
        let pace = BodyRateLimits {
            patience: limits.body_timeout,
            rate: limits.body_rate,
        };
        let talking = self.upstream_status.is_some() && !self.response_over;
        self.pace.is_fast_enough(length, Instant::now(), pace) || talking
    }

    /// Something moved. The next step may take as long as all bounds of the engine together.
    pub fn moved(&self, limits: &Limits) {
        let Some(watch) = &self.watch else { return };
        let upstream = match self.matched().policy() {
            Some(policy) if !self.response_over => policy.upstream.connect_timeout + policy.upstream.timeout,
            _ => Duration::ZERO,
        };
        watch.touch(limits.idle_timeout + limits.body_timeout + upstream);
    }

    /// The head of the service's response has come.
    pub fn upstream_answered(&mut self, response: &ResponseHeader, method: &Method) {
        self.upstream_status = Some(response.status.as_u16());
        self.response_over = has_no_body(response, method);
        self.upstream_duration = self.upstream_started.map(|started| started.elapsed());
    }

    /// When the head of the service's response came.
    pub fn answered(&self) -> Option<Instant> {
        Some(self.upstream_started? + self.upstream_duration?)
    }

    /// Counts and logs the request at its end, once. Some bytes of the response may be unsent.
    pub fn end(&mut self, session: &ServerSession, access_log: bool, unsent: usize) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.count_decision();
        let status = session
            .response_written()
            .map_or(0, |response| response.status.as_u16());
        let status = if super::local_response::response_started(session) {
            status
        } else {
            0
        };
        let method = &session.req_header().method;
        let duration = self.started.elapsed();
        let metrics = &self.in_force.metrics;
        metrics.request(self.scope, method, status, duration);
        if let Some(upstream) = self.upstream_duration {
            metrics.upstream(self.scope, upstream);
        }
        if !access_log {
            return;
        }
        let (policy, route) = (self.matched().policy(), self.matched().route());
        let (rejection, failure) = (self.rejection.as_ref(), self.failure.as_ref());
        let principal = self.principal.as_ref();
        let sent = session.body_bytes_sent() + unsent;
        AccessLine {
            request_id: self.ids.request_id(),
            trace_id: self.ids.trace_id(),
            service: policy.map_or(NONE, |policy| &policy.service),
            route: route.map_or(NONE, |route| &route.pattern),
            auth: route.map_or(NONE, Route::auth_label),
            decision: self.decision,
            idempotency: self.idempotency,
            reason: rejection.map(|rejection| rejection.reason().code()),
            cause: rejection.map(Rejection::cause),
            failure: failure.map(|failure| failure.reason().code()),
            failure_cause: failure.map(Rejection::cause),
            subject: principal.and_then(Principal::subject),
            tenant: principal.and_then(|principal| principal.tenant),
            client_id: principal.and_then(|principal| principal.client.as_deref()),
            method: method.as_str(),
            path: &self.target.shown_path(),
            client: super::facts::peer_address(session),
            status,
            upstream_status: self.upstream_status,
            bytes_in: self.body_bytes,
            bytes_out: u64::try_from(sent).unwrap_or(u64::MAX),
            duration,
            upstream_duration: self.upstream_duration,
            decision_duration: self.decision_duration,
        }
        .write();
    }
}

/// Whether nothing follows the head (RFC 9112, 6.3).
fn has_no_body(response: &ResponseHeader, method: &Method) -> bool {
    *method == Method::HEAD
        || matches!(response.status.as_u16(), 204 | 304)
        || content_length(&response.headers) == Ok(Some(0))
}

//! The state of a request that the proxy needs besides its record.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use super::body_rate::{BodyRate, BodyRateLimits};
use super::local_response::response_started;
use super::policy_snapshot::PolicySnapshot;
use super::stall_watchdog::StallWatchdog;
use crate::admission::Forward;
use crate::admission::idempotency::lease::KeyLease;
use crate::admission::record::RequestRecord;
use crate::authz::Permit;
use crate::config::Limits;
use crate::rejection::Rejection;
use crate::request::content_length;

tokio::task_local! {
    /// The context of an admitted request. pingora creates its own contexts, and has no parameter for one.
    static ADMITTED: Cell<Option<Box<RequestContext>>>;
}

/// Runs a future in which pingora's proxy forwards a request with this context.
pub(super) async fn with_context<T>(ctx: Box<RequestContext>, forwards: impl Future<Output = T>) -> T {
    ADMITTED.scope(Cell::new(Some(ctx)), forwards).await
}

/// Takes the context of the request that this task forwards by pingora's proxy.
pub(super) fn take_context() -> Option<RequestContext> {
    let admitted = ADMITTED.try_with(Cell::take).ok().flatten();
    admitted.map(|ctx| *ctx)
}

/// The state of one request.
#[derive(Debug)]
pub struct RequestContext {
    /// The record for metrics and the access log.
    pub record: RequestRecord,
    /// The policies and upstreams that were in force when the request began.
    pub policies: Arc<PolicySnapshot>,
    /// The proof that the request may be forwarded.
    pub permit: Option<Permit>,
    /// The path and query that are forwarded.
    pub forward: Bytes,
    /// The lease of its idempotency key.
    pub lease: Option<KeyLease>,
    /// Whether the request may be sent once more; not with an idempotency key.
    pub may_retry: bool,
    /// When forwarding began.
    pub upstream_started: Option<Instant>,
    /// Whether the upstream has sent its whole response.
    pub response_over: bool,
    body_rate: BodyRate,
    watch: Option<StallWatchdog>,
    /// For a subrequest, where it reports to the client's request.
    report: Option<Arc<Mutex<Report>>>,
}

/// What a subrequest reports to the client's request.
#[derive(Debug, Clone, Default)]
pub struct Report {
    failure: Option<Rejection>,
    upstream_status: Option<u16>,
    upstream_duration: Option<Duration>,
    /// Whether the end of the connection is the end of the response.
    has_open_end: bool,
}

impl Report {
    /// Returns whether a truncated response would look like a whole one.
    pub const fn has_open_end(&self) -> bool {
        self.has_open_end
    }

    /// Returns whether the response is the upstream's.
    pub const fn is_from_upstream(&self) -> bool {
        self.upstream_status.is_some() && self.failure.is_none()
    }

    /// Returns whether pingora itself made the response, and neither the upstream nor Sidegate.
    pub const fn is_from_pingora(&self) -> bool {
        self.upstream_status.is_none() && self.failure.is_none()
    }
}

impl RequestContext {
    /// Creates the context of a request whose head is read.
    pub fn new(policies: Arc<PolicySnapshot>, record: RequestRecord) -> Self {
        Self {
            body_rate: BodyRate::start(record.started),
            record,
            policies,
            permit: None,
            forward: Bytes::new(),
            lease: None,
            may_retry: true,
            upstream_started: None,
            response_over: false,
            watch: StallWatchdog::of_request(),
            report: None,
        }
    }

    /// Sets what an admitted request is forwarded with.
    pub fn set_admitted(&mut self, forward: Forward) {
        self.permit = Some(forward.permit);
        self.forward = forward.target;
        self.lease = forward.lease;
        self.may_retry = !forward.has_key;
        self.upstream_started = Some(self.record.admitted);
    }

    /// Returns whether this request is a subrequest.
    pub const fn is_subrequest(&self) -> bool {
        self.report.is_some()
    }

    /// Returns the context of a subrequest, and moves the permit to it. A subrequest is not counted and not
    /// logged; it reports to this request instead.
    #[must_use]
    pub fn subrequest(&mut self, report: &Arc<Mutex<Report>>) -> Self {
        Self {
            permit: self.permit.take(),
            forward: self.forward.clone(),
            watch: self.watch.clone(),
            report: Some(Arc::clone(report)),
            may_retry: false,
            ..Self::new(Arc::clone(&self.policies), self.record.silent())
        }
    }

    /// Reports the result of a subrequest to the client's request.
    pub fn report(&self) {
        if let Some(report) = &self.report {
            let mut report = report.lock();
            *report = Report {
                failure: self.record.failure().cloned(),
                upstream_status: self.record.response.upstream_status,
                upstream_duration: self.record.response.upstream_duration,
                has_open_end: report.has_open_end,
            };
        }
    }

    /// Reports that the response of a subrequest ends with its connection.
    pub fn report_open_end(&self) {
        if let Some(report) = &self.report {
            report.lock().has_open_end = true;
        }
    }

    /// Records what a subrequest reported.
    pub fn record_report(&mut self, report: Report) {
        if let Some(failure) = report.failure {
            self.record.fail(failure);
        }
        self.record.response.upstream_status = report.upstream_status;
        self.record.response.upstream_duration = report.upstream_duration;
    }

    /// Records a part of the body. Returns whether the body is fast enough. While the upstream responds, any
    /// rate is: client and upstream may take turns.
    pub fn record_body(&mut self, length: usize, limits: &Limits) -> bool {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let response = &mut self.record.response;
        response.bytes_in = response.bytes_in.saturating_add(length);
        let rate = BodyRateLimits {
            patience: limits.body_timeout,
            rate: limits.body_rate,
        };
        let is_responding = response.upstream_status.is_some() && !self.response_over;
        self.body_rate.is_fast_enough(length, Instant::now(), rate) || is_responding
    }

    /// Starts the body anew: the request is sent once more, from its first byte.
    pub fn restart_body(&mut self) {
        self.record.response.bytes_in = 0;
        self.body_rate = BodyRate::start(Instant::now());
    }

    /// Restarts the watchdog: the next step may take as long as all limits of pingora together.
    pub fn touch(&self, limits: &Limits) {
        let Some(watch) = &self.watch else { return };
        let upstream = match self.record.matched().policy() {
            Some(policy) if !self.response_over => policy.upstream.connect_timeout + policy.upstream.timeout,
            _ => Duration::ZERO,
        };
        watch.touch(limits.idle_timeout + limits.body_timeout + upstream);
    }

    /// Records the head of the upstream's response.
    pub fn upstream_responded(&mut self, response: &ResponseHeader, method: &Method) {
        let summary = &mut self.record.response;
        summary.status = response.status.as_u16();
        summary.upstream_status = Some(response.status.as_u16());
        summary.upstream_duration = self.upstream_started.map(|started| started.elapsed());
        self.response_over = has_no_body(response, method);
    }

    /// Returns when the head of the upstream's response arrived.
    pub fn responded_at(&self) -> Option<Instant> {
        Some(self.upstream_started? + self.record.response.upstream_duration?)
    }

    /// Records what the session has written to the client, and `unsent` bytes of the body that it writes next.
    pub fn record_sent(&mut self, session: &ServerSession, unsent: usize) {
        let written = session.response_written().filter(|_| response_started(session));
        let summary = &mut self.record.response;
        summary.status = written.map_or(0, |response| response.status.as_u16());
        summary.bytes_out = u64::try_from(session.body_bytes_sent() + unsent).unwrap_or(u64::MAX);
    }
}

/// Returns whether nothing follows the head (RFC 9112, 6.3).
fn has_no_body(response: &ResponseHeader, method: &Method) -> bool {
    *method == Method::HEAD
        || matches!(response.status.as_u16(), 204 | 304)
        || content_length(&response.headers).is_ok_and(|length| length == Some(0))
}

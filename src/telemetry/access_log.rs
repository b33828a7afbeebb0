//! One line for each request. Never a token, a key, or a query string.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::log_writer::LogBuffer;
use crate::config::LogFormat;
use crate::principal::TenantId;

mod json;

use json::Clock;

/// Access lines are switched by `log.access`, whatever `log.level` is.
pub const TARGET: &str = "sidegate::access";

/// A line that is longer than most.
const LONG: usize = 4096;

/// The fields of a log line about a request.
#[derive(Debug, Clone, Copy)]
pub struct AccessLine<'l> {
    /// The id of the request.
    pub request_id: &'l str,
    /// The trace that it belongs to.
    pub trace_id: &'l str,
    /// The service that it was for.
    pub service: &'l str,
    /// The route that matched.
    pub route: &'l str,
    /// The `auth` of the route.
    pub auth: &'l str,
    /// `allow`, `deny` or `shadow_deny`.
    pub decision: &'l str,
    /// `first` or `replayed`, where the request has an idempotency key.
    pub idempotency: Option<&'l str>,
    /// The reason code of the decision, where it rejects the request or would in `enforce`.
    pub reason: Option<&'l str>,
    /// What the decision found, for the operator.
    pub cause: Option<&'l str>,
    /// The reason code of what went wrong after the decision.
    pub failure: Option<&'l str>,
    /// What went wrong, for the operator.
    pub failure_cause: Option<&'l str>,
    /// The subject of the token.
    pub subject: Option<&'l str>,
    /// The verified tenant.
    pub tenant: Option<TenantId>,
    /// The internal key's name, or the identity in the certificate.
    pub client_id: Option<&'l str>,
    /// The method.
    pub method: &'l str,
    /// The path, without the query.
    pub path: &'l str,
    /// The other end of the connection.
    pub client: Option<IpAddr>,
    /// The status of the response; 0 if the client was gone.
    pub status: u16,
    /// The status that the service answered with.
    pub upstream_status: Option<u16>,
    /// The bytes of the request's body.
    pub bytes_in: u64,
    /// The bytes of the response's body.
    pub bytes_out: u64,
    /// From the head of the request to the end of the response.
    pub duration: Duration,
    /// From choosing the service to the head of its response.
    pub upstream_duration: Option<Duration>,
    /// The time that the decision took.
    pub decision_duration: Duration,
}

impl AccessLine<'_> {
    /// Has the line written.
    pub fn write(&self) {
        match super::log() {
            Some((lines, LogFormat::Json)) => self.write_buffered(lines),
            // People read no more than this can do.
            Some((_, LogFormat::Text)) | None => self.trace(),
        }
    }

    /// Leaves the line where it is made without an allocation, and written with others.
    fn write_buffered(&self, lines: &LogBuffer) {
        thread_local! {
            static LINE_BUFFER: RefCell<(Vec<u8>, Clock)> = RefCell::default();
        }
        // A thread that ends has no desk any more, and serves no requests.
        let _ = LINE_BUFFER.try_with(|desk| {
            let (line, clock) = &mut *desk.borrow_mut();
            line.clear();
            json::write(self, SystemTime::now(), clock, line);
            lines.write_buffered(line);
            line.shrink_to(LONG);
        });
    }

    fn trace(&self) {
        let tenant = self.tenant.map(|tenant| tenant.to_string());
        tracing::info!(
            target: TARGET,
            request_id = self.request_id,
            trace_id = self.trace_id,
            service = self.service,
            route = self.route,
            auth = self.auth,
            decision = self.decision,
            idempotency = self.idempotency,
            reason = self.reason,
            cause = self.cause,
            failure = self.failure,
            failure_cause = self.failure_cause,
            subject = self.subject,
            tenant = tenant.as_deref(),
            client_id = self.client_id,
            method = self.method,
            path = self.path,
            client = self.client.map(tracing::field::display),
            status = self.status,
            upstream_status = self.upstream_status,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            duration_ms = millis(self.duration),
            upstream_duration_ms = self.upstream_duration.map(millis),
            decision_duration_us = u64::try_from(self.decision_duration.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

/// Milliseconds with three decimals.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

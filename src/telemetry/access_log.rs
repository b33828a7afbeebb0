//! One line for each request. Never a token, a key, or a query string.

use std::net::IpAddr;
use std::time::Duration;

/// Access lines are switched by `log.access`, whatever `log.level` is.
pub const TARGET: &str = "sidegate::access";

/// What is told about a request.
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
    /// The reason code, where it was refused or would have been.
    pub reason: Option<&'l str>,
    /// What was found, for the operator.
    pub cause: Option<&'l str>,
    /// The subject of the token.
    pub subject: Option<&'l str>,
    /// The verified tenant.
    pub tenant: Option<&'l str>,
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
    /// Writes the line.
    pub fn write(&self) {
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
            subject = self.subject,
            tenant = self.tenant,
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

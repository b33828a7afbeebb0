//! The fields of an access line.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderName;

use crate::principal::TenantId;
use crate::rejection::Unverified;

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
    /// The kind of place of the token, where that is not `Authorization`.
    pub source: Option<&'l str>,
    /// `first` or `replayed`, where the request has an idempotency key.
    pub idempotency: Option<&'l str>,
    /// The reason code of the decision, where it rejects the request or would in `enforce`.
    pub reason: Option<&'l str>,
    /// What the decision found, for the operator: verified facts.
    pub cause: Option<&'l str>,
    /// What the client claims, where the decision rejects it: nothing verified it.
    pub unverified: Option<&'l Unverified>,
    /// The reason code of what went wrong after the decision.
    pub failure: Option<&'l str>,
    /// What went wrong, for the operator.
    pub failure_cause: Option<&'l str>,
    /// The subject of the token.
    pub subject: Option<&'l str>,
    /// The verified tenant.
    pub tenant: Option<&'l TenantId>,
    /// The internal key's name, or the identity in the certificate.
    pub client_id: Option<&'l str>,
    /// Identity headers that the upstream does not receive, because their values cannot stand in a header.
    pub omitted_headers: &'l [HeaderName],
    /// The method.
    pub method: &'l str,
    /// The path, without the query and without what may be a user.
    pub path: &'l str,
    /// The address of the client: that of the peer, or the one that trusted proxies forward.
    pub client: Option<IpAddr>,
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// The host as the client sent it, bounded.
    pub host: Option<&'l str>,
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
    /// The omitted headers as one text.
    pub(super) fn omitted(&self) -> String {
        let names: Vec<_> = self.omitted_headers.iter().map(HeaderName::as_str).collect();
        names.join(", ")
    }
}

/// Milliseconds with three decimals.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

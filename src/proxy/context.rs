//! The state of a request that the proxy needs besides its record.

use std::time::{Duration, Instant};

use pingora::Result;
use pingora::http::ResponseHeader;

use super::body_rate::{BodyRate, BodyRateLimits};
use super::session::ClientSession;
use crate::admission::record::RequestRecord;
use crate::config::Limits;

/// The fields that limit how long the upstream may be silent, and how long it may not read, for causes.
#[derive(Debug, Clone, Copy)]
pub struct TimeoutFields {
    /// The field for silence.
    pub silence: &'static str,
    /// The field for not reading.
    pub write: &'static str,
}

impl TimeoutFields {
    /// Those of the policy.
    pub const POLICY: Self = Self::both("`upstream.timeout`");
    /// Those of a route with its own timeout.
    pub const ROUTE: Self = Self::both("`timeout` of the route");

    const fn both(field: &'static str) -> Self {
        Self {
            silence: field,
            write: field,
        }
    }

    /// Those of a stream.
    #[must_use]
    pub const fn of_stream(self) -> Self {
        Self {
            silence: "`streams.idle_timeout`",
            ..self
        }
    }
}

/// The state of one request.
#[derive(Debug)]
pub struct RequestContext {
    /// The record for metrics and the access log.
    pub record: RequestRecord,
    /// Whether the upstream has sent its whole response.
    pub response_over: bool,
    /// The address of the upstream, if the exchange with it failed; all that were tried, if none accepted.
    pub failed_upstream: Option<Box<str>>,
    /// What limits the upstream.
    pub timeouts: TimeoutFields,
    body_rate: BodyRate,
}

impl RequestContext {
    /// Creates the context of a request whose head is read.
    pub fn new(record: RequestRecord) -> Self {
        Self {
            body_rate: BodyRate::start(record.started),
            record,
            response_over: false,
            failed_upstream: None,
            timeouts: TimeoutFields::POLICY,
        }
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

    /// Records the head of the upstream's final response. `ends`: no body follows.
    pub fn upstream_responded(&mut self, response: &ResponseHeader, ends: bool) {
        let summary = &mut self.record.response;
        summary.status = response.status.as_u16();
        summary.upstream_status = Some(response.status.as_u16());
        summary.upstream_duration = Some(self.record.admitted.elapsed());
        self.response_over = ends;
    }

    /// Returns when the head of the upstream's response arrived.
    pub fn responded_at(&self) -> Instant {
        self.record.admitted + self.record.response.upstream_duration.unwrap_or(Duration::ZERO)
    }

    /// Keeps the URL of a request with a token in its query from caches and other sites, as far as the service says
    /// nothing of that.
    pub fn keep_private(&self, response: &mut ResponseHeader) -> Result<()> {
        for (name, value) in self.record.private_fields() {
            if !response.headers.contains_key(&name) {
                response.insert_header(name, value)?;
            }
        }
        Ok(())
    }

    /// Records what the session has written to the client, and `unsent` bytes of the body that it writes next.
    pub fn record_sent(&mut self, session: &ClientSession, unsent: usize) {
        let summary = &mut self.record.response;
        summary.status = session.status().map_or(0, |status| status.as_u16());
        summary.bytes_out = u64::try_from(session.bytes_sent() + unsent).unwrap_or(u64::MAX);
    }
}

//! One line for each request. Never a token, a key, or a query string.

use std::cell::RefCell;
use std::time::SystemTime;

use super::log_writer::LogBuffer;
use super::process_log::log;
use crate::config::LogFormat;

mod json;
mod line;

pub use line::AccessLine;

use json::Clock;
use line::millis;

/// Access lines are switched by `log.access`, whatever `log.level` is.
pub const TARGET: &str = "sidegate::access";

/// A line that is longer than most.
const LONG: usize = 4096;

impl AccessLine<'_> {
    /// Has the line written.
    pub fn write(&self) {
        match log() {
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
        let tenant = self.tenant.map(ToString::to_string);
        tracing::info!(
            target: TARGET,
            request_id = self.request_id,
            trace_id = self.trace_id,
            service = self.service,
            route = self.route,
            auth = self.auth,
            decision = self.decision,
            source = self.source,
            idempotency = self.idempotency,
            reason = self.reason,
            cause = self.cause,
            unverified = self.unverified.map(tracing::field::display),
            failure = self.failure,
            failure_cause = self.failure_cause,
            subject = self.subject,
            tenant = tenant.as_deref(),
            client_id = self.client_id,
            omitted_headers = (!self.omitted_headers.is_empty()).then(|| self.omitted()),
            method = self.method,
            path = self.path,
            client = self.client.map(tracing::field::display),
            peer = self.peer.map(tracing::field::display),
            host = self.host,
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

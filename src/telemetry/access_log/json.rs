//! An access line as JSON, to the byte what the other lines of the log look like.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::super::escape::escaped;
use super::line::{AccessLine, millis};
use crate::principal::TenantId;
use crate::rejection::Unverified;

/// The wall clock as text. A second is formatted once.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<u64>,
    /// As in `2026-11-22T01:20:22`.
    text: String,
}

impl Clock {
    fn write(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(now.as_secs()) {
            self.second = Some(now.as_secs());
            self.text = text(now.as_secs());
        }
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'.');
        for unit in [100_000, 10_000, 1_000, 100, 10, 1] {
            let digit = u8::try_from(now.subsec_micros() / unit % 10).unwrap_or_default();
            out.push(b'0' + digit);
        }
        out.push(b'Z');
    }
}

fn text(second: u64) -> String {
    let second = i64::try_from(second).unwrap_or_default();
    let text = jiff::Timestamp::from_second(second).unwrap_or_default().to_string();
    text.trim_end_matches('Z').to_owned()
}

/// What stands before a value.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Writes a line and its end.
pub(super) fn write(line: &AccessLine<'_>, now: SystemTime, clock: &mut Clock, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"timestamp":""#);
    clock.write(now, out);
    out.extend_from_slice(br#"","level":"INFO","message":"request""#);
    string(name!("request_id"), line.request_id, out);
    string(name!("trace_id"), line.trace_id, out);
    string(name!("service"), line.service, out);
    string(name!("route"), line.route, out);
    string(name!("auth"), line.auth, out);
    string(name!("decision"), line.decision, out);
    for (name, value) in [
        (name!("source"), line.source),
        (name!("idempotency"), line.idempotency),
        (name!("reason"), line.reason),
        (name!("cause"), line.cause),
    ] {
        if let Some(value) = value {
            string(name, value, out);
        }
    }
    if let Some(unverified) = line.unverified {
        object(name!("unverified"), unverified, out);
    }
    for (name, value) in [
        (name!("failure"), line.failure),
        (name!("failure_cause"), line.failure_cause),
        (name!("subject"), line.subject),
    ] {
        if let Some(value) = value {
            string(name, value, out);
        }
    }
    match line.tenant {
        Some(TenantId::Uuid(uuid)) => plain(name!("tenant"), uuid.hyphenated(), out),
        Some(TenantId::Text(text)) => string(name!("tenant"), text, out),
        None => {}
    }
    if let Some(client_id) = line.client_id {
        string(name!("client_id"), client_id, out);
    }
    if !line.omitted_headers.is_empty() {
        string(name!("omitted_headers"), &line.omitted(), out);
    }
    string(name!("method"), line.method, out);
    string(name!("path"), line.path, out);
    for (name, address) in [(name!("client"), line.client), (name!("peer"), line.peer)] {
        if let Some(address) = address {
            plain(name, address, out);
        }
    }
    if let Some(host) = line.host {
        string(name!("host"), host, out);
    }
    number(name!("status"), line.status, out);
    if let Some(status) = line.upstream_status {
        number(name!("upstream_status"), status, out);
    }
    number(name!("bytes_in"), line.bytes_in, out);
    number(name!("bytes_out"), line.bytes_out, out);
    number(name!("duration_ms"), millis(line.duration), out);
    if let Some(duration) = line.upstream_duration {
        number(name!("upstream_duration_ms"), millis(duration), out);
    }
    number(name!("decision_duration_us"), micros(line.decision_duration), out);
    out.extend_from_slice(b"}\n");
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn string(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    // Without a branch for each byte, it looks at many at a time.
    let special = |byte: u8| matches!(byte, ..b' ' | b'"' | b'\\' | 0x7f..);
    if value.bytes().fold(false, |found, byte| found | special(byte)) {
        let start = out.len();
        json(value, out);
        if let Some(escaped) = out.get(start..).and_then(escaped) {
            out.truncate(start);
            out.extend_from_slice(escaped.as_bytes());
        }
    } else {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }
}

/// Writes values that nothing verified. Their names may come from a policy.
fn object(name: &str, values: &Unverified, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    for (at, (name, value)) in values.iter().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        string("", name, out);
        string(":", value, out);
    }
    out.push(b'}');
}

/// Writes a value whose text has nothing that would have to be escaped.
fn plain(name: &str, value: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write as _;
    out.extend_from_slice(name.as_bytes());
    let _infallible = write!(out, "\"{value}\"");
}

fn number(name: &str, value: impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    json(&value, out);
}

fn json(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    let _infallible = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests;

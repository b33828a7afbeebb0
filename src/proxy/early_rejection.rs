//! Responds to what never becomes a request: heads that could not be read, connections beyond the limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method};

use super::gateway::Gateway;
use super::strict_stream::{HeadFault, RejectionWriter};
use crate::admission::local_response::LocalResponse;
use crate::admission::trace_context::RequestIds;
use crate::config::Limits;
use crate::policy::Scope;
use crate::rejection::{Reason, Rejection};
use crate::request::target::{RequestHost, RequestTarget, before_authority};
use crate::request::{Downstream, head, host_of};

/// Rejects heads that could not be parsed. The error body is that of the policy that host and path select.
pub fn rejection_writer(gateway: Arc<Gateway>) -> RejectionWriter {
    Arc::new(move |fault, head, client| {
        let snapshot = Arc::clone(&gateway.policies.snapshot().admission);
        let mut record = gateway.admission.begin(snapshot);
        record.ids = RequestIds::new();
        (record.method, record.target) = method_and_target(head);
        record.downstream = Downstream {
            peer: client,
            ..Downstream::default()
        };
        // Fields of a head that cannot be read name no other client.
        record.client = client;
        record.host = sent_host(head);
        record.scope = Scope {
            policy: record
                .snapshot
                .policies()
                .by_raw_prefix(host(head), record.target.path()),
            route: None,
        };
        record.find_page(|cors| cors.allowed_origin(&origin(head)?));
        record.assume_token_in_query();
        let rejection = head_rejection(fault, &gateway.limits);
        record.reject(&rejection);
        let response = record.rejection_response(&rejection);
        record.response.status = response.status;
        if record.method != Method::HEAD {
            record.response.bytes_out = response.body.len() as u64;
        }
        record.finish();
        serialize(&response, &record.method)
    })
}

fn head_rejection(fault: HeadFault, limits: &Limits) -> Rejection {
    match fault {
        HeadFault::Malformed(cause) => Rejection::because(Reason::RequestMalformed, cause),
        HeadFault::TooLong => {
            let limit = limits.request.header_bytes;
            let cause = format!("the head has more bytes than the limit of {limit}");
            Rejection::because(Reason::HeadersTooLarge, cause)
        }
        HeadFault::TooManyLines => Rejection::because(Reason::HeadersTooLarge, "the head has too many lines"),
        HeadFault::TooSlow => {
            let seconds = limits.header_timeout.as_secs_f64();
            let cause = format!("the head did not arrive within {seconds} s");
            Rejection::because(Reason::RequestTimeout, cause)
        }
        HeadFault::NoRoom => Rejection::because(
            Reason::Overloaded,
            "the listener or the client has as many connections as it may have",
        )
        .retry_after(Duration::from_secs(1)),
    }
}

/// Reads the method and the target of a head that may be cut off anywhere. Bytes of another protocol are not a target.
fn method_and_target(head: &[u8]) -> (Method, RequestTarget) {
    let line = head::request_line(head);
    let method = line.and_then(|line| Method::from_bytes(line.method).ok());
    let is_http = |target: &&[u8]| method.is_some() || !target.iter().any(u8::is_ascii_control);
    let target = line.map(|line| line.target).filter(is_http).unwrap_or_default();
    let version = line.and_then(|line| line.version).unwrap_or_default();
    let target = match version.starts_with(b"HTTP/") && !target.contains(&b' ') {
        true => target,
        // What a secret may be is not known before its end.
        false => before_authority(target.split(|b| b" ?#".contains(b)).next().unwrap_or_default()),
    };
    let target = RequestTarget::new(Bytes::copy_from_slice(target));
    (method.unwrap_or_else(unknown), target)
}

/// The method for records of heads whose own could not be parsed.
fn unknown() -> Method {
    Method::from_bytes(b"UNKNOWN").unwrap_or_default()
}

/// Reads the host of a head that may be cut off anywhere.
fn host(head: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(head::values(head, "host").next()?).ok()?;
    Some(host_of(host))
}

/// Reads the host of such a head for the log.
fn sent_host(head: &[u8]) -> RequestHost {
    let value = head::values(head, "host").next();
    let value = value.and_then(|value| HeaderValue::from_bytes(value).ok());
    value.map_or(RequestHost::None, RequestHost::Field)
}

/// Reads the only origin of such a head. A line that is cut off is not one.
fn origin(head: &[u8]) -> Option<HeaderValue> {
    let whole = head.get(..head.iter().rposition(|&byte| byte == b'\n')?)?;
    let mut values = head::values(whole, "origin");
    let value = values.next().filter(|_| values.next().is_none())?;
    HeaderValue::from_bytes(value).ok()
}

fn serialize(response: &LocalResponse, method: &Method) -> Bytes {
    let phrase = http::StatusCode::from_u16(response.status)
        .ok()
        .and_then(|s| s.canonical_reason());
    let mut wire = BytesMut::new();
    wire.put_slice(format!("HTTP/1.1 {} {}\r\n", response.status, phrase.unwrap_or_default()).as_bytes());
    for (name, value) in &response.headers {
        wire.put_slice(name.as_str().as_bytes());
        wire.put_slice(b": ");
        wire.put_slice(value.as_bytes());
        wire.put_slice(b"\r\n");
    }
    wire.put_slice(b"connection: close\r\n\r\n");
    if *method != Method::HEAD {
        wire.put_slice(&response.body);
    }
    wire.freeze()
}

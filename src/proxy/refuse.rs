//! Answers to what never becomes a request: heads that could not be read, connections that there is no
//! room for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;

use super::in_force::PolicyHandle;
use super::strict_stream::RejectionWriter;
use crate::admission::rejection_response::{ErrorContext, ErrorResponse, render};
use crate::admission::trace_context::RequestIds;
use crate::policy::Scope;
use crate::rejection::{Reason, Rejection};
use crate::request::{head, host_of};
use crate::telemetry::access_log::AccessLine;
use crate::telemetry::metrics::NONE;

/// Answers heads that could not be read, with the body of the policy that their first bytes spell.
pub fn refuse(in_force: Arc<PolicyHandle>, access_log: bool) -> RejectionWriter {
    Arc::new(move |status, head, client| {
        let started = Instant::now();
        let (method, path) = first_words(head);
        let ids = RequestIds::new();
        let in_force = in_force.load();
        let policies = &in_force.policies;
        let spelled = policies.by_raw_prefix(host(head), path.as_bytes());
        let scope = Scope {
            policy: spelled,
            route: None,
        };
        let matched = policies.matched(scope);
        let service = matched.policy().map_or(NONE, |policy| policy.service.as_str());
        let rejection = head_rejection(status);
        let now = jiff::Timestamp::now();
        let context = ErrorContext::new(policies, matched, &ids, &path, now);
        let answer = render(&rejection, &context);
        let took = started.elapsed();
        in_force.metrics.decision(scope, "deny", Some(rejection.reason()), took);
        in_force.metrics.request(scope, &method, answer.status, took);
        if access_log {
            log((&rejection, answer.status), (service, &ids), (&method, &path, client));
        }
        on_the_wire(&answer, &method)
    })
}

fn head_rejection(status: u16) -> Rejection {
    match status {
        408 => Rejection::because(Reason::RequestTimeout, "the head took too long"),
        503 => Rejection::because(Reason::Overloaded, "there is no room for the connection")
            .retry_after(Duration::from_secs(1)),
        431 => Rejection::because(Reason::HeadersTooLarge, "the head is longer than the limit"),
        _ => Rejection::because(Reason::RequestMalformed, "the head is not HTTP"),
    }
}

/// The method and the path of a head that may be cut off anywhere.
fn first_words(head: &[u8]) -> (Method, String) {
    let line = head::request_line(head);
    let method = line.and_then(|line| Method::from_bytes(line.method).ok());
    let target = line.map_or(&b""[..], |line| line.target);
    let path = target.split(|b| b" ?".contains(b)).next().unwrap_or_default();
    (
        method.unwrap_or_else(unknown),
        String::from_utf8_lossy(path).into_owned(),
    )
}

/// A method that could not be read, which is none of the standard ones.
fn unknown() -> Method {
    Method::from_bytes(b"UNKNOWN").unwrap_or_default()
}

/// The host that a head is for, as far as it came.
fn host(head: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(head::values(head, "host").next()?).ok()?;
    Some(host_of(host))
}

fn on_the_wire(answer: &ErrorResponse, method: &Method) -> Bytes {
    let phrase = http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|s| s.canonical_reason());
    let mut wire = BytesMut::new();
    wire.put_slice(format!("HTTP/1.1 {} {}\r\n", answer.status, phrase.unwrap_or_default()).as_bytes());
    for (name, value) in &answer.headers {
        wire.put_slice(name.as_str().as_bytes());
        wire.put_slice(b": ");
        wire.put_slice(value.as_bytes());
        wire.put_slice(b"\r\n");
    }
    wire.put_slice(b"connection: close\r\n\r\n");
    if *method != Method::HEAD {
        wire.put_slice(&answer.body);
    }
    wire.freeze()
}

fn log(
    (rejection, status): (&Rejection, u16),
    (service, ids): (&str, &RequestIds),
    (method, path, client): (&Method, &str, Option<IpAddr>),
) {
    AccessLine {
        request_id: ids.request_id(),
        trace_id: ids.trace_id(),
        service,
        route: NONE,
        auth: NONE,
        decision: "deny",
        idempotency: None,
        reason: Some(rejection.reason().code()),
        cause: Some(rejection.cause()),
        failure: None,
        failure_cause: None,
        subject: None,
        tenant: None,
        client_id: None,
        method: method.as_str(),
        path,
        client,
        status,
        upstream_status: None,
        bytes_in: 0,
        bytes_out: 0,
        duration: Duration::ZERO,
        upstream_duration: None,
        decision_duration: Duration::ZERO,
    }
    .write();
}

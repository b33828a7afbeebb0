//! A request has one decision and at most one failure: what goes wrong after the decision changes
//! neither `decision` nor `reason`, in the log and in the metrics.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Latch, Reply, Request, Setup, Upstream, eventually,
    frames::{END_STREAM, Frames, head, reset},
    free_port,
};

const POLICY: &str = "
version: 1
service: $name
prefix: /$name
upstream: { url: '$url', timeout: 1s, connect_timeout: 1s }
errors: { format: envelope, code_prefix: ERR }
internal_key: { keys: [{ name: scheduler, secret: { env: IT_JOBS_KEY } }] }
routes:
  - { path: /open/*, auth: public }
  - { path: /shadow/*, auth: internal_key, mode: shadow }
  - { path: /keyed/*, auth: internal_key, idempotency: {} }
";

fn policy(name: &str, url: &str) -> String {
    POLICY.replace("$name", name).replace("$url", url)
}

/// What the log and the metrics have to say about one request.
#[derive(Debug, Clone, Copy)]
struct Expected {
    decision: &'static str,
    reason: Option<&'static str>,
    failure: Option<&'static str>,
}

const fn expected(decision: &'static str, reason: Option<&'static str>, failure: Option<&'static str>) -> Expected {
    Expected {
        decision,
        reason,
        failure,
    }
}

/// The sum of all samples that have these labels.
fn total(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> f64 {
    let page = gateway.metrics();
    let samples = page.lines().filter(|line| {
        let has = |(label, value): &(&str, &str)| line.contains(&format!("{label}=\"{value}\""));
        line.starts_with(&format!("{name}{{")) && labels.iter().all(has)
    });
    let values = samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    values.fold(0.0, |sum, value| sum + value)
}

fn line_of(gateway: &Gateway, path: &str) -> Value {
    let mut found = Vec::new();
    eventually(&format!("{path} is logged"), || {
        found = gateway.log_lines();
        found.retain(|line| line["message"] == "request" && line["path"] == path);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "one line for each request: {found:?}");
    found.remove(0)
}

/// Asserts on the only request to a route.
#[track_caller]
fn assert_recorded(gateway: &Gateway, path: &str, route: &str, expected: Expected) {
    let line = line_of(gateway, path);
    let field = |value: Option<&str>| value.map_or(Value::Null, |value| json!(value));
    assert_eq!(line["decision"], expected.decision, "{line}");
    assert_eq!(line["reason"], field(expected.reason), "{line}");
    assert_eq!(line["cause"].is_string(), expected.reason.is_some(), "{line}");
    assert_eq!(line["failure"], field(expected.failure), "{line}");
    assert_eq!(line["failure_cause"].is_string(), expected.failure.is_some(), "{line}");
    let counted = |name: &str, labels: &[(&str, &str)]| {
        let route = [&[("route", route)], labels].concat();
        total(gateway, name, &route).to_string()
    };
    let decision = [
        ("decision", expected.decision),
        ("reason", expected.reason.unwrap_or("")),
    ];
    assert_eq!(counted("sidegate_decisions_total", &[]), "1", "{route}");
    assert_eq!(counted("sidegate_decisions_total", &decision), "1", "{route}");
    let failures = if expected.failure.is_some() { "1" } else { "0" };
    assert_eq!(counted("sidegate_failures_total", &[]), failures, "{route}");
    if let Some(failure) = expected.failure {
        assert_eq!(
            counted("sidegate_failures_total", &[("failure", failure)]),
            "1",
            "{route}"
        );
    }
}

/// Requests that are allowed, and one that a shadowed route lets through, with what the decision on
/// each is.
fn forwarded(name: &str) -> [(Request, &'static str, Option<&'static str>); 3] {
    let keyed = Request::post(&format!("/{name}/keyed/x"), "{}").jobs_key();
    let key = uuid::Uuid::new_v4().to_string();
    [
        (Request::get(&format!("/{name}/open/x")), "allow", None),
        (
            Request::get(&format!("/{name}/shadow/x")),
            "shadow_deny",
            Some("credential_missing"),
        ),
        (keyed.header("idempotency-key", &key), "allow", None),
    ]
}

#[test]
fn unreachable_upstream_is_a_failure_and_not_a_reason() {
    let gateway = Setup::new()
        .policy("down", &policy("down", &format!("http://127.0.0.1:{}", free_port())))
        .policy("h2c", &policy("h2c", &format!("h2c://127.0.0.1:{}", free_port())))
        .policy("unknown", &policy("unknown", "http://name.invalid:80"))
        .start();
    for name in ["down", "h2c", "unknown"] {
        for (request, decision, reason) in forwarded(name) {
            gateway.refused(&request, 502, "upstream_unreachable");
            let path = request.target.clone();
            let route = path.replace("/x", "/*");
            let expected = expected(decision, reason, Some("upstream_unreachable"));
            assert_recorded(&gateway, &path, &route, expected);
        }
    }
}

#[test]
fn broken_or_late_response_is_a_failure_and_not_a_reason() {
    let latch = Latch::default();
    let held = latch.clone();
    let upstream = Upstream::start(move |request| {
        let reply: &'static [u8] = match request.target.split('/').nth(1).unwrap() {
            "closes" => b"",
            "garbage" => b"this is not HTTP\r\n\r\n",
            // The client has the head by then: what breaks off is the body.
            "half" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello",
            _ => {
                held.wait();
                b"HTTP/1.1 204 No Content\r\n\r\n"
            }
        };
        Reply::bytes(reply)
    });
    let cases = [
        ("closes", "upstream_failed"),
        ("garbage", "upstream_failed"),
        ("half", "upstream_failed"),
        ("late", "upstream_timeout"),
    ];
    let url = upstream.url.clone();
    let setup = cases.iter().fold(Setup::in_front_of(upstream), |setup, (name, _)| {
        setup.policy(name, &policy(name, &url))
    });
    let gateway = setup.start();
    for (name, failure) in cases {
        for (request, decision, reason) in forwarded(name) {
            let mut wire = gateway.connect();
            wire.write(request.bytes());
            let answered = wire.answer(&request.method).is_ok();
            assert_eq!(answered, name != "half", "{request}");
            let path = request.target.clone();
            let expected = expected(decision, reason, Some(failure));
            assert_recorded(&gateway, &path, &path.replace("/x", "/*"), expected);
        }
    }
    latch.open();
}

#[test]
fn upstream_that_is_silent_within_a_body_is_a_timeout_with_a_key_as_without() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = thread::spawn(move || {
        let silent = listener.incoming().take(3).map(|connection| {
            let mut connection = connection.unwrap();
            _ = connection.read(&mut [0; 4096]);
            _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
            connection
        });
        silent.collect::<Vec<_>>()
    });
    let gateway = Setup::new().policy("stalls", &policy("stalls", &url)).start();
    for (request, decision, reason) in forwarded("stalls") {
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        assert!(wire.answer(&request.method).is_err(), "{request}");
        let path = request.target.clone();
        let expected = expected(decision, reason, Some("upstream_timeout"));
        assert_recorded(&gateway, &path, &path.replace("/x", "/*"), expected);
    }
    upstream.join().unwrap();
}

#[test]
fn body_that_breaks_a_limit_later_is_a_failure_and_a_declared_one_is_a_reason() {
    let setup = Setup::new().config("limits: { body_bytes: 1KiB, body_timeout: 300ms }");
    let url = setup.upstream_url().to_owned();
    let cases = [
        (
            "long",
            "transfer-encoding: chunked",
            format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048)),
            "body_too_large",
        ),
        (
            "broken",
            "transfer-encoding: chunked",
            "2\r\nxyz\r\n".to_owned(),
            "request_malformed",
        ),
        ("stalled", "content-length: 9", "x".to_owned(), "request_timeout"),
    ];
    let setup = cases
        .iter()
        .fold(setup, |setup, (name, ..)| setup.policy(name, &policy(name, &url)));
    let gateway = setup.policy("declared", &policy("declared", &url)).start();
    for (name, framing, body, failure) in cases {
        for (request, decision, reason) in forwarded(name) {
            let path = request.target.clone();
            let key = request
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"));
            let key: String = key.collect();
            let mut wire = gateway.connect();
            let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{key}{framing}\r\n\r\n");
            wire.write(head + &body);
            assert_eq!(wire.answer("POST").unwrap().reason(), failure, "{path}");
            let expected = expected(decision, reason, Some(failure));
            assert_recorded(&gateway, &path, &path.replace("/x", "/*"), expected);
        }
    }
    let mut wire = gateway.connect();
    wire.write("POST /declared/open/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n");
    assert_eq!(wire.answer("POST").unwrap().status, 413);
    let expected = expected("deny", Some("body_too_large"), None);
    assert_recorded(&gateway, "/declared/open/x", "/declared/open/*", expected);
}

#[test]
fn client_that_goes_away_has_its_decision_counted_and_is_not_a_failure() {
    let (latch, upstream) = Latch::before(200, "{}");
    let url = upstream.url.clone();
    let gateway = Setup::in_front_of(upstream)
        .policy("w", &policy("w", &url).replace("timeout: 1s", "timeout: 30s"))
        .start();
    let mut frames = Frames::open(gateway.port, &[]);
    for (stream, path, route, outcome) in [
        (1, "/w/open/x", "/w/open/*", expected("allow", None, None)),
        (
            3,
            "/w/shadow/x",
            "/w/shadow/*",
            expected("shadow_deny", Some("credential_missing"), None),
        ),
    ] {
        frames.send(&head(stream, END_STREAM, "GET", path));
        // Before there is a response: it is final once the request is forwarded.
        eventually("the decision is counted", || {
            total(&gateway, "sidegate_decisions_total", &[("route", route)]) > 0.0
        });
        frames.send(&reset(stream));
        assert_recorded(&gateway, path, route, outcome);
        assert_eq!(line_of(&gateway, path)["status"], 0);
    }
    latch.open();
}

#[test]
fn client_that_leaves_in_the_middle_of_a_response_is_not_a_failure() {
    let upstream = Upstream::start(|_| Reply::ok(vec![b'x'; 24 << 20]));
    let url = upstream.url.clone();
    let gateway = Setup::in_front_of(upstream).policy("w", &policy("w", &url)).start();
    for (request, decision, reason) in forwarded("w") {
        let mut wire = gateway.connect();
        wire.write(request.bytes());
        assert_eq!(wire.head().unwrap().0, 200, "{request}");
        drop(wire);
        let path = request.target.clone();
        assert_recorded(
            &gateway,
            &path,
            &path.replace("/x", "/*"),
            expected(decision, reason, None),
        );
    }
}

//! The one rule of retries, for every kind of service: an idempotent request is sent again once, when its kept
//! connection is lost before the response, and its body is in memory. Nothing else is.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::json;

use crate::{
    harness::{
        Answer, Gateway, Reply, Request, Setup, Upstream,
        certificates::{pki, server},
        eventually,
        h2_service::{Call, H2Service, policy},
        http2::Http2,
        issuer::token,
        upstream::Recorded,
    },
    idempotency::key,
};

/// How often the service ends the connection of a request with this name.
fn cuts(name: &str) -> usize {
    match name {
        "once" => 1,
        "always" => usize::MAX,
        _ => 0,
    }
}

fn script() -> impl Fn(&Recorded) -> Reply + Send + Sync + 'static {
    let attempts = Mutex::new(HashMap::<String, usize>::new());
    move |request| {
        let mut attempts = attempts.lock();
        let attempt = attempts.entry(request.values("x-case").concat()).or_default();
        *attempt += 1;
        match *attempt <= cuts(request.target.rsplit('/').next().unwrap()) {
            true => Reply::script(|_| Ok(())),
            false => Reply::ok(&request.body),
        }
    }
}

async fn h2_script(mut call: Call) -> Result<(), h2::Error> {
    let body = call.whole_body().await?;
    match call.attempt <= cuts(&call.name()) {
        true => call.cut(),
        false => call.reply(200, body)?,
    }
    Ok(())
}

const SERVICES: [&str; 4] = ["plain", "tls", "h2c", "h2"];

/// A Sidegate in front of a service of each kind, and how often a request reached one.
struct Fixture {
    gateway: Gateway,
    seen: Box<dyn Fn(&str) -> usize>,
}

fn start(limits: &str) -> Fixture {
    let plain = Upstream::start(script());
    let tls = Upstream::tls(server(&pki().server, &["http/1.1"]), script());
    let h2c = H2Service::start(h2_script);
    let h2 = H2Service::tls(server(&pki().server, &["h2"]), h2_script);
    let trusted = ", ca_file: $folder/ca.crt";
    let gateway = Setup::in_front_of(plain.clone())
        .tls()
        .config(&format!("threads: 1\nlimits: {{ {limits} }}"))
        .policy("plain", &policy("plain", &plain.url, ""))
        .policy("tls", &policy("tls", &tls.url, trusted))
        .policy("h2c", &policy("h2c", &h2c.url, ""))
        .policy("h2", &policy("h2", &h2.url, trusted))
        .start();
    let seen = move |case: &str| {
        let over_http1 = plain.seen(case).len() + tls.seen(case).len();
        over_http1 + h2c.seen(case).len() + h2.seen(case).len()
    };
    let seen = Box::new(seen);
    Fixture { gateway, seen }
}

impl Fixture {
    /// Lets Sidegate keep a connection to the service, and sends the request. Status, body, and how often the service
    /// got it.
    fn over_kept(&self, service: &str, request: &Request, over_http2: bool) -> (u16, Vec<u8>, usize) {
        let warm = self.gateway.send(&Request::get(&format!("/{service}/warm")));
        assert_eq!(warm.status, 200);
        self.send(request, over_http2)
    }

    fn send(&self, request: &Request, over_http2: bool) -> (u16, Vec<u8>, usize) {
        let answer: Answer = match over_http2 {
            false => self.gateway.send(request),
            true => Http2::plain(self.gateway.port).exchange(request),
        };
        if answer.status == 502 {
            assert_eq!(answer.reason(), "upstream_failed", "{request}");
        }
        (answer.status, answer.body, (self.seen)(&request.case))
    }
}

#[test]
fn idempotent_request_is_sent_again_once_its_kept_connection_is_lost() {
    let fixture = start("");
    for service in SERVICES {
        for over_http2 in [false, true] {
            for (method, body) in [
                ("GET", ""),
                ("OPTIONS", ""),
                ("DELETE", ""),
                ("PUT", "{}"),
                ("DELETE", "{}"),
                ("PUT", &"x".repeat(20_000)),
            ] {
                let request = Request::new(method, &format!("/{service}/once")).body(body);
                let (status, echoed, seen) = fixture.over_kept(service, &request, over_http2);
                assert_eq!((status, seen), (200, 2), "{request}, HTTP/2: {over_http2}");
                assert!(echoed == body.as_bytes(), "{request}");
            }
        }
    }
    let failures = fixture
        .gateway
        .metric("sidegate_failures_total", &[("failure", "upstream_failed")]);
    assert!(failures.is_none_or(|failures| failures < 1.0), "{failures:?}");
}

#[test]
fn request_is_never_sent_more_than_twice() {
    let fixture = start("");
    for service in SERVICES {
        for (method, body) in [("GET", ""), ("PUT", "{}")] {
            let request = Request::new(method, &format!("/{service}/always")).body(body);
            let (status, _, seen) = fixture.over_kept(service, &request, false);
            assert_eq!((status, seen), (502, 2), "{request}");
        }
    }
}

#[test]
fn request_that_is_not_idempotent_or_has_a_key_is_never_sent_again() {
    let fixture = start("");
    let keyed = |service: &str, method: &str, body: &str| {
        Request::new(method, &format!("/{service}/keyed/once"))
            .bearer(&token(json!({})))
            .header("idempotency-key", &key())
            .body(body)
    };
    for service in SERVICES {
        for over_http2 in [false, true] {
            let plain = ["POST", "PATCH"].map(|method| Request::new(method, &format!("/{service}/once")).body("{}"));
            let empty = Request::new("POST", &format!("/{service}/once"));
            let [post, patch] = plain;
            for request in [
                post,
                patch,
                empty,
                keyed(service, "PUT", "{}"),
                keyed(service, "PUT", ""),
                keyed(service, "POST", "{}"),
            ] {
                let (status, _, seen) = fixture.over_kept(service, &request, over_http2);
                assert_eq!((status, seen), (502, 1), "{request}, HTTP/2: {over_http2}");
            }
        }
    }
}

#[test]
fn request_over_a_new_connection_is_not_sent_again() {
    for service in SERVICES {
        // Nothing was sent before, so no connection is kept.
        let fixture = start("");
        for _ in 0..2 {
            let request = Request::get(&format!("/{service}/always"));
            let (status, _, seen) = fixture.send(&request, false);
            assert_eq!((status, seen), (502, 1), "{request}");
        }
    }
}

#[test]
fn request_whose_body_is_not_in_memory_is_not_sent_again() {
    let fixture = start("");
    for service in SERVICES {
        for over_http2 in [false, true] {
            let request = Request::new("PUT", &format!("/{service}/once")).body(vec![b'x'; 1 << 20]);
            let (status, _, seen) = fixture.over_kept(service, &request, over_http2);
            assert_eq!((status, seen), (502, 1), "{service}, HTTP/2: {over_http2}");
        }
    }
}

#[test]
fn body_that_is_sent_again_counts_once() {
    let fixture = start("body_bytes: 128KiB");
    for service in SERVICES {
        for (length, may_fail) in [(60_000, false), (100 << 10, true)] {
            let target = format!("/{service}/{length}/once");
            let request = Request::new("PUT", &target).body(vec![b'x'; length]);
            let (status, echoed, _) = fixture.over_kept(service, &request, false);
            // A body may be too large for memory, but not for the limit.
            assert!(status == 200 || (may_fail && status == 502), "{request}: {status}");
            assert!(status == 502 || echoed == request.body, "{request}");
            eventually("it is logged", || {
                let lines = fixture.gateway.log_lines();
                lines
                    .iter()
                    .any(|line| line["path"] == target && line["bytes_in"] == length)
            });
        }
    }
}

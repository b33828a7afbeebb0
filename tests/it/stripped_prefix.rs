//! Paths that the service receives without the prefix of their policy, and paths that it receives as they are
//! although others would read them differently.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Gateway, Reply, Request, Setup, Shared, Upstream, eventually, issuer::token};

const POLICY: &str = "
$wallet
prefix: /$name/v1
paths: { $paths }
idempotency: {}
routes:
  - { path: /open/*, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: '/queues/{vhost}/{name}', auth: jwt }
  - { path: /*, auth: jwt }
";

fn policy(name: &str, paths: &str) -> String {
    let text = POLICY.replace("$name", name).replace("$paths", paths);
    let wallet = crate::harness::setup::WALLET.replace("url: '$upstream'", "url: '$upstream', strip_prefix: true");
    text.replace("$wallet", &wallet)
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        Setup::new()
            .policy("a", &policy("a", "encoded_slash: opaque"))
            .policy(
                "b",
                &policy("b", "allow: [double_slash, encoded_percent, encoded_delimiter]"),
            )
            .policy("c", &policy("C", "case_insensitive: true"))
            .start()
    })
}

fn with_token(path: &str) -> Request {
    Request::get(path).bearer(&token(json!({}))).tenant()
}

#[test]
fn service_receives_the_path_without_the_prefix_and_its_name() {
    for (path, target, prefix) in [
        ("/a/v1/x/y?z=/a/v1", "/x/y?z=/a/v1", "/a/v1"),
        ("/a/v1", "/", "/a/v1"),
        ("/a/v1/?q", "/?q", "/a/v1"),
        ("/a/v1?q", "/?q", "/a/v1"),
        ("/%61/v1/a/v1", "/a/v1", "/a/v1"),
        ("/a/v1/queues/%2f/jobs%2Fdone", "/queues/%2F/jobs%2Fdone", "/a/v1"),
        ("/b/v1/x//y", "/x//y", "/b/v1"),
        ("/b/v1/a%2520b%3F", "/a%2520b%3F", "/b/v1"),
        ("/c/V1/X", "/X", "/C/v1"),
    ] {
        let request = with_token(path)
            .header("x-forwarded-prefix", "/spoofed")
            .header("X_Forwarded_Prefix", "/spoofed");
        let seen = gateway().allowed(&request);
        assert_eq!(seen.target, target, "{path}");
        assert_eq!(seen.values("x-forwarded-prefix"), [prefix], "{path}");
    }
}

#[test]
fn path_that_others_read_differently_reaches_no_service() {
    for path in [
        "/b/v1//x",
        "/b/v1//",
        "/a/v1/%2Fx",
        "/a/v1/x%2F",
        "/a/v1/x%2F%2Fy",
        "/a/v1/x%2F..%2Fy",
        "/a/v1/x%5Cy",
        "/a/v1%2Fx",
        "/a/v1/open/x%2Fy",
        "/a/v1/jobs/x%2Fy",
        "/b/v1/x%2Fy",
        "/b/v1/x%252Fy",
        "/b/v1/%252e%252e/x",
        "/b/v1/open/a%2520b",
        "/b/v1/open/a%3Fb",
        "/b/v1/open%3F/x",
    ] {
        gateway().refused(&with_token(path), 400, "path_ambiguous");
    }
    // Without a policy, whose body has no reason.
    let answer = gateway().send(&with_token("/a%2Fv1/x"));
    assert_eq!(answer.header("x-sidegate-reason"), Some("path_ambiguous"), "{answer:?}");
}

#[test]
fn decision_log_and_body_have_the_whole_path() {
    let gateway = gateway();
    let answer = gateway.refused(&Request::get("/a/v1/whole/path"), 401, "credential_missing");
    assert!(!answer.text().contains("\"/whole"), "{answer:?}");
    let logged = || {
        gateway
            .log_lines()
            .into_iter()
            .any(|line| line["path"] == "/a/v1/whole/path")
    };
    eventually("it is logged", logged);
}

#[test]
fn prefixes_of_one_service_have_idempotency_keys_of_their_own() {
    let gateway = gateway();
    let key = crate::idempotency::key();
    let post = |path: &str| {
        Request::post(path, "{}")
            .bearer(&token(json!({})))
            .tenant()
            .header("idempotency-key", &key)
    };
    assert_eq!(gateway.allowed(&post("/a/v1/pay")).target, "/pay");
    assert_eq!(gateway.allowed(&post("/b/v1/pay")).target, "/pay");
    let again = gateway.send(&post("/a/v1/pay"));
    assert!(crate::idempotency::is_replayed(&again), "{again:?}");
}

#[test]
fn location_of_the_service_is_not_rewritten() {
    let upstream = Upstream::start(|_| {
        Reply::status(201, "")
            .header("location", "/x/7")
            .header("set-cookie", "a=b; Path=/x")
    });
    let gateway = Setup::in_front_of(upstream)
        .policy("a", &policy("a", "case: exact"))
        .start();
    let answer = gateway.send(&Request::get("/a/v1/open/x"));
    assert_eq!(answer.header("location"), Some("/x/7"), "{answer:?}");
    assert_eq!(answer.header("set-cookie"), Some("a=b; Path=/x"), "{answer:?}");
}

#[test]
fn websocket_is_opened_without_the_prefix() {
    let handshake = with_token("/a/v1/socket")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(gateway().allowed(&handshake).target, "/socket");
}

//! Ways to be somebody else that leave the header section alone, or come at a bad moment: trailers,
//! upgrades, shadow mode, a request that waits to be asked for its body, a service that fails.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Gateway, Reply, Request, Setup, Shared, Upstream, issuer::token, upstream::Recorded};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /open/*, auth: public }
  - { path: /shadow/*, auth: jwt, mode: shadow }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

fn spoofing(request: Request) -> Request {
    [
        "x-user-id",
        "X_User_Id",
        "x.user.id",
        "HTTP_X_USER_ID",
        "x-auth-method",
        "x-user-roles",
    ]
    .into_iter()
    .fold(request, |request, name| request.header(name, "spoofed"))
}

fn assert_not_spoofed(seen: &Recorded, user: &[&str]) {
    assert_eq!(seen.values("x-user-id"), user, "{:?}", seen.headers);
    assert!(!format!("{:?}", seen.headers).contains("spoofed"), "{:?}", seen.headers);
}

#[test]
fn trailers_never_become_headers() {
    let gateway = gateway();
    for trailer in [
        "x-user-id: spoofed",
        "X_User_Id: spoofed",
        "x-auth-method: spoofed",
        "authorization: Bearer spoofed",
    ] {
        let request = Request::new("POST", "/w/open/x")
            .header("transfer-encoding", "chunked")
            .header("trailer", "x-user-id")
            .body(format!("2\r\n{{}}\r\n0\r\n{trailer}\r\n\r\n"));
        // The service's reader takes trailers for an error.
        let seen = gateway.allowed(&request);
        assert_not_spoofed(&seen, &[]);
        assert_eq!((seen.values("trailer"), &seen.body[..]), (vec![], &b"{}"[..]));
    }
    gateway.upstream.assert_strict();
}

#[test]
fn a_shadowed_route_passes_nothing_off_as_verified() {
    let gateway = gateway();
    let forged = token(json!({ "exp": 1 }));
    for request in [
        spoofing(Request::get("/w/shadow/x")),
        spoofing(Request::get("/w/shadow/x")).bearer(&forged).tenant(),
    ] {
        let seen = gateway.allowed(&request);
        assert_not_spoofed(&seen, &[]);
        assert_eq!(seen.values("x-auth-method"), [""; 0]);
        assert_eq!(seen.values("x-tenant-id"), [""; 0]);
    }
}

#[test]
fn who_waits_to_be_asked_for_the_body_is_who_the_token_says() {
    let gateway = gateway();
    let request = spoofing(Request::new("POST", "/w/x"))
        .bearer(&token(json!({})))
        .tenant()
        .header("expect", "100-continue")
        .header("content-length", "2");
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    wire.write("{}");
    let answer = wire.answer("POST").unwrap();
    let seen = gateway.reached(&request, &answer);
    assert_not_spoofed(&seen, &["user-7"]);
    assert_eq!(seen.body, b"{}");
}

#[test]
fn a_second_try_at_the_service_has_the_same_identity() {
    // The service closes every other connection after it has been used once.
    let upstream = Upstream::start(|request| match request.values("x-closes").is_empty() {
        true => Reply::ok("fine"),
        false => Reply::ok("bye").header("connection", "close"),
    });
    let gateway = Setup::in_front_of(upstream).policy("wallet", POLICY).start();
    for closes in [true, false, true, false] {
        let mut request = spoofing(Request::get("/w/x")).bearer(&token(json!({}))).tenant();
        if closes {
            request = request.header("x-closes", "1");
        }
        assert_not_spoofed(&gateway.allowed(&request), &["user-7"]);
    }
}

#[test]
fn a_refusal_says_nothing_of_what_was_claimed() {
    let gateway = gateway();
    let request = spoofing(Request::get("/w/x")).header("x-request-id", "spoofed\u{e9}\"<script>");
    let answer = gateway.refused(&request, 401, "credential_missing");
    assert!(!format!("{answer:?}").contains("spoofed"), "{answer:?}");
    let hostile = Request::get("/w/x\"%3Cscript%3E");
    let answer = gateway.send(&hostile);
    assert!(answer.status >= 400, "{answer:?}");
    answer.json();
}

#[test]
fn nothing_that_a_client_chooses_but_its_credentials_decides() {
    let gateway = gateway();
    for (name, value) in [
        ("user-agent", "kube-probe/1.30"),
        ("user-agent", "ELB-HealthChecker/2.0"),
        ("referer", "http://localhost/w/open/x"),
        ("origin", "http://localhost"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-uri", "/w/open/x"),
        ("x-original-url", "/w/open/x"),
        ("x-rewrite-url", "/w/open/x"),
        ("x-envoy-original-path", "/w/open/x"),
        ("x-middleware-subrequest", "middleware"),
        ("x-http-method-override", "OPTIONS"),
        ("cookie", "Authorization=Bearer x"),
        ("proxy-authorization", "Bearer x"),
        ("x-user-id", "user-7"),
    ] {
        gateway.refused(&Request::get("/w/x").header(name, value), 401, "credential_missing");
    }
}

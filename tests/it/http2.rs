//! HTTP/2 without TLS, by prior knowledge: the same rules, the same answers, many at once.

use std::{sync::Arc, thread};

use serde_json::json;

use crate::harness::{Gateway, Request, Setup, Shared, also_on_4_threads, http2::Http2, issuer::token};

const POLICY: &str = "
$wallet
prefix: /w
content_types: [application/json]
routes:
  - { path: /open/*, auth: public, content_types: any }
  - { path: /only-get, methods: [GET], auth: jwt }
  - { path: /x/*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let limits = "limits: { body_bytes: 1MiB, uri_bytes: 2KiB, header_bytes: 16KiB, headers: 50 }";
        Setup::new().config(limits).policy("wallet", POLICY).start()
    })
}

also_on_4_threads![many_streams_of_one_connection_are_kept_apart];

#[test]
fn split_cookies_are_one_cookie() {
    let gateway = gateway();
    let request = Request::get("/w/open/x")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    assert_eq!(Http2::plain(gateway.port).exchange(&request).status, 200);
    assert_eq!(gateway.upstream.seen(&request.case)[0].values("cookie"), ["a=1; b=2"]);
}

#[test]
fn the_same_reasons_for_the_same_requests() {
    let gateway = gateway();
    let connection = Http2::plain(gateway.port);
    let known = |request: Request| request.bearer(&token(json!({}))).tenant();
    for (request, status, reason) in [
        (Request::get("/w/x/y"), 401, "credential_missing"),
        (Request::get("/w/x/y").bearer("x"), 401, "token_malformed"),
        (
            Request::get("/w/x/y").bearer(&token(json!({}))),
            400,
            "tenant_header_missing",
        ),
        (Request::get("/w/nothing"), 404, "route_not_found"),
        (Request::get("/w/open/%2e%2e/x/y"), 400, "path_ambiguous"),
        (Request::get("/w/open//x"), 400, "path_ambiguous"),
        (Request::new("PUT", "/w/only-get"), 405, "method_not_allowed"),
        (
            known(Request::new("POST", "/w/x/y"))
                .header("content-type", "text/plain")
                .body("x"),
            415,
            "content_type_unsupported",
        ),
        (
            Request::new("POST", "/w/open/x").body(vec![b'x'; 2 << 20]),
            413,
            "body_too_large",
        ),
    ] {
        let answer = connection.exchange(&request);
        gateway.rejected(&request, &answer, status, reason);
    }
    // None of that was the end of the connection.
    let request = known(Request::get("/w/x/y"));
    assert_eq!(
        gateway
            .reached(&request, &connection.exchange(&request))
            .values("x-user-id"),
        ["user-7"]
    );
}

#[test]
fn the_same_limits() {
    let gateway = gateway();
    let connection = Http2::plain(gateway.port);
    let many = (0..60).fold(Request::get("/w/open/x"), |request, n| {
        request.header(&format!("x-{n}"), "1")
    });
    for (request, status, word) in [
        (
            Request::get(&format!("/w/open/{}", "x".repeat(3000))),
            414,
            "_URI_TOO_LONG",
        ),
        (
            Request::get("/w/open/x").header("x-large", &"x".repeat(20_000)),
            431,
            "_HEADERS_TOO_LARGE",
        ),
        (many, 431, "_HEADERS_TOO_LARGE"),
    ] {
        let answer = connection.exchange(&request);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.code().ends_with(word), "{answer:?}");
    }
    let request = Request::get("/w/open/x");
    gateway.reached(&request, &connection.exchange(&request));
}

#[test]
fn a_head_request_has_no_body() {
    let gateway = gateway();
    let connection = Http2::plain(gateway.port);
    let denied = connection.exchange(&Request::new("HEAD", "/w/x/y"));
    assert_eq!((denied.status, denied.body.len()), (401, 0));
    assert!(denied.header("www-authenticate").is_some());
    let request = Request::new("HEAD", "/w/open/x");
    gateway.reached(&request, &connection.exchange(&request));
}

#[test]
fn many_streams_of_one_connection_are_kept_apart() {
    let gateway = gateway();
    let connection = Http2::plain(gateway.port);
    thread::scope(|scope| {
        for caller in 0..40 {
            let (gateway, connection) = (&gateway, &connection);
            scope.spawn(move || {
                let name = format!("user-{caller}");
                let request = Request::get("/w/x/y").bearer(&token(json!({ "sub": name }))).tenant();
                let seen = gateway.reached(&request, &connection.exchange(&request));
                assert_eq!(seen.values("x-user-id"), [name]);
                let request = Request::get("/w/x/y");
                gateway.rejected(&request, &connection.exchange(&request), 401, "credential_missing");
            });
        }
    });
}

#[test]
fn a_host_is_the_authority() {
    let gateway = gateway();
    let connection = Http2::plain(gateway.port);
    let request = Request::get("/w/open/x").host("shop.example:8080");
    let seen = gateway.reached(&request, &connection.exchange(&request));
    assert_eq!(seen.values("host"), ["shop.example:8080"]);
    assert_eq!(seen.values("x-forwarded-host"), ["shop.example:8080"]);
}

//! Tokens in a cookie, the query, another header and a subprotocol: where they count, and that they end here.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    harness::{
        Answer, Gateway, Reply, Request, Setup, Shared, Upstream, eventually, gateway::text, http2::Http2,
        issuer::token, setup::WALLET, unique, values,
    },
    upstreams::{handshake, websocket},
};

const SOURCES: &str = "authorization, { header: x-goog-iap-jwt-assertion }, { cookie: __Host-session }, \
     { query: access_token }, { websocket_protocol: bearer }";

pub(crate) const ROUTES: &str = "
prefix: /w
idempotency: {}
routes:
  - { path: /open/*, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /trial/*, auth: jwt, mode: shadow }
  - { path: /maybe/*, auth: { any: [jwt, public] } }
  - { path: /*, auth: jwt }
";

pub(crate) fn policy() -> String {
    WALLET
        .replace("jwt:\n", &format!("jwt:\n  sources: [{SOURCES}]\n"))
        .replace(
            "claims: [tenant, tenantId]",
            "claims: [tenantId], header_required: false",
        )
        + ROUTES
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("w", &policy()).start())
}

pub(crate) fn good() -> String {
    token(json!({}))
}

fn cookie(request: Request, token: &str) -> Request {
    request.header("Cookie", &format!("theme=dark; __Host-session={token}; lang=en"))
}

fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name, value))
}

/// The same token in each place, from a client that may have it there.
pub(crate) fn in_each_place(path: &str, token: &str) -> [(&'static str, Request); 4] {
    let offers = format!("bearer, {token}, chat");
    [
        ("header", Request::get(path).header("X-Goog-IAP-JWT-Assertion", token)),
        (
            "cookie",
            cookie(Request::get(path), token).header("Sec-Fetch-Site", "same-origin"),
        ),
        ("query", Request::get(&format!("{path}?a=%41+1&access_token={token}&b"))),
        (
            "websocket_protocol",
            handshake(path).header("Sec-WebSocket-Protocol", &offers),
        ),
    ]
}

#[test]
fn token_counts_in_each_place_and_ends_there() {
    let gateway = gateway();
    let token = good();
    for (kind, request) in in_each_place("/w/x", &token) {
        let seen = gateway.allowed(&request);
        assert_eq!(seen.values("x-user-id"), ["user-7"], "{kind}");
        assert!(!format!("{seen:?}").contains(&token), "{kind}: {seen:?}");
        assert_eq!(seen.values("authorization"), [""; 0], "{kind}");
        match kind {
            "cookie" => assert_eq!(seen.values("cookie"), ["theme=dark; lang=en"]),
            "query" => assert_eq!(seen.target, "/w/x?a=%41+1&b"),
            "websocket_protocol" => assert_eq!(seen.values("sec-websocket-protocol"), ["chat"]),
            _ => {}
        }
        let of_request = |line: &Value| line["source"] == kind && line["decision"] == "allow";
        eventually("it is logged", || gateway.log_lines().iter().any(of_request));
    }
}

#[test]
fn token_is_removed_on_every_route_in_every_mode_and_spelling() {
    let secret = "hush-hush";
    let everywhere = |request: Request| {
        let offers = format!("chat, bearer, {secret}");
        let request = cookie(request, secret)
            .header("Cookie", &format!("__Host-session={secret}"))
            .header("X-Goog-IAP-JWT-Assertion", secret)
            .header("X_Goog_IAP_JWT_Assertion", secret)
            .header("x.goog.iap.jwt.assertion", secret)
            .header("HTTP_X_GOOG_IAP_JWT_ASSERTION", secret)
            .header("Sec-WebSocket-Protocol", &offers)
            .header("Sec_WebSocket_Protocol", &offers);
        Request {
            target: format!("{}?access_token={secret}&access%5Ftoken={secret}&q=1", request.target),
            ..request
        }
    };
    for credentials in ["", "credentials: forward\n", "credentials: strip\n"] {
        let gateway = Setup::new().policy("w", &(policy() + credentials)).start();
        for request in [
            Request::get("/w/open/x"),
            Request::post("/w/open/x", "{}"),
            Request::get("/w/jobs/x").jobs_key(),
            Request::get("/w/trial/x").bearer("nonsense"),
            Request::get("/w/x").bearer(&good()),
        ] {
            let request = everywhere(request);
            let seen = gateway.allowed(&request);
            assert!(
                !format!("{seen:?}").contains(secret),
                "{credentials}{request}: {seen:?}"
            );
            assert_eq!(seen.values("cookie"), ["theme=dark; lang=en"], "{request}");
            assert_eq!(seen.values("sec-websocket-protocol"), ["chat"], "{request}");
            assert!(seen.target.ends_with("/x?q=1"), "{request}: {seen:?}");
        }
    }
}

const EVIL: (&str, &str) = ("Origin", "https://evil.example");
const CROSS: (&str, &str) = ("Sec-Fetch-Site", "cross-site");

/// What Chromium sends for a page of another site that has the browser of the user ask for something, with the cookie:
/// over https with `Sec-Fetch-*`, over http and from older browsers without.
fn requests_of_a_foreign_page() -> Vec<(&'static str, Request)> {
    let mode = |mode| ("Sec-Fetch-Mode", mode);
    let dest = |dest| ("Sec-Fetch-Dest", dest);
    let user = ("Sec-Fetch-User", "?1");
    let same_site = [("Origin", "http://www.localhost"), ("Sec-Fetch-Site", "same-site")];
    let get = || Request::get("/w/accounts/7/close");
    let post = || Request::post("/w/transfers", "{}");
    let form = || {
        Request::new("POST", "/w/transfers")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("to=mallory")
    };
    let socket = || handshake("/w/socket");
    vec![
        ("fetch", with(get(), &[EVIL, CROSS, mode("cors"), dest("empty")])),
        (
            "fetch without CORS",
            with(get(), &[CROSS, mode("no-cors"), dest("empty")]),
        ),
        ("fetch, POST", with(post(), &[EVIL, CROSS, mode("cors"), dest("empty")])),
        (
            "fetch, POST without CORS",
            with(form(), &[EVIL, CROSS, mode("no-cors"), dest("empty")]),
        ),
        ("image", with(get(), &[CROSS, mode("no-cors"), dest("image")])),
        ("script", with(get(), &[CROSS, mode("no-cors"), dest("script")])),
        ("frame", with(get(), &[CROSS, mode("navigate"), dest("iframe")])),
        ("link", with(get(), &[CROSS, mode("navigate"), dest("document"), user])),
        (
            "form",
            with(form(), &[EVIL, CROSS, mode("navigate"), dest("document"), user]),
        ),
        (
            "form, GET",
            with(get(), &[CROSS, mode("navigate"), dest("document"), user]),
        ),
        (
            "form of a sandbox",
            with(form(), &[("Origin", "null"), CROSS, mode("navigate"), dest("iframe")]),
        ),
        (
            "event source",
            with(
                get(),
                &[
                    EVIL,
                    CROSS,
                    mode("cors"),
                    dest("empty"),
                    ("Accept", "text/event-stream"),
                ],
            ),
        ),
        ("beacon", with(form(), &[EVIL, CROSS, mode("no-cors"), dest("empty")])),
        ("WebSocket", with(socket(), &[EVIL])),
        (
            "WebSocket of a newer browser",
            with(socket(), &[EVIL, CROSS, mode("websocket"), dest("websocket")]),
        ),
        ("WebSocket of a sandbox", with(socket(), &[("Origin", "null")])),
        ("WebSocket without an origin", socket()),
        (
            "sibling, GET",
            with(get(), &[same_site[1], mode("no-cors"), dest("image")]),
        ),
        ("sibling, POST", with(post(), &same_site)),
        ("sibling, WebSocket", with(socket(), &same_site[..1])),
        (
            "image, old browser",
            with(get(), &[("Referer", "https://evil.example/")]),
        ),
        ("form, old browser", with(form(), &[EVIL])),
        ("form, older browser", form()),
        ("another port", with(post(), &[("Origin", "http://localhost:8081")])),
        ("another scheme", with(post(), &[("Origin", "https://localhost")])),
        (
            "method override",
            with(get(), &[CROSS, ("X-HTTP-Method-Override", "DELETE")]),
        ),
    ]
}

#[test]
fn page_of_another_origin_reaches_no_service_with_the_cookie() {
    let gateway = gateway();
    let token = good();
    for (what, request) in requests_of_a_foreign_page() {
        let request = cookie(request, &token);
        let answer = gateway.send(&request);
        gateway.rejected(&request, &answer, 401, "token_source_not_allowed");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"wallet-svc\""),
            "{what}"
        );
        // Where a token is not needed, one that does not count does not let the request pass.
        let target = request.target.replace("/w/", "/w/maybe/");
        gateway.refused(&Request { target, ..request }, 401, "token_source_not_allowed");
    }
}

#[test]
fn page_of_this_origin_gets_in_with_the_cookie() {
    let gateway = gateway();
    let token = good();
    let own = ("Origin", "http://localhost");
    let same = ("Sec-Fetch-Site", "same-origin");
    for request in [
        with(Request::get("/w/x"), &[same, ("Sec-Fetch-Mode", "cors")]),
        with(Request::get("/w/x"), &[same, ("Accept", "text/event-stream")]),
        with(
            Request::get("/w/x"),
            &[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")],
        ),
        with(Request::post("/w/x", "{}"), &[own, same]),
        with(Request::post("/w/x", "{}"), &[own]),
        with(Request::new("DELETE", "/w/x"), &[own, same]),
        with(handshake("/w/x"), &[own]),
    ] {
        let seen = gateway.allowed(&cookie(request, &token));
        assert_eq!(seen.values("x-user-id"), ["user-7"]);
    }
}

#[test]
fn listed_page_gets_in_with_the_cookie_only_where_credentials_are_allowed() {
    let cors = |credentials: &str| format!("cors: {{ origins: [https://app.example.com]{credentials} }}\n");
    for (credentials, is_allowed) in [(", credentials: true", true), ("", false)] {
        let gateway = Setup::new().policy("w", &(policy() + &cors(credentials))).start();
        let cross = |request: Request| {
            let request = request.header("Origin", "https://app.example.com");
            cookie(request, &good()).header("Sec-Fetch-Site", "cross-site")
        };
        for request in [Request::get("/w/x"), Request::post("/w/x", "{}"), handshake("/w/x")] {
            let request = cross(request);
            match is_allowed {
                true => _ = gateway.allowed(&request),
                false => _ = gateway.refused(&request, 401, "token_source_not_allowed"),
            }
        }
        for (what, request) in requests_of_a_foreign_page() {
            let answer = gateway.send(&cookie(request.clone(), &good()));
            assert_eq!(answer.status, 401, "{what}: {answer:?}");
            assert!(gateway.upstream.seen(&request.case).is_empty(), "{what}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{what}");
        }
    }
}

#[test]
fn start_log_names_the_places() {
    let all = "authorization, header x-goog-iap-jwt-assertion, cookie __Host-session, query access_token, \
               websocket_protocol bearer";
    let names_all = |line: &Value| line["message"] == "guarding" && line["token_sources"] == all;
    assert!(gateway().log_lines().iter().any(names_all));
    let plain = Setup::new().policy("w", &format!("$wallet{ROUTES}")).start();
    assert!(!plain.log_text().contains("token_sources"));
}

#[test]
fn bad_authorization_with_a_good_cookie_is_rejected() {
    let gateway = gateway();
    let with_cookie = || cookie(Request::get("/w/x"), &good()).header("Sec-Fetch-Site", "same-origin");
    let expired = token(json!({ "exp": 1 }));
    gateway.refused(&with_cookie().bearer("nonsense"), 401, "token_malformed");
    gateway.refused(&with_cookie().bearer(&expired), 401, "token_expired");
    gateway.refused(
        &with_cookie().header("Authorization", "Basic YTpi"),
        401,
        "credential_missing",
    );
    let other = token(json!({ "sub": "user-8" }));
    assert_eq!(
        gateway.allowed(&with_cookie().bearer(&other)).values("x-user-id"),
        ["user-8"]
    );
    gateway.refused(
        &with_cookie().header("X-Goog-IAP-JWT-Assertion", &good()),
        400,
        "request_malformed",
    );
}

#[test]
fn places_that_are_not_listed_are_left_alone() {
    let gateway = Setup::new().policy("w", &format!("$wallet{ROUTES}")).start();
    let secret = "not-a-token";
    for (kind, request) in in_each_place("/w/open/x", secret) {
        let seen = gateway.allowed(&request);
        // It names the caller to other services, and is removed for that.
        assert_eq!(
            format!("{seen:?}").contains(secret),
            kind != "header",
            "{kind}: {seen:?}"
        );
        let (target, case) = (request.target.replace("/w/open/", "/w/"), unique().to_string());
        let guarded = Request {
            target,
            case,
            ..request
        };
        gateway.refused(&guarded, 401, "credential_missing");
    }
}

#[test]
fn cookie_in_crumbs_of_http2_counts_and_the_others_stay() {
    let gateway = gateway();
    let request = Request::get("/w/x")
        .header("cookie", "theme=dark")
        .header("cookie", &format!("__Host-session={}", good()))
        .header("cookie", "lang=en; x=\"a b\"")
        .header("origin", "http://localhost");
    let answer = Http2::plain(gateway.port).exchange(&request);
    let seen = gateway.reached(&request, &answer);
    assert_eq!(seen.values("cookie"), ["theme=dark; lang=en; x=\"a b\""]);
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
}

fn privacy(answer: &Answer) -> [Option<&str>; 2] {
    [answer.header("cache-control"), answer.header("referrer-policy")]
}

#[test]
fn response_to_a_url_with_a_token_is_private_unless_the_service_says_otherwise() {
    let upstream = Upstream::start(|request| {
        let ok = Reply::ok("{}");
        match request.target.contains("own") {
            true => ok
                .header("cache-control", "no-store")
                .header("referrer-policy", "origin"),
            false => ok,
        }
    });
    let gateway = Setup::in_front_of(upstream).policy("w", &policy()).start();
    let send = |target: &str| gateway.send(&Request::get(&target.replace("TOKEN", &good())));
    for target in ["/w/x?access_token=TOKEN", "/w/open/x?access%5Ftoken=TOKEN&a=1"] {
        let answer = send(target);
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert_eq!(privacy(&answer), [Some("private"), Some("no-referrer")], "{target}");
    }
    assert_eq!(
        privacy(&send("/w/own?access_token=TOKEN")),
        [Some("no-store"), Some("origin")]
    );
    assert_eq!(privacy(&send("/w/open/x?accesstoken=TOKEN")), [None, None]);
    for (target, status) in [
        ("/w/x?access_token=", 401),
        ("/w/x?access_token=1&access_token=2", 400),
        ("/w/x?access_token=TOKENx", 401),
        ("/w//x?access_token=TOKEN", 400),
    ] {
        let answer = send(target);
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert_eq!(privacy(&answer), [Some("no-store"), Some("no-referrer")], "{target}");
    }
    let post = Request::post(&format!("/w/x?access_token={}", good()), "{}");
    gateway.refused(&post, 401, "token_source_not_allowed");
}

#[test]
fn rejection_of_a_head_that_cannot_be_read_is_as_private() {
    let plain = format!("{WALLET}prefix: /plain\nroutes: [{{ path: /*, auth: jwt }}]\n").replace("wallet", "plain");
    // Another service: tokens of its policies alone are removed.
    let plain = plain.replace("$upstream", "http://127.0.0.1:1");
    let gateway = Setup::new().policy("w", &policy()).policy("plain", &plain).start();
    let long = format!("x: {}", "a".repeat(70_000));
    for (prefix, want) in [("/w", Some("no-referrer")), ("/plain", None)] {
        for (line, status) in [("bad header", 400), (&*long, 431)] {
            let mut wire = gateway.connect();
            wire.write(format!(
                "GET {prefix}/x?access_token={} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n",
                good()
            ));
            let answer = wire.answer("GET").unwrap();
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(privacy(&answer), [Some("no-store"), want], "{prefix}: {answer:?}");
        }
    }
}

#[test]
fn repetition_with_another_token_in_its_query_is_the_same_request() {
    let gateway = gateway();
    let key = crate::idempotency::key();
    let post = |query: &str| {
        Request::post(&format!("/w/pay?{query}"), "{}")
            .bearer(&good())
            .header("idempotency-key", &key)
    };
    assert_eq!(gateway.allowed(&post("a=1&access_token=one")).target, "/w/pay?a=1");
    let again = gateway.send(&post("a=1&access_token=two"));
    assert!(crate::idempotency::is_replayed(&again), "{again:?}");
    assert_eq!(privacy(&again), [Some("private"), Some("no-referrer")]);
    let other = gateway.send(&post("a=2&access_token=one"));
    assert!(!crate::idempotency::is_replayed(&other), "{other:?}");
}

/// Opens a WebSocket, and returns the status and the selected subprotocols.
pub(crate) fn open(gateway: &Gateway, request: &Request) -> (u16, Vec<String>) {
    let mut wire = gateway.connect();
    wire.write(request.bytes());
    let (status, headers) = wire.head().unwrap();
    if status == 101 {
        wire.write("frame");
        assert_eq!(wire.read(5).unwrap(), b"frame", "{request}");
    }
    let selected = values(&headers, "sec-websocket-protocol");
    (status, selected.into_iter().map(str::to_owned).collect())
}

#[test]
fn websocket_is_opened_with_an_offered_token_that_the_service_does_not_see() {
    let gateway = Setup::in_front_of(Upstream::start(websocket))
        .policy("w", &policy())
        .start();
    let token = good();
    for (fields, left) in [
        (&["bearer, TOKEN"][..], &[][..]),
        (&["bearer, TOKEN, chat, soap"], &["chat, soap"]),
        (&["chat,bearer,TOKEN"], &["chat"]),
        (&["bearer", "TOKEN", "chat"], &["chat"]),
    ] {
        for path in ["/w/socket", "/w/open/socket"] {
            let fields = fields.iter().map(|offers| offers.replace("TOKEN", &token));
            let request = fields.fold(handshake(path), |request, offers| {
                request.header("Sec-WebSocket-Protocol", &offers)
            });
            assert_eq!(open(&gateway, &request), (101, vec!["bearer".to_owned()]), "{request}");
            let seen = gateway.upstream.seen(&request.case).remove(0);
            assert_eq!(seen.values("sec-websocket-protocol"), left, "{request}");
            assert!(!format!("{seen:?}").contains(&token), "{seen:?}");
        }
    }
    let plain = handshake("/w/open/socket").header("Sec-WebSocket-Protocol", "chat");
    assert_eq!(open(&gateway, &plain), (101, vec![]));
    for offers in ["bearer", "bearer, bearer", "bearer, a/b", "chat, bearer"] {
        let request = handshake("/w/socket").header("Sec-WebSocket-Protocol", offers);
        assert!([400, 401].contains(&open(&gateway, &request).0), "{offers}");
        assert!(gateway.upstream.seen(&request.case).is_empty(), "{offers}");
    }
}

#[test]
fn subprotocol_that_the_service_selects_is_that_of_the_response() {
    let upstream = Upstream::start(|request| {
        let offered = request.values("sec-websocket-protocol").join(",");
        Reply::script(move |stream| {
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Protocol: {offered}\r\n\r\n"
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(b"frame")?;
            stream.flush()?;
            stream.read(&mut [0; 16]).map(drop)
        })
    });
    let gateway = Setup::in_front_of(upstream).policy("w", &policy()).start();
    let offers = format!("bearer, {}, chat", good());
    let request = handshake("/w/socket").header("Sec-WebSocket-Protocol", &offers);
    assert_eq!(open(&gateway, &request), (101, vec!["chat".to_owned()]));
}

#[test]
fn no_log_line_has_a_token_whatever_becomes_of_its_request() {
    let upstream = Upstream::start(|request| match request.target.contains("broken") {
        true => Reply::bytes(b"nonsense\r\n\r\n"),
        false => Reply::ok("{}"),
    });
    for level in ["debug", "trace"] {
        let gateway = Setup::in_front_of(upstream.clone())
            .config(&format!("log: {{ level: {level} }}"))
            .policy("w", &policy())
            .start();
        let secret = token(json!({ "sub": "hush" }));
        for path in ["/w/x", "/w/broken", "/w/open/x", "/w/trial/x", "/w//x", "/nowhere"] {
            for (_, request) in in_each_place(path, &secret) {
                gateway.send(&request);
                gateway.send(&request.clone().header("sec-fetch-site", "cross-site"));
                gateway.send(&Request {
                    method: "POST".into(),
                    ..request
                });
            }
        }
        for head in [
            "GET /w/x?access_token=TOKEN HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
            "GET /w/x?access_token=TOKEN HTTP/9.9\r\nhost: a\r\n\r\n",
            "GET /w/x?access_token=TOKEN\" HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET /w/x HTTP/1.1\r\nhost: a\r\ncookie: __Host-session=TOKEN\r\ncookie : x\r\n\r\n",
        ] {
            let mut wire = gateway.connect();
            wire.write(head.replace("TOKEN", &secret));
            let _ = wire.answer("GET");
        }
        let last = Request::get("/w/open/last");
        gateway.allowed(&last);
        let has_last = |line: &Value| line["path"] == "/w/open/last";
        eventually("all is logged", || gateway.log_lines().iter().any(has_last));
        let (log, metrics) = (gateway.log_text(), gateway.metrics());
        let signature = secret.rsplit('.').next().unwrap();
        for part in [secret.as_str(), signature, "access_token="] {
            assert!(
                !log.contains(part) && !metrics.contains(part),
                "{level}: {part} in {log}"
            );
        }
    }
}

#[test]
fn explain_says_where_the_token_is_and_shows_none() {
    let setup = Setup::new().policy("w", &policy());
    let token = good();
    let cookie = format!("cookie: theme=dark; __Host-session={token}");
    let query = format!("/w/x?a=1&access_token={token}");
    for (arguments, code, wanted) in [
        (
            &["GET", "/w/x", "-H", &cookie, "-H", "sec-fetch-site: same-origin"][..],
            0,
            "the token is in the cookie",
        ),
        (&["GET", &query], 0, "the token is in the query parameter"),
        (&["POST", &query], 1, "token_source_not_allowed"),
        (
            &["GET", "/w/x", "-H", &cookie, "-H", "origin: https://evil.example"],
            1,
            "token_source_not_allowed",
        ),
        (&["GET", "/w/x"], 1, "credential_missing"),
    ] {
        for form in ["text", "json"] {
            let output = setup.run(&[&["explain"], arguments, &["--policies", "policies", "--output", form]].concat());
            let said = text(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(said.contains(wanted), "{arguments:?}: {said}");
            assert!(!said.contains(&token), "{arguments:?}: {said}");
        }
    }
}

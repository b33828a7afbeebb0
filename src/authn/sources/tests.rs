use std::time::Duration;

use serde_json::json;

use super::*;
use crate::policy::PolicySet;
use crate::policy::cors::{AllowedOrigin, Cors};
use crate::request::Downstream;
use crate::testing::{JOBS_KEY, TestRequest, claims, claims_with, parse, request, token as sign};

const SOURCES: &str = "[authorization, { header: x-goog-iap-jwt-assertion }, { cookie: __Host-session }, \
     { query: access_token }, { websocket_protocol: bearer }]";

fn policies(sources: &str) -> PolicySet {
    let text = format!(
        "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\njwt:\n  sources: {sources}\n  issuers: \
         [{{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}]\n\
         internal_key: {{ keys: [{{ name: jobs, secret: {{ env: JOBS_KEY }} }}] }}\nroutes:\n\
         \x20 - {{ path: /open, auth: public }}\n  - {{ path: /maybe, auth: {{ any: [jwt, public] }} }}\n\
         \x20 - {{ path: /jobs, auth: internal_key }}\n  - {{ path: /shadow, auth: jwt, mode: shadow }}\n\
         \x20 - {{ path: /*, auth: jwt }}\n"
    );
    parse(&[&text]).unwrap()
}

fn good() -> String {
    sign(&claims())
}

fn cookie(line: &str) -> TestRequest {
    request(line)
        .host("app.example")
        .header("cookie", &format!("a=1; __Host-session={}", good()))
}

/// A complete handshake of a WebSocket.
fn handshake(request: TestRequest) -> TestRequest {
    request
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn offering(offers: &str) -> TestRequest {
    handshake(request("GET /x").header("sec-websocket-protocol", offers))
}

#[track_caller]
fn expect(request: &TestRequest, want: &str) {
    assert_eq!(request.outcome(&policies(SOURCES)), want, "{request:?}");
}

#[test]
fn each_place_gives_a_token_where_it_is_listed_and_nowhere_else() {
    let place = |at: usize| match at {
        0 => request("GET /x").bearer(&claims()),
        1 => request("GET /x").header("x-goog-iap-jwt-assertion", &good()),
        2 => cookie("GET /x").header("sec-fetch-site", "same-origin"),
        3 => request(&format!("GET /x?a=1&access_token={}", good())),
        _ => offering(&format!("bearer, {}, chat", good())),
    };
    let items = [
        "authorization",
        "{ header: x-goog-iap-jwt-assertion }",
        "{ cookie: __Host-session }",
        "{ query: access_token }",
        "{ websocket_protocol: bearer }",
    ];
    for (listed, item) in items.iter().enumerate() {
        let policies = policies(&format!("[{item}]"));
        for at in 0..items.len() {
            let want = if at == listed { "allow" } else { "credential_missing" };
            assert_eq!(place(at).outcome(&policies), want, "{item} {at}");
        }
        expect(&place(listed), "allow");
        let kinds = [
            None,
            Some(SourceKind::Header),
            Some(SourceKind::Cookie),
            Some(SourceKind::Query),
            Some(SourceKind::WebSocketProtocol),
        ];
        assert_eq!(
            place(listed).decide(&self::policies(SOURCES)).source,
            kinds[listed],
            "{item}"
        );
    }
}

#[test]
fn authorization_counts_alone_where_it_is_present_good_or_bad() {
    let beside = |authorization: &str| {
        cookie(&format!("GET /x?access_token={}&access_token=2", good()))
            .header("sec-fetch-site", "same-origin")
            .header("authorization", authorization)
    };
    expect(&beside("Bearer nonsense"), "token_malformed");
    expect(&beside("Bearer"), "token_malformed");
    expect(
        &beside(&format!("Bearer {}", sign(&claims_with(&json!({ "exp": 1 }))))),
        "token_expired",
    );
    expect(&beside("Basic YTpi"), "credential_missing");
    expect(&beside(&format!("Bearer {}", good())), "allow");
    let unlisted = policies("[{ cookie: __Host-session }]");
    for authorization in ["Bearer nonsense", "Basic YTpi"] {
        let request = cookie("GET /x")
            .header("sec-fetch-site", "same-origin")
            .header("authorization", authorization);
        assert_eq!(request.outcome(&unlisted), "allow", "{authorization}");
    }
}

#[test]
fn two_places_or_one_twice_are_malformed_where_a_token_counts() {
    let token = good();
    for (request, is_always) in [
        (cookie("GET /x?access_token=1"), false),
        (cookie("GET /x").header("cookie", "__Host-session=2"), false),
        (request("GET /x?access_token=1&access%5Ftoken=1"), false),
        (request("GET /x?access_token=&access_token"), false),
        (cookie("GET /x").header("x-goog-iap-jwt-assertion", &token), false),
        (offering("bearer, 1, bearer, 2"), false),
        (offering("bearer, bearer"), false),
        (offering("bearer, 1").header("cookie", "__Host-session=1"), false),
        (
            request("GET /x")
                .header("x-goog-iap-jwt-assertion", &token)
                .header("x-goog-iap-jwt-assertion", &token),
            true,
        ),
    ] {
        expect(&request, "request_malformed");
        let with = request.clone().bearer(&claims());
        expect(&with, if is_always { "request_malformed" } else { "allow" });
    }
    for path in ["/open", "/jobs"] {
        let request = cookie(&format!("GET {path}?access_token=1")).key(JOBS_KEY);
        expect(&request, "allow");
    }
    expect(&cookie("GET /maybe?access_token=1"), "request_malformed");
    expect(&cookie("GET /shadow?access_token=1"), "request_malformed");
}

#[test]
fn value_that_is_not_a_token_is_malformed_and_never_absent() {
    for request in [
        request("GET /x?access_token="),
        request("GET /maybe?access_token"),
        request(&format!("GET /maybe?access_token=%{}", good())),
        request("GET /x").header("x-goog-iap-jwt-assertion", ""),
        request("GET /maybe").header("x-goog-iap-jwt-assertion", &format!("Bearer {}", good())),
        request("GET /maybe")
            .header("cookie", "__Host-session")
            .header("sec-fetch-site", "none"),
        request("GET /maybe")
            .header("cookie", "__Host-session=\"x\"")
            .header("sec-fetch-site", "none"),
        offering("bearer"),
        offering("chat, bearer"),
        offering("bearer, a/b"),
        offering(&format!("bearer, \"{}\"", good())),
    ] {
        expect(&request, "token_malformed");
    }
}

#[test]
fn other_spellings_and_half_handshakes_have_no_token() {
    let token = good();
    for request in [
        request("GET /x").header("x_goog_iap_jwt_assertion", &token),
        request(&format!("GET /x?Access_Token={token}")),
        request(&format!("GET /x?a=1;access_token={token}")),
        request("GET /x").header("cookie", &format!("__host-session={token}")),
        offering(&format!("Bearer, {token}")),
        request("GET /x").header("sec-websocket-protocol", &format!("bearer, {token}")),
        handshake(request("POST /x").header("sec-websocket-protocol", &format!("bearer, {token}"))),
    ] {
        expect(&request, "credential_missing");
    }
}

#[test]
fn header_with_a_token_cannot_end_with_this_hop() {
    for name in [
        "x-goog-iap-jwt-assertion",
        "X_Goog_IAP_JWT_Assertion",
        "cookie",
        "Sec-Fetch-Site",
    ] {
        expect(&cookie("GET /open").header("connection", name), "request_malformed");
    }
}

#[test]
fn query_counts_for_reading_only() {
    let query = |method: &str| request(&format!("{method} /x?access_token={}", good()));
    for method in ["GET", "HEAD"] {
        expect(&query(method), "allow");
    }
    expect(&handshake(query("GET")), "allow");
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        expect(&query(method), "token_source_not_allowed");
        expect(&query(method).bearer(&claims()), "allow");
    }
}

type Headers = &'static [(&'static str, &'static str)];

/// What browsers send from which page: the headers, and whether the cookie counts for a GET, for a POST, and for a
/// WebSocket.
const PAGES: &[(Headers, [bool; 3])] = &[
    (&[], [false, false, false]),
    (&[("sec-fetch-site", "same-origin")], [true, true, false]),
    (&[("sec-fetch-site", "none")], [true, false, false]),
    (&[("sec-fetch-site", "same-site")], [false, false, false]),
    (&[("sec-fetch-site", "cross-site")], [false, false, false]),
    (&[("sec-fetch-site", "Same-Origin")], [false, false, false]),
    (&[("sec-fetch-site", "")], [false, false, false]),
    (&[("sec-fetch-site", "same-origin, none")], [false, false, false]),
    (
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
        [false, false, false],
    ),
    (&[("sec_fetch_site", "same-origin")], [false, false, false]),
    (&[("origin", "http://app.example")], [true, true, true]),
    (&[("origin", "http://app.example:80")], [true, true, true]),
    (&[("origin", "https://app.example")], [false, false, false]),
    (&[("origin", "http://app.example:8080")], [false, false, false]),
    (&[("origin", "http://evil.example")], [false, false, false]),
    (&[("origin", "http://app.example.evil.example")], [false, false, false]),
    (&[("origin", "null")], [false, false, false]),
    (&[("origin", "")], [false, false, false]),
    (
        &[("origin", "http://app.example"), ("origin", "http://app.example")],
        [false, false, false],
    ),
    (
        &[("origin", "http://app.example, http://evil.example")],
        [false, false, false],
    ),
    // A page of this origin, with the origin and without, and with `Referrer-Policy: no-referrer`.
    (
        &[("origin", "http://app.example"), ("sec-fetch-site", "same-origin")],
        [true, true, true],
    ),
    (
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        [true, true, false],
    ),
    (
        &[("origin", "http://app.example"), ("sec-fetch-site", "none")],
        [true, true, true],
    ),
    // What contradicts itself.
    (
        &[("origin", "http://app.example"), ("sec-fetch-site", "cross-site")],
        [false, false, false],
    ),
    (
        &[("origin", "http://app.example"), ("sec-fetch-site", "same-site")],
        [false, false, false],
    ),
    (
        &[("origin", "http://app.example"), ("sec-fetch-site", "word")],
        [false, false, false],
    ),
    (
        &[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
        [false, false, false],
    ),
    (
        &[("origin", "http://evil.example"), ("sec-fetch-site", "none")],
        [false, false, false],
    ),
    (&[("origin", "null"), ("sec-fetch-site", "none")], [false, false, false]),
    // A page of another site: `fetch`, form, image; from a sandbox.
    (
        &[("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")],
        [false, false, false],
    ),
    (
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        [false, false, false],
    ),
    (
        &[("origin", "http://www.app.example"), ("sec-fetch-site", "same-site")],
        [false, false, false],
    ),
];

#[test]
fn cookie_counts_only_on_requests_of_pages_that_may_send_it() {
    let policies = policies(SOURCES);
    let word = |counts| if counts { "allow" } else { "token_source_not_allowed" };
    for (headers, counts) in PAGES {
        let with = |request| {
            headers.iter().fold(request, |request: TestRequest, (name, value)| {
                request.header(name, value)
            })
        };
        let requests = [cookie("GET /x"), cookie("POST /x"), handshake(cookie("GET /x"))];
        for (request, counts) in requests.into_iter().zip(counts) {
            let request = with(request);
            assert_eq!(request.outcome(&policies), word(*counts), "{request:?}");
        }
        assert_eq!(
            with(cookie("HEAD /x")).outcome(&policies),
            word(counts[0]),
            "{headers:?}"
        );
        for method in ["DELETE", "OPTIONS", "PROPFIND"] {
            let request = with(cookie(&format!("{method} /x")));
            assert_eq!(request.outcome(&policies), word(counts[1]), "{request:?}");
        }
        // Never a reason to let a request in as one without a token.
        assert_eq!(
            with(cookie("GET /maybe")).outcome(&policies),
            word(counts[0]),
            "{headers:?}"
        );
    }
}

#[test]
fn own_origin_is_that_of_the_connection_or_what_a_trusted_proxy_says() {
    let [clear, tls] = [false, true].map(|tls| Downstream {
        tls,
        ..Downstream::default()
    });
    let trusted = Downstream { trusted: true, ..clear };
    let policies = policies(SOURCES);
    let forwarded: &[_] = &[("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.example")];
    for (downstream, headers, own) in [
        (clear, &[][..], "http://app.example"),
        (tls, &[], "https://app.example"),
        (clear, forwarded, "http://app.example"),
        (trusted, forwarded, "https://shop.example"),
        (trusted, &[("x-forwarded-proto", "https")], "https://app.example"),
        (
            trusted,
            &[("x-forwarded-host", "shop.example:8443")],
            "http://shop.example:8443",
        ),
        (trusted, &[], "http://app.example"),
    ] {
        for origin in [
            "http://app.example",
            "https://app.example",
            "https://shop.example",
            "http://shop.example:8443",
        ] {
            let request = cookie("POST /x").over(downstream).header("origin", origin);
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(name, value));
            let want = if origin == own {
                "allow"
            } else {
                "token_source_not_allowed"
            };
            assert_eq!(request.outcome(&policies), want, "{request:?}");
        }
    }
    let several = cookie("POST /x")
        .over(trusted)
        .header("x-forwarded-host", "app.example, shop.example")
        .header("origin", "http://app.example");
    assert_eq!(several.outcome(&policies), "token_source_not_allowed");
}

#[test]
fn cookie_counts_on_requests_of_listed_pages_where_credentials_are_allowed() {
    let exact = AllowedOrigin::Exact(HeaderValue::from_static("https://shop.example"));
    let origins = vec![exact, AllowedOrigin::Subdomain(".eu.example".into())];
    let [with, without] = [true, false].map(|credentials| {
        let mut policy = policies(SOURCES).policies()[0].clone();
        policy.cors = Some(Cors::new(origins.clone(), credentials, Duration::ZERO, &[], &[]));
        policy
    });
    let counts = |policy, request: &TestRequest| check(SourceKind::Cookie, policy, &request.facts()).is_ok();
    for (origin, is_listed) in [
        ("https://shop.example", true),
        ("https://de.eu.example", true),
        ("http://shop.example", false),
        ("https://shop.example:8443", false),
        ("https://shop.example.evil.example", false),
        ("https://a.b.eu.example", false),
        ("null", false),
    ] {
        for site in ["", "cross-site", "same-site"] {
            let page = |request: TestRequest| match site {
                "" => request.header("origin", origin),
                _ => request.header("origin", origin).header("sec-fetch-site", site),
            };
            for request in [cookie("GET /x"), cookie("POST /x"), handshake(cookie("GET /x"))] {
                let request = page(request);
                assert_eq!(counts(&with, &request), is_listed, "{request:?}");
                assert!(!counts(&without, &request), "{request:?}");
            }
        }
    }
    let twice = cookie("POST /x")
        .header("origin", "https://shop.example")
        .header("origin", "https://shop.example");
    assert!(!counts(&with, &twice));
    let image = cookie("GET /x").header("sec-fetch-site", "cross-site");
    assert!(!counts(&with, &image));
}

#[test]
fn cause_says_why_a_place_does_not_count() {
    let policies = policies(SOURCES);
    let page = |line: &str, headers: Headers| {
        let with = |request: TestRequest, (name, value): &(&str, &str)| request.header(name, value);
        headers.iter().fold(cookie(line), with)
    };
    for (request, cause) in [
        (page("GET /x", &[]), "without a header that says from which page"),
        (
            page("POST /x", &[("sec-fetch-site", "none")]),
            "from no page: then it counts for GET and HEAD only",
        ),
        (
            page("GET /x", &[("sec-fetch-site", "same-site")]),
            "from a page of another origin of this site",
        ),
        (
            page("GET /x", &[("sec-fetch-site", "cross-site")]),
            "from a page of another site",
        ),
        (
            page("GET /x", &[("sec-fetch-site", "word")]),
            "a `sec-fetch-site` that is not known",
        ),
        (
            page("POST /x", &[("origin", "null")]),
            "`origin: null`, which says nothing of the page",
        ),
        (
            page("POST /x", &[("origin", "null"), ("sec-fetch-site", "cross-site")]),
            "from a page of another site",
        ),
        (
            page("POST /x", &[("origin", "https://app.example")]),
            "neither the one of this request nor listed",
        ),
        (
            page("GET /x?access_token=1", &[]),
            "a token is in two places: a cookie and a query parameter",
        ),
        (
            page("GET /x", &[("cookie", "__Host-session=2")]),
            "more than one cookie has a token",
        ),
        (
            request("GET /x?access_token=1&access_token=2"),
            "more than one query parameter has a token",
        ),
        (request("GET /x"), "no token in any place of `jwt.sources`"),
        (
            request("GET /x").header("sec-websocket-protocol", "chat"),
            "no token in any place of `jwt.sources`",
        ),
        (
            request("GET /x").header("sec-websocket-protocol", "bearer, T"),
            "not a complete WebSocket handshake over HTTP/1.1",
        ),
    ] {
        let decision = request.decide(&policies);
        let found = decision.outcome.rejection().unwrap().cause();
        assert!(found.contains(cause), "{request:?}: {found}");
    }
}

#[test]
fn rejected_cookie_has_the_origins_that_the_operator_compares() {
    let policies = policies(SOURCES);
    let tls = Downstream {
        tls: true,
        ..Downstream::default()
    };
    let claimed = |request: TestRequest| {
        let decision = request.decide(&policies);
        decision.outcome.rejection().unwrap().claimed().to_string()
    };
    let page = cookie("POST /x").over(tls).header("origin", "http://app.example");
    assert_eq!(
        claimed(page),
        r#"origin: "http://app.example", own_origin: "https://app.example""#
    );
    assert_eq!(claimed(cookie("POST /x")), "");
    for secret in [
        "https://user:hush@app.example",
        "https://app.example/?token=hush",
        "eyJ.hush.x",
    ] {
        let page = cookie("POST /x").over(tls).header("origin", secret);
        assert_eq!(claimed(page), r#"origin: "***", own_origin: "https://app.example""#);
    }
}

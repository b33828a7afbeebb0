//! Pages of other origins: preflights, which Sidegate answers, and responses that a page can read, rejections included.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    harness::{
        Answer, Gateway, Reply, Request, Setup, Shared, Upstream, eventually, free_port,
        h2_service::{Call, H2Service},
        http2::Http2,
        issuer::{self, token},
        unique, values,
    },
    upstreams::{handshake, websocket},
};

const APP: &str = "https://app.example.com";
const SUB: &str = "https://a.example.org";
const STRANGER: &str = "https://evil.example";

const POLICY: &str = "
$wallet
prefix: /w
cors:
  origins: ['https://app.example.com', 'https://*.example.org']
  headers: [Authorization, x-tenant-id]
  expose: [x-total]
  max_age: 5m
routes:
  - { path: /open/*, auth: public }
  - { path: /typed, methods: [POST], auth: public, content_types: [application/json] }
  - { path: /keyed, methods: [POST], auth: jwt, idempotency: {} }
  - { path: /write, methods: [PUT], auth: jwt }
  - { path: /once, methods: [GET], auth: public, quotas: [{ name: once, per: address, limit: 1, window: 24h }] }
  - { path: /quiet, methods: [GET], auth: public, log: off }
  - { path: /closed, methods: [DELETE], auth: deny }
  - { path: /options, methods: [OPTIONS], auth: public }
  - { path: /x/*, auth: jwt, scopes: [all] }
";

/// Other policies: with cookies, without the block, for all pages, with a service that is down or silent.
const OTHERS: [(&str, &str); 5] = [
    (
        "cookies",
        "prefix: /cookies\ncors: { origins: ['https://app.example.com'], credentials: true }",
    ),
    ("plain", "prefix: /plain"),
    ("any", "prefix: /any\ncors: { origins: ['*'] }"),
    ("down", "prefix: /down\ncors: { origins: ['https://app.example.com'] }"),
    ("slow", "prefix: /slow\ncors: { origins: ['https://app.example.com'] }"),
];

/// Says itself who may read its responses, and that they vary.
fn service() -> Upstream {
    Upstream::start(|request| {
        if request.target.starts_with("/slow") {
            return Reply::script(|stream| stream.read(&mut [0]).map(|_| ()));
        }
        if request.target.ends_with("/socket") {
            return websocket(request);
        }
        let status = match request.target.rsplit('/').next() {
            Some("not-modified") => 304,
            Some("broken") => 500,
            _ => 200,
        };
        let body = if status == 304 { "" } else { "{}" };
        Reply::status(status, body)
            .header("Access-Control-Allow-Origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("access-control-expose-headers", "x-secret")
            .header("vary", "accept-encoding")
            .header("x-total", "7")
    })
}

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let limits = "limits: { body_bytes: 1KiB, uri_bytes: 2KiB, header_bytes: 8KiB, headers: 40 }";
        let mut setup = Setup::in_front_of(service()).config(limits).policy("wallet", POLICY);
        for (name, lines) in OTHERS {
            let url = match name {
                "down" => format!("http://127.0.0.1:{}", free_port()),
                _ => "$upstream".to_owned(),
            };
            let policy = format!(
                "version: 1\nservice: {name}\nupstream: {{ url: '{url}', timeout: 200ms }}\n{lines}\n\
                 routes: [{{ path: /*, auth: public }}]\n"
            );
            setup = setup.policy(name, &policy);
        }
        setup.start()
    })
}

fn from(origin: &str, request: Request) -> Request {
    request.header("Origin", origin)
}

fn preflight(origin: &str, path: &str, method: &str) -> Request {
    from(origin, Request::new("OPTIONS", path))
        .header("Access-Control-Request-Method", method)
        .header("access-control-request-headers", "authorization,x-not-listed")
}

/// The response over each protocol.
fn over_each(request: &Request) -> [Answer; 2] {
    let gateway = gateway();
    let again = Request {
        case: unique().to_string(),
        ..request.clone()
    };
    [gateway.send(request), Http2::plain(gateway.port).exchange(&again)]
}

/// The fields of CORS, in alphabetical order, and `vary`.
fn fields(answer: &Answer) -> Vec<(String, String)> {
    let named = |(name, _): &&(String, String)| name.starts_with("access-control-") || name == "vary";
    let lower = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let lower: Vec<_> = lower.collect();
    let mut fields: Vec<_> = lower.iter().filter(named).cloned().collect();
    fields.sort();
    fields
}

const EXPOSED: &str = "x-request-id, x-sidegate-reason, www-authenticate, retry-after, x-total";

fn assert_fields(answer: &Answer, want: &[(&str, &str)], about: &Request) {
    let found = fields(answer);
    let found: Vec<_> = found
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, want, "{about}: {answer:?}");
}

#[test]
fn preflight_is_answered_by_sidegate_and_reaches_no_service() {
    let gateway = gateway();
    for (origin, path, method, methods) in [
        (APP, "/w/write", "PUT", "PUT"),
        (SUB, "/w/write?x=1", "PUT", "PUT"),
        (APP, "/w/x/y", "PATCH", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        (
            APP,
            "/w/open/x",
            "SEARCH",
            "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, SEARCH",
        ),
        (APP, "/w/options", "OPTIONS", "OPTIONS"),
    ] {
        let request = preflight(origin, path, method);
        for answer in over_each(&request) {
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{request}: {answer:?}");
            assert_fields(
                &answer,
                &[
                    ("access-control-allow-headers", "authorization, x-tenant-id"),
                    ("access-control-allow-methods", methods),
                    ("access-control-allow-origin", origin),
                    ("access-control-max-age", "300"),
                    ("vary", "Origin"),
                ],
                &request,
            );
            assert!(answer.header("x-request-id").is_some(), "{answer:?}");
        }
        let all = gateway.upstream.all();
        assert!(
            !all.iter()
                .any(|seen| values(&seen.headers, "access-control-request-method") == [method] && seen.target == path)
        );
    }
}

#[test]
fn other_request_than_a_preflight_of_a_listed_page_is_an_ordinary_one() {
    let gateway = gateway();
    for (request, status, reason) in [
        (preflight(STRANGER, "/w/x/y", "PUT"), 401, "credential_missing"),
        (preflight("null", "/w/x/y", "PUT"), 401, "credential_missing"),
        (
            preflight("https://a.b.example.org", "/w/x/y", "PUT"),
            401,
            "credential_missing",
        ),
        (from(APP, preflight(APP, "/w/x/y", "PUT")), 401, "credential_missing"),
        (preflight(APP, "/w/x/y", "put"), 401, "credential_missing"),
        (preflight(APP, "/w/x/y", "CONNECT"), 401, "credential_missing"),
        (preflight(APP, "/w/write", "DELETE"), 405, "method_not_allowed"),
        (preflight(APP, "/w/closed", "DELETE"), 405, "method_not_allowed"),
        (preflight(APP, "/w/nothing", "GET"), 404, "route_not_found"),
        (preflight(APP, "/w/open/%2e%2e/x", "GET"), 400, "path_ambiguous"),
        (from(APP, Request::new("OPTIONS", "/w/x/y")), 401, "credential_missing"),
        (preflight(APP, "/elsewhere", "GET"), 404, "route_not_found"),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert_eq!(
            answer.header("x-sidegate-reason"),
            Some(reason),
            "{request}: {answer:?}"
        );
        assert!(gateway.upstream.seen(&request.case).is_empty(), "{request}");
    }
    // With the credentials that it asks for, or without any where none is asked for, the service gets it.
    let known = |request: Request| request.bearer(&token(json!({ "scopes": ["all"] }))).tenant();
    for request in [
        known(preflight(STRANGER, "/w/x/y", "PUT")),
        preflight(STRANGER, "/w/open/x", "PUT"),
        preflight(APP, "/w/options", "PUT"),
        from(APP, Request::new("OPTIONS", "/w/open/x")),
        preflight(APP, "/plain/x", "PUT"),
    ] {
        assert_eq!(gateway.allowed(&request).method, "OPTIONS", "{request}");
    }
}

#[test]
fn preflight_uses_no_quota_and_is_counted_and_logged_as_one() {
    let gateway = gateway();
    for _ in 0..3 {
        assert_eq!(gateway.send(&preflight(APP, "/w/once", "GET")).status, 204);
        assert_eq!(gateway.send(&preflight(APP, "/w/quiet", "GET")).status, 204);
    }
    let answer = gateway.send(&from(APP, Request::get("/w/once")));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = gateway.send(&from(APP, Request::get("/w/once")));
    assert_eq!(
        (answer.status, answer.header("retry-after").is_some()),
        (429, true),
        "{answer:?}"
    );
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
    for (decision, reason, count) in [("preflight", "", 3.0), ("allow", "", 1.0)] {
        let labels = [
            ("service", "wallet-svc"),
            ("route", "/w/once"),
            ("decision", decision),
            ("reason", reason),
        ];
        assert_eq!(
            gateway.metric("sidegate_decisions_total", &labels),
            Some(count),
            "{decision}"
        );
    }
    let lines = || {
        gateway
            .log_lines()
            .into_iter()
            .filter(|line| line["decision"] == "preflight")
            .collect::<Vec<_>>()
    };
    eventually("they are logged", || {
        lines().iter().filter(|line| line["route"] == "/w/once").count() == 3
    });
    let line = lines().into_iter().find(|line| line["route"] == "/w/once").unwrap();
    assert_eq!(
        [&line["status"], &line["method"], &line["service"], &line["reason"]],
        [&json!(204), &json!("OPTIONS"), &json!("wallet-svc"), &Value::Null],
        "{line}"
    );
    assert!(!lines().iter().any(|line| line["route"] == "/w/quiet"));
}

#[test]
fn page_reads_every_rejection() {
    let gateway = gateway();
    let long = "x".repeat(9 * 1024);
    let chunks = format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048));
    let expired = token(json!({ "exp": issuer::now() - 100 }));
    let known = |request: Request| request.bearer(&token(json!({}))).tenant();
    for (request, status, reason) in [
        (Request::get("/w/x/y"), 401, "credential_missing"),
        (Request::get("/w/x/y").bearer(&expired).tenant(), 401, "token_expired"),
        (known(Request::get("/w/x/y")), 403, "scope_missing"),
        (Request::get("/w/nothing"), 404, "route_not_found"),
        (Request::get("/w/write"), 405, "method_not_allowed"),
        (Request::get("/w/open//x"), 400, "path_ambiguous"),
        (
            Request::get("/w/open/x")
                .header("te", "x")
                .header("connection", "te, content-type"),
            400,
            "request_malformed",
        ),
        (Request::post("/w/open/x", &"x".repeat(2048)), 413, "body_too_large"),
        (
            Request::get(&format!("/w/open/{}", "x".repeat(3000))),
            414,
            "uri_too_long",
        ),
        (
            Request::new("POST", "/w/typed")
                .header("content-type", "text/plain")
                .body("x"),
            415,
            "content_type_unsupported",
        ),
        (Request::get("/down/x"), 502, "upstream_unreachable"),
        (Request::get("/slow/x"), 504, "upstream_timeout"),
    ] {
        let path = request.target.clone();
        let exposed = if path.starts_with("/w/") {
            EXPOSED
        } else {
            EXPOSED.trim_end_matches(", x-total")
        };
        // `connection` ends an HTTP/2 request before it begins.
        let is_http1 = request.headers.iter().any(|(name, _)| name == "connection");
        for (origin, is_listed) in [(APP, true), (STRANGER, false)] {
            let request = from(origin, request.clone());
            let answers = match is_http1 {
                true => vec![gateway.send(&request)],
                false => over_each(&request).to_vec(),
            };
            for answer in answers {
                assert_eq!(answer.status, status, "{request}: {answer:?}");
                assert_eq!(
                    answer.header("x-sidegate-reason"),
                    Some(reason),
                    "{request}: {answer:?}"
                );
                match is_listed {
                    true => assert_fields(
                        &answer,
                        &[
                            ("access-control-allow-origin", APP),
                            ("access-control-expose-headers", exposed),
                            ("vary", "Origin"),
                        ],
                        &request,
                    ),
                    false => assert_fields(&answer, &[("vary", "Origin")], &request),
                }
            }
        }
    }
    // Over HTTP/1 alone.
    let chunked = Request::new("POST", "/w/open/x")
        .header("transfer-encoding", "chunked")
        .body(&chunks);
    for (request, status) in [(chunked, 413), (Request::get("/w/open/x").header("x-long", &long), 431)] {
        let answer = gateway.send(&from(APP, request.clone()));
        let first = gateway.send(&Request {
            headers: [&[("Origin".to_owned(), APP.to_owned())][..], &*request.headers].concat(),
            ..request.clone()
        });
        assert_eq!([answer.status, first.status], [status; 2], "{request}: {answer:?}");
        assert_eq!(first.header("access-control-allow-origin"), Some(APP), "{first:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
    }
}

#[test]
fn page_reads_the_rejection_of_a_head_that_is_not_http() {
    let gateway = gateway();
    for (head, allowed) in [
        ("Origin: https://app.example.com\r\nbad header: x\r\n\r\n", true),
        ("bad header: x\r\nOrigin: https://app.example.com\r\n\r\n", true),
        ("Origin: https://evil.example\r\nbad header: x\r\n\r\n", false),
        (
            "Origin: https://app.example.com\r\nOrigin: https://app.example.com\r\nbad header: x\r\n\r\n",
            false,
        ),
        ("bad header: x\r\n\r\n", false),
    ] {
        let mut wire = gateway.connect();
        wire.write(format!("GET /w/open/x HTTP/1.1\r\nHost: localhost\r\n{head}"));
        let answer = wire.answer("GET").unwrap();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{head}: {answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            allowed.then_some(APP),
            "{head}: {answer:?}"
        );
    }
}

#[test]
fn response_of_a_service_has_the_fields_of_the_policy_in_place_of_its_own() {
    let gateway = gateway();
    let vary = [("vary", "Origin"), ("vary", "accept-encoding")];
    let read = |origin| {
        [
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", EXPOSED),
        ]
    };
    for (path, status) in [
        ("/w/open/x", 200),
        ("/w/open/not-modified", 304),
        ("/w/open/broken", 500),
    ] {
        for (origin, want) in [
            (Some(APP), [&read(APP)[..], &vary].concat()),
            (Some(SUB), [&read(SUB)[..], &vary].concat()),
            (Some(STRANGER), vary.to_vec()),
            (Some("null"), vary.to_vec()),
            (Some("https://app.example.com:443"), vary.to_vec()),
            (None, vary.to_vec()),
        ] {
            for method in ["GET", "HEAD"] {
                let request = Request::new(method, path);
                let request = origin.map_or(request.clone(), |origin| from(origin, request));
                for answer in over_each(&request) {
                    assert_eq!(answer.status, status, "{request}: {answer:?}");
                    assert_fields(&answer, &want, &request);
                    assert_eq!(answer.header("x-total"), Some("7"), "{answer:?}");
                }
            }
        }
    }
    // No page has two origins.
    let request = from(APP, from(APP, Request::get("/w/open/x")));
    assert_fields(&gateway.send(&request), &vary, &request);
}

#[test]
fn cookies_all_pages_and_no_block_each_have_their_fields() {
    let gateway = gateway();
    let exposed = EXPOSED.trim_end_matches(", x-total");
    let request = from(APP, Request::get("/cookies/x"));
    for answer in over_each(&request) {
        assert_fields(
            &answer,
            &[
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-origin", APP),
                ("access-control-expose-headers", exposed),
                ("vary", "Origin"),
                ("vary", "accept-encoding"),
            ],
            &request,
        );
    }
    let answer = gateway.send(&preflight(APP, "/cookies/x", "PUT"));
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        Some("true"),
        "{answer:?}"
    );
    assert_eq!(answer.header("access-control-max-age"), Some("600"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-headers"), None, "{answer:?}");
    for (origin, want) in [(STRANGER, Some("*")), ("null", None)] {
        let answer = gateway.send(&from(origin, Request::get("/any/x")));
        assert_eq!(answer.header("access-control-allow-origin"), want, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
    }
    let request = from(APP, Request::get("/plain/x"));
    for answer in over_each(&request) {
        assert_fields(
            &answer,
            &[
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "x-secret"),
                ("vary", "accept-encoding"),
            ],
            &request,
        );
    }
    let answer = gateway.send(&from(APP, Request::get("/plain//x")));
    assert!(fields(&answer).is_empty(), "{answer:?}");
}

#[test]
fn trailers_of_a_service_say_nothing_of_pages() {
    let service = H2Service::start(|mut call: Call| async move {
        let mut stream = call.begin(200, &[("content-type", "application/grpc")])?;
        let mut trailers = http::HeaderMap::new();
        for (name, value) in [("grpc-status", "0"), ("access-control-allow-origin", "*")] {
            trailers.insert(name, value.parse().unwrap());
        }
        stream.send_trailers(trailers)
    });
    let policy = |name: &str, cors: &str| {
        let url = &service.url;
        format!(
            "version: 1\nservice: {name}\nprefix: /{name}\nupstream: {{ url: '{url}' }}\n{cors}routes: [{{ path: /*, auth: \
             public }}]\n"
        )
    };
    let gateway = Setup::new()
        .policy(
            "with",
            &policy("with", "cors: { origins: ['https://app.example.com'] }\n"),
        )
        .policy("without", &policy("without", ""))
        .start();
    for (name, want) in [("with", &[][..]), ("without", &["*"])] {
        let request = from(STRANGER, Request::get(&format!("/{name}/x"))).header("te", "trailers");
        let answer = Http2::plain(gateway.port).exchange(&request);
        assert_eq!(values(&answer.trailers, "grpc-status"), ["0"], "{answer:?}");
        assert_eq!(
            values(&answer.trailers, "access-control-allow-origin"),
            want,
            "{answer:?}"
        );
    }
}

#[test]
fn stored_response_is_for_the_page_that_asks_now() {
    let gateway = gateway();
    let key = crate::idempotency::key();
    let call = |origin: &str| {
        let request = Request::post("/w/keyed", "{}").bearer(&token(json!({}))).tenant();
        from(origin, request).header("idempotency-key", &key)
    };
    for (origin, replayed, want) in [
        (APP, None, Some(APP)),
        (SUB, Some("true"), Some(SUB)),
        (STRANGER, Some("true"), None),
    ] {
        let answer = gateway.send(&call(origin));
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (200, replayed),
            "{answer:?}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), want, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
        assert_eq!(
            values(&answer.headers, "vary"),
            ["accept-encoding", "Origin"],
            "{answer:?}"
        );
    }
}

#[test]
fn websocket_opens_whatever_the_page() {
    let gateway = gateway();
    for (origin, want) in [(APP, Some(APP)), (STRANGER, None)] {
        let mut wire = gateway.connect();
        wire.write(from(origin, handshake("/w/open/socket")).bytes());
        let (status, headers) = wire.head().unwrap();
        assert_eq!(status, 101, "{headers:?}");
        assert_eq!(
            values(&headers, "access-control-allow-origin").first().copied(),
            want,
            "{headers:?}"
        );
    }
}

fn explain(arguments: &[&str]) -> (i32, Value) {
    let output = gateway().sidegate_with(
        &[
            &["explain"],
            arguments,
            &["--config", "sidegate.yaml", "--output", "json"],
        ]
        .concat(),
        &[
            ("IT_SECRET", crate::harness::SECRET),
            ("IT_JOBS_KEY", crate::harness::JOBS_KEY),
        ],
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), report)
}

#[test]
fn explain_shows_what_a_page_may_do() {
    const ORIGIN: [&str; 2] = ["-H", "origin: https://app.example.com"];
    let _gateway = gateway();
    let step = |report: &Value| {
        let steps = report["steps"].as_array().unwrap().iter();
        let cors: Vec<_> = steps
            .filter(|step| step["step"] == "cors")
            .map(|step| step["detail"].to_string())
            .collect();
        cors.join(" ")
    };
    let put = ["-H", "access-control-request-method: PUT"];
    let (code, report) = explain(&[&["OPTIONS", "/w/write"], &ORIGIN[..], &put].concat());
    assert_eq!(
        (code, &report["decision"], &report["status"]),
        (0, &json!("preflight"), &json!(204)),
        "{report}"
    );
    assert_eq!(
        report["response"]["headers"]["access-control-allow-methods"], "PUT",
        "{report}"
    );
    assert!(
        step(&report).contains("Sidegate itself responds; the path takes PUT"),
        "{report}"
    );
    assert_eq!(report["headers"], json!({}), "{report}");
    let (code, report) = explain(&[&["OPTIONS", "/w/once"], &ORIGIN[..], &put].concat());
    assert_eq!((code, &report["reason"]), (1, &json!("method_not_allowed")), "{report}");
    assert!(
        step(&report).contains("not answered as a preflight for PUT: no route takes it here"),
        "{report}"
    );
    let (_, report) = explain(&[&["GET", "/w/x/y"], &ORIGIN[..]].concat());
    assert_eq!(
        report["response"]["headers"]["access-control-allow-origin"], APP,
        "{report}"
    );
    assert!(
        step(&report).contains("pages of https://app.example.com may read the response"),
        "{report}"
    );
    let (_, report) = explain(&["GET", "/w/open/x", "-H", "origin: https://evil.example"]);
    assert!(step(&report).contains("https://evil.example is not listed"), "{report}");
    let (_, report) = explain(&["GET", "/plain/x", "-H", "origin: https://evil.example"]);
    assert_eq!(step(&report), "", "{report}");
}

//! The body of a no: each service's own standard error, byte for byte.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Answer, Gateway, Request, Setup, Shared, issuer::token};

/// The same policy in each of the three formats, at `/flat`, `/envelope` and `/problem`.
const POLICY: &str = "
version: 1
service: $format-svc
prefix: /$format
upstream: { url: '$upstream' }
errors: { format: $format, code_prefix: ERR_$FORMAT }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
routes:
  - { path: /only-get, methods: [GET], auth: jwt }
  - { path: /one, methods: [POST], auth: jwt, roles: [admin], scopes: [all] }
  - { path: /x/*, auth: jwt }
";
const FORMATS: [&str; 3] = ["flat", "envelope", "problem"];

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    let policy = |format: &str| {
        POLICY
            .replace("$format", format)
            .replace("$FORMAT", &format.to_uppercase())
    };
    SHARED.get(|| {
        FORMATS
            .iter()
            .fold(Setup::new(), |setup, format| setup.policy(format, &policy(format)))
            .start()
    })
}

fn assert_head(answer: &Answer, status: u16, media_type: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let content_type = answer.header("content-type").unwrap();
    assert_eq!(content_type.split(';').next(), Some(media_type), "{answer:?}");
    assert_eq!(answer.header("content-length").unwrap(), answer.body.len().to_string());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-sidegate-reason").is_some(), "{answer:?}");
    assert!(uuid::Uuid::try_parse(answer.header("x-request-id").unwrap()).is_ok());
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{answer:?}");
    assert!(
        answer.header("server").is_none_or(|server| !server.contains("Pingora")),
        "{answer:?}"
    );
    assert!(!answer.text().contains("Pingora") && !answer.text().contains("panicked"));
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string: {value}"))
}

fn assert_timestamp(value: &serde_json::Value) {
    let stamp = text(value);
    assert!(
        stamp.parse::<jiff::Timestamp>().is_ok() && stamp.len() == 24 && stamp.ends_with('Z'),
        "{stamp}"
    );
}

#[test]
fn flat() {
    let answer = gateway().send(&Request::get("/flat/x/execute?token=secret"));
    assert_head(&answer, 401, "application/json");
    let body = answer.json();
    let expected = format!(
        r#"{{"statusCode":401,"code":"ERR_FLAT_UNAUTHORIZED","message":{},"path":"/flat/x/execute","timestamp":{}}}"#,
        body["message"], body["timestamp"]
    );
    assert_eq!(answer.text(), expected);
    assert!(!text(&body["message"]).is_empty());
    assert_timestamp(&body["timestamp"]);
}

#[test]
fn envelope() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/envelope/x").bearer(&token(json!({ "exp": 1 })));
    let answer = gateway().send(&request.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")));
    assert_head(&answer, 401, "application/json");
    let body = answer.json();
    let id = answer.header("x-request-id").unwrap();
    let expected = format!(
        r#"{{"data":null,"error":{{"code":"ERR_ENVELOPE_UNAUTHORIZED","message":{},"details":{{"reason":"token_expired"}},"traceId":"{trace}"}},"meta":{{"requestId":"{id}","traceId":"{trace}","timestamp":{}}}}}"#,
        body["error"]["message"], body["meta"]["timestamp"]
    );
    assert_eq!(answer.text(), expected);
    assert_timestamp(&body["meta"]["timestamp"]);
}

#[test]
fn problem() {
    let answer = gateway().send(&Request::get("/problem/x/y?q"));
    assert_head(&answer, 401, "application/problem+json");
    let body = answer.json();
    let mut members: Vec<&String> = body.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(
        members,
        [
            "code",
            "detail",
            "instance",
            "reason",
            "requestId",
            "status",
            "title",
            "type"
        ]
    );
    assert_eq!(body["status"], 401);
    assert_eq!(body["code"], "ERR_PROBLEM_UNAUTHORIZED");
    assert_eq!(body["reason"], "credential_missing");
    assert_eq!(body["requestId"], answer.header("x-request-id").unwrap());
    assert!(text(&body["instance"]).contains("/problem/x/y") && !text(&body["instance"]).contains('q'));
}

#[test]
fn each_status_has_its_word_in_every_format() {
    let gateway = gateway();
    for format in FORMATS {
        let prefix = format!("ERR_{}", format.to_uppercase());
        let media_type = if format == "problem" {
            "application/problem+json"
        } else {
            "application/json"
        };
        let path = |end: &str| format!("/{format}/{end}");
        for (request, status, word) in [
            (Request::get(&path("x/../y")), 400, "BAD_REQUEST"),
            (Request::get(&path("x/y")), 401, "UNAUTHORIZED"),
            (
                Request::post(&path("one"), "{}").bearer(&token(json!({}))),
                403,
                "FORBIDDEN",
            ),
            (Request::get(&path("nothing")), 404, "NOT_FOUND"),
            (Request::post(&path("only-get"), "{}"), 405, "METHOD_NOT_ALLOWED"),
        ] {
            let answer = gateway.send(&request);
            assert_head(&answer, status, media_type);
            assert_eq!(answer.code(), format!("{prefix}_{word}"), "{request}");
        }
    }
}

#[test]
fn path_in_an_error_body_is_the_one_that_was_sent() {
    let gateway = gateway();
    for path in ["/flat/x/%2e%2e/secret", "/flat/%78/y", "/flat/x/../y", "/flat/x/%C3%BC"] {
        assert_eq!(gateway.send(&Request::get(&format!("{path}?q=1"))).json()["path"], path);
    }
}

#[test]
fn what_belongs_to_no_policy_has_the_default_format() {
    let gateway = gateway();
    for path in ["/", "/elsewhere", "/flatx", "/fla", "/FLAT/x"] {
        let answer = gateway.send(&Request::get(path));
        assert_head(&answer, 404, "application/json");
        assert_eq!(answer.code(), "ERR_SIDEGATE_NOT_FOUND");
        assert_eq!(answer.json()["statusCode"], 404);
    }
    let answer = gateway.send(&Request::get("/elsewhere/../flat"));
    assert_head(&answer, 400, "application/json");
    assert_eq!(answer.code(), "ERR_SIDEGATE_BAD_REQUEST");
}

#[test]
fn the_default_format_can_be_chosen() {
    let own = "defaults: { errors: { format: problem, code_prefix: ERR_HERE } }";
    let policy =
        "version: 1\nservice: s\nprefix: /s\nupstream: { url: '$upstream' }\nroutes: [{ path: /x, auth: public }]\n";
    let gateway = Setup::new().config(own).policy("s", policy).start();
    let answer = gateway.send(&Request::get("/elsewhere"));
    assert_head(&answer, 404, "application/problem+json");
    assert_eq!(
        (answer.code(), answer.reason()),
        ("ERR_HERE_NOT_FOUND".to_owned(), "route_not_found".to_owned())
    );
}

#[test]
fn head_has_the_headers_and_no_body() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    let got = wire.exchange(&Request::get("/flat/x/y"));
    let head = wire.exchange(&Request::new("HEAD", "/flat/x/y"));
    assert_eq!((head.status, head.body.len()), (401, 0));
    for name in ["content-type", "content-length", "cache-control", "www-authenticate"] {
        assert_eq!(head.header(name), got.header(name), "{name}");
    }
    assert_eq!(wire.exchange(&Request::get("/flat/x/y")).status, 401);
}

#[test]
fn the_challenge_says_what_was_wrong_only_with_what_came() {
    let gateway = gateway();
    let challenge = |request: Request| gateway.send(&request).header("www-authenticate").unwrap().to_owned();
    let nothing = challenge(Request::get("/flat/x"));
    assert!(nothing.starts_with("Bearer") && !nothing.contains("error"), "{nothing}");
    for bad in ["x".to_owned(), token(json!({ "exp": 1 }))] {
        let said = challenge(Request::get("/flat/x").bearer(&bad));
        assert!(
            said.starts_with("Bearer") && said.contains(r#"error="invalid_token""#),
            "{said}"
        );
        assert!(!said.contains(&bad) || bad.len() < 2, "{said}");
    }
}

#[test]
fn a_no_tells_nothing_about_the_secret_or_the_token() {
    let gateway = gateway();
    let expired = token(json!({ "exp": 1 }));
    for format in FORMATS {
        let answer = gateway.send(&Request::get(&format!("/{format}/x?key=hunter2")).bearer(&expired));
        let said = format!("{answer:?}");
        for secret in [
            expired.as_str(),
            "hunter2",
            crate::harness::SECRET,
            "IT_SECRET",
            "user-7",
        ] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
}

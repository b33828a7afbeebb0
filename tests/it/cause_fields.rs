//! The fields of an access line that say why: bounded whatever a client sends, with the subject that a signature proves,
//! the true cause of a malformed head, and the address of an upstream.

use serde_json::json;

use crate::{
    causes::{NONE, gateway, get, logged, wallet},
    harness::{
        Setup, TENANT, eventually, free_port,
        issuer::{base64url, claims, hmac, now, token},
    },
};

#[test]
fn expired_token_has_the_subject_that_its_signature_proves() {
    let gateway = gateway();
    let forged = hmac("HS256", "another-secret-of-at-least-32-bytes!!", claims(json!({})));
    let good = token(json!({ "exp": now() + 1 }));
    for (token, subject, reason) in [
        (token(json!({ "exp": 1 })), json!("user-7"), "token_expired"),
        (
            token(json!({ "aud": "other" })),
            json!("user-7"),
            "token_audience_mismatch",
        ),
        (forged, NONE, "token_signature_invalid"),
        (token(json!({ "iss": "other" })), NONE, "token_issuer_mismatch"),
        (good, json!("user-7"), "token_expired"),
    ] {
        let request = || get("/w/x").bearer(&token).tenant();
        let mut answer = gateway.send(&request());
        // The token that is good at first is in the cache when it expires.
        eventually("the token is rejected", || {
            answer = gateway.send(&request());
            answer.status == 401
        });
        let line = logged(&gateway, answer.header("x-request-id").unwrap());
        assert_eq!(
            (&line["reason"], &line["subject"]),
            (&json!(reason), &subject),
            "{line}"
        );
        let tenant = if subject.is_null() { NONE } else { json!(TENANT) };
        assert_eq!(line["tenant"], tenant, "{line}");
    }
}

#[test]
fn hostile_values_are_cut_and_escaped() {
    let gateway = gateway();
    let many = |prefix: &str| (0..10_000).map(|at| format!("{prefix}{at}")).collect::<Vec<_>>();
    let long_kid = "\u{1b}[2J\"'\u{202e}\n".repeat(100);
    let header = json!({ "alg": "RS256", "kid": long_kid }).to_string();
    let payload = json!({ "iss": "idp\u{9b}".repeat(100), "sub": "s", "exp": now() + 60 }).to_string();
    let unsigned = format!(
        "{}.{}.{}",
        base64url(&header),
        base64url(&payload),
        base64url("signature")
    );
    let few = |name: &str| many(name).into_iter().take(300).collect::<Vec<_>>();
    for (request, more) in [
        (get("/w/x").bearer(&unsigned), false),
        (
            get("/w/x")
                .host("localhost")
                .header("x-tenant-id", &"x".repeat(4000))
                .bearer(&token(json!({}))),
            false,
        ),
        (wallet("/w/x", json!({ "aud": few("a") })), true),
        (wallet("/w/admin/x", json!({ "roles": few("r") })), true),
        (wallet("/w/scoped/x", json!({ "scopes": few("s\u{1b}") })), true),
        (wallet("/w/x", json!({ "sub": null, "\u{1b}[2J": 1 })), false),
    ] {
        let answer = gateway.send(&request);
        let line = logged(&gateway, answer.header("x-request-id").unwrap());
        let cause = line["cause"].as_str().unwrap();
        assert!(cause.len() < 8 * 66 + 200, "{} bytes: {cause}", cause.len());
        assert_eq!(cause.contains(" and 292 more"), more, "{cause}");
        let values: Vec<_> = line["unverified"].as_object().into_iter().flatten().collect();
        assert!(
            values.len() <= 8 && values.iter().all(|(_, value)| value.as_str().unwrap().len() <= 64),
            "{line}"
        );
        let text = format!("{cause}{values:?}");
        assert!(
            !text.chars().any(char::is_control) && !text.contains('\u{202e}'),
            "{text}"
        );
        for part in unsigned.split('.') {
            assert!(!line.to_string().contains(part), "{line}");
        }
    }
}

#[test]
fn malformed_head_has_its_true_cause_client_and_length() {
    let gateway = gateway();
    let logged_before = |cause: &str| {
        gateway
            .log_lines()
            .into_iter()
            .filter(|line| line["cause"] == cause)
            .collect::<Vec<_>>()
    };
    for (bytes, cause) in [
        (
            &b"GET /w/one HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"[..],
            "`host` occurs twice",
        ),
        (
            b"\x16\x03\x01\x02 \x01\x00\x01\xfc \x03\x03",
            "the client speaks TLS, and the listener has no TLS",
        ),
        (
            b"GET /w/a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "the request line is not a method, a target and a version",
        ),
        (
            b"GET /w/caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
            "the target has bytes that must be percent-encoded: only ASCII can stand in it",
        ),
        (
            b"GET /w/x HTTP/1.1\r\nHost: a\n\r\n",
            "a line of the head does not end in CRLF",
        ),
        (b"GET /w/x HTTP/1.1\r\nHost: u:secret@a\r\n\r\n", "`host` has a user"),
    ] {
        let mut wire = gateway.connect();
        wire.write(bytes);
        let answer = wire.answer("GET").unwrap();
        assert_eq!(
            answer.header("x-sidegate-reason"),
            Some("request_malformed"),
            "{answer:?}"
        );
        eventually(cause, || !logged_before(cause).is_empty());
        let line = logged_before(cause).remove(0);
        assert_eq!(line["client"], "127.0.0.1", "{line}");
        assert_eq!(line["bytes_out"], json!(answer.body.len()), "{line}");
        assert!(!line.to_string().contains("secret"), "{line}");
        let is_path = line["path"].as_str().is_some_and(|path| path.starts_with("/w/"));
        assert_eq!(is_path, bytes.starts_with(b"GET "), "{line}");
    }
}

#[test]
fn failed_upstream_is_named_by_its_address() {
    let port = free_port();
    let policy = format!(
        "version: 1\nservice: s\nprefix: /s\nupstream: {{ url: 'http://127.0.0.1:{port}' }}\nroutes: [{{ path: /*, auth: public }}]\n"
    );
    let gateway = Setup::new().policy("s", &policy).start();
    let answer = gateway.send(&get("/s/x"));
    let line = logged(&gateway, answer.header("x-request-id").unwrap());
    let want = format!("connection refused by 127.0.0.1:{port}");
    assert_eq!((answer.status, &line["failure_cause"]), (502, &json!(want)), "{line}");
    assert!(!answer.text().contains("127.0.0.1"), "{answer:?}");
}

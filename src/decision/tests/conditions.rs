//! What conditions reject, and when.

use super::*;
use crate::decision::{Observer, Step, decide};
use crate::rejection::Rejection;
use crate::revocation::Revocations;
use crate::testing::evaluator;

const CONDITIONS: &str = "
version: 1
service: s
prefix: /w
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], leeway: 30s, keys: { secret: { env: SECRET } } }] }
tenant: { claims: [tenant, tenantId] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
content_types: [application/json]
routes:
  - { path: '/users/{userId}', auth: jwt, roles: [organizer], scopes: [read], when: [{ claim: sub, equals: '{userId}' }, { claim: email, in: [a@example.com] }] }
  - { path: '/teams/{team}/*', auth: jwt, when: [{ claim: groups, has: 'team-{team}' }] }
  - { path: '/orders/{id}:cancel', auth: jwt, when: [{ claim: order, equals: '{id}' }] }
  - { path: /recent, auth: jwt, when: [{ claim: auth_time, within: 15m }] }
  - { path: /region, auth: jwt, when: [{ header: x-region, equals_claim: region }] }
  - { path: /inside, auth: { any: [jwt, public] }, when: [{ client: { in: [192.0.2.0/24] } }, { header: sec-fetch-site, equals: same-origin }] }
  - { path: /shadow, auth: jwt, mode: shadow, when: [{ claim: plan, equals: pro }] }
  - { path: /once, auth: jwt, idempotency: { required: true }, when: [{ claim: plan, equals: pro }] }
  - { path: /*, auth: jwt }
";

fn outcome(request: &TestRequest) -> String {
    request.outcome(&parse(&[CONDITIONS]).unwrap())
}

fn with(line: &str, changes: &serde_json::Value) -> TestRequest {
    request(line).bearer(&claims_with(changes)).tenant(TENANT)
}

#[test]
fn every_condition_of_a_route_must_hold() {
    for (line, changes, want) in [
        ("GET /w/users/user-1", json!({}), "allow"),
        ("GET /w/users/user-1/", json!({}), "allow"),
        ("GET /w/users/user%2D1", json!({}), "allow"),
        ("GET /w/users/user-2", json!({}), "condition_failed"),
        ("GET /w/users/user-1", json!({ "email": null }), "condition_failed"),
        (
            "GET /w/users/user-1",
            json!({ "email": "b@example.com" }),
            "condition_failed",
        ),
        ("GET /w/users/a@b", json!({ "sub": "a@b" }), "allow"),
        ("GET /w/users/a%40b", json!({ "sub": "a@b" }), "condition_failed"),
        ("GET /w/users/a%40b", json!({ "sub": "a%40b" }), "condition_failed"),
        ("GET /w/teams/7/x", json!({ "groups": ["team-7"] }), "allow"),
        ("GET /w/teams/7", json!({ "groups": ["a", "team-7"] }), "allow"),
        ("GET /w/teams/7/x", json!({ "groups": "team-7" }), "condition_failed"),
        (
            "GET /w/teams/7/x",
            json!({ "groups": ["team-70", "team-"] }),
            "condition_failed",
        ),
        ("GET /w/orders/7:cancel", json!({ "order": 7 }), "allow"),
        ("GET /w/orders/7%3Acancel", json!({ "order": "7" }), "path_ambiguous"),
        ("GET /w/orders/7:a:cancel", json!({ "order": "7:a" }), "allow"),
        (
            "GET /w/orders/7:cancel",
            json!({ "order": "7:cancel" }),
            "condition_failed",
        ),
        ("GET /w/orders/8:cancel", json!({ "order": 7 }), "condition_failed"),
        ("GET /w/recent", json!({ "auth_time": NOW - 900 }), "allow"),
        ("GET /w/recent", json!({ "auth_time": NOW - 901 }), "condition_failed"),
        // By the leeway of the issuer.
        ("GET /w/recent", json!({ "auth_time": NOW + 30 }), "allow"),
        ("GET /w/recent", json!({ "auth_time": NOW + 31 }), "condition_failed"),
        ("GET /w/other", json!({}), "allow"),
    ] {
        assert_eq!(outcome(&with(line, &changes)), want, "{line} {changes}");
    }
}

#[test]
fn conditions_come_after_roles_and_scopes_and_before_content() {
    let line = "POST /w/users/user-2";
    for (changes, kind, want) in [
        (json!({ "roles": ["user"] }), "text/plain", "role_missing"),
        (json!({ "scopes": ["write"] }), "text/plain", "scope_missing"),
        (json!({}), "text/plain", "condition_failed"),
        (json!({ "sub": "user-2" }), "text/plain", "content_type_unsupported"),
        (json!({ "sub": "user-2" }), "application/json", "allow"),
    ] {
        let request = with(line, &changes).body(kind, Body::Sized(2));
        assert_eq!(outcome(&request), want, "{changes} {kind}");
    }
    let key = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    for (plan, key, want) in [
        ("free", "1", "condition_failed"),
        ("pro", "1", "idempotency_key_invalid"),
        ("pro", key, "allow"),
    ] {
        let request = with("POST /w/once", &json!({ "plan": plan })).header("idempotency-key", key);
        assert_eq!(outcome(&request), want, "{plan} {key}");
    }
}

#[test]
fn header_and_client_close_a_request_and_never_open_one() {
    let inside = || {
        request("GET /w/inside")
            .from("192.0.2.7")
            .header("sec-fetch-site", "same-origin")
    };
    for (request, want) in [
        (inside(), "allow"),
        (inside().bearer(&claims()).tenant(TENANT), "allow"),
        (inside().from("198.51.100.7"), "condition_failed"),
        (inside().header("x-forwarded-for", "198.51.100.7"), "allow"),
        (
            inside().from("198.51.100.7").header("x-forwarded-for", "192.0.2.7"),
            "condition_failed",
        ),
        (inside().header("sec-fetch-site", "same-origin"), "condition_failed"),
        (
            request("GET /w/inside").header("sec-fetch-site", "same-origin"),
            "condition_failed",
        ),
        (request("GET /w/inside").from("192.0.2.7"), "condition_failed"),
        (
            request("GET /w/inside")
                .from("192.0.2.7")
                .header("sec_fetch_site", "same-origin"),
            "condition_failed",
        ),
        (inside().header("authorization", "Bearer x"), "token_malformed"),
        (request("GET /w/region").header("x-region", "eu"), "credential_missing"),
        (
            with("GET /w/region", &json!({ "region": "eu" })).header("x-region", "eu"),
            "allow",
        ),
        (
            with("GET /w/region", &json!({ "region": "eu" })).header("x-region", "us"),
            "condition_failed",
        ),
        (with("GET /w/region", &json!({ "region": "eu" })), "condition_failed"),
        (
            with("GET /w/region", &json!({})).header("x-region", "eu"),
            "condition_failed",
        ),
        (with("GET /w/other", &json!({})).header("x-region", "us"), "allow"),
    ] {
        assert_eq!(outcome(&request), want, "{request:?}");
    }
}

#[test]
fn compared_header_that_connection_names_is_malformed_on_every_route() {
    for name in ["x-region", "X_Region", "x.region", "sec-fetch-site"] {
        for line in ["GET /w/region", "GET /w/other", "GET /w/nothing/here"] {
            let request = with(line, &json!({ "region": "eu" })).header("connection", name);
            assert_eq!(
                outcome(&request.header("x-region", "eu")),
                "request_malformed",
                "{line} {name}"
            );
        }
    }
}

#[test]
fn condition_in_shadow_mode_is_counted_and_proves_nothing() {
    for (plan, want, identity) in [
        (json!("pro"), "allow", true),
        (json!("free"), "shadow:condition_failed", false),
    ] {
        let policies = parse(&[CONDITIONS]).unwrap();
        let request = with("GET /w/shadow", &json!({ "plan": plan }));
        assert_eq!(request.outcome(&policies), want);
        assert_eq!(!request.identity(&policies).is_empty(), identity);
    }
}

#[test]
fn wrong_type_is_told_apart_from_another_value() {
    let policies = parse(&[CONDITIONS]).unwrap();
    for (line, changes, want) in [
        ("GET /w/teams/7/x", json!({ "groups": "team-7" }), true),
        ("GET /w/teams/7/x", json!({ "groups": [7] }), true),
        ("GET /w/teams/7/x", json!({ "groups": ["team-8"] }), false),
        ("GET /w/teams/7/x", json!({}), false),
        ("GET /w/shadow", json!({ "plan": ["pro"] }), true),
        ("GET /w/recent", json!({ "auth_time": "now" }), true),
        ("GET /w/users/user-1", json!({ "email": 7 }), false),
        ("GET /w/users/user-1", json!({ "email": true }), true),
    ] {
        let request = with(line, &changes);
        let decision = request.decide(&policies);
        let rejection = decision.outcome.rejection().unwrap();
        assert_eq!(rejection.is_for_wrong_type(), want, "{line} {changes}");
        let cause = rejection.cause();
        assert!(!cause.contains("team-8") && !cause.contains("user-1"), "{cause}");
    }
}

/// The lines about conditions.
#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    shows_values: bool,
}

impl Observer for Lines {
    fn passed(&mut self, step: Step, how: impl FnOnce() -> String) {
        if step == Step::Condition {
            self.lines.push(format!("ok {}", how()));
        }
    }

    fn blocked(&mut self, _: Step, _: impl FnOnce() -> String) {}

    fn failed(&mut self, step: Step, rejection: &Rejection) {
        if step == Step::Condition {
            self.lines.push(format!("no {}", rejection.cause()));
        }
    }

    fn shows_values(&self) -> bool {
        self.shows_values
    }
}

#[test]
fn each_condition_is_a_line_with_the_kind_of_its_value() {
    let policy = CONDITIONS.replace("leeway: 30s", "when: [{ claim: iat, within: 1h }]");
    let evaluator = evaluator(&[&policy]);
    let request = with("GET /w/users/user-1", &json!({ "email": "b@example.com" }));
    for (shows_values, want) in [
        (
            false,
            [
                "ok the claim `iat` must be at most 60 min ago: it is a number",
                "ok the claim `sub` must equal `{userId}`: it is a text",
                "no the claim `email` must be one of a@example.com: it is a text with another value",
            ],
        ),
        (
            true,
            [
                "ok the claim `iat` must be at most 60 min ago: it is `1800000000`",
                "ok the claim `sub` must equal `{userId}`: it is `user-1`",
                "no the claim `email` must be one of a@example.com: it is `b@example.com`",
            ],
        ),
    ] {
        let mut lines = Lines {
            shows_values,
            ..Lines::default()
        };
        let decision = decide(&evaluator, &request.facts(), Revocations::Unasked, &mut lines);
        assert!(decision.outcome.permit().is_none());
        assert_eq!(lines.lines, want);
    }
}

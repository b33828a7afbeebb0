//! Conditions on claims, headers and the address of the client: they reject what roles and scopes cannot tell apart.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    harness::{
        Gateway, Request, Setup, Shared, TENANT,
        gateway::text,
        http2::Http2,
        issuer::{now, token},
        setup::WALLET,
        values,
    },
    idempotency::{again, is_replayed, key},
    upstreams::handshake,
};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: '/users/{userId}', auth: jwt, when: [{ claim: sub, equals: '{userId}' }] }
  - { path: '/teams/{team}/*', auth: jwt, when: [{ claim: groups, has: 'team-{team}' }] }
  - { path: /region, auth: jwt, when: [{ header: x-region, equals_claim: region }] }
  - { path: /passed, auth: jwt, pass: [x-region] }
  - { path: /shadow, auth: jwt, mode: shadow, when: [{ header: x-region, equals: eu }] }
  - { path: /inside/*, auth: { any: [jwt, public] }, when: [{ client: { in: [192.0.2.0/24, '2001:db8::/32'] } }] }
  - { path: /here, auth: public, when: [{ client: { in: [127.0.0.1] } }] }
  - { path: /pay, methods: [POST], auth: jwt, idempotency: { required: true }, when: [{ client: { in: [192.0.2.0/24] } }] }
  - { path: /env, methods: [POST], auth: jwt, idempotency: {}, when: [{ header: x-env, in: [test, prod] }, { header: x-region, in: [eu, us] }] }
  - { path: /socket, auth: public, when: [{ header: origin, in: ['https://a.example'] }] }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        Setup::new()
            .config("trusted_proxies: [127.0.0.1]")
            .unix_listener("s.sock")
            .policy("wallet", POLICY)
            .start()
    })
}

fn get(path: &str, changes: Value) -> Request {
    Request::get(&format!("/w/{path}")).bearer(&token(changes)).tenant()
}

/// What a service could take for `x-region`.
fn forged(request: Request) -> Request {
    ["x_region", "X.Region", "HTTP_X_REGION", "http-x-region"]
        .into_iter()
        .fold(request, |request, name| request.header(name, "forged"))
}

#[test]
fn claim_equals_the_parameter_of_the_path() {
    let gateway = gateway();
    for (path, changes, reaches) in [
        ("users/user-7", json!({}), true),
        ("users/user%2D7", json!({}), true),
        ("users/user-8", json!({}), false),
        ("users/7", json!({ "sub": "7" }), true),
        ("users/a%40b", json!({ "sub": "a@b" }), false),
        ("teams/7/x/y", json!({ "groups": ["a", "team-7"] }), true),
        ("teams/7", json!({ "groups": ["team-8"] }), false),
        ("teams/7", json!({ "groups": "team-7" }), false),
        ("teams/7", json!({}), false),
    ] {
        let request = get(path, changes);
        match reaches {
            true => _ = gateway.allowed(&request),
            false => _ = gateway.refused(&request, 403, "condition_failed"),
        }
    }
}

#[test]
fn compared_header_reaches_the_service_once_and_as_it_was_compared() {
    let gateway = gateway();
    let http2 = Http2::plain(gateway.port);
    let of_region = |path: &str| forged(get(path, json!({ "region": "eu" })));
    let request = of_region("region").header("X-Region", "eu");
    let over_http2 = again(&request);
    for seen in [
        gateway.allowed(&request),
        gateway.reached(&over_http2, &http2.exchange(&over_http2)),
    ] {
        assert_eq!(seen.values("x-region"), ["eu"]);
        assert!(!format!("{:?}", seen.headers).contains("forged"), "{:?}", seen.headers);
    }
    for request in [
        of_region("region"),
        of_region("region").header("x-region", "us"),
        of_region("region").header("x-region", "eu").header("x-region", "eu"),
        of_region("region").header("x-region", "eu, us"),
        of_region("region").header("x-region", ""),
        get("region", json!({})).header("x-region", "eu"),
        get("region", json!({ "region": ["eu"] })).header("x-region", "eu"),
    ] {
        gateway.refused(&request, 403, "condition_failed");
        let request = again(&request);
        gateway.rejected(&request, &http2.exchange(&request), 403, "condition_failed");
    }
}

#[test]
fn compared_header_reaches_no_service_from_other_routes_unless_they_pass_it() {
    let gateway = gateway();
    for (path, region) in [("other", &[][..]), ("passed", &["us"]), ("shadow", &[])] {
        let seen = gateway.allowed(&forged(get(path, json!({}))).header("x-region", "us"));
        assert_eq!(seen.values("x-region"), region, "{path}");
        assert!(!format!("{:?}", seen.headers).contains("forged"), "{:?}", seen.headers);
    }
    let seen = gateway.allowed(&forged(get("shadow", json!({}))).header("x-region", "eu"));
    assert_eq!(seen.values("x-region"), ["eu"]);
    for name in ["x-region", "X_Region", "origin"] {
        for path in ["region", "other"] {
            let request = get(path, json!({ "region": "eu" })).header("x-region", "eu");
            gateway.refused(&request.header("connection", name), 400, "request_malformed");
        }
    }
}

#[test]
fn address_of_the_client_is_that_of_each_request() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    for (forwarded, inside) in [
        (Some("192.0.2.7"), true),
        (Some("198.51.100.7"), false),
        (Some("2001:db8::7"), true),
        (Some("::ffff:192.0.2.7"), true),
        (Some("192.0.2.7, 198.51.100.7"), false),
        (Some("198.51.100.7, 192.0.2.7"), true),
        (Some("192.0.2.7, evil"), false),
        (None, false),
        (Some("192.0.2.7"), true),
    ] {
        let mut request = Request::get("/w/inside/x");
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        let answer = wire.exchange(&request);
        match inside {
            true => _ = gateway.reached(&request, &answer),
            false => gateway.rejected(&request, &answer, 403, "condition_failed"),
        }
    }
    gateway.allowed(&Request::get("/w/here"));
    let request = Request::get("/w/here").header("x-forwarded-for", "192.0.2.7");
    gateway.refused(&request, 403, "condition_failed");
}

#[test]
fn client_on_a_unix_socket_has_no_address() {
    let gateway = gateway();
    for path in ["/w/inside/x", "/w/here"] {
        let request = Request::get(path).header("x-forwarded-for", "192.0.2.7");
        let answer = gateway.unix("s.sock").exchange(&request);
        gateway.rejected(&request, &answer, 403, "condition_failed");
    }
}

#[test]
fn replay_of_a_stored_response_needs_the_conditions_too() {
    let gateway = gateway();
    let pay = Request::post("/w/pay", "{}")
        .bearer(&token(json!({})))
        .tenant()
        .header("Idempotency-Key", &key());
    let from = |address: &str| again(&pay).header("x-forwarded-for", address);
    let first = from("192.0.2.7");
    assert!(!is_replayed(&gateway.send(&first)));
    gateway.refused(&from("198.51.100.7"), 403, "condition_failed");
    assert!(is_replayed(&gateway.send(&from("192.0.2.8"))));
}

#[test]
fn stored_response_is_never_that_of_another_compared_header() {
    let gateway = gateway();
    let http2 = Http2::plain(gateway.port);
    let key = key();
    let with = |environment: &str, region: &str| {
        Request::post("/w/env", "{}")
            .bearer(&token(json!({})))
            .tenant()
            .header("idempotency-key", &key)
            .header("x-env", environment)
            .header("x-region", region)
    };
    let first = with("test", "eu");
    let answer = gateway.send(&first);
    assert_eq!((answer.status, is_replayed(&answer)), (200, false));
    for (environment, region) in [("prod", "eu"), ("test", "us"), ("prod", "us")] {
        let request = with(environment, region);
        gateway.refused(&request, 422, "idempotency_key_reused");
        let request = again(&request);
        gateway.rejected(&request, &http2.exchange(&request), 422, "idempotency_key_reused");
    }
    gateway.refused(&with("other", "eu"), 403, "condition_failed");
    for request in [again(&first), again(&first).header("x-other", "prod")] {
        assert!(is_replayed(&gateway.send(&request)), "{request}");
        assert!(is_replayed(&http2.exchange(&again(&request))), "{request}");
    }
}

#[test]
fn upgrade_and_grpc_call_need_the_conditions_too() {
    let gateway = gateway();
    let mut wire = gateway.connect();
    let request = handshake("/w/socket").header("origin", "https://b.example");
    gateway.rejected(&request, &wire.exchange(&request), 403, "condition_failed");
    let call = get("users/user-8", json!({})).header("content-type", "application/grpc");
    let answer = Http2::plain(gateway.port).exchange(&call);
    assert_eq!(
        (answer.status, values(&answer.headers, "grpc-status")),
        (200, vec!["7"]),
        "{answer:?}"
    );
    assert_eq!(answer.header("x-sidegate-reason"), Some("condition_failed"));
    assert_eq!(gateway.upstream.seen(&call.case).len(), 0);
}

#[test]
fn wrong_type_is_counted_and_the_log_has_no_value() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let counted = || gateway.metric("sidegate_conditions_type_total", &[("route", "/w/teams/{team}/*")]);
    assert_eq!(counted(), Some(0.0), "present from the start");
    let differs = get("teams/7", json!({ "groups": ["team-hidden"] }));
    gateway.refused(&differs, 403, "condition_failed");
    assert_eq!(counted(), Some(0.0));
    gateway.refused(
        &get("teams/7", json!({ "groups": "team-hidden" })),
        403,
        "condition_failed",
    );
    assert_eq!(counted(), Some(1.0));
    gateway.terminate();
    gateway.ended();
    let log = gateway.log_text();
    assert!(log.contains("the claim `groups` must have `team-{team}`"), "{log}");
    assert!(!log.contains("team-hidden"), "{log}");
}

#[test]
fn token_that_does_not_meet_the_conditions_of_its_issuer_is_rejected_known_or_not() {
    let when = "when: [{ claim: token_use, equals: access }, { claim: auth_time, within: 1h }]";
    let wallet = WALLET.replace("required_claims: [sub]", when);
    let gateway = Setup::new()
        .policy("wallet", &POLICY.replace("$wallet", &wallet))
        .start();
    let with = |token_use: &str, auth_time: i64| json!({ "token_use": token_use, "auth_time": auth_time });
    let good = token(with("access", now()));
    for _ in 0..2 {
        gateway.allowed(&Request::get("/w/x").bearer(&good).tenant());
        for bad in [
            with("id", now()),
            with("access", now() - 7200),
            with("access", now() + 60),
            json!({ "token_use": "access" }),
            json!({}),
        ] {
            let request = get("x", bad);
            gateway.refused(&request, 401, "token_claim_invalid");
        }
    }
}

#[test]
fn explain_has_a_line_for_each_condition_with_values_only_where_that_is_asked_for() {
    let setup = Setup::new().policy("wallet", POLICY);
    let tenant = format!("x-tenant-id: {TENANT}");
    let token = token(json!({ "sub": "hidden" }));
    let explain = |arguments: &[&str]| text(&setup.run(&[&["explain", "GET"], arguments].concat()));
    let own = ["/w/users/hidden", "--token", &token, "-H", &tenant];
    let said = explain(&own);
    assert!(
        said.contains("condition    ok  the claim `sub` must equal `{userId}`: it is a text\n"),
        "{said}"
    );
    let said = explain(&[&own[..], &["--show-values"]].concat());
    assert!(said.contains("must equal `{userId}`: it is `hidden`"), "{said}");
    let other = ["/w/users/8", "--token", &token, "-H", &tenant];
    let said = explain(&other);
    assert!(
        said.contains(
            "condition    no  condition_failed: the claim `sub` must equal `{userId}`: it is a text with another value"
        ),
        "{said}"
    );
    assert!(!said.contains("it is `hidden`"), "{said}");
    for (client, want) in [
        ("192.0.2.7", "decision: allow"),
        ("198.51.100.7", "decision: deny condition_failed"),
    ] {
        let said = explain(&["/w/inside/x", "--client", client]);
        assert!(said.contains(want), "{client}: {said}");
    }
    let said = explain(&["/w/inside/x"]);
    assert!(said.contains("the connection has no address"), "{said}");
}

//! Tokens that a policy does not read: those of another policy for the same service, and an `Authorization` that is
//! not among its sources. The service gets neither.

use serde_json::Value;

use crate::{
    harness::{Request, Setup, Upstream, eventually, gateway::text, setup::WALLET, unique},
    token_sources::{ROUTES, good, in_each_place, open, policy},
    upstreams::{handshake, websocket},
};

/// Two policies for one service. One reads tokens in other places, the other one in `Authorization` alone.
fn two_policies() -> Setup {
    policies(Setup::new())
}

fn policies(setup: Setup) -> Setup {
    let reader = policy().replace("x-goog-iap-jwt-assertion", "x-token");
    let other = WALLET.replace(
        "claims: [tenant, tenantId]",
        "claims: [tenantId], header_required: false",
    ) + &ROUTES.replace("/w", "/o");
    setup.policy("w", &reader).policy("o", &other)
}

#[test]
fn token_of_another_policy_for_the_same_service_is_removed_and_not_read() {
    let gateway = two_policies().start();
    let token = good();
    let places = |path: &str| {
        let others = in_each_place(path, &token)
            .into_iter()
            .filter(|(kind, _)| *kind != "header");
        let headers =
            ["X-Token", "x_token", "HTTP_X_TOKEN"].map(|name| ("header", Request::get(path).header(name, &token)));
        headers.into_iter().chain(others)
    };
    for path in ["/o/open/x", "/o/trial/x", "/o/maybe/x"] {
        for (kind, request) in places(path) {
            let seen = gateway.allowed(&request);
            assert!(!format!("{seen:?}").contains(&token), "{kind} {path}: {seen:?}");
            assert_eq!(seen.values("x-user-id"), [""; 0], "{kind} {path}");
            match kind {
                "cookie" => assert_eq!(seen.values("cookie"), ["theme=dark; lang=en"]),
                "query" => assert_eq!(seen.target, format!("{path}?a=%41+1&b")),
                "websocket_protocol" => assert_eq!(seen.values("sec-websocket-protocol"), ["chat"]),
                _ => {}
            }
        }
    }
    for (_, request) in places("/o/x") {
        gateway.refused(&request, 401, "credential_missing");
    }
    for (kind, request) in places("/o/x") {
        let seen = gateway.allowed(&request.bearer(&good()));
        assert_eq!(seen.values("x-user-id"), ["user-7"], "{kind}");
        assert_eq!(seen.values("x-token"), [""; 0], "{kind}");
        assert!(!format!("{seen:?}").contains("__Host-session"), "{kind}: {seen:?}");
        assert!(!seen.target.contains("access_token"), "{kind}: {seen:?}");
    }
    let has_last = |line: &Value| line["path"] == "/o/x" && line["decision"] == "allow";
    eventually("all is logged", || {
        gateway.log_lines().iter().filter(|line| has_last(line)).count() == 6
    });
    let (log, metrics) = (gateway.log_text(), gateway.metrics());
    assert!(!log.contains(&token) && !metrics.contains(&token), "{log}");
}

#[test]
fn subprotocol_of_another_policy_is_not_selected_for_the_service() {
    let gateway = policies(Setup::in_front_of(Upstream::start(websocket))).start();
    let offers = format!("bearer, {}", good());
    for (path, selected) in [("/w/open/x", &["bearer"][..]), ("/o/open/x", &[])] {
        let request = handshake(path).header("Sec-WebSocket-Protocol", &offers);
        let (status, found) = open(&gateway, &request);
        assert_eq!(
            (status, found),
            (101, selected.iter().map(ToString::to_string).collect()),
            "{path}"
        );
    }
}

#[test]
fn repetition_with_another_token_of_another_policy_in_its_query_is_the_same_request() {
    let gateway = two_policies().start();
    let key = crate::idempotency::key();
    let post = |query: &str| {
        Request::post(&format!("/o/pay?{query}"), "{}")
            .bearer(&good())
            .header("idempotency-key", &key)
    };
    assert_eq!(gateway.allowed(&post("a=1&access_token=one")).target, "/o/pay?a=1");
    let again = gateway.send(&post("access%5Ftoken=two&a=1"));
    assert!(crate::idempotency::is_replayed(&again), "{again:?}");
    assert_eq!(again.header("cache-control"), Some("private"));
    assert_eq!(again.header("referrer-policy"), Some("no-referrer"));
}

#[test]
fn explain_shows_no_token_of_another_policy_among_what_the_service_gets() {
    let setup = two_policies();
    let arguments = [
        "explain",
        "GET",
        "/o/open/x?access_token=hush",
        "--policies",
        "policies",
    ];
    let fields = [
        "-H",
        "x-token: hush",
        "-H",
        "cookie: __Host-session=hush",
        "-H",
        "x-kept: kept",
    ];
    let output = setup.run(&[&arguments[..], &fields].concat());
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("x-kept: kept"), "{said}");
    assert!(said.contains("`access_token` does not reach the service"), "{said}");
    for gone in ["hush", "x-token", "cookie", "access_token="] {
        assert!(!said.contains(gone), "{gone}: {said}");
    }
}

/// A policy that reads tokens in all places but `Authorization`.
fn without_authorization(credentials: &str) -> Setup {
    Setup::new().policy("w", &(policy().replace("authorization, ", "") + credentials))
}

#[test]
fn authorization_that_is_not_read_reaches_the_service_only_where_the_policy_says_so() {
    let forged = "forged.e30.none";
    for (credentials, reaches) in [
        ("", false),
        ("credentials: strip\n", false),
        ("credentials: forward\n", true),
    ] {
        let gateway = without_authorization(credentials).start();
        let mut requests: Vec<_> = in_each_place("/w/x", &good())
            .into_iter()
            .map(|(_, request)| request)
            .collect();
        requests.push(Request::get("/w/open/x"));
        requests.push(Request::get("/w/jobs/x").jobs_key());
        requests.push(Request::get("/w/trial/x"));
        for request in requests {
            for (name, value) in [
                ("authorization", format!("Bearer {forged}")),
                ("Authorization", format!("Basic {forged}")),
            ] {
                let request = request
                    .clone()
                    .header(name, &value)
                    .header("HTTP_AUTHORIZATION", forged);
                let request = Request {
                    case: unique().to_string(),
                    ..request
                };
                let seen = gateway.allowed(&request);
                let want = if reaches { vec![value.as_str()] } else { vec![] };
                assert_eq!(seen.values("authorization"), want, "{credentials}{request}");
                assert_eq!(seen.values("http_authorization"), [""; 0], "{credentials}{request}");
            }
        }
    }
}

#[test]
fn explain_and_check_say_whether_an_authorization_that_is_not_read_reaches_the_service() {
    let cookie = format!("cookie: __Host-session={}", good());
    for (credentials, reaches) in [("", false), ("credentials: forward\n", true)] {
        let setup = without_authorization(credentials);
        let fields = [
            "-H",
            &cookie,
            "-H",
            "sec-fetch-site: same-origin",
            "-H",
            "authorization: Bearer forged",
        ];
        let output = setup.run(&[&["explain", "GET", "/w/x", "--policies", "policies"][..], &fields].concat());
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("authorization: Bearer (masked)"), reaches, "{said}");
        let checked = text(&setup.run(&["check", "policies"]));
        assert_eq!(checked.contains("authorization_unverified"), reaches, "{checked}");
    }
}

//! How often callers may call: by what was verified of them, never by what they say.

use std::thread;

use serde_json::json;

use crate::harness::{
    Answer, Gateway, OTHER_TENANT, Request, Setup, TENANT, also_on_4_threads, eventually,
    http2::Http2,
    issuer::{now, token},
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ dns: x.example }] }
quotas: [$quotas]
routes:
  - { path: /open, auth: public }
  - { path: /off, auth: jwt, quotas: off }
  - { path: /own, auth: jwt, quotas: [{ name: own, per: subject, limit: 1, window: 1h }] }
  - { path: /sandbox, auth: jwt, sandbox: true }
  - { path: /shadow, auth: jwt, mode: shadow }
  - { path: /jobs, auth: internal_key }
  - { path: /either, auth: { any: [jwt, internal_key] } }
  - { path: /*, auth: jwt }
";

fn gateway(quotas: &str) -> Gateway {
    setup(quotas).start()
}

fn setup(quotas: &str) -> Setup {
    Setup::new().set("quotas", quotas).policy("wallet", POLICY)
}

fn of(subject: &str, tenant: &str) -> Request {
    at("/w/x", subject, tenant)
}

fn at(path: &str, subject: &str, tenant: &str) -> Request {
    Request::get(path)
        .bearer(&token(json!({ "sub": subject, "tenant": tenant, "tenantId": tenant })))
        .header("x-tenant-id", tenant)
}

#[track_caller]
fn assert_used_up(gateway: &Gateway, request: &Request) -> Answer {
    let answer = gateway.refused(request, 429, "quota_exceeded");
    assert!(
        answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0,
        "{answer:?}"
    );
    answer
}

also_on_4_threads![
    request_over_the_quota_gets_retry_after,
    what_is_verified_tells_callers_apart,
    addresses_are_those_of_connections,
    several_quotas_are_asked_in_their_order,
    many_at_once_are_counted_one_by_one,
    client_that_waits_gets_in,
];

#[test]
fn the_service_is_timed_without_the_store() {
    let gateway = gateway("{ name: calls, per: tenant, limit: 2, window: 1h }");
    for path in ["/w/x", "/w/off", "/w/x"] {
        assert_eq!(gateway.send(&at(path, "a", TENANT)).status, 200);
    }
    let timed = "sidegate_upstream_duration_seconds_count";
    eventually("each request was timed", || gateway.metric(timed, &[]) == Some(3.0));
}

#[test]
fn request_over_the_quota_gets_retry_after() {
    let gateway = gateway("{ name: calls, per: tenant, limit: 3, window: 1h }");
    for left in [2, 1, 0] {
        let answer = gateway.send(&of("a", TENANT));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"calls\";q=3;w=3600"));
        let limit = answer.header("ratelimit").unwrap();
        assert!(limit.starts_with(&format!("\"calls\";r={left};t=")), "{limit}");
    }
    let answer = assert_used_up(&gateway, &of("b", TENANT));
    assert_eq!(answer.code(), "ERR_WALLET_TOO_MANY_REQUESTS");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert!(answer.header("ratelimit").unwrap().starts_with("\"calls\";r=0;t="));
    gateway.allowed(&of("a", OTHER_TENANT));
    let http2 = Http2::plain(gateway.port).exchange(&of("c", TENANT));
    assert_eq!((http2.status, http2.header("retry-after").is_some()), (429, true));
    let labels = |result| [("quota", "calls"), ("result", result), ("service", "wallet-svc")];
    let count = |result| gateway.metric("sidegate_quota_requests_total", &labels(result));
    assert_eq!((count("allow"), count("deny")), (Some(4.0), Some(2.0)));
    let denied = [("decision", "deny"), ("reason", "quota_exceeded")];
    assert_eq!(gateway.metric("sidegate_decisions_total", &denied), Some(2.0));
}

#[test]
fn what_is_verified_tells_callers_apart() {
    for (per, one, same, other) in [
        ("tenant", of("a", TENANT), of("b", TENANT), of("a", OTHER_TENANT)),
        ("subject", of("a", TENANT), of("a", OTHER_TENANT), of("b", TENANT)),
    ] {
        let gateway = gateway(&format!("{{ name: q, per: {per}, limit: 1, window: 1h }}"));
        gateway.allowed(&one);
        assert_used_up(&gateway, &same);
        gateway.allowed(&other);
    }
    // The same subject and tenant, whatever else the client says.
    let gateway = gateway("{ name: q, per: subject, limit: 1, window: 1h }");
    gateway.allowed(&of("a", TENANT));
    for (name, value) in [
        ("x-user-id", "other"),
        ("x-forwarded-for", "9.9.9.9"),
        ("x-client-id", "other"),
        ("x-sandbox", "true"),
        ("user-agent", "other"),
    ] {
        assert_used_up(&gateway, &of("a", TENANT).header(name, value));
    }
    for path in ["/w/y", "/w/x?z=1", "/w/%78"] {
        assert_used_up(&gateway, &at(path, "a", TENANT));
    }
    gateway.allowed(&Request::get("/w/jobs").jobs_key());
    assert_used_up(&gateway, &Request::get("/w/either").jobs_key());
}

#[test]
fn addresses_are_those_of_connections() {
    let gateway = gateway("{ name: q, per: address, limit: 1, window: 1h }");
    gateway.allowed(&Request::get("/w/open"));
    let forged = |address: &str| Request::get("/w/open").header("x-forwarded-for", address);
    assert_used_up(&gateway, &forged("9.9.9.9"));
    let gateway = setup("{ name: q, per: address, limit: 1, window: 1h }")
        .config("trusted_proxies: [127.0.0.1, 10.0.0.0/8]")
        .start();
    for (chain, fine) in [
        ("1.1.1.1", true),
        ("1.1.1.1", false),
        ("2.2.2.2, 1.1.1.1", false),
        ("1.1.1.1, 10.1.2.3", false),
        ("2.2.2.2, 10.1.2.3", true),
        ("2001:db8::1", true),
        ("2001:db8::2", false),
        ("2001:db8:0:1::1", true),
        ("", true),
        ("nonsense", false),
    ] {
        match fine {
            true => drop(gateway.allowed(&forged(chain))),
            false => drop(assert_used_up(&gateway, &forged(chain))),
        }
    }
}

#[test]
fn plans_have_limits_of_their_own() {
    let gateway = gateway("{ name: q, per: tenant, limit: 2, window: 1h, plans: { free: 1, enterprise: 3 } }");
    for (at, (plan, limit)) in [
        (json!("free"), 1),
        (json!("enterprise"), 3),
        (json!("gold"), 2),
        (json!(null), 2),
    ]
    .into_iter()
    .enumerate()
    {
        let tenant = format!("00000000-0000-4000-a000-00000000010{at}");
        let request = || {
            let claims = json!({ "planTier": plan, "tenant": tenant, "tenantId": tenant });
            Request::get("/w/x")
                .bearer(&token(claims))
                .header("x-tenant-id", &tenant)
        };
        for _ in 0..limit {
            gateway.allowed(&request());
        }
        assert_used_up(&gateway, &request());
    }
}

#[test]
fn routes_say_what_holds_for_them() {
    let gateway = gateway("{ name: q, per: tenant, limit: 1, window: 1h }");
    gateway.allowed(&of("a", TENANT));
    assert_used_up(&gateway, &of("a", TENANT));
    let free = || at("/w/off", "a", TENANT);
    for request in [free(), free(), Request::get("/w/open"), Request::get("/w/open")] {
        let answer = gateway.send(&request);
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None), "{request}");
    }
    gateway.allowed(&at("/w/own", "a", TENANT));
    assert_used_up(&gateway, &at("/w/own", "a", TENANT));
    gateway.allowed(&at("/w/own", "b", TENANT));
}

#[test]
fn a_sandbox_is_free_only_where_the_route_says_so() {
    let gateway = gateway("{ name: q, per: tenant, limit: 1, window: 1h }");
    let sandbox = |path| at(path, "a", TENANT).header("x-sandbox", "true");
    for _ in 0..3 {
        let answer = gateway.send(&sandbox("/w/sandbox"));
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
    gateway.allowed(&sandbox("/w/x"));
    assert_used_up(&gateway, &sandbox("/w/x"));
    for wrong in ["1", "True", "true, true"] {
        assert_used_up(&gateway, &at("/w/sandbox", "a", TENANT).header("x-sandbox", wrong));
    }
    assert_used_up(&gateway, &sandbox("/w/sandbox").header("x-sandbox", "true"));
    gateway.allowed(&sandbox("/w/sandbox"));
}

#[test]
fn sandbox_of_a_policy_opens_no_quota_by_address_on_public_routes() {
    let policy = POLICY.replace("quotas: [$quotas]", "sandbox: true\nquotas: [$quotas]");
    let quotas = "{ name: q, per: tenant, limit: 1, window: 1h }, { name: a, per: address, limit: 1, window: 1h }";
    let gateway = Setup::new().set("quotas", quotas).policy("wallet", &policy).start();
    let sandbox = |request: Request| request.header("x-sandbox", "true");
    for _ in 0..3 {
        gateway.allowed(&sandbox(of("a", TENANT)));
    }
    gateway.allowed(&sandbox(Request::get("/w/open")));
    assert_used_up(&gateway, &sandbox(Request::get("/w/open")));
}

#[test]
fn sandbox_header_that_connection_names_is_rejected() {
    let gateway = gateway("{ name: q, per: tenant, limit: 1, window: 1h }");
    let request = at("/w/sandbox", "a", TENANT).header("x-sandbox", "true");
    gateway.refused(&request.header("connection", "X-Sandbox"), 400, "request_malformed");
}

#[test]
fn sandbox_in_a_trailer_is_counted() {
    let gateway = gateway("{ name: q, per: tenant, limit: 1, window: 1h }");
    let trailing = || {
        let mut request = at("/w/sandbox", "a", TENANT).header("transfer-encoding", "chunked");
        "POST".clone_into(&mut request.method);
        request
            .header("content-type", "application/json")
            .header("trailer", "x-sandbox")
            .body("2\r\n{}\r\n0\r\nx-sandbox: true\r\n\r\n")
    };
    let seen = gateway.allowed(&trailing());
    assert_eq!(seen.values("x-sandbox"), [""; 0]);
    assert_used_up(&gateway, &trailing());
}

#[test]
fn shadow_quota_counts_and_rejects_no_request() {
    for (quotas, path) in [
        ("{ name: q, per: tenant, limit: 1, window: 1h, mode: shadow }", "/w/x"),
        ("{ name: q, per: tenant, limit: 1, window: 1h }", "/w/shadow"),
    ] {
        let gateway = gateway(quotas);
        for _ in 0..3 {
            let answer = gateway.send(&at(path, "a", TENANT));
            assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
        }
        let labels = [("quota", "q"), ("result", "shadow_deny")];
        assert_eq!(gateway.metric("sidegate_quota_requests_total", &labels), Some(2.0));
    }
}

#[test]
fn request_that_is_rejected_for_another_reason_is_not_counted() {
    let gateway = gateway("{ name: q, per: tenant, limit: 1, window: 1h }");
    for _ in 0..3 {
        let expired = Request::get("/w/x")
            .bearer(&token(json!({ "exp": now() - 1 })))
            .tenant();
        gateway.refused(&expired, 401, "token_expired");
        gateway.refused(&of("a", TENANT).header("host", "twice"), 400, "request_malformed");
    }
    gateway.allowed(&of("a", TENANT));
}

#[test]
fn several_quotas_are_asked_in_their_order() {
    let gateway =
        gateway("{ name: few, per: subject, limit: 1, window: 1h }, { name: many, per: tenant, limit: 2, window: 1h }");
    let answer = gateway.send(&of("a", TENANT));
    let policy = "\"few\";q=1;w=3600, \"many\";q=2;w=3600";
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    assert_used_up(&gateway, &of("a", TENANT));
    gateway.allowed(&of("b", TENANT));
    assert_used_up(&gateway, &of("c", TENANT));
}

#[test]
fn many_at_once_are_counted_one_by_one() {
    let gateway = gateway("{ name: q, per: tenant, limit: 100, window: 1h }");
    let passed: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut wire = gateway.connect();
                    let statuses = (0..10).map(|_| wire.exchange(&of("a", TENANT)).status);
                    statuses.filter(|status| *status == 200).count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
}

#[test]
fn client_that_waits_gets_in() {
    let gateway = gateway("{ name: q, per: tenant, limit: 2, window: 2s }");
    gateway.allowed(&of("a", TENANT));
    gateway.allowed(&of("a", TENANT));
    assert_used_up(&gateway, &of("a", TENANT));
    eventually("one is back", || gateway.send(&of("a", TENANT)).status == 200);
}

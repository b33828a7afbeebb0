//! Which policy and which route a request belongs to, and in what one spelling its path is forwarded.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Gateway, Request, Setup, Shared, issuer::token, values};

const WALLET: &str = "
$wallet
prefix: /wallet/v1
routes:
  - { path: /_internal/*, auth: public }
  - { path: /wallets, methods: [POST], auth: jwt, roles: [organizer] }
  - { path: /wallets, methods: [GET, DELETE], auth: public }
  - { path: '/wallets/{id}', methods: [GET], auth: public }
  - { path: '/wallets/{id}/entries/*', auth: public }
  - { path: /wallets/settings, auth: internal_key }
  - { path: '/wallets/{id}/entries/secret', auth: internal_key }
  - { path: /*, auth: jwt }
";

const LAX: &str = "
version: 1
service: lax-svc
prefix: /Lax
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_LAX }
paths: { case_insensitive: true, allow: [double_slash, semicolon, encoded_slash] }
internal_key: { header: x-internal-api-key, keys: [{ name: k, secret: { env: IT_JOBS_KEY } }] }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }] }
routes:
  - { path: /Admin/*, auth: internal_key }
  - { path: /docs/*, auth: jwt }
  - { path: /*, auth: public }
";

const BY_HOST: &str = "
version: 1
service: $name-svc
prefix: /hosted
hosts: [$name.example]
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
internal_key: { header: x-internal-api-key, keys: [{ name: k, secret: { env: IT_JOBS_KEY } }] }
routes: [{ path: /*, auth: $auth }]
";

const NESTED: &str = "
version: 1
service: nested-svc
prefix: /wallet/v1/nested
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_NESTED }
routes: [{ path: /*, auth: public }]
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    let hosted = |name: &str, auth: &str| BY_HOST.replace("$name", name).replace("$auth", auth);
    SHARED.get(|| {
        let setup = Setup::new()
            .policy("wallet", WALLET)
            .policy("lax", LAX)
            .policy("nested", NESTED);
        setup
            .policy("open", &hosted("open", "public"))
            .policy("closed", &hosted("closed", "internal_key"))
            .start()
    })
}

fn with_token(path: &str) -> Request {
    Request::get(path).bearer(&token(json!({}))).tenant()
}

#[test]
fn the_most_specific_route_wins_whatever_the_order() {
    let gateway = gateway();
    for (method, path) in [
        ("GET", "/wallets"),
        ("GET", "/wallets/"),
        ("DELETE", "/wallets"),
        ("GET", "/wallets/7"),
        ("GET", "/wallets/7/"),
        ("GET", "/wallets/7/entries"),
        ("PUT", "/wallets/7/entries/"),
        ("GET", "/wallets/7/entries/secret/more"),
        ("GET", "/_internal"),
        ("GET", "/_internal/"),
        ("GET", "/_internal/a/b/c"),
        ("GET", "/nested/anything"),
    ] {
        gateway.allowed(&Request::new(method, &format!("/wallet/v1{path}")));
    }
    for (path, reason) in [
        ("/wallets/settings", "credential_missing"),
        ("/wallets/settings/", "credential_missing"),
        ("/wallets/7/entries/secret", "credential_missing"),
        ("/wallets/7/other", "credential_missing"),
        ("/_internalx", "credential_missing"),
        ("/_internal-admin", "credential_missing"),
        ("/_internal.json", "credential_missing"),
        ("", "credential_missing"),
        ("/", "credential_missing"),
        ("/nestedx", "credential_missing"),
    ] {
        gateway.refused(&Request::get(&format!("/wallet/v1{path}")), 401, reason);
    }
    // The key is not asked for where the token is.
    gateway.allowed(&Request::get("/wallet/v1/wallets/settings").jobs_key());
    gateway.refused(&with_token("/wallet/v1/wallets/settings"), 401, "credential_missing");
    // A parameter does not match an empty segment.
    gateway.refused(&Request::get("/wallet/v1/wallets//entries"), 400, "path_ambiguous");
}

#[test]
fn a_method_that_only_others_have_is_not_allowed() {
    // `/*` takes every method but one, which would show what the service receives.
    gateway().refused(&Request::new("PATCH", "/wallet/v1/wallets"), 401, "credential_missing");
    gateway().refused(&Request::new("TRACE", "/wallet/v1/wallets"), 405, "method_not_allowed");
    gateway().refused(
        &Request::new("CONNECT", "/wallet/v1/wallets"),
        405,
        "method_not_allowed",
    );
    let more = "  - { path: /everything/*, auth: jwt }\n  - { path: /everything/some, methods: [PUT], auth: jwt }\n";
    let gateway = Setup::new()
        .policy("wallet", &WALLET.replace("  - { path: /*, auth: jwt }\n", more))
        .start();
    let allow = |method: &str, path: &str| {
        let answer = gateway.refused(&Request::new(method, path), 405, "method_not_allowed");
        let mut methods: Vec<String> = answer
            .header("allow")
            .unwrap()
            .split(',')
            .map(|each| each.trim().to_owned())
            .collect();
        methods.sort();
        methods.retain(|method| method != "HEAD" && method != "OPTIONS");
        methods.join(" ")
    };
    assert_eq!(allow("PATCH", "/wallet/v1/wallets"), "DELETE GET POST");
    assert_eq!(allow("PATCH", "/wallet/v1/wallets/7"), "GET");
    // A route without methods takes all but TRACE.
    let all = "DELETE GET PATCH POST PUT";
    assert_eq!(allow("TRACE", "/wallet/v1/everything"), all);
    assert_eq!(allow("TRACE", "/wallet/v1/everything/some"), all);
    gateway.refused(&Request::get("/wallet/v1/nothing"), 404, "route_not_found");
    gateway.refused(&Request::new("PATCH", "/wallet/v1/nothing"), 404, "route_not_found");
}

#[test]
fn denied_route_reaches_no_service() {
    let policy = WALLET.replace("routes:", "mode: shadow\nroutes:\n  - { path: /internal/*, auth: deny }\n  - { path: /wallets, methods: [PUT], auth: deny }");
    let gateway = Setup::new().policy("wallet", &policy).start();
    for request in [
        Request::get("/wallet/v1/internal"),
        with_token("/wallet/v1/internal/x"),
        Request::new("OPTIONS", "/wallet/v1/internal/x"),
        Request::get("/wallet/v1/internal/x")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        Request::new("PUT", "/wallet/v1/wallets"),
    ] {
        let answer = gateway.refused(&request, 403, "route_denied");
        assert!(answer.text().contains("_FORBIDDEN"), "{answer:?}");
    }
    let denied = [("auth", "deny"), ("decision", "deny"), ("reason", "route_denied")];
    let counted = || {
        gateway
            .metric("sidegate_decisions_total", &denied)
            .is_some_and(|count| count >= 1.0)
    };
    crate::harness::eventually("it is counted", counted);
    let is_logged = |line: &serde_json::Value| line["reason"] == "route_denied" && line["auth"] == "deny";
    crate::harness::eventually("it is logged", || gateway.log_lines().iter().any(is_logged));
    let methods = gateway.refused(&Request::new("TRACE", "/wallet/v1/wallets"), 405, "method_not_allowed");
    let methods = methods.header("allow").unwrap().to_owned();
    assert!(!methods.contains("PUT") && methods.contains("POST"), "{methods}");
}

#[test]
fn a_host_picks_among_policies_of_one_prefix() {
    let gateway = gateway();
    for host in ["open.example", "OPEN.example", "open.example:8080"] {
        let seen = gateway.allowed(&Request::get("/hosted/x").host(host));
        assert_eq!(values(&seen.headers, "host"), [host]);
    }
    gateway.refused(
        &Request::get("/hosted/x").host("closed.example"),
        401,
        "credential_missing",
    );
    for host in [
        "localhost",
        "open.example.evil",
        "evil-open.example",
        "closed",
        "127.0.0.1",
    ] {
        let answer = gateway.send(&Request::get("/hosted/x").host(host));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "ERR_SIDEGATE_NOT_FOUND"),
            "{host}"
        );
    }
    // No other header names a host.
    for name in ["x-forwarded-host", "forwarded", "x-host", "x-original-host"] {
        let request = Request::get("/hosted/x")
            .host("closed.example")
            .header(name, "open.example");
        gateway.refused(&request, 401, "credential_missing");
    }
}

#[test]
fn a_service_whose_router_ignores_case_is_guarded_in_every_case() {
    let gateway = gateway();
    for path in [
        "/Lax/Admin/x",
        "/lax/admin/x",
        "/LAX/ADMIN",
        "/Lax/%61dmin/x",
        "/lax/%41DMIN/x",
    ] {
        gateway.refused(&Request::get(path), 401, "credential_missing");
        gateway.allowed(&Request::get(path).jobs_key());
    }
    gateway.allowed(&Request::get("/Lax/Administration"));
}

#[test]
fn path_that_leads_elsewhere_in_another_case_reaches_no_service() {
    let gateway = gateway();
    for path in [
        "/wallet/v1/_INTERNAL/health",
        "/wallet/v1/Wallets",
        "/wallet/v1/wallets/Settings",
        "/wallet/v1/%57allets",
        "/wallet/v1/Nested/x",
    ] {
        gateway.refused(&with_token(path), 400, "path_ambiguous");
        gateway.refused(&Request::get(path).jobs_key(), 400, "path_ambiguous");
    }
    gateway.allowed(&Request::get("/wallet/v1/wallets/01HXYZ"));
}

#[test]
fn a_policy_may_open_one_ambiguity_at_a_time() {
    let gateway = gateway();
    for path in ["/Lax/docs/a//b", "/Lax/docs/a;v=1/b", "/Lax/docs/a%2Fb"] {
        let seen = gateway.allowed(&with_token(path));
        assert_eq!(seen.target, path);
        gateway.refused(&with_token(&path.replace("Lax", "wallet/v1")), 400, "path_ambiguous");
    }
    for path in [
        "/Lax/../x",
        "/Lax/%2e%2e/x",
        "/Lax/a\\b",
        "/Lax/%5C",
        "/Lax/%00",
        "/Lax/%252e",
    ] {
        gateway.refused(&Request::get(path), 400, "path_ambiguous");
    }
}

#[test]
fn path_with_more_than_one_reading_is_rejected_wherever_it_leads() {
    let gateway = gateway();
    for end in [
        "/..",
        "/.",
        "/../",
        "/./",
        "/a/..",
        "/%2e",
        "/%2E%2e",
        "/.%2e/x",
        "/%2e./x",
        "/..;/x",
        "/..%3b/x",
        "/x%3Bv=1",
        "/a%5cb",
        "/a%2fb",
        "/%09",
        "/%0a",
        "/%0D",
        "/%1f",
        "/%7f",
        "/%80",
        "/%ff",
        "/%c0%af",
        "/%c3",
        "/%ed%a0%80",
        "/%",
        "/%4",
        "/%gg",
        "/%u0041",
        "/%25%32e",
        "/%252F",
        "/%2561",
        "/a%2",
        "/%e0%80%af",
    ] {
        for start in ["/wallet/v1/_internal", "/wallet/v1/wallets", "/wallet/v1"] {
            gateway.refused(&with_token(&format!("{start}{end}")), 400, "path_ambiguous");
        }
    }
}

#[test]
fn the_one_reading_is_what_decides_and_what_is_forwarded() {
    let gateway = gateway();
    for (sent, forwarded) in [
        ("/wallet/v1/_internal/%7euser", "/wallet/v1/_internal/~user"),
        ("/wallet/v1/%5Finternal/x", "/wallet/v1/_internal/x"),
        ("/w%61llet/v1/_internal/x", "/wallet/v1/_internal/x"),
        ("/wallet/v1/_internal/a%20b", "/wallet/v1/_internal/a%20b"),
        ("/wallet/v1/_internal/%c3%bc", "/wallet/v1/_internal/%C3%BC"),
        ("/wallet/v1/_internal/100%25", "/wallet/v1/_internal/100%25"),
        (
            "/wallet/v1/_internal/a+b:c@d,e=f&g!h*i'j(k)$",
            "/wallet/v1/_internal/a+b:c@d,e=f&g!h*i'j(k)$",
        ),
        (
            "/wallet/v1/_internal/.well-known/...",
            "/wallet/v1/_internal/.well-known/...",
        ),
        ("/wallet/v1/_internal/", "/wallet/v1/_internal/"),
    ] {
        assert_eq!(gateway.allowed(&Request::get(sent)).target, forwarded);
    }
}

#[test]
fn the_query_decides_nothing_and_is_not_touched() {
    let gateway = gateway();
    for query in [
        "?",
        "?a=%2e%2e%2F//..;x",
        "?next=/wallet/v1/wallets",
        "?%zz&&==",
        "?a?b",
        "?x=%C3%28",
        "?a='b'&c[]=1|2",
        "?filter[a]={b}&c=^`\\~",
    ] {
        let target = format!("/wallet/v1/_internal/x{query}");
        assert_eq!(gateway.allowed(&Request::get(&target)).target, target);
    }
    gateway.refused(
        &Request::get("/wallet/v1/x?/wallet/v1/_internal/health"),
        401,
        "credential_missing",
    );
    gateway.refused(
        &Request::get("/wallet/v1/x?../_internal/health"),
        401,
        "credential_missing",
    );
}

#[test]
fn a_target_that_is_not_a_path_is_malformed() {
    let gateway = gateway();
    for target in [
        "http://localhost/wallet/v1/_internal/x",
        "wallet/v1/_internal/x",
        "*",
        "x:/wallet/v1/_internal/x",
        "?q",
        "//localhost/wallet/v1/_internal/x",
    ] {
        let answer = gateway.send(&Request::get(target));
        assert_eq!(answer.status, 400, "{target}: {answer:?}");
        assert!(answer.json().is_object());
    }
    for target in ["/wallet/v1/_internal/x#fragment", "/wallet/v1/_internal/x#/../y?z"] {
        assert_eq!(gateway.send(&Request::get(target)).status, 400, "{target}");
    }
}

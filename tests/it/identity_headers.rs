//! The identity that the service receives: what was verified, exactly once, and nothing that a client wrote.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Gateway, Request, Setup, Shared, TENANT, http2::Http2, issuer::token, upstream::Recorded};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /open/*, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /maybe/*, auth: { any: [jwt, public] } }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

/// Every name that the service may take for a verified one.
const IDENTITY: [&str; 8] = [
    "x-user-id",
    "x-user-email",
    "x-user-roles",
    "x-user-scopes",
    "x-tenant-id",
    "x-plan-tier",
    "x-auth-method",
    "x-client-id",
];

/// One name in every spelling that some framework folds into it.
fn spellings(name: &str) -> Vec<String> {
    let upper = name.to_uppercase();
    let mixed = name.replacen('-', "_", 1);
    vec![
        name.to_owned(),
        upper.clone(),
        name.replace('-', "_"),
        upper.replace('-', "_"),
        name.replace('-', "."),
        mixed.clone(),
        mixed.replace('-', "."),
        name.replace('-', "_").replacen("x_", "X.", 1),
    ]
}

/// Writes each identity header in each spelling but `x-tenant-id` itself, which has a meaning.
fn spoofing(mut request: Request) -> Request {
    for name in IDENTITY {
        for spelling in spellings(name) {
            if !spelling.eq_ignore_ascii_case("x-tenant-id") {
                request = request.header(&spelling, "spoofed");
            }
        }
    }
    request
}

fn assert_identity(seen: &Recorded, expected: &[(&str, &str)]) {
    for name in IDENTITY {
        let wanted: Vec<&str> = expected
            .iter()
            .filter(|(each, _)| *each == name)
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(seen.values(name), wanted, "{name}: {:?}", seen.headers);
    }
}

const OF_THE_TOKEN: [(&str, &str); 7] = [
    ("x-user-id", "user-7"),
    ("x-user-email", "user@eventzr.com"),
    ("x-user-roles", "organizer,user"),
    ("x-user-scopes", "read,write"),
    ("x-tenant-id", TENANT),
    ("x-plan-tier", "pro"),
    ("x-auth-method", "jwt"),
];

#[test]
fn every_route_tells_exactly_what_it_verified() {
    let gateway = gateway();
    let with_token = |path: &str| spoofing(Request::get(path)).bearer(&token(json!({}))).tenant();
    assert_identity(&gateway.allowed(&with_token("/w/x")), &OF_THE_TOKEN);
    assert_identity(&gateway.allowed(&with_token("/w/maybe/x")), &OF_THE_TOKEN);
    let public = [("x-auth-method", "public")];
    assert_identity(&gateway.allowed(&spoofing(Request::get("/w/open/x")).tenant()), &public);
    assert_identity(
        &gateway.allowed(&spoofing(Request::get("/w/maybe/x")).tenant()),
        &public,
    );
    let key = [("x-auth-method", "internal_key"), ("x-client-id", "scheduler")];
    assert_identity(
        &gateway.allowed(&spoofing(Request::get("/w/jobs/x")).jobs_key().tenant()),
        &key,
    );
}

#[test]
fn a_claim_that_is_absent_leaves_no_header_and_no_room_for_the_clients() {
    let bare = token(json!({ "email": null, "roles": null, "scopes": null, "planTier": null }));
    let seen = gateway().allowed(&spoofing(Request::get("/w/x")).bearer(&bare).tenant());
    assert_identity(
        &seen,
        &[
            ("x-user-id", "user-7"),
            ("x-tenant-id", TENANT),
            ("x-auth-method", "jwt"),
        ],
    );
}

#[test]
fn what_connection_names_is_gone_before_the_identity_is_set() {
    let gateway = gateway();
    for nominated in [
        "x-user-id",
        "X-User-Id, x-tenant-id, x-auth-method",
        "close, x-user-id",
        "x-user-id, keep-alive",
        "authorization",
    ] {
        let request = spoofing(Request::get("/w/x"))
            .bearer(&token(json!({})))
            .tenant()
            .header("Connection", nominated);
        let answer = gateway.send(&request);
        // Sidegate may reject or ignore it, but not obey it.
        if answer.status == 200 {
            assert_identity(&gateway.reached(&request, &answer), &OF_THE_TOKEN);
        } else {
            assert_eq!(answer.status, 400, "{request}: {answer:?}");
        }
    }
    let request = Request::get("/w/open/x")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-stays", "1");
    let seen = gateway.allowed(&request);
    assert_eq!(seen.values("x-hop"), [""; 0]);
    assert_eq!(seen.values("x-stays"), ["1"]);
}

#[test]
fn hop_by_hop_headers_end_here() {
    let request = Request::get("/w/open/x")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic x")
        .header("te", "gzip")
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__");
    let seen = gateway().allowed(&request);
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
        "trailer",
    ] {
        assert_eq!(seen.values(name), [""; 0], "{name}");
    }
}

#[test]
fn http2_changes_nothing_about_it() {
    let gateway = gateway();
    let connection = Http2::plain(gateway.port);
    let mut request = Request::get("/w/x");
    for name in IDENTITY.iter().filter(|name| **name != "x-tenant-id") {
        request = request
            .header(name, "spoofed")
            .header(&name.replace('-', "_"), "spoofed")
            .header(&name.replace('-', "."), "spoofed");
    }
    let request = request.bearer(&token(json!({}))).tenant();
    assert_identity(
        &gateway.reached(&request, &connection.exchange(&request)),
        &OF_THE_TOKEN,
    );
}

#[test]
fn credentials_are_forwarded_or_removed_as_the_policy_says() {
    let gateway = gateway();
    let good = token(json!({}));
    let seen = gateway.allowed(&Request::get("/w/x").bearer(&good).tenant().jobs_key());
    assert_eq!(seen.values("authorization"), [format!("Bearer {good}")]);
    assert_eq!(seen.values("x-internal-api-key"), [""; 0]);
    for path in ["/w/jobs/x", "/w/open/x"] {
        let request = Request::get(path).jobs_key();
        assert_eq!(gateway.allowed(&request).values("x-internal-api-key"), [""; 0]);
    }
    let aliases = Request::get("/w/open/x")
        .header("x_internal_api_key", "a")
        .header("X.Internal.Api.Key", "b");
    assert_eq!(gateway.allowed(&aliases).values("x-internal-api-key"), [""; 0]);
    // An alias does not count as a key.
    gateway.refused(
        &Request::get("/w/jobs/x").header("x_internal_api_key", crate::harness::JOBS_KEY),
        401,
        "credential_missing",
    );
}

#[test]
fn a_policy_can_strip_tokens_and_forward_keys() {
    let policy = |credentials: &str| {
        format!(
            "$wallet\nprefix: /w\ncredentials: {credentials}\nroutes:\n  - {{ path: /jobs, auth: internal_key }}\n  - {{ path: /*, auth: jwt }}\n"
        )
    };
    let good = token(json!({}));
    let with_token = || Request::get("/w/x").bearer(&good).tenant();
    let gateway = Setup::new().policy("wallet", &policy("strip")).start();
    assert_eq!(gateway.allowed(&with_token()).values("authorization"), [""; 0]);
    assert_eq!(
        gateway
            .allowed(&Request::get("/w/jobs").jobs_key())
            .values("x-internal-api-key"),
        [""; 0]
    );
    let gateway = Setup::new().policy("wallet", &policy("forward")).start();
    assert_eq!(
        gateway.allowed(&with_token()).values("authorization"),
        [format!("Bearer {good}")]
    );
    assert_eq!(
        gateway
            .allowed(&Request::get("/w/jobs").jobs_key())
            .values("x-internal-api-key"),
        [crate::harness::JOBS_KEY]
    );
}

#[test]
fn an_own_choice_of_names_is_guarded_like_the_default() {
    let policy = "
$wallet
prefix: /w
identity: { x-account: sub, x-groups: roles }
routes: [{ path: /open, auth: public }, { path: /*, auth: jwt }]
";
    let gateway = Setup::new().policy("wallet", policy).start();
    let spoof = |path: &str| {
        Request::get(path)
            .header("X_Account", "spoofed")
            .header("x.groups", "spoofed")
            .header("x-account", "spoofed")
    };
    let seen = gateway.allowed(&spoof("/w/x").bearer(&token(json!({}))).tenant());
    assert_eq!(seen.values("x-account"), ["user-7"]);
    assert_eq!(seen.values("x-groups"), ["organizer,user"]);
    let seen = gateway.allowed(&spoof("/w/open"));
    assert_eq!(seen.values("x-account"), [""; 0]);
    assert_eq!(seen.values("x-groups"), [""; 0]);
}

#[test]
fn the_rest_of_a_request_arrives_as_it_was_sent() {
    let body = "{\"a\":\"\u{fc}\"}";
    let request = Request::post("/w/open/x?y=1", body)
        .header("accept-language", "de, en;q=0.5")
        .header("x-many", "1")
        .header("X-Many", "2")
        .header("cookie", "a=b; c=d")
        .header("idempotency-key", "k-1")
        .header("user-agent", "it/1");
    let seen = gateway().allowed(&request);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/w/open/x?y=1"));
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.values("host"), ["localhost"]);
    assert_eq!(seen.values("x-many"), ["1", "2"]);
    for (name, value) in [
        ("accept-language", "de, en;q=0.5"),
        ("cookie", "a=b; c=d"),
        ("idempotency-key", "k-1"),
        ("user-agent", "it/1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(seen.values(name), [value]);
    }
}

#[test]
fn omitted_header_is_counted_and_logged_and_the_clients_own_is_removed() {
    let gateway = Setup::new().policy("wallet", POLICY).start();
    let token = token(json!({ "email": "jos\u{e9}@eventzr.com", "roles": ["organizer", "a,b"] }));
    let expected: Vec<_> = OF_THE_TOKEN
        .into_iter()
        .filter(|(name, _)| !["x-user-email", "x-user-roles"].contains(name))
        .collect();
    for _ in 0..2 {
        let request = spoofing(Request::get("/w/x")).bearer(&token).tenant();
        assert_identity(&gateway.allowed(&request), &expected);
    }
    for header in ["x-user-email", "x-user-roles"] {
        let labels = [("service", "wallet-svc"), ("header", header)];
        let counted = gateway.metric("sidegate_identity_headers_omitted_total", &labels);
        assert_eq!(counted, Some(2.0), "{header}");
    }
    gateway.terminate();
    gateway.ended();
    let lines = gateway.log_lines();
    let omitted = lines
        .iter()
        .filter(|line| line["omitted_headers"] == "x-user-email, x-user-roles");
    assert_eq!(omitted.count(), 2);
    assert!(!gateway.log_text().contains("jos\u{e9}"));
}

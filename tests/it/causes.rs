//! Why a request is rejected: `explain` and the access log say the same, in verified facts (`cause`) and in what the
//! client claims (`unverified`), and never show a credential.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{
    Gateway, JOBS_KEY, OTHER_TENANT, Request, SECRET, Setup, Shared, TENANT, Wire,
    certificates::{client, pki},
    eventually, free_port,
    issuer::{Key, claims, hmac, key_set, now, token, token_of_text},
};

const POLICY: &str = "
$wallet
prefix: /w
hosts: [localhost]
content_types: [application/json]
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /jobs/*, auth: internal_key }
  - { path: /any/*, auth: { any: [jwt, internal_key] } }
  - { path: /_internal/*, auth: mtls }
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: /scoped/*, auth: jwt, scopes: [read, erase] }
  - { path: /keyed/*, auth: jwt, idempotency: { required: true } }
  - { path: /*, auth: jwt }
";

/// Keys from a file and from a server that does not run, and roles in a claim that is named by a slip.
const KEYS: &str = "
version: 1
service: $name-svc
prefix: /$name
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt:
  issuers:
    - { issuer: idp, audience: unchecked, algorithms: [RS256], keys: $keys, roles_claim: realm_access.roles }
routes: [{ path: /*, auth: jwt, roles: [admin] }]
";

const METHODS: &str = "
version: 1
service: only-svc
prefix: /only
upstream: { url: '$upstream' }
routes: [{ path: /get, methods: [GET, POST], auth: public }]
";

fn key() -> &'static Key {
    static KEY: std::sync::OnceLock<Key> = std::sync::OnceLock::new();
    KEY.get_or_init(|| Key::new("RS256", "current"))
}

pub(crate) fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    let keys = |name: &str, keys: &str| KEYS.replace("$name", name).replace("$keys", keys);
    let gone = format!("{{ jwks: {{ url: 'http://127.0.0.1:{}/keys' }} }}", free_port());
    SHARED.get(|| {
        Setup::new()
            .tls()
            .always_ready()
            .config("limits: { body_bytes: 1MiB, uri_bytes: 2KiB, headers: 50 }")
            .policy("wallet", POLICY)
            .policy("only", METHODS)
            .policy("file", &keys("file", "{ jwks: { file: $folder/keys.json } }"))
            .policy("gone", &keys("gone", &gone))
            .file("keys.json", &key_set(&[key()]))
            .file("stranger.crt", &pki().stranger.chain)
            .start()
    })
}

/// A rejected request, and what operators learn about it.
struct Case {
    request: Request,
    reason: &'static str,
    cause: String,
    unverified: Value,
}

fn case(request: Request, reason: &'static str, cause: impl Into<String>, unverified: Value) -> Case {
    Case {
        request,
        reason,
        cause: cause.into(),
        unverified,
    }
}

fn explained(gateway: &Gateway, request: &Request, more: &[&str]) -> Value {
    let mut arguments = vec!["explain".to_owned(), request.method.clone(), request.target.clone()];
    let host = ("host".to_owned(), request.host.clone());
    let case = ("x-case".to_owned(), request.case.clone());
    for (name, value) in [&host, &case].into_iter().chain(&request.headers) {
        arguments.extend(["-H".to_owned(), format!("{name}: {value}")]);
    }
    arguments.extend(["--config", "sidegate.yaml", "--output", "json"].map(str::to_owned));
    let arguments: Vec<_> = arguments
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    let output = gateway.sidegate_with(&arguments, &[("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{request}: {error}: {output:?}"))
}

/// The access line of a request with this id.
pub(crate) fn logged(gateway: &Gateway, id: &str) -> Value {
    let mut line = Value::Null;
    eventually("the request is logged", || {
        let mut lines = gateway.log_lines().into_iter();
        let found = lines.find(|line| line["message"] == "request" && line["request_id"] == id);
        line = found.unwrap_or_default();
        line.is_object()
    });
    line
}

#[track_caller]
fn assert_case(gateway: &Gateway, case: &Case, explained: &Value, line: &Value) {
    let want = [json!(case.reason), json!(case.cause), case.unverified.clone()];
    for found in [explained, line] {
        let found = ["reason", "cause", "unverified"].map(|name| found[name].clone());
        assert_eq!(found, want, "{}", case.request);
    }
    let text = format!("{explained}{line}");
    for (_, value) in case.request.headers.iter().filter(|(name, _)| name == "Authorization") {
        let token = value.trim_start_matches("Bearer ");
        for part in token.split('.').filter(|part| part.len() > 20) {
            assert!(!text.contains(part), "{text}");
        }
    }
    for secret in [SECRET, JOBS_KEY] {
        assert!(!text.contains(secret), "{text}");
    }
    assert_eq!(gateway.upstream.seen(&case.request.case).len(), 0);
}

fn assert_alike(cases: Vec<Case>) {
    let gateway = gateway();
    for case in cases {
        let answer = gateway.send(&case.request);
        let body = answer.text();
        assert!(!body.contains(&case.cause), "the client gets the cause: {body}");
        let line = logged(&gateway, answer.header("x-request-id").unwrap());
        let explained = explained(&gateway, &case.request, &[]);
        assert_case(&gateway, &case, &explained, &line);
    }
}

pub(crate) fn get(target: &str) -> Request {
    Request::get(target)
}

pub(crate) fn wallet(target: &str, changes: Value) -> Request {
    get(target).bearer(&token(changes)).tenant()
}

pub(crate) const NONE: Value = Value::Null;

#[test]
fn request_that_no_policy_takes_names_its_host_and_limits() {
    let long = "x".repeat(2048);
    let many = (0..60).fold(get("/w/x"), |request, at| request.header(&format!("x-{at}"), "1"));
    let mut large = Request::new("POST", "/w/x").bearer(&token(json!({}))).tenant();
    large = large
        .header("content-type", "application/json")
        .header("content-length", "2000000");
    let post = |kind: &str| wallet("/w/x", json!({})).header("content-type", kind).body("{}");
    let text = |mut request: Request| {
        request.method = "PUT".into();
        request
    };
    assert_alike(vec![
        case(
            get("/w/x").host("other.example"),
            "route_not_found",
            "no policy matches this host and path",
            json!({ "host": "other.example" }),
        ),
        case(
            get("/w/x//y"),
            "path_ambiguous",
            "the path has `//`",
            json!({ "host": "localhost" }),
        ),
        case(
            get("/w/x")
                .header("idempotency-key", "a")
                .header("idempotency-key", "b"),
            "request_malformed",
            "`idempotency-key` occurs twice",
            NONE,
        ),
        case(
            Request::new("DELETE", "/only/get"),
            "method_not_allowed",
            "the path accepts GET, HEAD, POST",
            NONE,
        ),
        case(
            get(&format!("/w/{long}")),
            "uri_too_long",
            "the target has 2051 bytes; the limit is 2048",
            NONE,
        ),
        case(
            many,
            "headers_too_large",
            "the head has 62 fields; the limit is 50",
            NONE,
        ),
        case(
            large,
            "body_too_large",
            "the body is longer than the limit of 1048576 bytes, `limits.body_bytes`",
            json!({ "content-length": "2000000" }),
        ),
        case(
            text(post("text/\"plain")),
            "content_type_unsupported",
            "one of these is needed: application/json",
            json!({ "content-type": "text/\\\"plain" }),
        ),
    ]);
}

#[test]
fn token_names_what_it_has_and_what_is_accepted() {
    let expired = now() - 3_000_000;
    let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap().to_string();
    let other = hmac("HS256", "another-secret-of-at-least-32-bytes!!", claims(json!({})));
    let alg = token_of_text(r#"{"alg":"HS512","kid":"a\u001b[2Jb"}"#, claims(json!({})).to_string());
    let unknown = Key::new("RS256", "other").sign(json!({ "iss": "idp", "exp": now() + 60 }));
    let claimed = |alg, kid: Value, iss| {
        let mut claimed = json!({ "alg": alg, "kid": kid, "iss": iss });
        claimed.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claimed
    };
    let hs = || claimed("HS256", NONE, "eventzr.com");
    assert_alike(vec![
        case(
            get("/w/x"),
            "credential_missing",
            "the request has no bearer token",
            NONE,
        ),
        case(
            get("/w/any/x"),
            "credential_missing",
            "the request has none of these credentials: jwt, internal_key",
            NONE,
        ),
        case(
            wallet("/w/x", json!({ "exp": expired })),
            "token_expired",
            format!("the token expired 34 d ago, at {}", at(expired)),
            NONE,
        ),
        case(
            wallet("/w/x", json!({ "nbf": now() + 3_000_000, "exp": now() + 4_000_000 })),
            "token_not_yet_valid",
            format!("the token becomes valid in 34 d, at {}", at(now() + 3_000_000)),
            NONE,
        ),
        case(
            wallet("/w/x", json!({ "iss": "https://staging.example" })),
            "token_issuer_mismatch",
            "no issuer of the policy has the `iss` of the token; accepted: eventzr.com",
            claimed("HS256", NONE, "https://staging.example"),
        ),
        case(
            wallet("/w/x", json!({ "aud": ["a", "b"] })),
            "token_audience_mismatch",
            "the token is for a, b; accepted: eventzr-api",
            NONE,
        ),
        case(
            get("/w/x").bearer(&alg),
            "token_algorithm_not_allowed",
            "the issuer does not sign with the algorithm in the header; accepted: HS256",
            claimed("HS512", json!("a\\u{1b}[2Jb"), "eventzr.com"),
        ),
        case(
            get("/w/x").bearer(&other),
            "token_signature_invalid",
            "the signature does not verify with the key that the header selects",
            hs(),
        ),
        case(
            get("/file/x").bearer(&unknown),
            "token_key_unknown",
            "no key has the id in the header; the set has 1 key",
            claimed("RS256", json!("other"), "idp"),
        ),
        case(
            get("/gone/x").bearer(&unknown),
            "keys_unavailable",
            "no key set of `idp` was fetched",
            claimed("RS256", json!("other"), "idp"),
        ),
        case(
            get("/w/x").bearer("x.y"),
            "token_malformed",
            "the token has one dot",
            NONE,
        ),
        case(
            wallet("/w/x", json!({ "sub": null })),
            "token_claim_missing",
            "the claim `sub` is missing",
            NONE,
        ),
        case(
            wallet("/w/x", json!({ "sub": 7 })),
            "token_claim_invalid",
            "the claim `sub` is a number; it must be a text that is not empty",
            NONE,
        ),
    ]);
}

#[test]
fn caller_is_described_by_what_is_proven() {
    let roles = |claims: Value| {
        let mut all = json!({ "iss": "idp", "sub": "u", "exp": now() + 60 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        get("/file/x").bearer(&key().sign(all))
    };
    assert_alike(vec![
        case(wallet("/w/admin/x", json!({ "roles": ["guest", "user"] })), "role_missing", "one of these roles is needed: admin; the token has: guest, user (read from `roles`)", NONE),
        case(wallet("/w/admin/x", json!({ "roles": [] })), "role_missing", "one of these roles is needed: admin; the token has: none (read from `roles`)", NONE),
        case(roles(json!({ "realm_access": { "roles": ["admin"] } })), "role_missing", "one of these roles is needed: admin; the token has no claim `realm_access.roles`; it has `realm_access`: write `[realm_access, roles]`", NONE),
        case(roles(json!({ "groups": ["admin"] })), "role_missing", "one of these roles is needed: admin; the token has no claim `realm_access.roles`; it has these claims: groups", NONE),
        case(wallet("/w/scoped/x", json!({ "scopes": null, "scope": "read write" })), "scope_missing", "the scope `erase` is missing; the token has: read, write (read from `scope`)", NONE),
        case(get("/w/x").bearer(&token(json!({}))).header("x-tenant-id", OTHER_TENANT), "tenant_mismatch", format!("the claim `tenant` names {TENANT}, and the header names another tenant"), json!({ "x-tenant-id": OTHER_TENANT })),
        case(get("/w/x").bearer(&token(json!({}))), "tenant_header_missing", "the request has no `x-tenant-id`", NONE),
        case(get("/w/x").bearer(&token(json!({}))).header("x-tenant-id", JOBS_KEY), "tenant_header_invalid", "`x-tenant-id` has 37 bytes and is not a UUID with hyphens", NONE),
        case(get("/w/jobs/x").header("x-internal-api-key", "wrong-key-of-16-bytes"), "internal_key_invalid", "no internal key has this digest", NONE),
        case(get("/w/_internal/x"), "client_certificate_missing", "the connection has no client certificate", NONE),
        case(wallet("/w/keyed/x", json!({})).header("content-type", "application/json"), "idempotency_key_missing", "the request has no `idempotency-key`", NONE),
        case(wallet("/w/keyed/x", json!({})).header("content-type", "application/json").header("idempotency-key", "7"), "idempotency_key_invalid", "`idempotency-key` has 1 bytes and is not a UUID", NONE),
    ].into_iter().map(|mut case| {
        if case.request.target.contains("keyed") {
            case.request.method = "POST".to_owned();
        }
        case
    }).collect());
}

#[test]
fn client_certificate_is_named_and_so_are_the_accepted_ones() {
    let gateway = gateway();
    let request = get("/w/_internal/x");
    let mut wire = Wire::tls(gateway.tls_port, client(Some(&pki().stranger), &["http/1.1"])).unwrap();
    let answer = wire.exchange(&request);
    let line = logged(&gateway, answer.header("x-request-id").unwrap());
    let explained = explained(&gateway, &request, &["--client-cert", "stranger.crt"]);
    let cause = explained["cause"].as_str().unwrap().to_owned();
    assert!(cause.starts_with("the client certificate is for "), "{cause}");
    assert!(
        cause.ends_with("; accepted: spiffe://eventzr/ns/*/sa/scheduler"),
        "{cause}"
    );
    assert_case(
        &gateway,
        &case(request, "client_certificate_not_allowed", cause, NONE),
        &explained,
        &line,
    );
}

#[test]
fn text_of_explain_marks_what_is_not_verified() {
    let gateway = gateway();
    let bearer = token(json!({ "iss": "https://staging.example" }));
    let said = gateway.sidegate_with(
        &["explain", "GET", "/w/x", "--token", &bearer],
        &[("IT_SECRET", SECRET), ("IT_JOBS_KEY", JOBS_KEY)],
    );
    let said = String::from_utf8(said.stdout).unwrap();
    let want = "credentials  no  token_issuer_mismatch: no issuer of the policy has the `iss` of the token; accepted: \
                eventzr.com (unverified: alg: \"HS256\", iss: \"https://staging.example\")\n";
    assert!(said.contains(want), "{said}");
}

use serde_json::json;

use crate::policy::PolicySet;
use crate::request::Body;
use crate::testing::{JOBS_KEY, NOW, OTHER_TENANT, TENANT, TestRequest, claims, claims_with, parse, request};

mod conditions;
mod denied;
mod header_values;
mod metadata;
mod preflights;
mod resources;
mod tenants;

const POLICY: &str = "
version: 1
service: wallet-svc
prefix: /w
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
tenant: { claims: [tenant, tenantId] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
mtls: { allow: [{ uri: 'spiffe://e/ns/*/sa/job' }] }
roles: { admin: [organizer] }
content_types: [application/json]
routes:
  - { path: /open/*, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /mesh/*, auth: mtls }
  - { path: /login, auth: public, pass: [x-tenant-id], content_types: any }
  - { path: /either, auth: { any: [internal_key, jwt] } }
  - { path: /maybe, auth: { any: [jwt, public] } }
  - { path: /both, auth: { all: [internal_key, jwt] } }
  - { path: /roles, auth: jwt, roles: [organizer] }
  - { path: /scopes, auth: jwt, scopes: [read, write] }
  - { path: /shadow, auth: jwt, roles: [organizer], mode: shadow }
  - { path: /get, methods: [GET], auth: jwt }
";

fn policies() -> PolicySet {
    parse(&[POLICY]).unwrap()
}

fn good(line: &str) -> TestRequest {
    request(line).bearer(&claims()).tenant(TENANT)
}

fn check(request: &TestRequest, want: &str) {
    assert_eq!(request.outcome(&policies()), want, "{request:?}");
}

#[test]
fn idempotency_keys_are_looked_at_last() {
    let policy = POLICY.replace(
        "{ path: /get, methods: [GET], auth: jwt }",
        "{ path: /once, auth: jwt, roles: [organizer], idempotency: { required: true } }",
    );
    let policies = parse(&[&policy]).unwrap();
    let key = "8e03978e-40d5-43e8-bc93-6894a57f9324";
    let json = |request: TestRequest| request.body("application/json", Body::Sized(2));
    let user = claims_with(&json!({ "roles": ["user"] }));
    for (request, want) in [
        (json(good("POST /w/once")).header("idempotency-key", key), "allow"),
        (json(good("POST /w/once")), "idempotency_key_missing"),
        (
            json(good("POST /w/once")).header("idempotency-key", "1"),
            "idempotency_key_invalid",
        ),
        (good("GET /w/once"), "allow"),
        (json(request("POST /w/once")), "credential_missing"),
        (
            json(request("POST /w/once").bearer(&user).tenant(TENANT)),
            "role_missing",
        ),
        (
            good("POST /w/once").body("text/plain", Body::Sized(2)),
            "content_type_unsupported",
        ),
    ] {
        assert_eq!(request.outcome(&policies), want, "{request:?}");
    }
}

#[test]
fn credentials() {
    let job = "spiffe://e/ns/a/sa/job";
    check(&request("GET /w/open/x"), "allow");
    check(&request("GET /w/get"), "credential_missing");
    check(
        &request("GET /w/get").header("authorization", "Basic YTpi"),
        "credential_missing",
    );
    check(
        &request("GET /w/get").header("authorization", "Bearer"),
        "token_malformed",
    );
    check(&good("GET /w/get"), "allow");
    check(&request("GET /w/jobs/x"), "credential_missing");
    check(&request("GET /w/jobs/x").key("wrong"), "internal_key_invalid");
    check(&request("GET /w/jobs/x").key(JOBS_KEY), "allow");
    check(&good("GET /w/jobs/x"), "credential_missing");
    check(&request("GET /w/mesh/x"), "client_certificate_missing");
    check(&request("GET /w/mesh/x").certificate(job, NOW), "allow");
    check(
        &request("GET /w/mesh/x").certificate(job, NOW - 1),
        "client_certificate_not_allowed",
    );
    check(
        &request("GET /w/mesh/x").certificate("spiffe://e/ns/a/sa/x", NOW),
        "client_certificate_not_allowed",
    );
    check(
        &request("GET /w/mesh/x").header("x-forwarded-client-cert", job),
        "client_certificate_missing",
    );
}

#[test]
fn any_accepts_one_and_rejects_a_bad_one() {
    check(&request("GET /w/either"), "credential_missing");
    check(&request("GET /w/either").key(JOBS_KEY), "allow");
    check(&good("GET /w/either"), "allow");
    check(&good("GET /w/either").key(JOBS_KEY), "allow");
    check(&good("GET /w/either").key("wrong"), "internal_key_invalid");
    check(
        &request("GET /w/either")
            .key(JOBS_KEY)
            .header("authorization", "Bearer x"),
        "token_malformed",
    );
    check(&request("GET /w/maybe"), "allow");
    check(
        &request("GET /w/maybe").header("authorization", "Bearer x"),
        "token_malformed",
    );
    assert_eq!(request("GET /w/maybe").identity(&policies()), ["x-auth-method: public"]);
}

#[test]
fn all_needs_all() {
    check(&request("GET /w/both").key(JOBS_KEY), "credential_missing");
    check(&good("GET /w/both"), "credential_missing");
    check(&good("GET /w/both").key("wrong"), "internal_key_invalid");
    check(&good("GET /w/both").key(JOBS_KEY), "allow");
    check(
        &request("GET /w/both").bearer(&claims()).key(JOBS_KEY),
        "tenant_header_missing",
    );
}

#[test]
fn the_tenant_is_the_same_everywhere() {
    let with = |changes| request("GET /w/get").bearer(&claims_with(&changes));
    check(&with(json!({})), "tenant_header_missing");
    check(&with(json!({})).tenant("acme"), "tenant_header_invalid");
    check(&with(json!({})).tenant(""), "tenant_header_invalid");
    check(&with(json!({})).tenant(OTHER_TENANT), "tenant_mismatch");
    check(
        &with(json!({ "tenant": OTHER_TENANT })).tenant(TENANT),
        "tenant_mismatch",
    );
    check(
        &with(json!({ "tenantId": OTHER_TENANT })).tenant(TENANT),
        "tenant_mismatch",
    );
    check(&with(json!({ "tenant": null })).tenant(TENANT), "token_claim_missing");
    for value in [json!([TENANT]), json!(1), json!(""), json!({}), json!(true)] {
        check(
            &with(json!({ "tenantId": value })).tenant(TENANT),
            "token_claim_invalid",
        );
    }
    check(
        &with(json!({ "tenant": TENANT.to_uppercase() })).tenant(TENANT),
        "allow",
    );
    check(&with(json!({})).tenant(&TENANT.to_uppercase()), "allow");
    check(&with(json!({})).tenant(TENANT).tenant(TENANT), "tenant_header_invalid");
}

#[test]
fn roles_and_scopes() {
    let with = |line, changes| request(line).bearer(&claims_with(&changes)).tenant(TENANT);
    for (roles, want) in [
        (json!(["organizer"]), "allow"),
        (json!(["x", "admin"]), "allow"),
        (json!(["organizers"]), "role_missing"),
        (json!(["Organizer"]), "role_missing"),
        (json!([]), "role_missing"),
        (json!(null), "role_missing"),
    ] {
        check(&with("GET /w/roles", json!({ "roles": roles })), want);
    }
    for (changes, want) in [
        (json!({ "scopes": ["write", "read", "x"] }), "allow"),
        (json!({ "scopes": ["read"] }), "scope_missing"),
        (json!({ "scopes": null }), "scope_missing"),
        (json!({ "scopes": null, "scope": "read write" }), "allow"),
        (json!({ "scopes": null, "scope": "read\twrite" }), "scope_missing"),
        (json!({ "scopes": null, "scope": "readwrite" }), "scope_missing"),
    ] {
        check(&with("GET /w/scopes", changes), want);
    }
}

#[test]
fn content() {
    for (line, kind, body, want) in [
        ("POST /w/open/x", "application/json", Body::Sized(2), "allow"),
        (
            "POST /w/open/x",
            "Application/JSON; charset=utf-8",
            Body::Streamed,
            "allow",
        ),
        (
            "POST /w/open/x",
            "text/plain",
            Body::Sized(2),
            "content_type_unsupported",
        ),
        ("PUT /w/open/x", "text/plain", Body::None, "content_type_unsupported"),
        ("PATCH /w/open/x", "", Body::Sized(2), "content_type_unsupported"),
        ("POST /w/open/x", "", Body::None, "allow"),
        ("DELETE /w/open/x", "text/plain", Body::Sized(2), "allow"),
        ("POST /w/login", "text/plain", Body::Sized(2), "allow"),
        ("POST /w/login", "", Body::Sized(1000), "allow"),
        ("POST /w/login", "", Body::Sized(1001), "body_too_large"),
    ] {
        check(&request(line).body(kind, body), want);
    }
    let twice = request("POST /w/open/x").body("application/json", Body::Sized(2));
    check(&twice.header("content-type", "text/plain"), "content_type_unsupported");
}

#[test]
fn the_first_no_ends_it() {
    check(
        &request("GET /w/../x")
            .header("authorization", "a")
            .header("authorization", "b"),
        "request_malformed",
    );
    check(&request("GET /w//get"), "path_ambiguous");
    check(&request("GET w/get"), "request_malformed");
    check(&good("GET /x"), "route_not_found");
    check(&good("GET /w/nothing"), "route_not_found");
    check(&request("DELETE /w/get"), "method_not_allowed");
    check(
        &request("POST /w/roles").body("text/plain", Body::Sized(9999)),
        "credential_missing",
    );
    check(&request("GET /w/open/x").key("a").key("b"), "request_malformed");
    check(
        &request("GET /w/open/x").tenant(TENANT).tenant(TENANT),
        "tenant_header_invalid",
    );
}

#[test]
fn a_limit_holds_in_shadow_mode() {
    let text = POLICY.replace("prefix: /w", "prefix: /w\nmode: shadow");
    let policies = parse(&[&text]).unwrap();
    let large = request("POST /w/login").body("", Body::Sized(1001));
    assert_eq!(large.outcome(&policies), "body_too_large");
}

#[test]
fn rejected_caller_is_known_as_far_as_it_was_proven() {
    let policies = policies();
    let user = request("GET /w/roles")
        .bearer(&claims_with(&json!({ "roles": [] })))
        .tenant(TENANT);
    let principal = user.decide(&policies).principal.unwrap();
    assert_eq!(principal.subject(), Some("user-1"));
    assert_eq!(principal.tenant.unwrap().to_string(), TENANT);
    assert!(request("GET /w/roles").decide(&policies).principal.is_none());
}

#[test]
fn shadow_mode_forwards_without_an_identity() {
    let none = request("GET /w/shadow");
    check(&none, "shadow:credential_missing");
    assert_eq!(none.identity(&policies()), Vec::<String>::new());
    let user = request("GET /w/shadow")
        .bearer(&claims_with(&json!({ "roles": ["user"] })))
        .tenant(TENANT);
    check(&user, "shadow:role_missing");
    assert_eq!(user.identity(&policies()), Vec::<String>::new());
    assert!(
        good("GET /w/shadow")
            .identity(&policies())
            .contains(&"x-user-id: user-1".to_owned())
    );
    check(&request("GET /w//shadow"), "path_ambiguous");
}

#[test]
fn identity_is_what_was_proven() {
    let policies = policies();
    let admin = claims_with(&json!({ "roles": ["admin", "user"], "planTier": "free" }));
    let both = request("GET /w/both")
        .bearer(&admin)
        .tenant(&TENANT.to_uppercase())
        .key(JOBS_KEY);
    assert_eq!(
        both.identity(&policies),
        [
            "x-user-id: user-1",
            "x-user-email: a@example.com",
            "x-user-roles: admin,user",
            "x-user-scopes: read,write",
            &format!("x-tenant-id: {TENANT}"),
            "x-plan-tier: free",
            "x-auth-method: internal_key+jwt",
            "x-client-id: jobs",
        ]
    );
    let job = request("GET /w/mesh/x").certificate("spiffe://e/ns/a/sa/job", NOW);
    assert_eq!(
        job.identity(&policies),
        ["x-auth-method: mtls", "x-client-id: spiffe://e/ns/a/sa/job"]
    );
}

#[test]
fn certificate_that_expired_on_a_connection_is_not_missing() {
    let text = POLICY.to_owned() + "  - { path: /certified, auth: { any: [mtls, public] } }\n";
    let policies = parse(&[&text]).unwrap();
    let either = || request("GET /w/certified");
    assert_eq!(either().outcome(&policies), "allow");
    let job = "spiffe://e/ns/a/sa/job";
    assert_eq!(either().certificate(job, NOW).outcome(&policies), "allow");
    let late = either().certificate(job, NOW - 1);
    assert_eq!(late.outcome(&policies), "client_certificate_not_allowed");
}

#[test]
fn passed_header_occurs_once() {
    let text = POLICY.replace("/open/*, auth: public", "/open/*, auth: public, pass: [x-tenant-id]");
    let policies = parse(&[&text]).unwrap();
    let login = request("GET /w/open/login").tenant(TENANT);
    assert_eq!(login.outcome(&policies), "allow");
    assert_eq!(login.tenant(TENANT).outcome(&policies), "tenant_header_invalid");
}

#[test]
fn a_key_that_a_shadowed_route_did_not_verify_proves_nothing() {
    let text = POLICY.replace(
        "/jobs/*, auth: internal_key",
        "/jobs/*, auth: internal_key, mode: shadow",
    );
    let policies = parse(&[&text]).unwrap();
    for (call, proves) in [
        (request("GET /w/jobs/x").key("a-wrong-key-of-some-length"), false),
        (request("GET /w/jobs/x").key(crate::testing::JOBS_KEY), true),
    ] {
        let decision = call.decide(&policies);
        let permit = decision.outcome.permit().unwrap();
        assert_eq!(permit.proves(crate::principal::AuthMethod::InternalKey), proves);
    }
}

#[test]
fn header_that_the_policy_reads_and_connection_names_is_malformed_before_anything_else() {
    let tenant = "tenant: { header: x-org, claims: [tenant] }\nidentity: { x-account: sub }\n";
    let own = POLICY.replace("tenant: { claims: [tenant, tenantId] }\n", tenant);
    let own = own.replace("internal_key: {", "internal_key: { header: x_job_key,");
    let own = own.replace("pass: [x-tenant-id]", "pass: [x-org]");
    let same = "version: 1\nservice: open\nprefix: /o\nupstream: { url: http://127.0.0.1:1 }\nroutes: [{ path: /*, auth: public }]\n";
    let other = same.replace("prefix: /o", "prefix: /p").replace(":1 }", ":2 }");
    let policies = parse(&[&own, same, &other]).unwrap();
    let all = ["/w/open/x", "/w/get", "/w/shadow", "/w/nothing", "/%77/open/x"];
    let elsewhere = ["/o/x", "/p/x"];
    for (names, own, others) in [
        ("x-org", true, false),
        ("X-ORG", true, false),
        ("x_org", true, false),
        ("http-x-org", true, false),
        ("close, x-account", false, false),
        ("X.Account", false, false),
        ("x-job-key", true, false),
        ("x_job_key", true, false),
        ("x-user-id", false, false),
        ("x-tenant-id", true, true),
        ("x-sandbox", true, true),
        ("x-userinfo", true, true),
        ("origin", true, true),
        ("x-hop", false, false),
        ("close", false, false),
    ] {
        let paths = all.iter().map(|path| (path, own));
        for (path, malformed) in paths.chain(elsewhere.iter().map(|path| (path, others))) {
            let call = request(&format!("GET {path}"));
            let once = call.clone().header("connection", names).outcome(&policies);
            let apart = call
                .header("connection", "close")
                .header("connection", names)
                .outcome(&policies);
            for outcome in [once, apart] {
                assert_eq!(outcome == "request_malformed", malformed, "{names} {path}: {outcome}");
            }
        }
    }
}

//! Tokens as identity providers write them: roles and scopes in many forms, an audience that is not in `aud`, headers
//! that point to keys, and tokens of thousands of bytes.

use std::net::TcpListener;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Request, SECRET, Setup, Shared,
    issuer::{claims, hmac, token_of_text},
};

/// One issuer for each prefix, and routes that ask for a role or for a scope.
const POLICY: &str = "
version: 1
service: $name-svc
prefix: /$name
upstream: { url: '$upstream' }
errors: { format: problem, scope_challenge: false }
jwt:
  issuers:
    - { issuer: eventzr.com, audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: IT_SECRET } }$more }
routes:
  - { path: /role, auth: jwt, roles: [admin] }
  - { path: /scopes, auth: jwt, scopes: [read, write] }
  - { path: /*, auth: jwt }
";

const ISSUERS: [(&str, &str); 7] = [
    ("plain", ""),
    ("scp", ", scopes_claim: scp, roles_claim: permissions"),
    (
        "keycloak",
        ", roles_claim: [[realm_access, roles], [resource_access, my.app-1, roles]], scopes_claim: [[scp], [x, y]]",
    ),
    ("cognito", ", audience_claim: client_id"),
    ("uaa", ", ignore_headers: [jku]"),
    ("typed", ", types: [at+jwt]"),
    ("required", ", required_claims: [sub, groups]"),
];

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| {
        let mut setup = Setup::new();
        for (name, more) in ISSUERS {
            setup = setup.policy(name, &POLICY.replace("$name", name).replace("$more", more));
        }
        setup.config("limits: { header_bytes: 64KiB }").start()
    })
}

fn bearing(target: &str, mut changes: Value) -> Request {
    // What the Wallet's tokens have besides.
    for name in ["roles", "scopes", "tenant", "tenantId"] {
        let fields = changes.as_object_mut().unwrap();
        fields.entry(name).or_insert(Value::Null);
    }
    Request::get(target).bearer(&hmac("HS256", SECRET, claims(changes)))
}

/// A claim that is `null` in the token itself.
fn with_null(target: &str, name: &str) -> Request {
    let mut all = claims(json!({ "roles": null, "scopes": null }));
    all[name] = Value::Null;
    Request::get(target).bearer(&hmac("HS256", SECRET, all))
}

#[test]
fn roles_and_scopes_are_read_in_every_form_that_providers_write() {
    let gateway = gateway();
    for (name, claims, roles, scopes) in [
        ("plain", json!({ "scope": ["read", "write"] }), "", "read,write"),
        ("plain", json!({ "scopes": "read write" }), "", "read,write"),
        ("plain", json!({ "roles": "admin" }), "admin", ""),
        ("plain", json!({ "roles": "admin user" }), "admin user", ""),
        (
            "scp",
            json!({ "scp": ["read", "write"], "permissions": ["admin"] }),
            "admin",
            "read,write",
        ),
        (
            "scp",
            json!({ "scp": "write read", "scope": "other" }),
            "",
            "write,read",
        ),
        (
            "keycloak",
            json!({
                "realm_access": { "roles": ["user", "admin"] },
                "resource_access": { "my.app-1": { "roles": ["admin", "editor"] } },
                "scp": "read", "x": { "y": ["write", "read"] },
            }),
            "user,admin,editor",
            "read,write",
        ),
    ] {
        let seen = gateway.allowed(&bearing(&format!("/{name}/x"), claims.clone()));
        assert_eq!(seen.values("x-user-roles").concat(), roles, "{claims}");
        assert_eq!(seen.values("x-user-scopes").concat(), scopes, "{claims}");
        let is_admin = roles.split(',').any(|role| role == "admin");
        let role = bearing(&format!("/{name}/role"), claims.clone());
        match is_admin {
            true => _ = gateway.allowed(&role),
            false => _ = gateway.refused(&role, 403, "role_missing"),
        }
        let scoped = bearing(&format!("/{name}/scopes"), claims.clone());
        match scopes.is_empty() {
            false => _ = gateway.allowed(&scoped),
            true => _ = gateway.refused(&scoped, 403, "scope_missing"),
        }
    }
}

#[test]
fn text_with_roles_is_never_split() {
    let gateway = gateway();
    for text in ["admin,user", "admin user", "user;admin", " admin", "[\"admin\"]"] {
        gateway.refused(&bearing("/plain/role", json!({ "roles": text })), 403, "role_missing");
    }
}

#[test]
fn null_grants_nothing_and_rejects_nothing() {
    let gateway = gateway();
    for name in ["roles", "scopes", "scope", "email"] {
        let seen = gateway.allowed(&with_null("/plain/x", name));
        assert!(seen.values("x-user-roles").is_empty() && seen.values("x-user-scopes").is_empty());
        gateway.refused(&with_null("/plain/role", name), 403, "role_missing");
        gateway.refused(&with_null("/plain/scopes", name), 403, "scope_missing");
    }
}

#[test]
fn claim_of_another_type_is_absent_and_rejected_where_the_route_asks_for_it() {
    let gateway = gateway();
    for (name, value) in [
        ("roles", json!(7)),
        ("roles", json!({ "admin": true })),
        ("roles", json!(["admin", 7])),
        ("roles", json!(["admin", null])),
        ("scopes", json!(true)),
        ("scopes", json!([["read"], "write"])),
        ("scope", json!({})),
    ] {
        let claims = json!({ name: value, "email": "a@eventzr.com" });
        let seen = gateway.allowed(&bearing("/plain/x", claims.clone()));
        assert!(seen.values("x-user-roles").is_empty() && seen.values("x-user-scopes").is_empty());
        assert_eq!(seen.values("x-user-email"), ["a@eventzr.com"]);
        let (asked, other) = match name {
            "roles" => (("/plain/role", "role_missing"), ("/plain/scopes", "scope_missing")),
            _ => (("/plain/scopes", "scope_missing"), ("/plain/role", "role_missing")),
        };
        gateway.refused(&bearing(asked.0, claims.clone()), 401, "token_claim_invalid");
        gateway.refused(&bearing(other.0, claims), 403, other.1);
    }
}

#[test]
fn audience_is_in_the_claim_that_the_policy_names_and_in_aud_beside_it() {
    let gateway = gateway();
    for (claims, want) in [
        (json!({ "aud": null, "client_id": "eventzr-api" }), None),
        (json!({ "aud": null, "client_id": ["x", "eventzr-api"] }), None),
        (json!({ "client_id": "eventzr-api" }), None),
        (
            json!({ "aud": ["x"], "client_id": "eventzr-api" }),
            Some("token_audience_mismatch"),
        ),
        (
            json!({ "aud": 7, "client_id": "eventzr-api" }),
            Some("token_claim_invalid"),
        ),
        (json!({ "client_id": "other" }), Some("token_audience_mismatch")),
        (json!({}), Some("token_claim_missing")),
        (json!({ "client_id": 7 }), Some("token_claim_invalid")),
    ] {
        let request = bearing("/cognito/x", claims);
        match want {
            None => _ = gateway.allowed(&request),
            Some(reason) => _ = gateway.refused(&request, 401, reason),
        }
    }
}

#[test]
fn link_to_a_key_is_never_followed() {
    let gateway = gateway();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", server.local_addr().unwrap());
    let bearing = |target: &str, header: Value| {
        let token = token_of_text(&header.to_string(), claims(json!({})).to_string());
        Request::get(target).bearer(&token)
    };
    let jku = json!({ "alg": "HS256", "jku": url });
    gateway.allowed(&bearing("/uaa/x", jku.clone()));
    gateway.refused(&bearing("/plain/x", jku), 401, "token_malformed");
    let unknown = json!({ "alg": "HS256", "jku": url, "kid": "k" });
    gateway.allowed(&bearing("/uaa/x", unknown));
    for other in ["x5u", "x5c", "jwk", "crit"] {
        let header = json!({ "alg": "HS256", "jku": url, other: url });
        gateway.refused(&bearing("/uaa/x", header), 401, "token_malformed");
    }
    let forged = hmac("HS256", "another-secret-of-at-least-32-bytes!", claims(json!({})));
    gateway.refused(&Request::get("/uaa/x").bearer(&forged), 401, "token_signature_invalid");
    assert!(server.accept().is_err(), "Sidegate connected to `jku`");
}

#[test]
fn token_has_a_type_that_the_issuer_lists() {
    let gateway = gateway();
    let bearing = |target: &str, header: Value| {
        let token = token_of_text(&header.to_string(), claims(json!({})).to_string());
        Request::get(target).bearer(&token)
    };
    gateway.allowed(&bearing(
        "/typed/x",
        json!({ "alg": "HS256", "typ": "application/AT+JWT" }),
    ));
    gateway.refused(&bearing("/typed/x", json!({ "alg": "HS256" })), 401, "token_malformed");
    gateway.refused(
        &bearing("/typed/x", json!({ "alg": "HS256", "typ": "JWT" })),
        401,
        "token_malformed",
    );
    gateway.allowed(&bearing("/plain/x", json!({ "alg": "HS256" })));
    gateway.refused(
        &bearing("/plain/x", json!({ "alg": "HS256", "typ": "id+jwt" })),
        401,
        "token_malformed",
    );
}

#[test]
fn long_token_is_bounded_by_the_head_of_the_request() {
    let gateway = gateway();
    let groups = |count: usize| {
        let groups: Vec<_> = (0..count)
            .map(|at| format!("00000000-0000-4000-a000-{at:012}"))
            .collect();
        bearing("/required/x", json!({ "groups": groups }))
    };
    gateway.allowed(&groups(200));
    gateway.allowed(&groups(700));
    gateway.refused(&groups(2000), 431, "headers_too_large");
}

//! What a route asks of a caller beyond being known: roles, scopes, and the type of the body.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{Gateway, OTHER_TENANT, Request, Setup, Shared, TENANT, issuer::token, setup::WALLET};

const POLICY: &str = "
$wallet
prefix: /w
content_types: [application/json]
roles: { developer: [admin], admin: [organizer], organizer: [user], auditor: [user] }
routes:
  - { path: /user, auth: jwt, roles: [user] }
  - { path: /organizer, auth: jwt, roles: [organizer] }
  - { path: /admin, auth: jwt, roles: [admin] }
  - { path: /either, auth: jwt, roles: [auditor, admin] }
  - { path: /write, auth: jwt, scopes: [read, write] }
  - { path: /both, auth: jwt, roles: [organizer], scopes: [write] }
  - { path: /notes, auth: jwt, content_types: [text/plain, application/json] }
  - { path: /webhooks/*, auth: public, content_types: any }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

fn get(path: &str, changes: Value) -> Request {
    Request::get(&format!("/w/{path}")).bearer(&token(changes)).tenant()
}

#[test]
fn a_role_brings_the_listed_ones_along_and_theirs() {
    let gateway = gateway();
    for (path, enough, not_enough) in [
        (
            "user",
            &["user", "organizer", "admin", "developer", "auditor"][..],
            &["users", "USER", "", "use", "guest"][..],
        ),
        ("organizer", &["organizer", "admin", "developer"], &["user", "auditor"]),
        (
            "admin",
            &["admin", "developer"],
            &["organizer", "auditor", "Admin", "admin "],
        ),
        ("either", &["auditor", "admin", "developer"], &["organizer", "user"]),
    ] {
        for role in enough {
            gateway.allowed(&get(path, json!({ "roles": [role] })));
            gateway.allowed(&get(path, json!({ "roles": ["guest", role] })));
        }
        for role in not_enough
            .iter()
            .filter(|role| !role.trim().is_empty() && role.trim() == **role)
        {
            gateway.refused(&get(path, json!({ "roles": [role] })), 403, "role_missing");
        }
        gateway.refused(&get(path, json!({ "roles": [] })), 403, "role_missing");
        gateway.refused(&get(path, json!({ "roles": null })), 403, "role_missing");
    }
}

#[test]
fn the_service_sees_the_roles_of_the_token() {
    let seen = gateway().allowed(&get("user", json!({ "roles": ["admin"] })));
    assert!(seen.values("x-user-roles")[0].split(',').any(|role| role == "admin"));
}

#[test]
fn all_scopes_are_needed_from_a_list_or_a_string() {
    let gateway = gateway();
    let scopes = |list: Value, text: Value| get("write", json!({ "scopes": list, "scope": text }));
    for good in [
        scopes(json!(["write", "read"]), Value::Null),
        scopes(Value::Null, json!("read write")),
        scopes(Value::Null, json!("write admin read")),
    ] {
        gateway.allowed(&good);
    }
    for bad in [
        scopes(Value::Null, Value::Null),
        scopes(json!([]), Value::Null),
        scopes(json!(["read"]), Value::Null),
        scopes(json!(["readwrite"]), Value::Null),
        scopes(json!(["Read", "Write"]), Value::Null),
        scopes(Value::Null, json!("read")),
        scopes(Value::Null, json!("readwrite")),
    ] {
        gateway.refused(&bad, 403, "scope_missing");
    }
    // T-J7: a scope string splits on a space, and on nothing else.
    for odd in ["read\twrite", "read,write", "read\u{a0}write"] {
        let answer = gateway.send(&scopes(Value::Null, json!(odd)));
        assert!(matches!(answer.status, 401 | 403), "{odd:?}: {answer:?}");
    }
}

#[test]
fn missing_role_is_a_403_and_not_a_401() {
    let gateway = gateway();
    gateway.refused(&get("both", json!({ "roles": ["user"] })), 403, "role_missing");
    gateway.refused(&get("both", json!({ "scopes": ["read"] })), 403, "scope_missing");
    gateway.allowed(&get("both", json!({})));
}

#[test]
fn missing_scope_is_answered_with_the_scopes_of_the_route() {
    // RFC 6750, 3.1.
    let scopes = r#"Bearer realm="wallet-svc", error="insufficient_scope", scope="read write""#;
    for (errors, challenge) in [
        ("format: flat", Some(scopes)),
        ("format: problem", Some(scopes)),
        ("format: envelope, scope_challenge: true", Some(scopes)),
        ("format: flat, scope_challenge: false", None),
    ] {
        let wallet = WALLET.replace("format: envelope", errors);
        let gateway = Setup::new()
            .policy("wallet", &POLICY.replace("$wallet", &wallet))
            .start();
        let answer = gateway.send(&get("write", json!({ "scopes": ["read"] })));
        let found = (answer.status, answer.header("www-authenticate"));
        assert_eq!(found, (403, challenge), "{errors}: {answer:?}");
        let answer = gateway.send(&get("admin", json!({ "roles": ["user"] })));
        let found = (answer.status, answer.header("www-authenticate"));
        assert_eq!(found, (403, None), "{errors}: {answer:?}");
    }
}

fn post(path: &str, content_type: &str) -> Request {
    let request = Request::new("POST", &format!("/w/{path}"))
        .bearer(&token(json!({})))
        .tenant();
    request.header("content-type", content_type).body("{}")
}

#[test]
fn a_body_of_another_type_is_unsupported() {
    let gateway = gateway();
    for good in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
    ] {
        gateway.allowed(&post("x", good));
    }
    for bad in [
        "text/plain",
        "application/jsonp",
        "application/json+x",
        "application",
        "multipart/form-data; boundary=application/json",
        "",
        "text/plain; application/json",
    ] {
        gateway.refused(&post("x", bad), 415, "content_type_unsupported");
    }
    for method in ["POST", "PUT", "PATCH"] {
        let mut request = post("x", "text/plain");
        method.clone_into(&mut request.method);
        gateway.refused(&request, 415, "content_type_unsupported");
    }
    let untyped = Request::new("POST", "/w/x")
        .bearer(&token(json!({})))
        .tenant()
        .body("{}");
    gateway.refused(&untyped, 415, "content_type_unsupported");
    let twice = post("x", "application/json").header("content-type", "text/plain");
    let answer = gateway.send(&twice);
    assert!(matches!(answer.status, 400 | 415), "{answer:?}");
}

#[test]
fn type_that_an_empty_body_names_is_verified() {
    let gateway = gateway();
    let empty = |field: &str| {
        let token = token(json!({}));
        let tenant = format!("x-tenant-id: {TENANT}");
        let head = format!("POST /w/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{tenant}\r\n");
        let mut wire = gateway.connect();
        wire.write(format!("{head}content-length: 0\r\n{field}\r\n"));
        wire.answer("POST").unwrap().status
    };
    for (field, status) in [
        ("", 200),
        ("content-type: application/json\r\n", 200),
        ("content-type: text/plain\r\n", 415),
        ("content-type:\r\n", 415),
    ] {
        assert_eq!(empty(field), status, "{field:?}");
    }
}

#[test]
fn a_route_has_its_own_types_or_any() {
    let gateway = gateway();
    gateway.allowed(&post("notes", "text/plain"));
    gateway.allowed(&post("notes", "application/json"));
    gateway.refused(&post("notes", "text/html"), 415, "content_type_unsupported");
    gateway.allowed(
        &Request::new("POST", "/w/webhooks/x")
            .header("content-type", "text/xml")
            .body("<x/>"),
    );
    gateway.allowed(&Request::new("POST", "/w/webhooks/x").body("x"));
    for method in ["GET", "DELETE"] {
        let request = Request::new(method, "/w/x").bearer(&token(json!({}))).tenant();
        gateway.allowed(&request.header("content-type", "text/plain"));
    }
}

#[test]
fn first_rejection_wins() {
    let gateway = gateway();
    let everything_wrong = |changes: Value| get("both", changes).header("content-type", "text/plain").body("x");
    let posted = |mut request: Request| {
        "POST".clone_into(&mut request.method);
        request
    };
    let expired = everything_wrong(json!({ "exp": 1, "roles": [], "scopes": [] }));
    gateway.refused(&posted(expired), 401, "token_expired");
    let other = everything_wrong(json!({ "tenant": OTHER_TENANT, "tenantId": OTHER_TENANT, "roles": [] }));
    gateway.refused(&posted(other), 403, "tenant_mismatch");
    gateway.refused(
        &posted(everything_wrong(json!({ "roles": [], "scopes": [] }))),
        403,
        "role_missing",
    );
    gateway.refused(&posted(everything_wrong(json!({ "scopes": [] }))), 403, "scope_missing");
    gateway.refused(&posted(everything_wrong(json!({}))), 415, "content_type_unsupported");
}

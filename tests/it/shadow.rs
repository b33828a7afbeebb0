//! Shadow mode: what would have been rejected is decided, logged and counted, and forwarded with
//! nobody's identity.

use serde_json::json;

use crate::harness::{Gateway, Request, Setup, eventually, issuer::token};

const ONE_ROUTE: &str = "
$wallet
prefix: /w
routes:
  - { path: /trial/*, auth: jwt, roles: [admin], mode: shadow }
  - { path: /*, auth: jwt }
";

const WHOLE_POLICY: &str = "
$wallet
prefix: /w
mode: shadow
routes:
  - { path: /trial/*, auth: jwt, roles: [admin] }
";

const IDENTITY: [&str; 7] = [
    "x-user-id",
    "x-user-email",
    "x-user-roles",
    "x-user-scopes",
    "x-tenant-id",
    "x-plan-tier",
    "x-client-id",
];

fn forwards_as_nobody(gateway: &Gateway, request: Request, reason: &str) {
    let labels = [("decision", "shadow_deny"), ("reason", reason)];
    let before = gateway.metric("sidegate_decisions_total", &labels).unwrap_or(0.0);
    let spoofed = IDENTITY.iter().filter(|name| **name != "x-tenant-id");
    let request = spoofed.fold(request, |request, name| request.header(name, "spoofed"));
    let seen = gateway.allowed(&request);
    for name in IDENTITY {
        assert_eq!(seen.values(name), [""; 0], "{name} for {request}");
    }
    eventually("it is counted", || {
        gateway.metric("sidegate_decisions_total", &labels) == Some(before + 1.0)
    });
    let logged = |line: &serde_json::Value| line["decision"] == "shadow_deny" && line["reason"] == reason;
    eventually("it is logged", || gateway.log_lines().iter().any(logged));
}

#[test]
fn what_would_be_rejected_passes_without_an_identity() {
    for policy in [ONE_ROUTE, WHOLE_POLICY] {
        let gateway = Setup::new().policy("wallet", policy).start();
        forwards_as_nobody(&gateway, Request::get("/w/trial/x"), "credential_missing");
        forwards_as_nobody(
            &gateway,
            Request::get("/w/trial/x").bearer("nonsense"),
            "token_malformed",
        );
        let expired = Request::get("/w/trial/x").bearer(&token(json!({ "exp": 1 }))).tenant();
        forwards_as_nobody(&gateway, expired, "token_expired");
        let user = Request::get("/w/trial/x")
            .bearer(&token(json!({ "roles": ["user"] })))
            .tenant();
        forwards_as_nobody(&gateway, user, "role_missing");
    }
}

#[test]
fn what_would_be_allowed_is_allowed() {
    let gateway = Setup::new().policy("wallet", ONE_ROUTE).start();
    gateway.allowed(
        &Request::get("/w/trial/x")
            .bearer(&token(json!({ "roles": ["admin"] })))
            .tenant(),
    );
    let allowed = [("decision", "allow"), ("auth", "jwt")];
    eventually("it is counted", || {
        gateway.metric("sidegate_decisions_total", &allowed) == Some(1.0)
    });
}

#[test]
fn shadow_is_for_its_own_route_and_not_for_a_request_that_has_no_reading() {
    let gateway = Setup::new().policy("wallet", ONE_ROUTE).start();
    gateway.refused(&Request::get("/w/other"), 401, "credential_missing");
    gateway.refused(&Request::get("/w/trial/../other"), 400, "path_ambiguous");
    gateway.refused(&Request::get("/w/trialx"), 401, "credential_missing");
}

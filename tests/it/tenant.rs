//! The tenant: named by the caller in a header, proven by the token.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Gateway, OTHER_TENANT, Request, Setup, Shared, TENANT, issuer::token, setup::WALLET};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /open, auth: public }
  - { path: /login, auth: public, pass: [x-tenant-id] }
  - { path: /jobs, auth: internal_key }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

fn get() -> Request {
    Request::get("/w/x").bearer(&token(json!({})))
}

#[test]
fn the_header_and_every_claim_are_the_same_tenant() {
    let gateway = gateway();
    assert_eq!(gateway.allowed(&get().tenant()).values("x-tenant-id"), [TENANT]);
    let seen = gateway.allowed(&get().header("X-TENANT-ID", &TENANT.to_uppercase()));
    assert!(seen.values("x-tenant-id")[0].eq_ignore_ascii_case(TENANT));
    gateway.refused(&get().header("x-tenant-id", OTHER_TENANT), 403, "tenant_mismatch");
    for claim in ["tenant", "tenantId"] {
        let request = Request::get("/w/x")
            .bearer(&token(json!({ claim: OTHER_TENANT })))
            .tenant();
        gateway.refused(&request, 403, "tenant_mismatch");
        let request = Request::get("/w/x").bearer(&token(json!({ claim: null }))).tenant();
        gateway.refused(&request, 401, "token_claim_missing");
        for wrong in [json!([TENANT]), json!(7), json!(true), json!({})] {
            let request = Request::get("/w/x").bearer(&token(json!({ claim: wrong }))).tenant();
            gateway.refused(&request, 401, "token_claim_invalid");
        }
    }
    for other_in_both in ["", "acme"] {
        let changes = json!({ "tenant": other_in_both, "tenantId": other_in_both });
        let answer = gateway.send(&Request::get("/w/x").bearer(&token(changes)).tenant());
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    }
}

#[test]
fn tenant_header_comes_once_and_is_a_uuid() {
    let gateway = gateway();
    gateway.refused(&get(), 400, "tenant_header_missing");
    let twice = get().tenant().tenant();
    assert_eq!(gateway.send(&twice).status, 400);
    let both = get().tenant().header("X-Tenant-Id", OTHER_TENANT);
    assert_eq!(gateway.send(&both).status, 400);
    for bad in [
        "",
        "acme",
        "00000000000040008000000000000001",
        "{00000000-0000-4000-a000-000000000001}",
        "urn:uuid:00000000-0000-4000-a000-000000000001",
        "00000000-0000-4000-a000-00000000000",
        "00000000-0000-4000-a000-0000000000011",
        "00000000-0000-4000-a000-000000000001,00000000-0000-4000-a000-000000000001",
        "00000000-0000-4000-a000-00000000000g",
        "00000000_0000_4000_a000_000000000001",
        "\u{e9}0000000-0000-4000-a000-000000000001",
    ] {
        let request = get().header("x-tenant-id", bad);
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 400, "{request}: {answer:?}");
        assert!(answer.reason().starts_with("tenant_header_"), "{request}: {answer:?}");
    }
    // A name that only looks like it names no tenant.
    gateway.refused(&get().header("x_tenant_id", TENANT), 400, "tenant_header_missing");
}

#[test]
fn unverified_tenant_does_not_reach_the_service() {
    let gateway = gateway();
    for (path, tenants) in [("/w/open", &[][..]), ("/w/login", &[TENANT])] {
        assert_eq!(
            gateway.allowed(&Request::get(path).tenant()).values("x-tenant-id"),
            tenants,
            "{path}"
        );
        let aliases = Request::get(path)
            .header("x_tenant_id", OTHER_TENANT)
            .header("x.tenant.id", OTHER_TENANT);
        assert_eq!(gateway.allowed(&aliases).values("x-tenant-id"), [""; 0], "{path}");
    }
    assert_eq!(
        gateway
            .allowed(&Request::get("/w/jobs").jobs_key().tenant())
            .values("x-tenant-id"),
        [""; 0]
    );
}

#[test]
fn text_tenant_of_a_list_reaches_the_service_and_the_log() {
    let wallet = WALLET.replace(
        "{ header: x-tenant-id, claims: [tenant, tenantId] }",
        "{ header: x-org, claims: [[organization, ids]], format: text, lists: true }",
    );
    let policy = POLICY.replace(", pass: [x-tenant-id]", "").replace("$wallet", &wallet);
    let gateway = Setup::new().policy("wallet", &policy).start();
    let token = token(json!({ "organization": { "ids": ["acme", "org_7Kd2\""] } }));
    for tenant in ["acme", "org_7Kd2\"", "acme"] {
        let request = Request::get("/w/x").bearer(&token).header("x-org", tenant);
        let seen = gateway.allowed(&request);
        assert_eq!(
            (seen.values("x-org"), seen.values("x-tenant-id")),
            (vec![tenant], vec![tenant])
        );
    }
    let other = Request::get("/w/x").bearer(&token).header("x-org", "Acme");
    gateway.refused(&other, 403, "tenant_mismatch");
    gateway.terminate();
    gateway.ended();
    let lines = gateway.log_lines();
    let logged: Vec<_> = lines.iter().filter_map(|line| line["tenant"].as_str()).collect();
    assert_eq!(logged, ["acme", "org_7Kd2\"", "acme"]);
}

//! Tenants that are texts, nested or lists, and requests without a tenant header.

use serde_json::{Value, json};

use super::POLICY;
use crate::decision::{Evaluator, decide};
use crate::policy::PolicySet;
use crate::revocation::{Revocation, RevocationList, Revocations, Target};
use crate::testing::{NOW, TENANT, TestRequest, claims_with, evaluator, parse, request};

fn text(tenant: &str) -> String {
    POLICY.replace("{ claims: [tenant, tenantId] }", tenant)
}

fn policies(tenant: &str) -> PolicySet {
    parse(&[&text(tenant)]).unwrap()
}

fn call(changes: &Value, tenant: Option<&str>) -> TestRequest {
    let request = request("GET /w/get").bearer(&claims_with(changes));
    match tenant {
        Some(tenant) => request.tenant(tenant),
        None => request,
    }
}

/// The outcome, or the tenant that the service receives.
fn tenant_of(request: &TestRequest, policies: &PolicySet) -> String {
    let outcome = request.outcome(policies);
    if outcome != "allow" {
        return outcome;
    }
    let identity = request.identity(policies);
    let tenant = identity.iter().find_map(|line| line.strip_prefix("x-tenant-id: "));
    tenant.unwrap_or("none").to_owned()
}

#[test]
fn text_is_compared_byte_for_byte() {
    let policies = policies("{ claims: [org_id, [organization, id]], format: text }");
    let upper = TENANT.to_uppercase();
    let long = "x".repeat(129);
    for (org, nested, header, want) in [
        (json!("org_7Kd2"), json!("org_7Kd2"), Some("org_7Kd2"), "org_7Kd2"),
        (
            json!("org_7Kd2"),
            json!("org_7Kd2"),
            Some("org_7kd2"),
            "tenant_mismatch",
        ),
        (
            json!("org_7Kd2"),
            json!("org_7kd2"),
            Some("org_7Kd2"),
            "tenant_mismatch",
        ),
        (json!("a"), json!("a"), None, "tenant_header_missing"),
        (json!("a"), json!("a"), Some(""), "tenant_header_invalid"),
        (json!("a"), json!("a"), Some("a b"), "tenant_header_invalid"),
        (json!(long), json!(long), Some(&long), "tenant_header_invalid"),
        (json!("a"), json!(null), Some("a"), "token_claim_invalid"),
        (json!("a"), json!(["a"]), Some("a"), "token_claim_invalid"),
        (json!("a"), json!(7), Some("a"), "token_claim_invalid"),
        (json!(upper), json!(upper), Some(&upper), &upper),
        (json!(upper), json!(upper), Some(TENANT), "tenant_mismatch"),
    ] {
        let changes = json!({ "org_id": org, "organization": { "id": nested } });
        assert_eq!(
            tenant_of(&call(&changes, header), &policies),
            want,
            "{changes} {header:?}"
        );
    }
    let changes = json!({ "org_id": "a", "organization.id": "a" });
    assert_eq!(tenant_of(&call(&changes, Some("a")), &policies), "token_claim_missing");
}

#[test]
fn list_has_the_tenant_of_the_request() {
    let lists = policies("{ claims: [orgs, main], format: text, lists: true }");
    for (orgs, main, header, want) in [
        (json!(["a", "b"]), json!(["b", "a"]), Some("a"), "a"),
        (json!(["a", "b"]), json!(["b", "a"]), Some("b"), "b"),
        (json!(["a", "b"]), json!("b"), Some("b"), "b"),
        (json!(["a", "b"]), json!("b"), Some("a"), "tenant_mismatch"),
        (json!(["a", "b"]), json!(["b"]), Some("c"), "tenant_mismatch"),
        (json!([]), json!(["b"]), Some("b"), "tenant_mismatch"),
        (json!(["b", 7]), json!(["b"]), Some("b"), "token_claim_invalid"),
        (json!([["b"]]), json!(["b"]), Some("b"), "token_claim_invalid"),
        (json!(["b"]), json!(["b"]), Some("b,c"), "tenant_mismatch"),
        (json!(["b"]), json!(["b"]), None, "tenant_header_missing"),
    ] {
        let changes = json!({ "orgs": orgs, "main": main });
        assert_eq!(tenant_of(&call(&changes, header), &lists), want, "{changes} {header:?}");
    }
    let optional = policies("{ claims: [orgs], lists: true, header_required: false }");
    let changes = json!({ "orgs": [TENANT] });
    assert_eq!(tenant_of(&call(&changes, None), &optional), "tenant_header_missing");
    assert_eq!(
        tenant_of(&call(&changes, Some(&TENANT.to_uppercase())), &optional),
        TENANT
    );
}

#[test]
fn claims_name_the_tenant_of_a_request_without_the_header() {
    let policies = policies("{ claims: [tenant, org], format: text, header_required: false }");
    for (tenant, org, header, want) in [
        (json!("a"), json!("a"), None, "a"),
        (json!("a"), json!("a"), Some("a"), "a"),
        (json!("a"), json!("a"), Some("b"), "tenant_mismatch"),
        (json!("a"), json!("b"), None, "tenant_mismatch"),
        (json!("a"), Value::Null, None, "token_claim_missing"),
        (json!("a"), json!(["a"]), None, "token_claim_invalid"),
        (json!("a"), json!("a"), Some(""), "tenant_header_invalid"),
    ] {
        let changes = json!({ "tenant": tenant, "org": org });
        assert_eq!(
            tenant_of(&call(&changes, header), &policies),
            want,
            "{changes} {header:?}"
        );
    }
    let twice = call(&json!({ "tenant": "a", "org": "a" }), Some("a")).tenant("a");
    assert_eq!(tenant_of(&twice, &policies), "tenant_header_invalid");
}

#[test]
fn known_token_serves_two_tenants_alternately() {
    let evaluator = evaluator(&[&text("{ claims: [orgs], format: text, lists: true }")]);
    let changes = json!({ "orgs": ["a", "b"] });
    for turn in 0..100 {
        let tenant = if turn % 2 == 0 { "a" } else { "b" };
        let request = call(&changes, Some(tenant));
        let decision = decide(&evaluator, &request.facts(), Revocations::Unasked, &mut ());
        let permit = decision.outcome.permit().unwrap();
        let named: Vec<_> = permit
            .identity()
            .iter()
            .filter(|(name, _)| name == "x-tenant-id")
            .collect();
        assert_eq!(named.len(), 1);
        assert_eq!(named[0].1, tenant);
        assert_eq!(decision.principal.unwrap().tenant.unwrap().to_string(), tenant);
    }
}

fn outcome(evaluator: &Evaluator, request: &TestRequest, list: &RevocationList) -> String {
    let known = Revocations::Known {
        list,
        age: Some(std::time::Duration::ZERO),
    };
    let decision = decide(evaluator, &request.facts(), known, &mut ());
    let rejection = decision.outcome.rejection();
    rejection
        .map_or("allow", |rejection| rejection.reason().code())
        .to_owned()
}

#[test]
fn revoked_tenant_of_a_list_is_rejected_alone() {
    let revoked = |tenant: &str| {
        let mut list = RevocationList::default();
        list.add(&Revocation {
            target: Target::Tenant(crate::principal::TenantId::named(tenant).unwrap()),
            issuer: None,
            before: Some((NOW + 1) * 1000),
            expires: (NOW + 1) * 1000,
        });
        list
    };
    let lists = evaluator(&[&(text("{ claims: [orgs], format: text, lists: true }") + "revocation: {}\n")]);
    let upper = TENANT.to_uppercase();
    let changes = json!({ "orgs": ["a", "b", upper] });
    for (tenant, list, want) in [
        (Some("a"), revoked("a"), "token_revoked"),
        (Some("b"), revoked("a"), "allow"),
        (Some("c"), revoked("c"), "tenant_mismatch"),
        (None, revoked("a"), "tenant_header_missing"),
        (Some(upper.as_str()), revoked(TENANT), "token_revoked"),
        (Some("a"), revoked(TENANT), "allow"),
    ] {
        assert_eq!(outcome(&lists, &call(&changes, tenant), &list), want, "{tenant:?}");
    }
    let single = evaluator(&[&(text("{ claims: [org], format: text }") + "revocation: {}\n")]);
    let request = call(&json!({ "org": "a" }), Some("a"));
    assert_eq!(outcome(&single, &request, &revoked("a")), "token_revoked");
    assert_eq!(outcome(&single, &request, &revoked("A")), "allow");
}

//! The files of `policies/`: what comes again, and how often callers may call.

use serde_json::{Value, json};

use crate::{
    harness::{
        OTHER_TENANT, Request, SECRET,
        issuer::{claims, hmac},
    },
    shipped_policies::{POLICIES, Stage, stage},
};

#[test]
fn a_write_with_a_key_reaches_each_service_once() {
    let stage = stage();
    let wallet = |body: &str| {
        Request::post("/wallet/v1/wallets", body)
            .bearer(&hmac("HS256", SECRET, claims(json!({}))))
            .tenant()
    };
    let job = |body: &str| Request::post("/wallet/v1/jobs/scheduled/settle", body).jobs_key();
    let hub = |body: &str| stage.hub("POST", "/execute", "organizer").body(body);
    for (make, key) in [
        (
            &wallet as &dyn Fn(&str) -> Request,
            "8e03978e-40d5-43e8-bc93-6894a57f9331",
        ),
        (&job, "8e03978e-40d5-43e8-bc93-6894a57f9332"),
        (&hub, "8e03978e-40d5-43e8-bc93-6894a57f9333"),
    ] {
        let with_key = |body| make(body).header("idempotency-key", key);
        stage.gateway.allowed(&with_key("{}"));
        let again = with_key("{}");
        let answer = stage.gateway.send(&again);
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (200, Some("true")),
            "{again}"
        );
        assert_eq!(stage.gateway.upstream.seen(&again.case).len(), 0, "{again}");
        assert_eq!(stage.gateway.send(&with_key("[]")).status, 422, "{again}");
    }
}

#[test]
fn a_tenant_has_the_quota_of_its_plan_and_none_for_its_sandbox() {
    let stage = stage();
    let hub = |plan: Value| {
        stage.hub_with(
            "GET",
            "/providers",
            &json!({ "planTier": plan, "tenantId": OTHER_TENANT }),
        )
    };
    let wallet = |plan: Value| {
        let claims = claims(json!({ "planTier": plan, "tenant": OTHER_TENANT, "tenantId": OTHER_TENANT }));
        Request::get("/wallet/v1/wallets")
            .bearer(&hmac("HS256", SECRET, claims))
            .header("x-tenant-id", OTHER_TENANT)
    };
    let policy = |request: &Request| {
        let answer = stage.gateway.send(request);
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        answer.header("ratelimit-policy").map(str::to_owned)
    };
    for (plan, of_hub, of_wallet) in [
        (json!("enterprise"), 6000, 6000),
        (json!("pro"), 1200, 1200),
        (json!("free"), 120, 120),
        (json!("no such plan"), 120, 1200),
        (Value::Null, 120, 1200),
    ] {
        for (request, limit) in [(hub(plan.clone()), of_hub), (wallet(plan.clone()), of_wallet)] {
            let want = format!("\"calls\";q={limit};w=60");
            assert_eq!(policy(&request), Some(want), "{request}");
        }
    }
    let free = || hub(json!("free"));
    let last = (0..600)
        .map(|_| stage.gateway.send(&free()))
        .find(|answer| answer.status != 200);
    let refused = last.unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "ERR_INTEGRATION_HUB_SVC_TOO_MANY_REQUESTS")
    );
    for request in [free(), wallet(json!("free"))] {
        assert_eq!(policy(&request.header("x-sandbox", "true")), None);
    }
    stage.gateway.allowed(&stage.hub("GET", "/providers", "user"));
}

#[test]
fn logins_of_one_address_are_counted_in_every_spelling() {
    let stage = Stage::of(|setup| setup.with_flags(&["--policies", POLICIES]));
    let wrong = |path: &str| Request::post(&format!("/auth/v1{path}"), r#"{"email":"a@b.c","password":"guess"}"#);
    let spellings = ["/login", "/login/", "/lo%67in", "/login?a=1"];
    let sandbox = |request: Request| request.header("x-sandbox", "true");
    for path in spellings.iter().cycle().take(20) {
        stage.gateway.allowed(&sandbox(wrong(path)));
    }
    for path in ["/Login", "/LOGIN/", "/%4Cogin"] {
        assert_eq!(stage.gateway.send(&wrong(path)).status, 400, "{path}");
    }
    for path in spellings {
        let answer = stage.gateway.send(&sandbox(wrong(path)));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (429, "ERR_AUTH_SVC_TOO_MANY_REQUESTS"),
            "{path}"
        );
        assert!(answer.header("retry-after").is_some(), "{path}");
    }
    for _ in 0..60 {
        stage.gateway.allowed(&wrong("/refresh"));
    }
    assert_eq!(stage.gateway.send(&wrong("/refresh")).status, 429);
    assert_eq!(stage.gateway.send(&wrong("/Refresh")).status, 400);
    stage.gateway.allowed(&Request::get("/auth/v1/.well-known/jwks.json"));
}

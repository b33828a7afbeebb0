//! The files of `policies/`: the two services and auth-svc, exactly as the contract gives them.

use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, JOBS_KEY, OTHER_TENANT, Request, SECRET, Setup, Shared, TENANT, Wire,
    certificates::{client, pki},
    issuer::{Key, KeyServer, claims, hmac, now},
};

struct Stage {
    gateway: Gateway,
    key: Key,
    // Published for as long as the gateway runs.
    _keys: KeyServer,
}

fn stage() -> Arc<Stage> {
    static SHARED: Shared<Stage> = Shared::new();
    SHARED.get(|| {
        let key = Key::new("RS256", "auth-svc");
        let keys = KeyServer::publishing(&[&key]);
        let setup = Setup::new().tls().env("AUTH_JWKS_URL", &keys.url);
        let url = setup.upstream_url().to_owned();
        let upstreams = ["HUB_UPSTREAM", "WALLET_UPSTREAM", "AUTH_UPSTREAM"];
        let setup = upstreams.iter().fold(setup, |setup, name| setup.env(name, &url));
        let setup = setup.env("WALLET_JWT_SECRET", SECRET).env("WALLET_JOBS_KEY", JOBS_KEY);
        let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
        let gateway = setup.with_flags(&["--policies", policies]).start();
        Stage {
            gateway,
            key,
            _keys: keys,
        }
    })
}

impl Stage {
    /// A token as auth-svc issues them for the Hub: no `iss`, no `aud`.
    fn hub_token(&self, changes: &Value) -> String {
        let mut all = json!({ "sub": "user-7", "tenantId": TENANT, "email": "a@b.c", "planTier": "pro", "iat": now(), "exp": now() + 600 });
        all.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        self.key.sign(all)
    }

    fn hub(&self, method: &str, path: &str, role: &str) -> Request {
        let request = Request::new(method, &format!("/integrationhub/v1{path}")).tenant();
        let request = request.bearer(&self.hub_token(&json!({ "roles": [role] })));
        if matches!(method, "POST" | "PUT" | "PATCH") {
            return request.header("content-type", "application/json").body("{}");
        }
        request
    }
}

#[test]
fn integration_hub_asks_each_path_for_its_role() {
    let stage = stage();
    for (method, path, enough, not_enough) in [
        (
            "GET",
            "/providers",
            &["user", "organizer", "admin", "developer"][..],
            &["guest"][..],
        ),
        ("GET", "/providers/7/offers", &["user"], &["guest"]),
        ("GET", "/marketplace", &["user"], &["guest"]),
        ("POST", "/execute", &["organizer", "admin", "developer"], &["user"]),
        ("GET", "/executions/7", &["organizer"], &["user"]),
        ("DELETE", "/credentials/7", &["organizer"], &["user"]),
        ("GET", "/oauth/callback", &["organizer"], &["user"]),
        ("POST", "/whatsapp/messages", &["organizer"], &["user"]),
        ("GET", "/admin/stats", &["admin", "developer"], &["organizer"]),
        ("POST", "/jobs/7", &["admin", "developer"], &["organizer"]),
        ("GET", "/anything/else", &["admin"], &["organizer"]),
        ("POST", "/providers", &["admin"], &["organizer"]),
        ("GET", "/execute", &["admin"], &["organizer"]),
    ] {
        for role in enough {
            let seen = stage.gateway.allowed(&stage.hub(method, path, role));
            assert_eq!(seen.values("x-tenant-id"), [TENANT]);
            assert_eq!(seen.values("x-plan-tier"), ["pro"]);
        }
        for role in not_enough {
            let answer = stage.gateway.send(&stage.hub(method, path, role));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (403, "ERR_INTEGRATION_HUB_SVC_FORBIDDEN"),
                "{method} {path}"
            );
        }
        let answer = stage
            .gateway
            .send(&Request::new(method, &format!("/integrationhub/v1{path}")));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "ERR_INTEGRATION_HUB_SVC_UNAUTHORIZED"),
            "{method} {path}"
        );
    }
}

#[test]
fn integration_hub_has_open_doors_and_one_for_certificates() {
    let stage = stage();
    for path in [
        "/health",
        "/live",
        "/ready",
        "/whatsapp/webhooks",
        "/whatsapp/webhooks/7",
    ] {
        stage
            .gateway
            .allowed(&Request::get(&format!("/integrationhub/v1{path}")));
    }
    let webhook = Request::new("POST", "/integrationhub/v1/whatsapp/webhooks/7")
        .header("content-type", "text/plain")
        .body("x");
    stage.gateway.allowed(&webhook);
    let form = stage.hub("POST", "/execute", "organizer");
    let form = Request {
        headers: form
            .headers
            .into_iter()
            .filter(|(name, _)| name != "content-type")
            .collect(),
        ..form
    };
    assert_eq!(
        stage.gateway.send(&form.header("content-type", "text/plain")).status,
        415
    );

    assert_eq!(
        stage
            .gateway
            .send(&stage.hub("GET", "/_internal/stats", "admin"))
            .status,
        401
    );
    let mut wire = Wire::tls(stage.gateway.tls_port, client(Some(&pki().scheduler), &[])).unwrap();
    let request = Request::get("/integrationhub/v1/_internal/stats");
    stage.gateway.reached(&request, &wire.exchange(&request));
    let mut wire = Wire::tls(stage.gateway.tls_port, client(Some(&pki().stranger), &[])).unwrap();
    assert_eq!(
        wire.exchange(&Request::get("/integrationhub/v1/_internal/stats"))
            .status,
        403
    );
}

#[test]
fn wallet_wants_both_claims_and_keeps_jobs_for_the_key() {
    let stage = stage();
    let gateway = &stage.gateway;
    let get = |changes: Value| {
        Request::get("/wallet/v1/wallets")
            .bearer(&hmac("HS256", SECRET, claims(changes)))
            .tenant()
    };
    gateway.allowed(&get(json!({})));
    gateway.refused(&get(json!({ "tenant": null })), 401, "token_claim_missing");
    gateway.refused(&get(json!({ "tenantId": null })), 401, "token_claim_missing");
    gateway.refused(&get(json!({ "tenant": OTHER_TENANT })), 403, "tenant_mismatch");
    gateway.refused(&get(json!({ "iss": "auth-svc" })), 401, "token_issuer_mismatch");
    gateway.refused(&get(json!({ "aud": "hub" })), 401, "token_audience_mismatch");
    let of_the_hub = Request::get("/wallet/v1/wallets")
        .bearer(&stage.hub_token(&json!({})))
        .tenant();
    assert_eq!(gateway.send(&of_the_hub).status, 401);
    gateway.allowed(&Request::get("/wallet/v1/_internal/health"));
    for near in ["_internalx", "_internal-admin", "_internal.json", "jobs/scheduledx"] {
        gateway.refused(&Request::get(&format!("/wallet/v1/{near}")), 401, "credential_missing");
    }
    gateway.allowed(&Request::post("/wallet/v1/jobs/scheduled/settle", "{}").jobs_key());
    let with_token =
        Request::post("/wallet/v1/jobs/scheduled/settle", "{}").bearer(&hmac("HS256", SECRET, claims(json!({}))));
    gateway.refused(&with_token.tenant(), 401, "credential_missing");
    gateway.refused(
        &Request::get("/wallet/v1/jobs/other").jobs_key(),
        401,
        "credential_missing",
    );
}

#[test]
fn auth_svc_is_open_and_told_the_tenant_that_was_asked_for() {
    let seen = stage().gateway.allowed(
        &Request::post("/auth/v1/login", "{}")
            .tenant()
            .header("x-user-id", "spoofed"),
    );
    assert_eq!(seen.values("x-tenant-id"), [TENANT]);
    assert_eq!(seen.values("x-user-id"), [""; 0]);
}

#[test]
fn those_of_the_compose_project_differ_in_addresses_and_secrets_only() {
    let rules = |folder: &str, name: &str| -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
        let text = fs::read_to_string(path).unwrap();
        let rules = text.lines().map(|line| line.split(" # ").next().unwrap().trim_end());
        let own = |line: &&str| {
            let line = line.trim_start();
            let place = ["upstream:", "keys: {"].iter().any(|start| line.starts_with(start));
            !line.is_empty() && !line.starts_with('#') && !place && !line.contains("secret: {")
        };
        rules.filter(own).map(str::to_owned).collect()
    };
    for name in ["auth.yaml", "integration-hub.yaml", "wallet.yaml"] {
        assert_eq!(
            rules("deploy/compose/policies", name),
            rules("policies", name),
            "{name}"
        );
    }
}

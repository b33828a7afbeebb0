//! The files of `policies/`: the two services and auth-svc, exactly as the contract gives them.

use std::{fs, sync::Arc};

use serde_json::{Value, json};

use crate::harness::{
    Gateway, JOBS_KEY, OTHER_TENANT, Request, SECRET, Setup, Shared, TENANT, Wire,
    certificates::{client, pki},
    issuer::{Key, KeyServer, claims, hmac, now},
};

/// The folder with the policies.
pub(crate) const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    key: Key,
    // Published for as long as the gateway runs.
    _keys: KeyServer,
}

pub(crate) fn stage() -> Arc<Stage> {
    static SHARED: Shared<Stage> = Shared::new();
    SHARED.get(|| Stage::of(|setup| setup.with_flags(&["--policies", POLICIES])))
}

impl Stage {
    /// Sidegate with what the policies take from the environment, and the policies that `choose` gives it.
    pub(crate) fn of(choose: impl FnOnce(Setup) -> Setup) -> Self {
        let key = Key::new("RS256", "auth-svc");
        let keys = KeyServer::publishing(&[&key]);
        let setup = Setup::new().tls().env("AUTH_JWKS_URL", &keys.url);
        let url = setup.upstream_url().to_owned();
        let upstreams = ["HUB_UPSTREAM", "WALLET_UPSTREAM", "AUTH_UPSTREAM"];
        let setup = upstreams.iter().fold(setup, |setup, name| setup.env(name, &url));
        let setup = setup.env("WALLET_JWT_SECRET", SECRET).env("WALLET_JOBS_KEY", JOBS_KEY);
        Self {
            gateway: choose(setup).start(),
            key,
            _keys: keys,
        }
    }

    /// A token as auth-svc issues them for the Hub: no `iss`, no `aud`.
    pub(crate) fn hub_token(&self, changes: &Value) -> String {
        let mut all = json!({ "sub": "user-7", "tenantId": TENANT, "email": "a@b.c", "roles": ["user"], "planTier": "pro", "iat": now(), "exp": now() + 600 });
        all.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.key.sign(all)
    }

    pub(crate) fn hub(&self, method: &str, path: &str, role: &str) -> Request {
        self.hub_with(method, path, &json!({ "roles": [role] }))
    }

    pub(crate) fn hub_with(&self, method: &str, path: &str, claims: &Value) -> Request {
        let request = Request::new(method, &format!("/integrationhub/v1{path}"))
            .header("x-tenant-id", claims["tenantId"].as_str().unwrap_or(TENANT))
            .bearer(&self.hub_token(claims));
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
        ("POST", "/marketplace", &["organizer", "admin"], &["user"]),
        ("PUT", "/marketplace/7", &["organizer"], &["user"]),
        ("PATCH", "/marketplace/7/price", &["organizer"], &["user"]),
        ("DELETE", "/marketplace/7", &["organizer"], &["user"]),
        ("POST", "/execute", &["organizer", "admin", "developer"], &["user"]),
        ("GET", "/executions/7", &["organizer"], &["user"]),
        ("DELETE", "/credentials/7", &["organizer"], &["user"]),
        ("GET", "/oauth/callback", &["organizer"], &["user"]),
        ("POST", "/whatsapp/messages", &["organizer"], &["user"]),
        ("PUT", "/whatsapp/webhooks/7", &["organizer"], &["user"]),
        ("DELETE", "/whatsapp/webhooks", &["organizer"], &["user"]),
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
        "/health/db",
        "/live",
        "/liveness",
        "/ready",
        "/readiness",
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
fn auth_svc_is_public_and_receives_the_requested_tenant() {
    let seen = stage().gateway.allowed(
        &Request::post("/auth/v1/login", "{}")
            .tenant()
            .header("x-user-id", "spoofed"),
    );
    assert_eq!(seen.values("x-tenant-id"), [TENANT]);
    assert_eq!(seen.values("x-user-id"), [""; 0]);
}

#[test]
fn write_of_anything_but_json_is_rejected_at_both_services() {
    let stage = stage();
    let hub = |method: &str| {
        Request::new(method, "/integrationhub/v1/executions/7")
            .tenant()
            .bearer(&stage.hub_token(&json!({ "roles": ["organizer"] })))
    };
    let wallet = |method: &str| {
        Request::new(method, "/wallet/v1/wallets/7")
            .tenant()
            .bearer(&hmac("HS256", SECRET, claims(json!({}))))
    };
    for method in ["POST", "PUT", "PATCH"] {
        for request in [hub(method), wallet(method)] {
            let text = request.header("content-type", "text/plain").body("x");
            let answer = stage.gateway.send(&text);
            assert_eq!(answer.status, 415, "{text}: {answer:?}");
        }
    }
    let job = Request::new("POST", "/wallet/v1/jobs/scheduled/settle").jobs_key();
    let job = job
        .header("content-type", "application/x-www-form-urlencoded")
        .body("a=b");
    stage.gateway.refused(&job, 415, "content_type_unsupported");
}

#[test]
fn refresh_token_as_an_access_token_is_rejected() {
    let stage = stage();
    let refresh = stage.hub_with(
        "GET",
        "/providers",
        &json!({ "roles": null, "jti": "r-1", "type": "refresh" }),
    );
    let answer = stage.gateway.send(&refresh);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "ERR_INTEGRATION_HUB_SVC_UNAUTHORIZED")
    );
    let refresh = hmac("HS256", SECRET, claims(json!({ "roles": null, "type": "refresh" })));
    let request = Request::get("/wallet/v1/wallets").bearer(&refresh).tenant();
    stage.gateway.refused(&request, 401, "token_claim_missing");
}

/// Writes a path in other cases: one segment with a capital, all in capitals, every other letter.
fn in_other_cases(path: &str) -> Vec<String> {
    let begins = |at: usize| path[..at].ends_with('/');
    let letters = || path.char_indices();
    let capital_at = |place: usize| {
        let letter = |(at, letter): (usize, char)| {
            if at == place {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        };
        letters().map(letter).collect()
    };
    let mut written: Vec<String> = letters()
        .filter(|(at, _)| begins(*at))
        .map(|(at, _)| capital_at(at))
        .collect();
    written.push(path.to_uppercase());
    let alternating = |(at, letter): (usize, char)| {
        if at % 2 == 0 {
            letter.to_ascii_uppercase()
        } else {
            letter
        }
    };
    written.push(letters().map(alternating).collect());
    written.retain(|other| other != path);
    written
}

#[test]
fn path_in_another_case_gets_the_refusal_of_the_path_as_written() {
    let stage = stage();
    let of_wallet = hmac("HS256", SECRET, claims(json!({ "roles": ["user"] })));
    let developer = stage.hub_token(&json!({ "roles": ["developer"] }));
    let user = stage.hub_token(&json!({}));
    for (method, path, token) in [
        ("POST", "/wallet/v1/jobs/scheduled/settle", &of_wallet),
        ("GET", "/integrationhub/v1/_internal/stats", &developer),
        ("GET", "/integrationhub/v1/admin/users", &user),
        ("POST", "/integrationhub/v1/execute", &user),
        ("DELETE", "/integrationhub/v1/marketplace/7", &user),
    ] {
        let request = |path: &str| {
            let request = Request::new(method, path).tenant().bearer(token);
            request.header("content-type", "application/json")
        };
        let as_written = stage.gateway.send(&request(path));
        assert!(matches!(as_written.status, 401 | 403), "{path}: {as_written:?}");
        for other in in_other_cases(path) {
            let request = request(&other);
            let answer = stage.gateway.send(&request);
            assert_eq!(
                (answer.status, answer.code()),
                (as_written.status, as_written.code()),
                "{request}"
            );
            assert_eq!(stage.gateway.upstream.seen(&request.case).len(), 0, "{request}");
        }
    }
}

#[test]
fn internal_endpoints_of_the_hub_can_ask_for_a_token_instead() {
    let hub = fs::read_to_string(format!("{POLICIES}/integration-hub.yaml")).unwrap();
    let built = "{ path: /_internal/*, auth: mtls, quotas: off }";
    let token = "{ path: /_internal/*, auth: jwt, roles: [admin] }";
    let both = "{ path: /_internal/*, auth: { all: [mtls, jwt] }, roles: [admin] }";
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md")).unwrap();
    for (route, without_certificate, with_one_and_no_token) in [(token, 200, 401), (both, 401, 401)] {
        assert!(page.contains(route), "{route} is not in docs/policy.md");
        assert!(hub.contains(built));
        let other = hub.replace(built, route);
        let stage = Stage::of(|setup| setup.policy("hub", &other));
        let admin = stage.hub("GET", "/_internal/stats", "admin");
        assert_eq!(stage.gateway.send(&admin).status, without_certificate, "{route}");
        let user = stage.hub("GET", "/_internal/stats", "user");
        assert_ne!(stage.gateway.send(&user).status, 200, "{route}");
        let mut wire = Wire::tls(stage.gateway.tls_port, client(Some(&pki().scheduler), &[])).unwrap();
        let answer = wire.exchange(&Request::get("/integrationhub/v1/_internal/stats"));
        assert_eq!(answer.status, with_one_and_no_token, "{route}");
        assert_eq!(wire.exchange(&admin).status, 200, "{route}");
    }
}

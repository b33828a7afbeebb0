//! Issuers of many organizations behind one policy: a pattern for `iss`, several names over one key set, and all that
//! goes by the token's own `iss`.

use serde_json::{Value, json};

use crate::harness::{
    Gateway, Reply, Request, Setup, Upstream,
    gateway::text,
    issuer::{Key, claims, key_set},
};
use crate::oidc::{DOCUMENT, document};

const POLICY: &str = "
version: 1
service: orders-svc
prefix: /w
upstream: { url: '$upstream' }
errors: { format: problem }
revocation: {}
quotas: [{ name: calls, per: subject, limit: 2, window: 1h }]
jwt:
  issuers:
    - issuer: $server/{tid}/v2.0
      issuer_values: { tid: $values }
      audience: [eventzr-api]
      algorithms: [ES256]
      keys: { oidc: $oidc }
routes: [{ path: /*, auth: jwt }]
";

/// A provider whose document for all organizations names a pattern.
fn provider(key: &Key, named: &'static str) -> Upstream {
    let set = key_set(&[key]);
    Upstream::start(move |request| {
        let host = request.values("host").concat();
        if request.target == format!("/common/v2.0{DOCUMENT}") {
            document(&format!("http://{host}{named}"), &format!("http://{host}/keys"))
        } else if request.target == "/keys" {
            Reply::ok(&set)
        } else {
            Reply::status(404, "")
        }
    })
}

fn trusting(server: &str, values: &str, oidc: &str) -> Setup {
    let setup = Setup::new().set("server", server).set("values", values);
    setup
        .set("oidc", &oidc.replace("$server", server))
        .policy("wallet", POLICY)
}

#[expect(clippy::needless_pass_by_value, reason = "cases are written in place")]
fn of(key: &Key, server: &str, organization: &str, changes: Value) -> Request {
    let mut all = json!({ "iss": format!("{server}/{organization}/v2.0"), "tid": organization });
    all.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    Request::get("/w/x").bearer(&key.sign(claims(all)))
}

#[test]
fn document_of_all_organizations_names_the_pattern_with_any_placeholder() {
    let key = Key::new("ES256", "one");
    for (named, oidc, fine) in [
        ("/{tenantid}/v2.0", "{ url: $server/common/v2.0 }", true),
        ("/{tid}/v2.0", "$server/common/v2.0", true),
        (
            "/{x}/v2.0",
            "{ issuer: '$server/{tid}/v2.0', url: $server/common/v2.0 }",
            true,
        ),
        ("/one/v2.0", "{ url: $server/common/v2.0 }", false),
        ("/common/v2.0", "{ url: $server/common/v2.0 }", false),
        ("/{x}/v1", "{ url: $server/common/v2.0 }", false),
    ] {
        let server = provider(&key, named);
        let gateway = trusting(&server.url, "any", oidc).always_ready().start();
        let request = of(&key, &server.url, "one", json!({}));
        match fine {
            true => _ = gateway.allowed(&request),
            false => _ = gateway.refused(&request, 503, "keys_unavailable"),
        }
    }
}

#[test]
fn organization_is_one_that_is_listed_and_that_of_the_claim() {
    let key = Key::new("ES256", "one");
    let server = provider(&key, "/{tenantid}/v2.0");
    let gateway = trusting(&server.url, "[one, two]", "{ url: $server/common/v2.0 }").start();
    let of = |organization: &str, changes| of(&key, &server.url, organization, changes);
    gateway.allowed(&of("one", json!({})));
    gateway.allowed(&of("two", json!({})));
    for (organization, changes) in [
        ("three", json!({})),
        ("one", json!({ "tid": "two" })),
        ("one", json!({ "tid": null })),
        ("ONE", json!({})),
        ("{tid}", json!({})),
    ] {
        gateway.refused(&of(organization, changes), 401, "token_issuer_mismatch");
    }
    let pattern = format!("{}/{{tid}}/v2.0", server.url);
    let labels = [("issuer", pattern.as_str())];
    assert_eq!(gateway.metric("sidegate_jwks_keys", &labels), Some(1.0));
}

#[test]
fn one_subject_of_two_organizations_is_two_callers() {
    let key = Key::new("ES256", "one");
    let server = provider(&key, "/{tenantid}/v2.0");
    let gateway = trusting(&server.url, "any", "{ url: $server/common/v2.0 }").start();
    let of = |organization: &str| of(&key, &server.url, organization, json!({ "sub": "u", "iat": 1 }));
    for _ in 0..2 {
        gateway.allowed(&of("one"));
    }
    gateway.refused(&of("one"), 429, "quota_exceeded");
    gateway.allowed(&of("two"));
    let issuer = format!("{}/one/v2.0", server.url);
    let revoked = gateway.sidegate(&["revoke", "subject", "u", "--issuer", &issuer]);
    assert_eq!(revoked.status.code(), Some(0), "{}", text(&revoked));
    gateway.refused(&of("one"), 401, "token_revoked");
    gateway.allowed(&of("two"));
}

#[test]
fn listed_issuers_share_one_key_set() {
    let key = Key::new("ES256", "one");
    let policy = POLICY
        .replace(
            "issuer: $server/{tid}/v2.0",
            "issuer: [https://a.example, https://b.example]",
        )
        .replace("      issuer_values: { tid: $values }\n", "")
        .replace("{ oidc: $oidc }", "{ jwks: { file: $folder/keys.json } }");
    let setup = Setup::new().file("keys.json", &key_set(&[&key]));
    let gateway: Gateway = setup.policy("wallet", &policy).start();
    let of = |iss: &str| Request::get("/w/x").bearer(&key.sign(claims(json!({ "iss": iss }))));
    gateway.allowed(&of("https://a.example"));
    gateway.allowed(&of("https://b.example"));
    gateway.refused(&of("https://c.example"), 401, "token_issuer_mismatch");
    gateway.refused(
        &of("https://a.example, https://b.example"),
        401,
        "token_issuer_mismatch",
    );
}

//! Tokens of service accounts as Kubernetes projects them, with keys from an API server that
//! answers to its own CA and wants a token itself.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{
        Reply, Request, Setup, Upstream,
        certificates::{pki, server},
        eventually,
        issuer::{Key, key_set, kubernetes_token, now},
        upstream::Recorded,
    },
    oidc::{DOCUMENT, document},
};

/// The issuer of a cluster, which is reached under another name inside of it.
const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";

const IN_CLUSTER: &str = "
version: 1
service: orders-svc
prefix: /orders
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR_ORDERS }
jwt:
  issuers:
    - issuer: https://kubernetes.default.svc.cluster.local
      audience: [orders]
      algorithms: [RS256]
      keys:
        oidc:
          issuer: https://kubernetes.default.svc.cluster.local
          url: $api
          ca_file: $folder/ca.crt
          bearer_token_file: $folder/token
identity:
  x-user-id: sub
  x-workload: [kubernetes.io, serviceaccount, name]
  x-namespace: [kubernetes.io, namespace]
routes: [{ path: /*, auth: jwt }]
";

/// The response of an API server, which only a service account gets.
fn api_server(request: &Recorded, set: &str) -> Reply {
    let known = |token: &&str| token.starts_with("Bearer projected-");
    if !request.values("authorization").iter().any(known) {
        return Reply::status(
            401,
            r#"{"kind":"Status","status":"Failure","reason":"Unauthorized","code":401}"#,
        );
    }
    match request.target.as_str() {
        DOCUMENT => document(
            CLUSTER,
            &format!("https://{}/openid/v1/jwks", request.values("host").concat()),
        ),
        "/openid/v1/jwks" => Reply::ok(set)
            .header("content-type", "application/jwk-set+json")
            .header("cache-control", "public, max-age=3600"),
        _ => Reply::status(403, ""),
    }
}

/// The claims of a projected token, as a cluster of today writes them.
fn projected(changes: &Value) -> Value {
    let mut claims = json!({
        "aud": ["orders", CLUSTER], "exp": now() + 3607, "iat": now(), "nbf": now(), "iss": CLUSTER,
        "jti": "d41a9fa8-0d5e-4a37-95ea-46b7f0b8ea2e", "sub": "system:serviceaccount:shop:checkout",
        "kubernetes.io": {
            "namespace": "shop",
            "node": { "name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": "checkout-5d8f", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
            "serviceaccount": { "name": "checkout", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
            "warnafter": now() + 3000,
        },
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn tokens_that_kubernetes_projects_are_taken_as_they_are() {
    let set = key_set(&[&Key::new("RS256", "cluster")]);
    let api = Upstream::tls(server(&pki().server, &["http/1.1"]), move |request| {
        api_server(request, &set)
    });
    let gateway = Setup::new()
        .set("api", &api.url)
        .file("ca.crt", &pki().ca)
        .file("token", "projected-1\n")
        .policy("orders", IN_CLUSTER)
        .start();
    let get =
        |kid: &str, changes: Value| Request::get("/orders/7").bearer(&kubernetes_token(kid, &projected(&changes)));
    let seen = gateway.allowed(&get("cluster", json!({})));
    assert_eq!(seen.values("x-user-id"), ["system:serviceaccount:shop:checkout"]);
    assert_eq!(
        (seen.values("x-workload"), seen.values("x-namespace")),
        (vec!["checkout"], vec!["shop"])
    );
    for (changes, reason) in [
        (json!({ "aud": ["billing"] }), "token_audience_mismatch"),
        (json!({ "exp": now() - 1 }), "token_expired"),
        (json!({ "iss": "kubernetes/serviceaccount" }), "token_issuer_mismatch"),
    ] {
        gateway.refused(&get("cluster", changes), 401, reason);
    }
    // The kubelet replaces the token before it expires.
    fs::write(gateway.path("token"), "projected-2").unwrap();
    gateway.refused(&get("another", json!({})), 401, "token_key_unknown");
    let tokens: Vec<_> = api
        .all()
        .iter()
        .map(|request| request.values("authorization").concat())
        .collect();
    let (old, new) = ("Bearer projected-1", "Bearer projected-2");
    assert_eq!(tokens, [old, old, new, new]);
    gateway.allowed(&get("cluster", json!({})));
    assert!(!gateway.log_text().contains("projected-"));
}

#[test]
fn where_the_document_names_another_host_the_key_set_is_named_itself() {
    let found = format!("        oidc:\n          issuer: {CLUSTER}\n          url: $api\n");
    let named = IN_CLUSTER.replace(&found, "        jwks:\n          url: $api/openid/v1/jwks\n");
    assert_ne!(named, IN_CLUSTER);
    let set = key_set(&[&Key::new("RS256", "cluster")]);
    let api = Upstream::tls(server(&pki().server, &["http/1.1"]), move |request| {
        api_server(request, &set)
    });
    let gateway = Setup::new()
        .set("api", &api.url)
        .file("ca.crt", &pki().ca)
        .file("token", "projected-1")
        .policy("orders", &named)
        .start();
    let token = kubernetes_token("cluster", &projected(&json!({})));
    gateway.allowed(&Request::get("/orders/7").bearer(&token));
    let asked: Vec<_> = api.all().into_iter().map(|request| request.target).collect();
    assert_eq!(asked, ["/openid/v1/jwks"]);
}

#[test]
fn api_server_that_rejects_the_account_leaves_no_keys() {
    for (what, token, ca) in [
        ("another token", "stranger", &pki().ca),
        ("another CA", "projected-1", &pki().rogue.chain),
    ] {
        let set = key_set(&[&Key::new("RS256", "cluster")]);
        let api = Upstream::tls(server(&pki().server, &["http/1.1"]), move |request| {
            api_server(request, &set)
        });
        let gateway = Setup::new()
            .always_ready()
            .set("api", &api.url)
            .file("ca.crt", ca)
            .file("token", token)
            .policy("orders", IN_CLUSTER)
            .start();
        let request = Request::get("/orders/7").bearer(&kubernetes_token("cluster", &projected(&json!({}))));
        gateway.refused(&request, 503, "keys_unavailable");
        eventually(what, || gateway.log_text().contains("failed to fetch the key set"));
        assert!(!gateway.log_text().contains(token), "{what}: {}", gateway.log_text());
    }
}

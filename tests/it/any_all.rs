//! Several credentials: one of them is enough, or all of them are needed.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{
    Gateway, Request, Setup, Shared, Wire,
    certificates::{SCHEDULER, client, pki},
    issuer::{now, token},
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /either, auth: { any: [internal_key, jwt] } }
  - { path: /optional, auth: { any: [jwt, public] } }
  - { path: /any-of-three, auth: { any: [mtls, internal_key, jwt] } }
  - { path: /key-and-token, auth: { all: [internal_key, jwt] } }
  - { path: /token-and-key, auth: { all: [jwt, internal_key] } }
  - { path: /certificate-and-token, auth: { all: [mtls, jwt] } }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().tls().policy("wallet", POLICY).start())
}

fn get(path: &str) -> Request {
    Request::get(&format!("/w/{path}"))
}

fn with_token(request: Request) -> Request {
    request.bearer(&token(json!({}))).tenant()
}

fn with_expired_token(request: Request) -> Request {
    request.bearer(&token(json!({ "exp": now() - 60 }))).tenant()
}

fn with_wrong_key(request: Request) -> Request {
    request.header("x-internal-api-key", "wrong")
}

#[test]
fn any_takes_whichever_came() {
    let gateway = gateway();
    let seen = gateway.allowed(&get("either").jobs_key());
    assert_eq!(seen.values("x-auth-method"), ["internal_key"]);
    assert_eq!(seen.values("x-client-id"), ["scheduler"]);
    let seen = gateway.allowed(&with_token(get("either")));
    assert_eq!(seen.values("x-auth-method"), ["jwt"]);
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
    assert_eq!(seen.values("x-client-id"), [""; 0]);
    gateway.allowed(&with_token(get("either").jobs_key()));
    gateway.refused(&get("either"), 401, "credential_missing");
}

#[test]
fn any_never_falls_through_from_a_bad_credential_to_another() {
    let gateway = gateway();
    gateway.refused(&with_wrong_key(get("either")), 401, "internal_key_invalid");
    gateway.refused(&with_wrong_key(with_token(get("either"))), 401, "internal_key_invalid");
    gateway.refused(&with_expired_token(get("either")), 401, "token_expired");
    gateway.refused(&with_expired_token(get("either").jobs_key()), 401, "token_expired");
    gateway.refused(
        &with_wrong_key(with_token(get("any-of-three"))),
        401,
        "internal_key_invalid",
    );
}

#[test]
fn public_as_the_last_of_any_makes_authentication_optional() {
    let gateway = gateway();
    let seen = gateway.allowed(&get("optional").header("x-user-id", "root"));
    assert_eq!(seen.values("x-auth-method"), ["public"]);
    assert_eq!(seen.values("x-user-id"), [""; 0]);
    let seen = gateway.allowed(&with_token(get("optional")));
    assert_eq!(seen.values("x-auth-method"), ["jwt"]);
    assert_eq!(seen.values("x-user-id"), ["user-7"]);
    gateway.refused(&with_expired_token(get("optional")), 401, "token_expired");
    gateway.refused(&get("optional").bearer("x"), 401, "token_malformed");
    gateway.refused(&get("optional").bearer(&token(json!({}))), 400, "tenant_header_missing");
}

#[test]
fn all_needs_every_one_of_them() {
    let gateway = gateway();
    for path in ["key-and-token", "token-and-key"] {
        gateway.refused(&get(path), 401, "credential_missing");
        gateway.refused(&get(path).jobs_key(), 401, "credential_missing");
        gateway.refused(&with_token(get(path)), 401, "credential_missing");
        gateway.refused(&with_wrong_key(with_token(get(path))), 401, "internal_key_invalid");
        gateway.refused(&with_expired_token(get(path)).jobs_key(), 401, "token_expired");
        let both = gateway.allowed(&with_token(get(path)).jobs_key());
        assert_eq!(both.values("x-user-id"), ["user-7"]);
        assert_eq!(both.values("x-client-id"), ["scheduler"]);
        assert_eq!(both.values("x-internal-api-key"), [""; 0]);
    }
    let method = |path| {
        gateway
            .allowed(&with_token(get(path)).jobs_key())
            .values("x-auth-method")
            .join(" ")
    };
    assert_eq!(method("key-and-token"), "internal_key+jwt");
    assert_eq!(method("token-and-key"), "jwt+internal_key");
}

#[test]
fn a_certificate_and_a_token() {
    let gateway = gateway();
    let over_tls = |identity, request: &Request| {
        let mut wire = Wire::tls(gateway.tls_port, client(identity, &["http/1.1"])).unwrap();
        wire.exchange(request)
    };
    let pki = pki();
    let request = with_token(get("certificate-and-token"));
    let seen = gateway.reached(&request, &over_tls(Some(&pki.scheduler), &request));
    assert_eq!(seen.values("x-auth-method"), ["mtls+jwt"]);
    assert_eq!(seen.values("x-client-id"), [SCHEDULER]);
    assert_eq!(seen.values("x-user-id"), ["user-7"]);

    let request = with_token(get("certificate-and-token"));
    gateway.rejected(&request, &over_tls(None, &request), 401, "client_certificate_missing");
    gateway.refused(
        &with_token(get("certificate-and-token")),
        401,
        "client_certificate_missing",
    );
    let request = with_token(get("certificate-and-token"));
    gateway.rejected(
        &request,
        &over_tls(Some(&pki.stranger), &request),
        403,
        "client_certificate_not_allowed",
    );
    let request = get("certificate-and-token");
    gateway.rejected(
        &request,
        &over_tls(Some(&pki.scheduler), &request),
        401,
        "credential_missing",
    );

    let request = get("any-of-three");
    let seen = gateway.reached(&request, &over_tls(Some(&pki.scheduler), &request));
    assert_eq!(seen.values("x-auth-method"), ["mtls"]);
}

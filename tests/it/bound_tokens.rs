//! Tokens that are bound to a key: without that key, on this very connection, they are worth nothing.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{ALL_VERSIONS, SupportedProtocolVersion, version};
use serde_json::{Value, json};

use crate::{
    cli_check::said,
    harness::{
        Answer, Gateway, Request, Setup, Shared, TENANT, Wire,
        certificates::{Identity, SCHEDULER, authority, client, client_of, pki, renewed, revocations, uri},
        eventually,
        http2::Http2,
        issuer::{base64url, token},
        setup::WALLET,
    },
    mtls::BOTH,
    tls_reload::changing_with,
};

const POLICY: &str = "
$wallet
prefix: /w
mtls: { allow: [{ uri: 'spiffe://eventzr/ns/*/sa/scheduler' }] }
routes:
  - { path: /x, auth: jwt }
  - { path: /any, auth: { any: [internal_key, jwt, public] } }
  - { path: /both, auth: { all: [mtls, jwt] } }
  - { path: /trial, auth: jwt, mode: shadow }
  - { path: /open, auth: public }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().tls().policy("wallet", POLICY).start())
}

/// The thumbprint as an issuer computes it.
fn thumbprint(identity: &Identity) -> String {
    base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &identity.leaf()))
}

fn bound_to(identity: &Identity) -> Value {
    json!({ "x5t#S256": thumbprint(identity) })
}

/// A token that no request had before.
fn fresh(confirmation: &Value) -> String {
    token(json!({ "cnf": confirmation, "jti": uuid::Uuid::new_v4().to_string() }))
}

fn get(path: &str, token: &str) -> Request {
    Request::get(&format!("/w/{path}")).bearer(token).tenant()
}

#[track_caller]
fn mismatch(gateway: &Gateway, request: &Request, answer: &Answer) {
    gateway.rejected(request, answer, 401, "token_binding_mismatch");
}

#[test]
fn a_token_is_good_on_connections_with_its_certificate_and_on_no_other() {
    let gateway = gateway();
    let pki = pki();
    let bound = bound_to(&pki.scheduler);
    let known = fresh(&bound);
    let identities = [Some(&pki.scheduler), Some(&pki.stranger), None];
    for (protocol, call) in BOTH {
        for (at, identity) in identities.into_iter().enumerate() {
            let new = fresh(&bound);
            // The first time and when it is known; and a token that was good elsewhere before.
            for token in [&new, &new, &known] {
                let request = get("x", token);
                let answer = call(&gateway, identity, &request).unwrap();
                match at {
                    0 => drop(gateway.reached(&request, &answer)),
                    _ => mismatch(&gateway, &request, &answer),
                }
            }
        }
        let hits = gateway.metric("sidegate_token_cache_total", &[("result", "hit")]);
        assert!(hits >= Some(5.0), "{protocol}: {hits:?}");
    }
}

#[test]
fn every_request_of_a_connection_is_held_against_its_certificate() {
    let gateway = gateway();
    let pki = pki();
    let (mine, other) = (fresh(&bound_to(&pki.scheduler)), fresh(&bound_to(&pki.stranger)));
    let mut http1 = Wire::tls(gateway.tls_port, client(Some(&pki.scheduler), &["http/1.1"])).unwrap();
    let http2 = Http2::tls(gateway.tls_port, client(Some(&pki.scheduler), &["h2"])).unwrap();
    for _ in 0..3 {
        let request = get("x", &mine);
        gateway.reached(&request, &http1.exchange(&request));
        let request = get("x", &mine);
        gateway.reached(&request, &http2.exchange(&request));
        let request = get("x", &other);
        mismatch(&gateway, &request, &http1.exchange(&request));
        let request = get("x", &other);
        mismatch(&gateway, &request, &http2.exchange(&request));
    }
}

#[test]
fn a_listener_that_asks_for_no_certificate_takes_no_bound_token() {
    let files = "certificate: $folder/server.crt, key: $folder/server.key";
    let gateway = Setup::new()
        .tls_with(&format!("  - address: 127.0.0.1:$tls_port\n    tls: {{ {files} }}\n"))
        .unix_listener("s.sock")
        .policy("wallet", POLICY)
        .start();
    let known = fresh(&bound_to(&pki().scheduler));
    for _ in 0..2 {
        gateway.refused(&get("x", &known), 401, "token_binding_mismatch");
        let request = get("x", &known);
        mismatch(&gateway, &request, &Http2::plain(gateway.port).exchange(&request));
        let request = get("x", &known);
        mismatch(&gateway, &request, &gateway.unix("s.sock").exchange(&request));
        for (_, call) in BOTH {
            let request = get("x", &known);
            mismatch(
                &gateway,
                &request,
                &call(&gateway, Some(&pki().scheduler), &request).unwrap(),
            );
        }
    }
    gateway.allowed(&get("x", &token(json!({}))));
    gateway.allowed(&get("open", &known));
}

#[test]
fn header_about_a_certificate_does_not_prove_a_binding() {
    let trusting = Setup::new().config("trusted_proxies: [127.0.0.1]").tls();
    let gateway = trusting.policy("wallet", POLICY).start();
    let scheduler = &pki().scheduler;
    let der = STANDARD.encode(scheduler.leaf());
    let claiming = |token: &str| {
        get("x", token)
            .header("client-cert", &format!(":{der}:"))
            .header(
                "x-forwarded-client-cert",
                &format!("Hash={};URI={SCHEDULER}", thumbprint(scheduler)),
            )
            .header("x-ssl-client-cert", &der)
            .header("x-forwarded-proto", "https")
    };
    let bound = fresh(&bound_to(scheduler));
    gateway.refused(&claiming(&bound), 401, "token_binding_mismatch");
    for (_, call) in BOTH {
        for identity in [None, Some(&pki().stranger)] {
            let request = claiming(&bound);
            mismatch(&gateway, &request, &call(&gateway, identity, &request).unwrap());
        }
    }
}

#[test]
fn a_resumed_session_still_has_its_certificate() {
    let versions: [&'static SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
    let it = changing_with(POLICY);
    let other = renewed(&it.scheduler, &it.ca, 31, uri(SCHEDULER));
    for version in versions {
        let config = client_of(&[version], &it.ca.pem(), Some(&it.scheduler), &["http/1.1"]);
        let (mine, others) = (fresh(&bound_to(&it.scheduler)), fresh(&bound_to(&other)));
        for resumed in [false, true, true] {
            let request = get("x", &mine);
            let (answer, was_resumed) = it.call(&config, &request).unwrap();
            it.gateway.reached(&request, &answer);
            assert_eq!(was_resumed, resumed, "{version:?}");
        }
        let request = get("x", &others);
        let (answer, resumed) = it.call(&config, &request).unwrap();
        mismatch(&it.gateway, &request, &answer);
        assert!(resumed, "{version:?}");
    }
}

#[test]
fn a_renewed_certificate_with_the_same_key_is_another_one() {
    let it = changing_with(POLICY);
    let renewed = renewed(&it.scheduler, &it.ca, 31, uri(SCHEDULER));
    let [old, new] = [&it.scheduler, &renewed].map(|identity| fresh(&bound_to(identity)));
    for (identity, good, bad) in [(&it.scheduler, &old, &new), (&renewed, &new, &old)] {
        let config = it.client(Some(identity));
        for _ in 0..2 {
            let request = get("x", good);
            it.gateway.reached(&request, &it.call(&config, &request).unwrap().0);
            let request = get("x", bad);
            mismatch(&it.gateway, &request, &it.call(&config, &request).unwrap().0);
        }
    }
}

#[test]
fn a_certificate_that_is_no_longer_good_is_no_longer_the_key_of_a_token() {
    let ca = authority("Second CA");
    for (file, changed) in [("ca.crl", None), ("ca.crt", Some(ca.pem()))] {
        let it = changing_with(POLICY);
        let both = format!("{}{}", it.ca.pem(), ca.pem());
        let lists = format!("{}{}", revocations(&it.ca, &[99]), revocations(&ca, &[]));
        it.write(&[("ca.crt", &both), ("ca.crl", &lists)], "success");
        let known = fresh(&bound_to(&it.scheduler));
        let (mut http1, _) = it.connect(&it.client(Some(&it.scheduler))).unwrap();
        let h2 = client_of(ALL_VERSIONS, &it.ca.pem(), Some(&it.scheduler), &["h2"]);
        let http2 = Http2::tls(it.gateway.tls_port, h2).unwrap();
        let request = get("x", &known);
        it.gateway.reached(&request, &http1.exchange(&request));
        let request = get("x", &known);
        it.gateway.reached(&request, &http2.exchange(&request));

        let revoked = format!("{}{}", revocations(&it.ca, &[20]), revocations(&ca, &[]));
        it.write(&[(file, &changed.unwrap_or(revoked))], "success");
        for _ in 0..2 {
            let request = get("x", &known);
            mismatch(&it.gateway, &request, &http1.exchange(&request));
            let request = get("x", &known);
            mismatch(&it.gateway, &request, &http2.exchange(&request));
        }
        // A token that is not bound does not need the certificate.
        let request = get("x", &token(json!({})));
        it.gateway.reached(&request, &http1.exchange(&request));
    }
}

#[test]
fn among_several_credentials_a_bound_token_without_its_key_is_a_bad_one() {
    let gateway = gateway();
    let scheduler = &pki().scheduler;
    let bound = fresh(&bound_to(scheduler));
    gateway.refused(&get("any", &bound), 401, "token_binding_mismatch");
    gateway.refused(&get("any", &bound).jobs_key(), 401, "token_binding_mismatch");
    let proof = fresh(&json!({ "jkt": thumbprint(scheduler) }));
    gateway.refused(&get("any", &proof).jobs_key(), 401, "token_binding_unverified");
    for (_, call) in BOTH {
        let request = get("any", &bound);
        let seen = gateway.reached(&request, &call(&gateway, Some(scheduler), &request).unwrap());
        assert_eq!(seen.values("x-auth-method"), ["jwt"]);
        let request = get("both", &bound);
        let seen = gateway.reached(&request, &call(&gateway, Some(scheduler), &request).unwrap());
        assert_eq!(seen.values("x-auth-method"), ["mtls+jwt"]);
        let request = get("both", &fresh(&bound_to(&pki().stranger)));
        mismatch(&gateway, &request, &call(&gateway, Some(scheduler), &request).unwrap());
    }
}

#[test]
fn bound_token_without_its_key_in_shadow_mode_is_logged_and_sets_no_identity_headers() {
    let gateway = gateway();
    let request = get("trial", &fresh(&bound_to(&pki().scheduler)));
    let seen = gateway.allowed(&request);
    assert_eq!(seen.values("x-user-id"), [""; 0]);
    assert_eq!(seen.values("x-auth-method"), [""; 0]);
    eventually("it is logged", || {
        let is_it = |line: &Value| line["decision"] == "shadow_deny" && line["reason"] == "token_binding_mismatch";
        gateway.log_lines().iter().any(is_it)
    });
}

#[test]
fn members_that_are_not_registered_are_ignored_and_proofs_that_are_registered_are_not() {
    let gateway = gateway();
    let scheduler = &pki().scheduler;
    let thumbprint = thumbprint(scheduler);
    for (confirmation, reason) in [
        (json!({ "x5t#S256": thumbprint, "kc-jkt-type": "DPoP" }), None),
        (
            json!({ "jkt": thumbprint, "kc-jkt-type": "DPoP" }),
            Some("token_binding_unverified"),
        ),
        (
            json!({ "jkt": thumbprint, "x5t#S256": thumbprint }),
            Some("token_binding_unverified"),
        ),
        (json!({}), Some("token_binding_unverified")),
    ] {
        let known = fresh(&confirmation);
        for (_, call) in BOTH {
            let request = get("x", &known);
            let answer = call(&gateway, Some(scheduler), &request).unwrap();
            match reason {
                None => drop(gateway.reached(&request, &answer)),
                Some(reason) => gateway.rejected(&request, &answer, 401, reason),
            }
        }
    }
}

#[test]
fn the_challenge_says_that_the_token_is_invalid_and_nothing_of_its_key() {
    let gateway = gateway();
    let thumbprint = thumbprint(&pki().scheduler);
    for (confirmation, description) in [
        (
            json!({ "x5t#S256": thumbprint }),
            "The token is bound to a client certificate that the connection does not have.",
        ),
        (
            json!({ "jkt": thumbprint }),
            "The token is bound to a key that cannot be verified here.",
        ),
    ] {
        let answer = gateway.send(&get("x", &fresh(&confirmation)));
        assert_eq!(
            answer.header("www-authenticate").unwrap(),
            format!(r#"Bearer realm="wallet-svc", error="invalid_token", error_description="{description}""#)
        );
        assert!(!format!("{answer:?}").contains(&thumbprint), "{answer:?}");
    }
    assert!(!gateway.log_text().contains(&thumbprint));
}

#[test]
fn an_issuer_may_require_a_binding_or_have_it_ignored() {
    let policy = |mode: &str| binding(mode).replace("prefix: /w", &format!("prefix: /{mode}"));
    let gateway = Setup::new()
        .tls()
        .policy("required", &policy("required"))
        .policy("ignore", &policy("ignore"))
        .start();
    let get = |mode: &str, token: &str| Request::get(&format!("/{mode}/x")).bearer(token).tenant();
    let (unbound, bound) = (token(json!({})), fresh(&bound_to(&pki().scheduler)));
    gateway.refused(&get("required", &unbound), 401, "token_binding_missing");
    gateway.refused(
        &get("required", &fresh(&json!({ "zz": 1 }))),
        401,
        "token_binding_missing",
    );
    gateway.refused(&get("required", &bound), 401, "token_binding_mismatch");
    gateway.allowed(&get("ignore", &unbound));
    gateway.allowed(&get("ignore", &bound));
    gateway.allowed(&get("ignore", &fresh(&json!({ "jkt": "x" }))));
    for (_, call) in BOTH {
        let request = get("required", &bound);
        gateway.reached(&request, &call(&gateway, Some(&pki().scheduler), &request).unwrap());
    }
}

/// The policy with a `binding` of its issuer.
fn binding(mode: &str) -> String {
    let wallet = WALLET.replace("tenant:", &format!("      binding: {mode}\ntenant:"));
    POLICY.replace("$wallet", &wallet)
}

#[test]
fn check_warns_of_a_binding_that_is_ignored_or_that_no_listener_can_verify() {
    let ignored = "a token that is bound to a key is accepted without the key, so a stolen one works";
    let unasked = "tokens must be bound to a client certificate, and no listener has a `client_ca` to ask for one";
    let plain = |mode: &str| Setup::new().policy("wallet", &binding(mode));
    let asking = |mode: &str| plain(mode).tls();
    for (setup, path, warning) in [
        (asking("verify"), "sidegate.yaml", None),
        (asking("required"), "sidegate.yaml", None),
        (asking("ignore"), "sidegate.yaml", Some(ignored)),
        (plain("ignore"), "policies", Some(ignored)),
        (plain("required"), "sidegate.yaml", Some(unasked)),
        // A policy alone says nothing of listeners.
        (plain("required"), "policies", None),
    ] {
        let said = said(&setup.run(&["check", path]));
        assert_eq!(said.code, Some(0), "{}", said.text);
        for text in [ignored, unasked] {
            assert_eq!(said.text.contains(text), warning == Some(text), "{path}: {}", said.text);
        }
        if warning.is_some() {
            let line = 1 + binding("x").lines().position(|line| line.contains("binding")).unwrap();
            assert!(said.text.contains(&format!("wallet.yaml:{line}:16")), "{}", said.text);
        }
    }
    let gateway = plain("required").start();
    assert!(gateway.log_text().contains(unasked), "{}", gateway.log_text());
}

#[test]
fn explain_says_what_a_token_is_bound_to_and_whether_the_client_has_it() {
    let pki = pki();
    let setup = Setup::new()
        .policy("wallet", POLICY)
        .file("mine.crt", &pki.scheduler.chain)
        .file("other.crt", &pki.stranger.chain);
    let tenant = format!("x-tenant-id: {TENANT}");
    let (unbound, bound) = (token(json!({})), fresh(&bound_to(&pki.scheduler)));
    let proof = fresh(&json!({ "jkt": thumbprint(&pki.scheduler) }));
    for (token, certificate, code, line) in [
        (&unbound, None, 0, "binding      ok  the token is not bound to a key"),
        (
            &bound,
            Some("mine.crt"),
            0,
            "binding      ok  the token is bound to the client certificate of the connection",
        ),
        (
            &bound,
            Some("other.crt"),
            1,
            "binding      no  token_binding_mismatch: the token is bound to another client certificate than that of the connection",
        ),
        (
            &bound,
            None,
            1,
            "binding      no  token_binding_mismatch: the token is bound to a client certificate, and the connection has none",
        ),
        (
            &proof,
            Some("mine.crt"),
            1,
            "binding      no  token_binding_unverified: the token is bound by `jkt`",
        ),
    ] {
        let mut arguments = vec!["explain", "GET", "/w/x", "--token", token, "-H", &tenant];
        arguments.extend(certificate.iter().flat_map(|file| ["--client-cert", *file]));
        let said = said(&setup.run(&arguments));
        assert_eq!(said.code, Some(code), "{}", said.text);
        assert!(said.text.contains(line), "{line}: {}", said.text);
        for secret in [token, &thumbprint(&pki.scheduler)] {
            assert!(!said.text.contains(secret), "{}", said.text);
        }
    }
}

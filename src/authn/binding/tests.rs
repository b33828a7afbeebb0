use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::authn::token_cache::CacheResult;
use crate::credential::{ClientCertificate, Thumbprint};
use crate::decision::{Evaluator, decide};
use crate::policy::PolicySet;
use crate::revocation::Revocations;
use crate::testing::{JOBS_KEY, NOW, claims, claims_with, parse, request, token};

const POLICY: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: eventzr.com, audience: unchecked, algorithms: [HS256], keys: { secret: { env: SECRET } }, binding: $binding }] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
routes:
  - { path: /x, auth: jwt }
  - { path: /any, auth: { any: [internal_key, jwt, public] } }
  - { path: /shadow, auth: jwt, mode: shadow }
  - { path: /open, auth: public }
";

const MINE: &[u8] = b"my certificate";
const OTHER: &[u8] = b"another certificate";

fn policies(binding: &str) -> PolicySet {
    parse(&[&POLICY.replace("$binding", binding)]).unwrap()
}

fn presented(der: &[u8]) -> ClientCertificate {
    ClientCertificate {
        thumbprint: Some(Thumbprint::of(der)),
        not_after: NOW,
        ..ClientCertificate::default()
    }
}

/// The thumbprint as tokens have it, from the digest of another library.
fn digest(der: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der)
        .as_ref()
        .to_vec()
}

fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(der))
}

/// What becomes of a token with this `cnf` on a connection with my certificate.
fn outcome(binding: &str, confirmation: &Value) -> String {
    let mut bound = claims();
    bound["cnf"] = confirmation.clone();
    let request = request("GET /x").bearer(&bound).presenting(presented(MINE));
    request.outcome(&policies(binding))
}

#[test]
fn each_confirmation_is_verified_rejected_or_ignored() {
    let (mine, other) = (thumbprint(MINE), thumbprint(OTHER));
    let (missing, mismatch, unverified) = (
        "token_binding_missing",
        "token_binding_mismatch",
        "token_binding_unverified",
    );
    let padded = URL_SAFE.encode(digest(MINE));
    let (short, last) = mine.split_at(42);
    let stray = format!("{short}{}", char::from(last.as_bytes()[0] + 1));
    for (confirmation, verify, required) in [
        (json!({ "x5t#S256": mine }), "allow", "allow"),
        (json!({ "x5t#S256": other }), mismatch, mismatch),
        // Members that are not registered are ignored: beside others, and alone.
        (
            json!({ "x5t#S256": mine, "kc-jkt-type": "DPoP", "zz": 1 }),
            "allow",
            "allow",
        ),
        (json!({ "x5t#S256": other, "zz": 1 }), mismatch, mismatch),
        (json!({ "zz": 1 }), "allow", missing),
        (json!({ "X5T#s256": mine, "JKT": "x" }), "allow", missing),
        // Proofs that are registered and cannot be verified: alone, with others, whatever their value.
        (json!({ "jkt": mine }), unverified, unverified),
        (json!({ "jkt": mine, "kc-jkt-type": "DPoP" }), unverified, unverified),
        (json!({ "jkt": mine, "x5t#S256": mine }), unverified, unverified),
        (json!({ "jkt": null, "x5t#S256": mine }), unverified, unverified),
        (json!({ "jwk": { "kty": "EC" } }), unverified, unverified),
        (json!({ "jwk": {}, "x5t#S256": mine }), unverified, unverified),
        (json!({ "jwe": "a.b.c.d.e" }), unverified, unverified),
        (json!({ "kid": "k" }), unverified, unverified),
        (json!({ "kid": 7 }), unverified, unverified),
        (json!({ "kid": "k", "x5t#S256": mine }), unverified, unverified),
        (
            json!({ "jku": "https://login.example.com/keys", "kid": "k" }),
            unverified,
            unverified,
        ),
        (json!({ "osc": { "id": "1" } }), unverified, unverified),
        // What is not a confirmation.
        (json!({}), unverified, unverified),
        (json!(null), unverified, unverified),
        (json!(true), unverified, unverified),
        (json!([]), unverified, unverified),
        (json!([{ "x5t#S256": mine }]), unverified, unverified),
        (json!(mine), unverified, unverified),
        // What is not a thumbprint in its one spelling.
        (json!({ "x5t#S256": null }), unverified, unverified),
        (json!({ "x5t#S256": 7 }), unverified, unverified),
        (json!({ "x5t#S256": [mine] }), unverified, unverified),
        (json!({ "x5t#S256": "" }), unverified, unverified),
        (json!({ "x5t#S256": padded }), unverified, unverified),
        (json!({ "x5t#S256": stray }), unverified, unverified),
        (json!({ "x5t#S256": format!(" {mine}") }), unverified, unverified),
        (json!({ "x5t#S256": short }), unverified, unverified),
        (json!({ "x5t#S256": format!("{mine}A") }), unverified, unverified),
        (
            json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 20]) }),
            unverified,
            unverified,
        ),
        (
            json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 33]) }),
            unverified,
            unverified,
        ),
        (
            json!({ "x5t#S256": mine.replace(char::is_alphanumeric, "+") }),
            unverified,
            unverified,
        ),
    ] {
        for (binding, want) in [("verify", verify), ("required", required), ("ignore", "allow")] {
            assert_eq!(outcome(binding, &confirmation), want, "{binding}: {confirmation}");
        }
    }
}

#[test]
fn a_token_without_a_confirmation_passes_unless_one_is_required() {
    for (binding, want) in [
        ("verify", "allow"),
        ("required", "token_binding_missing"),
        ("ignore", "allow"),
    ] {
        let policies = policies(binding);
        for request in [request("GET /x"), request("GET /x").presenting(presented(MINE))] {
            let request = request.bearer(&claims());
            assert_eq!(request.outcome(&policies), want, "{binding}");
        }
    }
    let policy = POLICY.replace(", binding: $binding", "");
    let bound = claims_with(&json!({ "cnf": { "jkt": thumbprint(MINE) } }));
    let outcome = request("GET /x").bearer(&bound).outcome(&parse(&[&policy]).unwrap());
    assert_eq!(outcome, "token_binding_unverified", "`verify` is the default");
}

#[test]
fn a_known_token_is_held_against_the_certificate_of_each_request() {
    let rejected = ClientCertificate {
        refused: Some("the client certificate is no longer good"),
        ..presented(MINE)
    };
    let expired = ClientCertificate {
        not_after: NOW - 1,
        ..presented(MINE)
    };
    let unread = ClientCertificate {
        thumbprint: None,
        ..presented(MINE)
    };
    let connections = [
        (Some(presented(OTHER)), "token_binding_mismatch"),
        (Some(presented(MINE)), "allow"),
        (None, "token_binding_mismatch"),
        (Some(presented(MINE)), "allow"),
        (Some(rejected), "token_binding_mismatch"),
        (Some(expired), "token_binding_mismatch"),
        (Some(unread), "token_binding_mismatch"),
        (Some(presented(MINE)), "allow"),
    ];
    let evaluator = Evaluator::new(Arc::new(policies("verify")));
    let bearer = format!(
        "Bearer {}",
        token(&claims_with(&json!({ "cnf": { "x5t#S256": thumbprint(MINE) } })))
    );
    for (at, (certificate, want)) in connections.into_iter().enumerate() {
        let request = request("GET /x").header("authorization", &bearer);
        let request = match certificate {
            Some(certificate) => request.presenting(certificate),
            None => request,
        };
        let decision = decide(&evaluator, &request.facts(), Revocations::Unasked, &mut ());
        let reason = decision.outcome.rejection().map_or("allow", |no| no.reason().code());
        let lookup = if at == 0 { CacheResult::Miss } else { CacheResult::Hit };
        assert_eq!((reason, decision.lookup), (want, Some(lookup)), "{at}");
    }
}

#[test]
fn a_bound_token_without_its_key_is_a_bad_credential_and_not_an_absent_one() {
    let policies = policies("verify");
    let bound = claims_with(&json!({ "cnf": { "x5t#S256": thumbprint(MINE) } }));
    let with_token = |path: &str| request(&format!("GET {path}")).bearer(&bound);
    for (request, want) in [
        (with_token("/any"), "token_binding_mismatch"),
        (with_token("/any").key(JOBS_KEY), "token_binding_mismatch"),
        (
            with_token("/any").presenting(presented(OTHER)),
            "token_binding_mismatch",
        ),
        (with_token("/any").presenting(presented(MINE)), "allow"),
        (with_token("/shadow"), "shadow:token_binding_mismatch"),
        (with_token("/open"), "allow"),
    ] {
        assert_eq!(request.outcome(&policies), want, "{request:?}");
    }
    let unnamed = with_token("/shadow").identity(&policies);
    assert!(unnamed.iter().all(|line| !line.contains("user-1")), "{unnamed:?}");
}

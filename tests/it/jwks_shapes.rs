//! Key sets as identity providers publish them: keys for something else, keys that come twice, padding.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{
    Gateway, Reply, Request, Setup,
    issuer::{Key, KeyServer, claims},
};

fn policy(service: &str, url: &str) -> String {
    format!(
        "
version: 1
service: {service}
prefix: /{service}
upstream: {{ url: '$upstream' }}
errors: {{ format: envelope, code_prefix: ERR }}
jwt: {{ issuers: [{{ issuer: unchecked, audience: unchecked, algorithms: [ES256, RS256], keys: {{ jwks: {{ url: '{url}' }} }} }}] }}
routes: [{{ path: /*, auth: jwt }}]
"
    )
}

fn get(service: &str, key: &Key) -> Request {
    Request::get(&format!("/{service}/x")).bearer(&key.sign(claims(json!({}))))
}

/// A key with some members changed.
fn with(key: &Key, changes: Value) -> Value {
    let mut jwk = key.jwk.clone();
    let Value::Object(changes) = changes else {
        panic!("an object")
    };
    for (name, value) in changes {
        jwk[name] = value;
    }
    jwk
}

#[expect(clippy::needless_pass_by_value, reason = "cases are written in place")]
fn serving(keys: Vec<Value>) -> (Gateway, KeyServer) {
    let set = json!({ "keys": keys }).to_string();
    let server = KeyServer::new(move || Reply::ok(&set));
    let gateway = Setup::new()
        .always_ready()
        .policy("a", &policy("a", &server.url))
        .start();
    (gateway, server)
}

/// The warnings of single keys.
fn noted(gateway: &Gateway) -> Vec<String> {
    let text = gateway.log_text();
    let lines = text.lines().filter(|line| line.contains("a key is not "));
    lines.map(str::to_owned).collect()
}

#[test]
fn signing_key_is_used_beside_keys_for_something_else_and_equal_ones() {
    let (curve, other, number) = (
        Key::new("ES256", "one"),
        Key::new("ES256", "one"),
        Key::new("RS256", "one"),
    );
    let member = |name: &str| URL_SAFE_NO_PAD.decode(curve.jwk[name].as_str().unwrap()).unwrap();
    let padded = json!({ "x": URL_SAFE.encode(member("x")), "y": STANDARD.encode(member("y")) });
    for (what, keys, signers) in [
        (
            "an encryption key with the id of the signing key",
            vec![
                with(&other, json!({ "use": "enc", "alg": "ECDH-ES" })),
                curve.jwk.clone(),
            ],
            vec![&curve],
        ),
        (
            "one key twice",
            vec![curve.jwk.clone(), curve.jwk.clone()],
            vec![&curve],
        ),
        (
            "one key with and without its algorithm",
            vec![with(&curve, json!({ "alg": null, "use": null })), curve.jwk.clone()],
            vec![&curve],
        ),
        (
            "two types of keys with one id",
            vec![number.jwk.clone(), curve.jwk.clone()],
            vec![&curve, &number],
        ),
        (
            "other base64",
            vec![with(&curve, padded.clone()), number.jwk.clone()],
            vec![&curve, &number],
        ),
        (
            "a use that does not exist",
            vec![with(&other, json!({ "use": "signature" })), curve.jwk.clone()],
            vec![&curve],
        ),
    ] {
        let (gateway, _server) = serving(keys);
        for key in signers {
            let answer = gateway.send(&get("a", key));
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
        }
        gateway.refused(&get("a", &other), 401, "token_signature_invalid");
    }
}

#[test]
fn set_that_leaves_no_key_says_why_on_readyz() {
    let (one, other) = (Key::new("ES256", "one"), Key::new("ES256", "one"));
    for (keys, want) in [
        (
            vec![one.jwk.clone(), other.jwk.clone()],
            "key `one` (number 1): a different key of the set has the same `kid`, for ES256",
        ),
        (
            vec![with(&one, json!({ "use": "signature" }))],
            "key `one`: `use` is `signature`, not `sig`",
        ),
        (vec![with(&one, json!({ "use": "enc" }))], "key `one` is for encryption"),
        (
            vec![with(&one, json!({ "key_ops": "verify" }))],
            "key `one`: `key_ops` is not a list of texts",
        ),
    ] {
        let (gateway, _server) = serving(keys);
        gateway.refused(&get("a", &one), 503, "keys_unavailable");
        let page = gateway.admin("/readyz").text();
        assert!(
            page.contains("the set has no key for the algorithms of the issuer: "),
            "{page}"
        );
        assert!(page.contains(want), "{page}");
    }
}

#[test]
fn odd_key_is_noted_once_for_all_policies_and_fetches() {
    let (key, other) = (Key::new("ES256", "one"), Key::new("ES256", "two"));
    let x = URL_SAFE_NO_PAD.decode(key.jwk["x"].as_str().unwrap()).unwrap();
    let odd = with(&key, json!({ "x": URL_SAFE.encode(x) }));
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    // The set grows at the second fetch, which an unknown key causes.
    let later = json!({ "keys": [odd, other.jwk] }).to_string();
    let first = json!({ "keys": [odd] }).to_string();
    let server = KeyServer::new(move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::ok(&first),
        _ => Reply::ok(&later),
    });
    let setup = Setup::new().policy("a", &policy("a", &server.url));
    let gateway = setup.policy("b", &policy("b", &server.url)).start();
    gateway.allowed(&get("a", &key));
    gateway.allowed(&get("a", &other));
    gateway.allowed(&get("b", &other));
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
    let noted = noted(&gateway);
    assert_eq!(noted.len(), 1, "{noted:#?}");
    assert!(
        noted[0].contains("key `one`: `x` in padded or plain base64"),
        "{noted:#?}"
    );
}

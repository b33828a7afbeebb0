//! The keys behind a token: every algorithm from every source, and which of several keys is asked.

use serde_json::{Value, json};

use crate::harness::{
    OTHER_TENANT, Request, SECRET, Setup, TENANT,
    issuer::{ASYMMETRIC, Key, SYMMETRIC, claims, hmac, key_set, now},
};

const LONG_SECRET: &str = "a-secret-that-is-long-enough-for-each-of-the-three-hmacs-0123456789-0123456789";

/// One policy that trusts one algorithm, with keys from one source.
fn trusting(source: &str, algorithm: &str, keys: &str) -> String {
    format!(
        "{{ version: 1, service: {source}-{algorithm}, prefix: /{source}/{algorithm}, upstream: {{ url: '$upstream' }},
           errors: {{ format: envelope, code_prefix: ERR }},
           jwt: {{ issuers: [{{ issuer: unchecked, audience: unchecked, algorithms: [{algorithm}], keys: {keys} }}] }},
           routes: [{{ path: /*, auth: jwt }}] }}"
    )
}

#[test]
fn every_algorithm_is_accepted_from_every_source_and_nowhere_else() {
    let mut setup = Setup::new().env("IT_LONG_SECRET", LONG_SECRET);
    let mut places = Vec::new();
    let mut tokens = Vec::new();
    for algorithm in SYMMETRIC {
        let policy = trusting("secret", algorithm, "{ secret: { env: IT_LONG_SECRET } }");
        setup = setup.policy(&format!("secret-{algorithm}"), &policy);
        places.push(("secret", algorithm));
        tokens.push((
            algorithm,
            hmac(algorithm, LONG_SECRET, claims(json!({ "sub": algorithm }))),
        ));
    }
    for algorithm in ASYMMETRIC {
        let key = Key::new(algorithm, "main");
        for (source, file, text) in [
            ("pem", "key.pem", key.public_pem.clone()),
            ("jwks", "keys.json", key_set(&[&key])),
        ] {
            let name = format!("{algorithm}-{file}");
            let policy = trusting(
                source,
                algorithm,
                &format!("{{ {source}: {{ file: $folder/{name} }} }}"),
            );
            setup = setup
                .file(&name, &text)
                .policy(&format!("{source}-{algorithm}"), &policy);
            places.push((source, algorithm));
        }
        tokens.push((algorithm, key.sign(claims(json!({ "sub": algorithm })))));
    }
    let gateway = setup.start();
    for (source, trusted) in places {
        for (algorithm, token) in &tokens {
            let request = Request::get(&format!("/{source}/{trusted}/x")).bearer(token);
            if *algorithm == trusted {
                assert_eq!(gateway.allowed(&request).values("x-user-id"), [*algorithm]);
            } else {
                gateway.refused(&request, 401, "token_algorithm_not_allowed");
            }
        }
    }
}

#[test]
fn the_key_id_picks_among_the_keys_of_a_set() {
    let (rsa, curve, edwards) = (Key::new("RS256", "r"), Key::new("ES256", "c"), Key::new("EdDSA", "e"));
    let policy = "
version: 1
service: s
prefix: /s
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt: { issuers: [{ issuer: unchecked, audience: unchecked, algorithms: [RS256, ES256, EdDSA], keys: { jwks: { file: $folder/keys.json } } }] }
routes: [{ path: /*, auth: jwt }]
";
    let set = key_set(&[&rsa, &curve, &edwards]);
    let gateway = Setup::new().file("keys.json", &set).policy("s", policy).start();
    let to = |token: String| Request::get("/s/x").bearer(&token);
    for key in [&rsa, &curve, &edwards] {
        gateway.allowed(&to(key.sign(claims(json!({})))));
    }
    gateway.refused(
        &to(Key::new("ES256", "c").sign(claims(json!({})))),
        401,
        "token_signature_invalid",
    );
    gateway.refused(
        &to(Key::new("ES256", "nobody").sign(claims(json!({})))),
        401,
        "token_key_unknown",
    );
    let public_as_secret = hmac("HS256", &rsa.public_pem, claims(json!({})));
    gateway.refused(&to(public_as_secret), 401, "token_algorithm_not_allowed");
}

#[test]
fn an_unknown_key_and_a_bad_signature_look_alike() {
    let key = Key::new("ES256", "known");
    let policy = |format: &str| {
        format!(
            "{{ version: 1, service: s, prefix: /{format}, upstream: {{ url: '$upstream' }},
               errors: {{ format: {format}, code_prefix: ERR }},
               jwt: {{ issuers: [{{ issuer: unchecked, audience: unchecked, algorithms: [ES256], keys: {{ jwks: {{ file: $folder/keys.json }} }} }}] }},
               tenant: {{ header: x-tenant-id, claims: [tenantId] }},
               routes: [{{ path: /*, auth: jwt }}] }}"
        )
    };
    let formats = ["flat", "envelope", "problem"];
    let setup = Setup::new().file("keys.json", &key_set(&[&key]));
    let gateway = formats
        .iter()
        .fold(setup, |setup, format| setup.policy(format, &policy(format)))
        .start();
    let unknown = Key::new("ES256", "unknown").sign(claims(json!({})));
    let forged = Key::new("ES256", "known").sign(claims(json!({})));
    let said = |format: &str, status: u16, token: &str, tenant: &str| {
        let request = Request::get(&format!("/{format}/x"))
            .bearer(token)
            .header("x-tenant-id", tenant);
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status, "{answer:?}");
        let challenge = answer.header("www-authenticate").map(ToOwned::to_owned);
        (challenge, without_what_differs(answer.json()))
    };
    for format in formats {
        assert_eq!(said(format, 401, &unknown, TENANT), said(format, 401, &forged, TENANT));
        // Nor does a tenant that does not exist look other than one of another user.
        let good = key.sign(claims(json!({})));
        let nobody = "99999999-9999-4999-a999-999999999999";
        assert_eq!(said(format, 403, &good, nobody), said(format, 403, &good, OTHER_TENANT));
    }
}

/// A body without what differs from one response to the next, and without the reason, where its
/// format has one.
fn without_what_differs(mut body: Value) -> Value {
    let members = body.as_object_mut().into_iter().flatten();
    for (name, value) in members {
        let differs = ["reason", "type", "timestamp", "requestId", "traceId"].contains(&name.as_str());
        *value = match differs {
            true => Value::Null,
            false => without_what_differs(value.take()),
        };
    }
    body
}

#[test]
fn the_issuer_claim_picks_the_issuer_and_never_the_first_that_works() {
    let policy = "
version: 1
service: s
prefix: /s
upstream: { url: '$upstream' }
errors: { format: envelope, code_prefix: ERR }
jwt:
  issuers:
    - { issuer: one, audience: [a], algorithms: [HS256], keys: { secret: { env: IT_SECRET } } }
    - { issuer: two, audience: [b], algorithms: [HS256], keys: { secret: { env: IT_LONG_SECRET } }, leeway: 60s }
routes: [{ path: /*, auth: jwt }]
";
    let gateway = Setup::new()
        .env("IT_LONG_SECRET", LONG_SECRET)
        .policy("s", policy)
        .start();
    let to = |secret: &str, changes: Value| Request::get("/s/x").bearer(&hmac("HS256", secret, claims(changes)));
    gateway.allowed(&to(SECRET, json!({ "iss": "one", "aud": "a" })));
    gateway.allowed(&to(LONG_SECRET, json!({ "iss": "two", "aud": "b" })));
    gateway.refused(
        &to(SECRET, json!({ "iss": "two", "aud": "b" })),
        401,
        "token_signature_invalid",
    );
    gateway.refused(
        &to(LONG_SECRET, json!({ "iss": "one", "aud": "a" })),
        401,
        "token_signature_invalid",
    );
    gateway.refused(
        &to(SECRET, json!({ "iss": "one", "aud": "b" })),
        401,
        "token_audience_mismatch",
    );
    gateway.refused(
        &to(SECRET, json!({ "iss": "three", "aud": "a" })),
        401,
        "token_issuer_mismatch",
    );
    // Leeway is the issuer's own.
    gateway.allowed(&to(LONG_SECRET, json!({ "iss": "two", "aud": "b", "exp": now() - 5 })));
    gateway.refused(
        &to(SECRET, json!({ "iss": "one", "aud": "a", "exp": now() - 5 })),
        401,
        "token_expired",
    );
}

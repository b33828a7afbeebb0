use serde_json::{Value, json};

use super::*;
use crate::keys::jwk::{Secrets, parse};
use crate::testing::vectors;

/// Loads a key or a key set the way a file of the policy would be.
fn load(key: &Value) -> KeySet {
    let set = if key.get("keys").is_some() {
        key.clone()
    } else {
        json!({ "keys": [key] })
    };
    let loaded = parse(set.to_string().as_bytes(), &Algorithm::ALL, Secrets::Allow);
    loaded.map(|loaded| loaded.set).unwrap_or_default()
}

/// Returns the reason why a token is rejected, or `fine`.
fn check(token: &str, keys: &KeySet) -> &'static str {
    let issuer = issuer("");
    let verified = Jws::parse(token).and_then(|jws| {
        jws.check_header_for(&issuer)?;
        jws.verify(keys, jws.algorithm_among(&Algorithm::ALL)?, None)
    });
    verified.map_or_else(|rejection| rejection.reason().code(), |_| "fine")
}

/// An issuer with some fields besides those that it needs.
fn issuer(fields: &str) -> Issuer {
    let policy = format!(
        "version: 1
service: s
upstream: {{ url: http://127.0.0.1:1 }}
jwt:
  issuers:
    - {{ issuer: i, audience: unchecked, algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }}{fields} }}
routes: [{{ path: /*, auth: jwt }}]
"
    );
    let policies = crate::testing::parse(&[&policy]).unwrap();
    policies.get(0).unwrap().issuers[0].clone()
}

/// Runs a Wycheproof file; `exceptions` are the tests whose label does not hold for us.
fn wycheproof(file: &str, exceptions: &[u64]) {
    let Some(document) = vectors(&format!("wycheproof/testvectors_v1/{file}")) else {
        return;
    };
    let mut run = 0;
    for group in document["testGroups"].as_array().unwrap() {
        let keys = load(group.get("public").unwrap_or(&group["private"]));
        for test in group["tests"].as_array().unwrap() {
            let (id, Some(token)) = (test["tcId"].as_u64().unwrap(), test["jws"].as_str()) else {
                continue;
            };
            if !exceptions.contains(&id) {
                let valid = test["result"] == "valid";
                let got = check(token, &keys);
                assert_eq!(got == "fine", valid, "{file} {id} {}: {got}", test["comment"]);
                run += 1;
            }
        }
    }
    assert!(run > 20, "{file}: {run} tests");
}

#[test]
fn wycheproof_signatures() {
    // 346 and 350 are PS384 under a key that says PS256; 347 and 351 need ES512. 367 and 370 are
    // the valid 357 under the label "invalid"; 372 and 373 carry `?` under the label "valid".
    wycheproof(
        "json_web_signature_test.json",
        &[346, 347, 350, 351, 367, 370, 372, 373],
    );
}

#[test]
fn wycheproof_keys() {
    wycheproof("json_web_key_test.json", &[]);
}

#[test]
fn wycheproof_mixed() {
    wycheproof("json_web_crypto_test.json", &[]);
}

#[test]
fn the_jose_cookbook() {
    for (file, want) in [
        ("jws/4_1.rsa_v15_signature.json", "fine"),
        ("jws/4_2.rsa-pss_signature.json", "fine"),
        // ES512 is not verified here.
        ("jws/4_3.ecdsa_signature.json", "token_algorithm_not_allowed"),
        ("jws/4_4.hmac-sha2_integrity_protection.json", "fine"),
        ("rfc7797/hmac-sha2_b64_false.json", "token_malformed"),
        ("curve25519/jws.json", "fine"),
    ] {
        let Some(document) = vectors(&format!("jose-cookbook/{file}")) else {
            return;
        };
        let token = document["output"]["compact"].as_str().unwrap();
        assert_eq!(check(token, &load(&document["input"]["key"])), want, "{file}");
    }
}

/// A token with some header, whose signature is never looked at.
fn with_header(header: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    format!("{header}.e30.AAAA")
}

#[test]
fn faulty_header_is_rejected() {
    for (header, want) in [
        (json!({ "alg": "HS256" }), "token_key_unknown"),
        (json!({ "alg": "HS256", "typ": "JWT" }), "token_key_unknown"),
        (json!({ "alg": "HS256", "typ": "at+jwt" }), "token_key_unknown"),
        (
            json!({ "alg": "HS256", "typ": "application/at+JWT" }),
            "token_key_unknown",
        ),
        (json!({ "alg": "HS256", "kid": "a", "x": 1 }), "token_key_unknown"),
        (json!({ "alg": "none" }), "token_algorithm_not_allowed"),
        (json!({ "alg": "None" }), "token_algorithm_not_allowed"),
        (json!({ "alg": "hs256" }), "token_algorithm_not_allowed"),
        (json!({ "alg": "ES512" }), "token_algorithm_not_allowed"),
        (json!({}), "token_malformed"),
        (json!({ "alg": ["HS256"] }), "token_malformed"),
        (json!({ "alg": "HS256", "typ": "secevent" }), "token_malformed"),
        (json!({ "alg": "HS256", "typ": "logout+jwt" }), "token_malformed"),
        (json!({ "alg": "HS256", "typ": 1 }), "token_malformed"),
        (json!({ "alg": "HS256", "kid": "" }), "token_malformed"),
        (json!({ "alg": "HS256", "kid": 7 }), "token_malformed"),
        (json!({ "alg": "HS256", "cty": "JWT" }), "token_malformed"),
        (json!({ "alg": "HS256", "crit": [] }), "token_malformed"),
        (json!({ "alg": "HS256", "b64": false }), "token_malformed"),
        (json!({ "alg": "HS256", "zip": "DEF" }), "token_malformed"),
        (json!({ "alg": "dir", "enc": "A128GCM" }), "token_malformed"),
        (json!({ "alg": "HS256", "jwk": {} }), "token_malformed"),
        (
            json!({ "alg": "HS256", "jku": "https://evil.example" }),
            "token_malformed",
        ),
        (
            json!({ "alg": "HS256", "x5u": "https://evil.example" }),
            "token_malformed",
        ),
        (json!({ "alg": "HS256", "x5c": [] }), "token_malformed"),
        (json!([]), "token_malformed"),
    ] {
        assert_eq!(check(&with_header(&header), &KeySet::default()), want, "{header}");
    }
}

#[test]
fn faulty_form_is_rejected() {
    let good = with_header(&json!({ "alg": "HS256" }));
    let twice = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","alg":"none"}"#);
    let spaced = good.replacen('.', " .", 1);
    for token in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b".into(),
        format!("{good}.x"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        good.replace("AAAA", ""),
        good.replace("AAAA", "A"),
        good.replace("AAAA", "AB"),
        good.replace("e30", "e31="),
        good.replace("e30", "e3+"),
        format!("{twice}.e30.AAAA"),
        spaced,
    ] {
        assert_eq!(check(&token, &KeySet::default()), "token_malformed", "{token:?}");
    }
}

#[test]
fn link_to_a_key_is_passed_over_only_where_the_issuer_says_so() {
    let ignoring = |names: &str| issuer(&format!(", ignore_headers: [{names}]"));
    for (issuer, parameter, want) in [
        (issuer(""), "jku", Some("`ignore_headers: [jku]`")),
        (issuer(""), "x5c", Some("`ignore_headers: [x5c]`")),
        (ignoring("jku"), "jku", None),
        (ignoring("jku"), "x5u", Some("`x5u`")),
        (ignoring("jku, x5u, x5c"), "x5c", None),
        (ignoring("jku, x5u, x5c"), "jwk", Some("`jwk`")),
        (ignoring("jku, x5u, x5c"), "crit", Some("`crit`")),
        (ignoring("jku, x5u, x5c"), "x5t", None),
    ] {
        let mut header = json!({ "alg": "HS256" });
        header[parameter] = json!("https://a.example/keys");
        let token = with_header(&header);
        let rejected = Jws::parse(&token).and_then(|jws| jws.check_header_for(&issuer)).err();
        let cause = rejected.map(|rejection| {
            assert_eq!(rejection.reason(), Reason::TokenMalformed);
            rejection.cause().to_owned()
        });
        assert_eq!(cause.is_some(), want.is_some(), "{parameter}: {cause:?}");
        assert!(
            cause.unwrap_or_default().contains(want.unwrap_or_default()),
            "{parameter}"
        );
    }
}

#[test]
fn type_of_a_token_is_one_of_the_issuer() {
    for (types, header, want) in [
        ("[at+jwt]", json!({ "typ": "AT+jwt" }), None),
        (
            "[at+jwt]",
            json!({}),
            Some("no `typ`, which means JWT; accepted: at+jwt"),
        ),
        ("[at+jwt]", json!({ "typ": "JWT" }), Some("accepted: at+jwt")),
        ("[JWT, id+jwt]", json!({ "typ": "application/id+jwt" }), None),
        ("[JWT, id+jwt]", json!({}), None),
        ("[JWT]", json!({ "typ": null }), Some("not text")),
    ] {
        let mut header = header;
        header["alg"] = json!("HS256");
        let token = with_header(&header);
        let issuer = issuer(&format!(", types: {types}"));
        let found = Jws::parse(&token).unwrap().check_header_for(&issuer);
        let cause = found.err().map(|rejection| rejection.cause().to_owned());
        assert_eq!(cause.is_some(), want.is_some(), "{header}: {cause:?}");
        assert!(
            cause.clone().unwrap_or_default().contains(want.unwrap_or_default()),
            "{header}: {cause:?}"
        );
    }
}

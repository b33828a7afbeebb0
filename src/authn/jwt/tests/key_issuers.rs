//! Keys of a set that several issuers share, each with the issuer that signs with it.

use super::*;
use crate::keys::KeySet;

/// A set of keys from the secret of the tests and issuers, `null` for none.
fn keys_of(issuers: &[Value]) -> KeySet {
    let key = |issuer: &Value| match issuer {
        Value::Null => json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) }),
        issuer => json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "issuer": issuer }),
    };
    let text = json!({ "keys": issuers.iter().map(key).collect::<Vec<_>>() }).to_string();
    let loaded = jwk::parse(text.as_bytes(), &[Algorithm::HS256], Secrets::Allow).unwrap();
    assert_eq!(loaded.refused, vec![]);
    loaded.set
}

#[test]
fn key_that_names_an_issuer_signs_for_no_other_under_a_pattern() {
    let of = |text: &str| Value::from(text);
    let tenants = "https://login.example/{tenantid}/v2.0";
    let one = "https://login.example/t-1/v2.0";
    let other = "https://login.example/t-2/v2.0";
    let (allow, mismatch) = ("allow", "token_issuer_mismatch");
    for (issuers, for_one, for_other) in [
        (vec![Value::Null], allow, allow),
        (vec![of(tenants)], allow, allow),
        (vec![of(one)], allow, mismatch),
        (vec![of(other)], mismatch, allow),
        (vec![of(one), of(other)], allow, allow),
        (vec![of(other), of(one)], allow, allow),
        (vec![of(one), of("https://login.example/t-3/v2.0")], allow, mismatch),
        // Each placeholder stands for one segment, as a whole, of the characters that a value has.
        (vec![of("https://login.example/{a}/{b}")], mismatch, mismatch),
        (vec![of("https://login.example/{tenantid}")], mismatch, mismatch),
        (vec![of("https://login.example/{a}/{b}/v2.0")], mismatch, mismatch),
        (vec![of("https://login.example/t-{n}/v2.0")], mismatch, mismatch),
        (vec![of("https://login.example/{}/v2.0")], mismatch, mismatch),
        (vec![of("{issuer}")], mismatch, mismatch),
        // Otherwise the texts are equal.
        (vec![of("https://login.example/{tenantid}/v2.0/")], mismatch, mismatch),
        (vec![of("https://LOGIN.example/{tenantid}/v2.0")], mismatch, mismatch),
        (vec![of("http://login.example/{tenantid}/v2.0")], mismatch, mismatch),
        (vec![of("https://login.example/T-1/v2.0")], mismatch, mismatch),
        (vec![of("https://sts.example/{tenantid}/")], mismatch, mismatch),
        (vec![of("")], mismatch, mismatch),
    ] {
        let evaluator = evaluator(&[SEVERAL]);
        let rings = evaluator.keys().of_policy(0);
        for ring in rings {
            ring.replace(keys_of(&issuers));
        }
        for (iss, tid, want) in [(one, "t-1", for_one), (other, "t-2", for_other)] {
            let token = token(&claims_with(&json!({ "iss": iss, "tid": tid })));
            assert_eq!(looked_up(&evaluator, "/x", &token, NOW).0, want, "{issuers:?} {iss}");
        }
        // A name that the policy has exactly is that of the whole set, as is one of a list.
        let exact = token(&claims());
        assert_eq!(looked_up(&evaluator, "/x", &exact, NOW).0, allow, "{issuers:?}");
    }
}

#[test]
fn known_token_is_verified_again_once_its_key_is_for_another_issuer() {
    let evaluator = evaluator(&[SEVERAL]);
    let ring = &evaluator.keys().of_policy(0)[1];
    let iss = "https://login.example/t-1/v2.0";
    let token = token(&claims_with(&json!({ "iss": iss, "tid": "t-1" })));
    for (issuer, want) in [
        (iss, ("allow", CacheResult::Miss)),
        (iss, ("allow", CacheResult::Hit)),
        (
            "https://login.example/t-2/v2.0",
            ("token_issuer_mismatch", CacheResult::Miss),
        ),
        ("https://login.example/{tid}/v2.0", ("allow", CacheResult::Miss)),
    ] {
        ring.replace(keys_of(&[issuer.into()]));
        assert_eq!(looked_up(&evaluator, "/x", &token, NOW), want, "{issuer}");
    }
}

#[test]
fn cause_says_that_the_key_is_for_another_issuer_only_if_it_signed() {
    let evaluator = evaluator(&[SEVERAL]);
    let ring = &evaluator.keys().of_policy(0)[1];
    ring.replace(keys_of(&["https://login.example/t-2/v2.0".into()]));
    let claims = claims_with(&json!({ "iss": "https://login.example/t-1/v2.0", "tid": "t-1" })).to_string();
    for (secret, reason, cause) in [
        (
            SECRET.as_bytes(),
            "token_issuer_mismatch",
            "the key that signed the token is for another issuer",
        ),
        (&[7; 32][..], "token_signature_invalid", "does not verify"),
    ] {
        let request = request("GET /x").header("authorization", &format!("Bearer {}", sign_with(secret, &claims)));
        let decision = decide(&evaluator, &request.facts(), Revocations::Unasked, &mut ());
        let rejection = decision.outcome.rejection().unwrap();
        assert_eq!(rejection.reason().code(), reason);
        assert!(rejection.cause().contains(cause), "{}", rejection.cause());
        assert_eq!(rejection.wants_keys_of(), None);
    }
}

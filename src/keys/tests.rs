use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::jwk::{Secrets, parse};
use super::*;
use crate::document::pem::PemFile;

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An RSA public key of some bits, made without a private key.
fn rsa(bits: usize) -> Value {
    let mut modulus: Vec<u8> = (0..bits / 8).map(|i| u8::try_from(i * 37 % 251).unwrap()).collect();
    modulus[0] = 0xc5;
    json!({ "kty": "RSA", "kid": "k", "n": encoded(&modulus), "e": "AQAB" })
}

/// A new key, if there is one of that curve with coordinates of that length.
fn ec(curve: &str, length: usize) -> Value {
    let signing = match (curve, length) {
        ("P-256", 32) => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        ("P-384", 48) => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        _ => None,
    };
    let point = match signing {
        Some(signing) => EcdsaKeyPair::generate(signing).unwrap().public_key().as_ref().to_vec(),
        None => vec![4; 1 + 2 * length],
    };
    let (x, y) = point[1..].split_at(length);
    json!({ "kty": "EC", "kid": "k", "crv": curve, "x": encoded(x), "y": encoded(y) })
}

fn oct(length: usize) -> Value {
    json!({ "kty": "oct", "kid": "k", "k": encoded(&vec![7; length]) })
}

/// A key with some members changed; `null` takes one away.
fn with(mut key: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    key
}

/// How many keys a set has, and what is said about the others.
fn load(keys: &[Value], secrets: Secrets) -> (usize, String) {
    let json = json!({ "keys": keys }).to_string();
    match parse(json.as_bytes(), &Algorithm::ALL, secrets) {
        Ok(loaded) => {
            let refused: Vec<_> = loaded.refused.iter().map(ToString::to_string).collect();
            (loaded.set.len(), refused.join("; "))
        }
        Err(problem) => (0, problem.to_string()),
    }
}

#[test]
fn keys_of_a_set_are_bound_or_rejected() {
    for (key, count, said) in [
        (rsa(2048), 6, ""),
        (with(rsa(2048), &json!({ "alg": "RS256" })), 1, ""),
        (with(rsa(2048), &json!({ "use": "sig", "key_ops": ["verify"] })), 6, ""),
        (with(rsa(2048), &json!({ "use": "enc" })), 0, ""),
        (with(rsa(2048), &json!({ "key_ops": ["encrypt"] })), 0, ""),
        (with(rsa(2048), &json!({ "alg": "HS256" })), 0, "`alg` does not fit"),
        (with(rsa(2048), &json!({ "alg": "ES256" })), 0, "`alg` does not fit"),
        (with(rsa(2048), &json!({ "alg": "RSA-OAEP" })), 0, "`alg` does not fit"),
        (with(rsa(2048), &json!({ "e": "AQ" })), 0, "exponent"),
        (with(rsa(2048), &json!({ "e": "Ag" })), 0, "exponent"),
        (with(rsa(2048), &json!({ "e": "AAAB" })), 0, "exponent"),
        (with(rsa(2048), &json!({ "e": null })), 0, "`e` is missing"),
        (with(rsa(2048), &json!({ "e": "AQAB=" })), 0, "`e` is not base64url"),
        (rsa(1024), 0, "has 1024 bits"),
        (rsa(2040), 0, "has 2040 bits"),
        (rsa(16384), 0, "has 16384 bits"),
        (ec("P-256", 32), 1, ""),
        (ec("P-384", 48), 1, ""),
        (
            with(ec("P-256", 32), &json!({ "y": encoded(&[1; 32]) })),
            0,
            "not one of its kind",
        ),
        (ec("P-256", 31), 0, "is not 32 bytes long"),
        (ec("P-384", 32), 0, "is not 48 bytes long"),
        (ec("P-521", 66), 0, "name no key"),
        (ec("secp256k1", 32), 0, "name no key"),
        (
            with(ec("P-256", 32), &json!({ "alg": "ES384" })),
            0,
            "`alg` does not fit",
        ),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(&[3; 32]) }), 1, ""),
        (
            json!({ "kty": "OKP", "crv": "X25519", "x": encoded(&[3; 32]) }),
            0,
            "name no key",
        ),
        (json!({ "kty": 7 }), 0, "a key is unreadable"),
        (json!("x"), 0, "a key is unreadable"),
    ] {
        let (found, problem) = load(std::slice::from_ref(&key), Secrets::Refuse);
        assert_eq!(found, count, "{key}: {problem}");
        assert!(
            problem.contains(said) && problem.is_empty() == said.is_empty(),
            "{key}: {problem}"
        );
    }
}

#[test]
fn secrets_of_a_set_stand_alone_in_a_file() {
    assert_eq!(load(&[oct(64)], Secrets::Allow).0, 3);
    for (keys, secrets, count) in [
        (vec![oct(64)], Secrets::Refuse, 0),
        (vec![oct(31)], Secrets::Allow, 0),
        (vec![oct(0)], Secrets::Allow, 0),
        (vec![with(oct(47), &json!({ "alg": "HS384" }))], Secrets::Allow, 0),
        (vec![with(oct(63), &json!({ "alg": "HS512" }))], Secrets::Allow, 0),
        (
            vec![oct(64), with(ec("P-256", 32), &json!({ "kid": "e" }))],
            Secrets::Allow,
            1,
        ),
    ] {
        assert_eq!(load(&keys, secrets).0, count, "{keys:?}");
    }
}

#[test]
fn a_set_has_each_id_once_and_a_bounded_number_of_keys() {
    let (found, problem) = load(&[ec("P-256", 32), ec("P-256", 32)], Secrets::Refuse);
    assert_eq!((found, problem.matches("the id comes twice").count()), (0, 2));
    let many: Vec<_> = (0..=MAX_KEYS)
        .map(|at| with(ec("P-256", 32), &json!({ "kid": at.to_string() })))
        .collect();
    assert!(load(&many, Secrets::Refuse).1.contains("more than 64 keys"));
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, "{\"keys\":[]"] {
        assert!(
            parse(text.as_bytes(), &Algorithm::ALL, Secrets::Refuse).is_err(),
            "{text}"
        );
    }
}

#[test]
fn an_id_picks_one_key() {
    let keys = [("a", "ES256"), ("b", "ES256"), ("c", "ES384")].map(|(id, alg)| {
        let key = if alg == "ES256" {
            ec("P-256", 32)
        } else {
            ec("P-384", 48)
        };
        with(key, &json!({ "kid": id, "alg": alg }))
    });
    let json = json!({ "keys": keys }).to_string();
    let set = parse(json.as_bytes(), &Algorithm::ALL, Secrets::Refuse).unwrap().set;
    for (id, algorithm, want) in [
        (Some("a"), Algorithm::ES256, Ok(1)),
        (Some("c"), Algorithm::ES384, Ok(1)),
        (None, Algorithm::ES256, Ok(2)),
        (Some("a"), Algorithm::ES384, Err(NoKey::OtherAlgorithm)),
        (Some("d"), Algorithm::ES256, Err(NoKey::Unknown)),
        (None, Algorithm::RS256, Err(NoKey::Unknown)),
    ] {
        assert_eq!(
            set.candidates(id, algorithm).map(|keys| keys.len()),
            want,
            "{id:?} {algorithm:?}"
        );
    }
}

#[test]
fn a_key_without_an_id_takes_any_token_of_its_algorithm() {
    let set = KeySet::from_secret(&[7; 32], &[Algorithm::HS256]).unwrap();
    assert_eq!(
        set.candidates(Some("x"), Algorithm::HS256).map(|keys| keys.len()),
        Ok(1)
    );
    assert!(KeySet::from_secret(&[7; 31], &[Algorithm::HS256]).is_err());
    assert!(KeySet::from_secret(&[7; 32], &[Algorithm::HS256, Algorithm::RS256]).is_err());
}

#[test]
fn a_pem_is_one_public_key() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let public = pair.public_key_pem();
    for (text, algorithms, want) in [
        (public.clone(), vec![Algorithm::ES256], ""),
        (public.clone(), vec![Algorithm::ES384], "cannot be used with"),
        (public.clone(), vec![Algorithm::HS256], "cannot be used with"),
        (public.repeat(2), vec![Algorithm::ES256], "exactly one is needed"),
        (pair.serialize_pem(), vec![Algorithm::ES256], "this is a private key"),
        (String::new(), vec![Algorithm::ES256], "exactly one is needed"),
        (
            public.replace("PUBLIC KEY", "CERTIFICATE"),
            vec![Algorithm::ES256],
            "is not a `PUBLIC KEY`",
        ),
    ] {
        let file = PemFile {
            name: "f",
            bytes: text.as_bytes(),
        };
        let said = match file.only_block() {
            Ok(block) => pem::parse(&block, &algorithms).err().map(|problem| problem.to_string()),
            Err(fault) => Some(fault.message),
        };
        let said = said.unwrap_or_default();
        assert!(
            said.contains(want) && said.is_empty() == want.is_empty(),
            "{want}: {said}"
        );
    }
}

#[test]
fn the_weak_generator_is_recognized() {
    // A product of powers of 65537 has the fingerprint; a power plus one has not.
    assert!(has_roca_fingerprint(&[1, 0, 1]));
    assert!(!has_roca_fingerprint(&[1, 0, 2]));
}

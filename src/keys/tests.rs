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
        (with(rsa(2048), &json!({ "alg": "RSA-OAEP" })), 0, ""),
        (with(rsa(2048), &json!({ "alg": "RSA-OEAP" })), 0, "`alg` does not fit"),
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
        (json!({ "kty": "OKP", "crv": "X25519", "x": encoded(&[3; 32]) }), 0, ""),
        (
            json!({ "kty": "OKP", "crv": "Ed448", "x": encoded(&[3; 57]) }),
            0,
            "name no key",
        ),
        (json!({ "kty": 7 }), 0, "`kty` is not text"),
        (json!({ "kid": "k" }), 0, "key `k`: `kty` is missing"),
        (with(rsa(2048), &json!({ "kid": 7 })), 0, "`kid` is not text"),
        (with(rsa(2048), &json!({ "n": ["a"] })), 0, "`n` is not text"),
        (with(rsa(2048), &json!({ "issuer": "https://a.example/{t}" })), 6, ""),
        (with(rsa(2048), &json!({ "issuer": ["a"] })), 0, "`issuer` is not text"),
        (with(rsa(2048), &json!({ "issuer": 7, "use": "enc" })), 0, ""),
        (json!("x"), 0, "key number 1 of the set: this is not a JSON object"),
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
fn set_has_a_bounded_number_of_keys_in_a_list() {
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
fn keys_that_differ_in_their_issuer_alone_are_two() {
    let key = with(ec("P-256", 32), &json!({ "alg": "ES256" }));
    let of = |issuer: Value| with(key.clone(), &json!({ "issuer": issuer }));
    let of_none = || of(Value::Null);
    for (keys, count) in [
        (vec![of(json!("a")), of(json!("a"))], 1),
        (vec![of(json!("a")), of(json!("b"))], 2),
        (vec![of(json!("a")), of(json!("A"))], 2),
        (vec![of_none(), of(json!("a"))], 2),
        (vec![of_none(), of(json!(""))], 2),
        (vec![of(json!("a")), of(json!("b")), of_none()], 3),
    ] {
        let json = json!({ "keys": keys }).to_string();
        let loaded = parse(json.as_bytes(), &[Algorithm::ES256], Secrets::Refuse).unwrap();
        assert_eq!(loaded.refused, vec![], "{keys:#?}");
        assert_eq!((loaded.set.len(), loaded.set.count()), (count, count), "{keys:#?}");
    }
    // A `kid` is that of one key, whatever its issuer.
    let other = with(ec("P-256", 32), &json!({ "issuer": "b" }));
    assert_eq!(
        bound(&[of(json!("a")), other], &[Algorithm::ES256]).0,
        Vec::<String>::new()
    );
}

/// A set for some algorithms: the keys in it, as `id/algorithm`, and how many problems name each key.
fn bound(keys: &[Value], algorithms: &[Algorithm]) -> (Vec<String>, usize, Vec<String>) {
    let json = json!({ "keys": keys }).to_string();
    let loaded = parse(json.as_bytes(), algorithms, Secrets::Refuse).unwrap();
    let name = |key: &VerificationKey| format!("{}/{}", key.id.as_deref().unwrap_or("-"), key.algorithm.name());
    let refused = loaded.refused.iter().map(ToString::to_string).collect();
    (loaded.set.keys.iter().map(name).collect(), loaded.set.count(), refused)
}

#[test]
fn equal_keys_are_one_and_keys_for_something_else_do_not_count() {
    use Algorithm::{ES256, PS256, RS256};
    let (curve, number) = (ec("P-256", 32), rsa(2048));
    let on = |key: &Value, changes: Value| with(key.clone(), &changes);
    let encryption = on(&curve, json!({ "use": "enc", "alg": "ECDH-ES" }));
    for (keys, want) in [
        // The same key, in whatever way it is written.
        (vec![curve.clone(), curve.clone()], vec!["k/ES256"]),
        (
            vec![curve.clone(), on(&curve, json!({ "alg": "ES256" }))],
            vec!["k/ES256"],
        ),
        (
            vec![on(&curve, json!({ "use": "sig", "x5t": "a" })), curve.clone()],
            vec!["k/ES256"],
        ),
        (
            vec![on(&number, json!({ "alg": "RS256" })), number.clone()],
            vec!["k/RS256", "k/PS256"],
        ),
        (
            vec![
                on(&number, json!({ "alg": "RS256" })),
                on(&number, json!({ "alg": "PS256" })),
            ],
            vec!["k/RS256", "k/PS256"],
        ),
        (
            vec![on(&curve, json!({ "kid": null })), on(&curve, json!({ "kid": null }))],
            vec!["-/ES256"],
        ),
        // Keys that are not for signatures, with the id of one that is.
        (vec![encryption.clone(), curve.clone()], vec!["k/ES256"]),
        (
            vec![curve.clone(), on(&ec("P-256", 32), json!({ "use": "enc" }))],
            vec!["k/ES256"],
        ),
        (
            vec![curve.clone(), on(&ec("P-256", 32), json!({ "key_ops": ["deriveKey"] }))],
            vec!["k/ES256"],
        ),
        (
            vec![curve.clone(), on(&ec("P-256", 32), json!({ "alg": "ECDH-ES+A256KW" }))],
            vec!["k/ES256"],
        ),
        (
            vec![curve.clone(), json!({ "kty": "OKP", "crv": "X25519", "kid": "k" })],
            vec!["k/ES256"],
        ),
        (
            vec![curve.clone(), json!({ "kty": "RSA", "kid": "k", "use": "enc", "n": 7 })],
            vec!["k/ES256"],
        ),
        (
            vec![curve.clone(), on(&ec("P-256", 32), json!({ "use": "tls" }))],
            vec!["k/ES256"],
        ),
        // One id, and keys of other algorithms.
        (
            vec![curve.clone(), number.clone()],
            vec!["k/ES256", "k/RS256", "k/PS256"],
        ),
        (
            vec![
                on(&number, json!({ "alg": "RS256" })),
                on(&rsa(3072), json!({ "alg": "PS256" })),
            ],
            vec!["k/RS256", "k/PS256"],
        ),
    ] {
        let (found, count, refused) = bound(&keys, &[ES256, RS256, PS256]);
        assert_eq!(
            (found, refused),
            (want.iter().map(ToString::to_string).collect(), vec![]),
            "{keys:#?}"
        );
        let materials: std::collections::BTreeSet<_> = keys.iter().map(|key| key["n"].as_str()).collect();
        let has_rsa = want.iter().any(|name| name.ends_with("RS256"));
        assert_eq!(count, if has_rsa { materials.len() } else { 1 }, "{keys:#?}");
    }
}

#[test]
fn different_keys_of_one_id_and_algorithm_are_both_rejected() {
    use Algorithm::{ES256, PS256, RS256};
    let (curve, number) = (ec("P-256", 32), rsa(2048));
    let on = |key: Value, changes: Value| with(key, &changes);
    let broken = on(curve.clone(), json!({ "y": encoded(&[1; 31]) }));
    for (keys, left, rejected) in [
        (vec![curve.clone(), ec("P-256", 32)], vec![], 2),
        (vec![curve.clone(), curve.clone(), ec("P-256", 32)], vec![], 3),
        (
            vec![curve.clone(), ec("P-256", 32), number.clone()],
            vec!["k/RS256", "k/PS256"],
            2,
        ),
        (
            vec![curve.clone(), on(ec("P-256", 32), json!({ "alg": "ES256" }))],
            vec![],
            2,
        ),
        // A key without `alg` is for each algorithm of its type.
        (
            vec![number.clone(), on(rsa(3072), json!({ "alg": "PS256" }))],
            vec![],
            2,
        ),
        (vec![number.clone(), rsa(3072)], vec![], 2),
        // One that cannot be used claims its id nevertheless.
        (vec![curve.clone(), broken], vec![], 2),
        (vec![number.clone(), rsa(1024)], vec![], 2),
    ] {
        let (found, _, refused) = bound(&keys, &[ES256, RS256, PS256]);
        assert_eq!(found, left, "{keys:#?}");
        assert_eq!(refused.len(), rejected, "{refused:#?}");
        for problem in &refused {
            assert!(
                problem.contains("a different key of the set has the same `kid`"),
                "{problem}"
            );
        }
        assert!(refused[0].starts_with("key `k` (number 1): "), "{refused:#?}");
    }
    // Of algorithms that the issuer does not use, no token is accepted.
    let keys = [number, on(rsa(3072), json!({ "alg": "PS256" }))];
    assert_eq!(bound(&keys, &[RS256]), (vec!["k/RS256".to_owned()], 1, vec![]));
}

#[test]
fn number_in_other_base64_is_accepted_with_a_note_and_a_secret_is_not() {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
    let curve = ec("P-256", 32);
    let bytes = |member: &str| URL_SAFE_NO_PAD.decode(curve[member].as_str().unwrap()).unwrap();
    let (x, y) = (bytes("x"), bytes("y"));
    let parsed = |key: Value, secrets| {
        let json = json!({ "keys": [key] }).to_string();
        let loaded = parse(json.as_bytes(), &Algorithm::ALL, secrets).unwrap();
        (
            loaded.set,
            loaded.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            loaded.refused.len(),
        )
    };
    let (plain, notes, _) = parsed(curve.clone(), Secrets::Refuse);
    assert_eq!(notes, Vec::<String>::new());
    for (changes, members) in [
        (
            json!({ "x": URL_SAFE.encode(&x), "y": URL_SAFE.encode(&y) }),
            "`x`, `y`",
        ),
        (json!({ "x": STANDARD.encode(&x) }), "`x`"),
        (json!({ "y": STANDARD.encode(&y) }), "`y`"),
    ] {
        let (set, notes, refused) = parsed(with(curve.clone(), &changes), Secrets::Refuse);
        assert_eq!((set, refused), (plain.clone(), 0), "{changes}");
        assert_eq!(notes.len(), 1, "{changes}");
        assert!(
            notes[0].starts_with(&format!("key `k`: {members} in padded or plain base64")),
            "{notes:?}"
        );
    }
    let number = rsa(2048);
    let modulus = URL_SAFE_NO_PAD.decode(number["n"].as_str().unwrap()).unwrap();
    let other = with(number.clone(), &json!({ "n": STANDARD_NO_PAD.encode(&modulus) }));
    assert_ne!(number, other);
    assert_eq!(parsed(other, Secrets::Refuse).0, parsed(number, Secrets::Refuse).0);
    let secret = with(oct(64), &json!({ "k": URL_SAFE.encode([7; 64]) }));
    let (set, _, refused) = parsed(secret, Secrets::Allow);
    assert_eq!((set.len(), refused), (0, 1));
}

#[test]
fn set_without_a_usable_key_says_why() {
    let curve = |changes: Value| with(ec("P-256", 32), &changes);
    for (keys, want) in [
        (vec![], "it is empty".to_owned()),
        (vec![curve(json!({}))], "key `k` is a P-256 key".to_owned()),
        (
            vec![curve(json!({ "alg": "ES256" }))],
            "key `k` is for ES256".to_owned(),
        ),
        (
            vec![curve(json!({ "use": "enc" }))],
            "key `k` is for encryption: `use` is `enc`".to_owned(),
        ),
        (
            vec![with(rsa(2048), &json!({ "use": "signature", "kid": null }))],
            "key number 1 of the set: `use` is `signature`, not `sig`: the key is not used".to_owned(),
        ),
        (
            vec![with(rsa(2048), &json!({ "key_ops": "verify" }))],
            "key `k`: `key_ops` is not a list of texts".to_owned(),
        ),
        (
            vec![with(rsa(2048), &json!({ "key_ops": ["sign"] }))],
            "key `k` is not for signatures: `key_ops` has no `verify`".to_owned(),
        ),
        (
            (0..6).map(|at| curve(json!({ "kid": at.to_string() }))).collect(),
            "key `0` is a P-256 key; key `1` is a P-256 key; key `2` is a P-256 key; key `3` is a P-256 key; 2 more"
                .to_owned(),
        ),
        (
            vec![curve(json!({ "kid": "é\n".repeat(100) }))],
            format!("key `{}…` is a P-256 key", "é\\n".repeat(32)),
        ),
    ] {
        let json = json!({ "keys": keys }).to_string();
        let loaded = parse(json.as_bytes(), &[Algorithm::RS256], Secrets::Refuse).unwrap();
        let start = "the set has no key for the algorithms of the issuer: ";
        assert!(loaded.set.is_empty(), "{want}");
        assert_eq!(loaded.why_empty(), format!("{start}{want}"));
    }
}

#[test]
fn id_and_algorithm_pick_one_of_the_keys_with_one_id() {
    let json = json!({ "keys": [ec("P-256", 32), rsa(2048)] }).to_string();
    let set = parse(json.as_bytes(), &[Algorithm::ES256, Algorithm::RS256], Secrets::Refuse)
        .unwrap()
        .set;
    for algorithm in [Algorithm::ES256, Algorithm::RS256] {
        let [key] = set.candidates(Some("k"), algorithm).unwrap()[..] else {
            panic!("{algorithm:?}")
        };
        assert_eq!(key.algorithm, algorithm);
    }
    assert_eq!(set.candidates(Some("k"), Algorithm::PS256), Err(NoKey::OtherAlgorithm));
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
fn a_pem_is_one_public_key_or_one_certificate() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let public = pair.public_key_pem();
    let certificate = rcgen::CertificateParams::new(vec![])
        .unwrap()
        .self_signed(&pair)
        .unwrap()
        .pem();
    let read = |text: &str, algorithms: &[Algorithm]| {
        let file = PemFile {
            name: "f",
            bytes: text.as_bytes(),
        };
        let block = file.only_block().map_err(|fault| fault.message)?;
        pem::parse(&block, algorithms).map_err(|problem| problem.to_string())
    };
    for (text, algorithms, want) in [
        (public.clone(), vec![Algorithm::ES256], ""),
        (certificate.clone(), vec![Algorithm::ES256], ""),
        (public.clone(), vec![Algorithm::ES384], "cannot be used with"),
        (certificate.clone(), vec![Algorithm::ES384], "cannot be used with"),
        (public.clone(), vec![Algorithm::HS256], "cannot be used with"),
        (certificate.clone(), vec![Algorithm::HS256], "cannot be used with"),
        (public.repeat(2), vec![Algorithm::ES256], "exactly one is needed"),
        (certificate.repeat(2), vec![Algorithm::ES256], "exactly one is needed"),
        (
            format!("{certificate}{public}"),
            vec![Algorithm::ES256],
            "exactly one is needed",
        ),
        (pair.serialize_pem(), vec![Algorithm::ES256], "this is a private key"),
        (String::new(), vec![Algorithm::ES256], "exactly one is needed"),
        (
            public.replace("PUBLIC KEY", "CERTIFICATE"),
            vec![Algorithm::ES256],
            "the certificate is unreadable",
        ),
        (
            certificate.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            vec![Algorithm::ES256],
            "is neither a `PUBLIC KEY` nor a `CERTIFICATE`",
        ),
        (
            certificate.replace("CERTIFICATE", "PUBLIC KEY"),
            vec![Algorithm::ES256],
            "the public key is unreadable",
        ),
    ] {
        let said = read(&text, &algorithms).err().unwrap_or_default();
        assert!(
            said.contains(want) && said.is_empty() == want.is_empty(),
            "{want}: {said}"
        );
    }
    let [key, of_certificate] = [public, certificate].map(|text| read(&text, &[Algorithm::ES256]).unwrap());
    assert_eq!(key.set, of_certificate.set);
    assert!(key.expires.is_none() && of_certificate.expires.is_some());
}

#[test]
fn the_weak_generator_is_recognized() {
    // A product of powers of 65537 has the fingerprint; a power plus one has not.
    assert!(has_roca_fingerprint(&[1, 0, 1]));
    assert!(!has_roca_fingerprint(&[1, 0, 2]));
}

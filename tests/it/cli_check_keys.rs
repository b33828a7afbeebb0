//! `sidegate check` on secrets and keys: absent, empty, literal, weak, or sent in the clear.

use crate::{
    cli_check::{GOOD, check, each_is_refused, said},
    harness::{
        Setup,
        issuer::{Key, key_set},
    },
};

#[test]
fn invalid_secrets_are_problems() {
    let key = "{ env: IT_SECRET }";
    each_is_refused(&[
        (key, "a-literal-secret-that-is-long-enough-0123456789", &["secret"]),
        (key, "{ env: IT_NOT_SET }", &["IT_NOT_SET"]),
        (
            key,
            "{ env: IT_EMPTY_OR_UNSET, default: a-literal-secret-that-is-long-enough }",
            &["default"],
        ),
        (key, "{ file: /nonexistent/secret }", &["/nonexistent/secret"]),
    ]);
    let with = |value: &str| {
        said(
            &Setup::new()
                .env("IT_SECRET", value)
                .policy("bad", GOOD)
                .run(&["check", "policies"]),
        )
    };
    for weak in ["", "\n", "short", "31-bytes-is-one-byte-too-little"] {
        let said = with(weak);
        assert_eq!(said.code, Some(1), "{weak:?}: {}", said.text);
        assert!(
            said.text.contains("IT_SECRET") && said.text.contains("bad.yaml:11:"),
            "{weak:?}: {}",
            said.text
        );
        assert!(weak.len() < 6 || !said.text.contains(weak), "{}", said.text);
    }
    assert_eq!(with("32-bytes-are-just-enough-for-it.").code, Some(0));
    let file = |content: &str| {
        let policy = GOOD.replace(key, "{ file: $folder/secret }");
        said(
            &Setup::new()
                .file("secret", content)
                .policy("bad", &policy)
                .run(&["check", "policies"]),
        )
    };
    assert_eq!(file("").code, Some(1));
    assert_eq!(file("\n").code, Some(1));
    assert_eq!(file("a-secret-of-more-than-32-bytes-in-a-file\n").code, Some(0));
}

#[test]
fn invalid_keys_are_problems() {
    let with = |algorithm: &str, source: &str, content: &str| {
        let keys = format!("{{ {source}: {{ file: $folder/keys }} }}");
        let policy = GOOD
            .replace("{ secret: { env: IT_SECRET } }", &keys)
            .replace("HS256", algorithm);
        said(
            &Setup::new()
                .file("keys", content)
                .policy("bad", &policy)
                .run(&["check", "policies"]),
        )
    };
    let good = Key::new("RS256", "main");
    let (one, other) = (Key::new("ES256", "main"), Key::new("ES256", "main"));
    let same_id = key_set(&[&one, &other]);
    let secret = r#"{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2gtMDEyMzQ"}]}"#;
    for (algorithm, source, content) in [
        ("RS256", "pem", ""),
        (
            "RS256",
            "pem",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ),
        ("RS256", "pem", Key::new("ES256", "x").public_pem.as_str()),
        ("ES384", "pem", Key::new("ES256", "x").public_pem.as_str()),
        ("ES256", "pem", good.public_pem.as_str()),
        ("RS256", "pem", WEAK_RSA),
        ("RS256", "jwks", ""),
        ("RS256", "jwks", "[]"),
        ("RS256", "jwks", r#"{"keys":[]}"#),
        ("ES256", "jwks", same_id.as_str()),
        ("RS256", "jwks", secret),
        (
            "RS256",
            "jwks",
            r#"{"keys":[{"kty":"RSA","kid":"a","alg":"RS256","n":"AQAB","e":"AQAB"}]}"#,
        ),
    ] {
        let said = with(algorithm, source, content);
        assert_eq!(said.code, Some(1), "{algorithm} {source} {content:.80}: {}", said.text);
        assert!(said.text.contains("bad.yaml:"), "{}", said.text);
    }
    assert_eq!(with("RS256", "pem", &good.public_pem).code, Some(0));
    assert_eq!(with("RS256", "jwks", &key_set(&[&good])).code, Some(0));
    let doubled = with("RS256", "jwks", &key_set(&[&good, &good]));
    assert_eq!(doubled.code, Some(0), "{}", doubled.text);
}

/// A public key of 1024 bits, which is too short.
const WEAK_RSA: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDDpBJGNCD80QYuj7cMg7g88G7Y
b+GoRLj2I3UpH3p/CTxT0YurG4XjL742sBcNVVGr0sN+kQn/Y6k/DfVpE+Sue8nh
Z8VZs+s71WPm1MCofvb/iuOkOGEr5WJLAAaDqiZJIC/79B9cLjEGXQubr2AqsClq
cRf/RE6ScC8/GctwLwIDAQAB
-----END PUBLIC KEY-----
";

#[test]
fn keys_over_an_unprotected_connection() {
    let keys = "{ secret: { env: IT_SECRET } }";
    let policy = |url: &str| {
        GOOD.replace(keys, &format!("{{ jwks: {{ url: '{url}' }} }}"))
            .replace("HS256", "RS256")
    };
    for url in [
        "http://auth.example/keys",
        "http://10.0.0.1/keys",
        "http://localhost.evil.example/keys",
        "ftp://127.0.0.1/keys",
        "/keys",
        "http://127.0.0.1.nip.example/keys",
    ] {
        let said = check(&policy(url));
        assert_eq!(said.code, Some(1), "{url}: {}", said.text);
    }
    for url in [
        "https://auth.example/keys",
        "http://127.0.0.1:3000/keys",
        "http://localhost:3000/keys",
        "http://[::1]:3000/keys",
    ] {
        let said = check(&policy(url));
        assert_eq!(said.code, Some(0), "{url}: {}", said.text);
    }
}

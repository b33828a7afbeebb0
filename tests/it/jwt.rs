//! Bearer tokens: every algorithm through every source of keys, and every way to get one wrong.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{
    Gateway, Request, SECRET, Setup, Shared, TENANT, eventually,
    issuer::{base64url, claims, hmac, now, token, token_of_text},
};

const POLICY: &str = "
$wallet
prefix: /w
routes:
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: /*, auth: jwt }
";

fn gateway() -> Arc<Gateway> {
    static SHARED: Shared<Gateway> = Shared::new();
    SHARED.get(|| Setup::new().policy("wallet", POLICY).start())
}

fn get(token: &str) -> Request {
    Request::get("/w/wallets").bearer(token).tenant()
}

#[test]
fn claims_that_are_as_they_should_be() {
    let gateway = gateway();
    let mut fraction = claims(json!({}));
    fraction["exp"] = json!(f64::from(i32::try_from(now() + 600).unwrap()) + 0.5);
    for good in [
        token(json!({})),
        token(json!({ "aud": ["other", "eventzr-api"] })),
        token(json!({ "nbf": now() - 1 })),
        token(json!({ "tenant": TENANT.to_uppercase() })),
        token(json!({ "email": null, "roles": null, "scopes": null, "planTier": null })),
        hmac("HS256", SECRET, fraction),
    ] {
        assert_eq!(gateway.allowed(&get(&good)).values("x-user-id"), ["user-7"]);
    }
    // RFC 9110, 11.1: the scheme has no case.
    let lower = Request::get("/w/wallets")
        .header("authorization", &format!("bearer {}", token(json!({}))))
        .tenant();
    gateway.allowed(&lower);
}

#[test]
fn claims_that_are_not() {
    let gateway = gateway();
    for (changes, reason) in [
        (json!({ "exp": now() - 1 }), "token_expired"),
        (json!({ "exp": 0 }), "token_expired"),
        (json!({ "nbf": now() + 600 }), "token_not_yet_valid"),
        (json!({ "iss": "eventzr.com." }), "token_issuer_mismatch"),
        (json!({ "iss": "EVENTZR.COM" }), "token_issuer_mismatch"),
        (json!({ "aud": "eventzr-api2" }), "token_audience_mismatch"),
        (json!({ "aud": ["other"] }), "token_audience_mismatch"),
        (json!({ "aud": [] }), "token_audience_mismatch"),
        (json!({ "exp": null }), "token_claim_missing"),
        (json!({ "sub": null }), "token_claim_missing"),
        (json!({ "tenant": null }), "token_claim_missing"),
        (json!({ "tenantId": null }), "token_claim_missing"),
        (json!({ "tenant": [TENANT] }), "token_claim_invalid"),
        (json!({ "tenantId": 7 }), "token_claim_invalid"),
        (json!({ "sub": "user\r\nx-user-roles: admin" }), "token_claim_invalid"),
        (json!({ "sub": "\u{0}" }), "token_claim_invalid"),
    ] {
        gateway.refused(&get(&token(changes)), 401, reason);
    }
}

#[test]
fn claim_of_a_wrong_type_is_rejected() {
    let gateway = gateway();
    let good = claims(json!({}));
    for (name, value) in [
        ("exp", "\"9999999999\""),
        ("exp", "1e400"),
        ("exp", "-1"),
        ("exp", "true"),
        ("exp", "null"),
        ("exp", "[9999999999]"),
        ("exp", "99999999999999999999999999"),
        ("nbf", "\"0\""),
        ("nbf", "{}"),
        ("iat", "\"0\""),
        ("iat", "1e400"),
        ("iss", "[\"eventzr.com\"]"),
        ("iss", "null"),
        ("aud", "{\"eventzr-api\":1}"),
        ("aud", "null"),
        ("sub", "7"),
        ("sub", "null"),
    ] {
        let mut members: Vec<String> = Vec::new();
        for (each, kept) in good.as_object().unwrap() {
            let text = if each == name {
                value.to_owned()
            } else {
                kept.to_string()
            };
            members.push(format!("\"{each}\":{text}"));
        }
        if !good.as_object().unwrap().contains_key(name) {
            members.push(format!("\"{name}\":{value}"));
        }
        refused_somehow(
            &gateway,
            &token_of_text(r#"{"alg":"HS256"}"#, format!("{{{}}}", members.join(","))),
        );
    }
}

#[test]
fn headers_and_shapes_that_no_honest_issuer_makes() {
    let gateway = gateway();
    let body = claims(json!({})).to_string();
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#,
        r#"{"alg":"HS256","jku":"http://127.0.0.1:1/keys"}"#,
        r#"{"alg":"HS256","x5u":"http://127.0.0.1:1/chain"}"#,
        r#"{"alg":"HS256","x5c":["AAAA"]}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","cty":"JWT"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"typ":"JWT"}"#,
        r#"["alg","HS256"]"#,
        r#"{"alg":"HS256"}x"#,
        "",
    ] {
        refused_somehow(&gateway, &token_of_text(header, &body));
    }
    let twice = |member: &str| format!("{},{member}}}", body.trim_end_matches('}'));
    for duplicate in [
        r#""tenantId":"x""#,
        r#""tenant\u0049d":"x""#,
        r#""roles":["admin"]"#,
        r#""anything":1,"anything":1"#,
        r#""exp":9999999999"#,
    ] {
        refused_somehow(&gateway, &token_of_text(r#"{"alg":"HS256"}"#, twice(duplicate)));
    }
    for claims in ["", "null", "[]", "7", "{", "\"x\"", "{}x", "{} {}"] {
        refused_somehow(&gateway, &token_of_text(r#"{"alg":"HS256"}"#, claims));
    }
}

#[test]
fn tokens_that_were_touched() {
    let gateway = gateway();
    let good = token(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, body, signature] = parts[..] else {
        panic!("three parts")
    };
    let stripped = signature.trim_end_matches(|_: char| false);
    let unsigned = base64url(r#"{"alg":"none"}"#);
    for touched in [
        format!("{header}.{body}."),
        format!("{header}.{body}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!(".{good}"),
        format!("{header}..{signature}"),
        format!("{header}.{body}.{stripped}!"),
        format!(
            "{header}.{}.{signature}",
            base64url(claims(json!({ "sub": "root" })).to_string())
        ),
        format!("{unsigned}.{body}."),
        format!("{unsigned}.{body}.{signature}"),
        good.replace('.', " "),
        last_bit_flipped(&good),
        "null".to_owned(),
        "a.b.c.d.e".to_owned(),
        format!("{header}.{body}.{}", "A".repeat(9000)),
    ] {
        refused_somehow(&gateway, &touched);
    }
    gateway.refused(
        &get(&hmac(
            "HS256",
            "another-secret-of-at-least-32-bytes!",
            claims(json!({})),
        )),
        401,
        "token_signature_invalid",
    );
}

/// The same signature, spelled with unused bits set: no canonical base64url.
fn last_bit_flipped(token: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = ALPHABET.find(token.chars().last().unwrap()).unwrap();
    format!(
        "{}{}",
        &token[..token.len() - 1],
        char::from(ALPHABET.as_bytes()[last ^ 1])
    )
}

fn refused_somehow(gateway: &Gateway, token: &str) {
    let request = get(token);
    let answer = gateway.send(&request);
    assert_eq!(answer.status, 401, "{request}: {answer:?}");
    gateway.rejected(&request, &answer, 401, &answer.reason());
    assert!(answer.reason().starts_with("token_"), "{request}: {answer:?}");
}

#[test]
fn a_token_counts_only_in_the_authorization_header_and_only_once() {
    let gateway = gateway();
    let good = token(json!({}));
    let request = || Request::get("/w/wallets").tenant();
    for elsewhere in [
        Request::get(&format!("/w/wallets?access_token={good}")).tenant(),
        request().header("cookie", &format!("token={good}")),
        request().header("x-authorization", &format!("Bearer {good}")),
        request().header("authorization", "Basic dXNlcjpwYXNzd29yZA=="),
        request().header("authorization", &good),
    ] {
        gateway.refused(&elsewhere, 401, "credential_missing");
    }
    for twice in [
        request().bearer(&good).bearer(&good),
        request().bearer(&good).header("authorization", "Basic YTpi"),
    ] {
        let answer = gateway.send(&twice);
        assert_eq!(answer.status, 400, "{twice}: {answer:?}");
    }
}

#[test]
fn a_token_that_was_good_a_moment_ago_is_still_asked_everything() {
    let gateway = gateway();
    let brief = token(json!({ "exp": now() + 3 }));
    gateway.allowed(&get(&brief));
    gateway.refused(&Request::get("/w/admin/x").bearer(&brief).tenant(), 403, "role_missing");
    let elsewhere = Request::get("/w/wallets")
        .bearer(&brief)
        .header("x-tenant-id", crate::harness::OTHER_TENANT);
    gateway.refused(&elsewhere, 403, "tenant_mismatch");
    eventually("the token expires", || gateway.send(&get(&brief)).status == 401);
    gateway.refused(&get(&brief), 401, "token_expired");
}

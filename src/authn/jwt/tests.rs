use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::authn::token_cache::CacheResult;
use crate::decision::{Evaluator, decide};
use crate::keys::Algorithm;
use crate::keys::jwk::{self, Secrets};
use crate::policy::Issuer;
use crate::request::RequestFacts;
use crate::revocation::Revocations;
use crate::testing::{
    BINARY, NOW, SECRET, TENANT, claims, claims_with, evaluator, parse, request, sign_text, sign_with, token,
    vectors_folder,
};

mod key_issuers;

const POLICY: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - { issuer: eventzr.com, audience: [eventzr-api, other-api], algorithms: [HS256], keys: { secret: { env: SECRET } } }
    - { issuer: slow.example, audience: unchecked, algorithms: [HS256], keys: { secret: { file: secret-file } }, leeway: 30s, required_claims: [sub, jti], roles_claim: [realm, roles] }
routes: [{ path: /*, auth: jwt }]
";

fn outcome_of(token: &str) -> String {
    let policies = parse(&[POLICY]).unwrap();
    request("GET /x")
        .header("authorization", &format!("Bearer {token}"))
        .outcome(&policies)
}

#[test]
fn claims_are_checked() {
    for (changes, want) in [
        (json!({}), "allow"),
        (json!({ "aud": ["x", "eventzr-api"] }), "allow"),
        (json!({ "aud": "other-api" }), "allow"),
        (json!({ "exp": 1_800_000_000.5 }), "allow"),
        (json!({ "nbf": NOW }), "allow"),
        (json!({ "iat": NOW + 100 }), "allow"),
        (
            json!({ "iat": null, "email": null, "roles": null, "scopes": null }),
            "allow",
        ),
        (json!({ "exp": NOW }), "token_expired"),
        (json!({ "exp": NOW - 1 }), "token_expired"),
        (json!({ "exp": 0 }), "token_expired"),
        (json!({ "nbf": NOW + 1 }), "token_not_yet_valid"),
        (json!({ "iss": "evil.com" }), "token_issuer_mismatch"),
        (json!({ "iss": "eventzr.com " }), "token_issuer_mismatch"),
        (json!({ "aud": "x" }), "token_audience_mismatch"),
        (json!({ "aud": [] }), "token_audience_mismatch"),
        (json!({ "aud": "eventzr-api-2" }), "token_audience_mismatch"),
        (json!({ "exp": null }), "token_claim_missing"),
        (json!({ "iss": null }), "token_claim_missing"),
        (json!({ "aud": null }), "token_claim_missing"),
        (json!({ "sub": null }), "token_claim_missing"),
        (json!({ "exp": (NOW + 60).to_string() }), "token_claim_invalid"),
        (json!({ "exp": -1 }), "token_claim_invalid"),
        (json!({ "exp": 1e300 }), "token_claim_invalid"),
        (json!({ "exp": u64::MAX }), "token_claim_invalid"),
        (json!({ "exp": [NOW + 60] }), "token_claim_invalid"),
        (json!({ "nbf": "x" }), "token_claim_invalid"),
        (json!({ "iat": {} }), "token_claim_invalid"),
        (json!({ "iss": ["eventzr.com"] }), "token_claim_invalid"),
        (json!({ "aud": { "x": "eventzr-api" } }), "token_claim_invalid"),
        (json!({ "aud": ["eventzr-api", 1] }), "token_claim_invalid"),
        (json!({ "sub": "" }), "token_claim_invalid"),
        (json!({ "sub": 7 }), "token_claim_invalid"),
        (json!({ "roles": "admin" }), "allow"),
        (json!({ "roles": ["a", 1] }), "allow"),
        (json!({ "scopes": "read write" }), "allow"),
        (json!({ "scopes": null, "scope": ["read"] }), "allow"),
    ] {
        assert_eq!(outcome_of(&token(&claims_with(&changes))), want, "{changes}");
    }
}

#[test]
fn null_claim_is_invalid_and_not_missing() {
    let mut claims = claims();
    for name in ["exp", "iss", "aud", "sub"] {
        let good = claims[name].take();
        assert_eq!(outcome_of(&token(&claims)), "token_claim_invalid", "{name}");
        claims[name] = good;
    }
}

#[test]
fn the_issuer_is_picked_by_iss() {
    let slow = |changes: Value| {
        let mut all = json!({ "iss": "slow.example", "jti": "j", "aud": null });
        all.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        outcome_of(&token(&claims_with(&all)))
    };
    for (changes, want) in [
        (json!({}), "allow"),
        (json!({ "exp": NOW - 29 }), "allow"),
        (json!({ "exp": NOW - 30 }), "token_expired"),
        (json!({ "nbf": NOW + 30 }), "allow"),
        (json!({ "nbf": NOW + 31 }), "token_not_yet_valid"),
        (json!({ "jti": null }), "token_claim_missing"),
        (json!({ "aud": 5 }), "token_claim_invalid"),
        (json!({ "realm": { "roles": ["a"] } }), "allow"),
        (json!({ "realm": { "roles": "a" } }), "allow"),
    ] {
        assert_eq!(slow(changes.clone()), want, "{changes}");
    }
}

#[test]
fn secret_is_the_decoded_bytes_of_its_file() {
    let with = |secret: &str| parse(&[&POLICY.replacen("{ env: SECRET }", secret, 1)]).unwrap();
    let bearing = |secret: &[u8], policies| {
        let token = sign_with(secret, &claims().to_string());
        let request = request("GET /x").header("authorization", &format!("Bearer {token}"));
        request.outcome(policies)
    };
    let (decoded, binary) = (with("{ file: secret.b64, encoding: base64 }"), with("{ file: binary }"));
    assert_eq!(bearing(SECRET.as_bytes(), &decoded), "allow");
    assert_eq!(bearing(BINARY, &binary), "allow");
    let cut = BINARY.strip_suffix(b"\n").unwrap();
    assert_eq!(bearing(cut, &binary), "token_signature_invalid");
}

/// Two names over one key set, and two patterns with values that differ.
const SEVERAL: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - { issuer: [https://a.example, eventzr.com], audience: [eventzr-api], algorithms: [HS256], keys: { secret: { env: SECRET } } }
    - issuer: https://login.example/{tid}/v2.0
      issuer_values: { tid: [t-1, t-2] }
      audience: [eventzr-api]
      algorithms: [HS256]
      keys: { secret: { env: SECRET } }
    - issuer: https://login.example/{tid}/v2.0
      issuer_values: { tid: [t-3] }
      audience: [other-api]
      algorithms: [HS256]
      keys: { secret: { env: SECRET } }
    - issuer: https://open.example/{org}/{app}
      issuer_values: { org: any, app: [shop] }
      audience: [eventzr-api]
      algorithms: [HS256]
      keys: { secret: { env: SECRET } }
routes: [{ path: /*, auth: jwt }]
";

#[test]
fn issuer_is_picked_among_names_and_patterns() {
    let policies = parse(&[SEVERAL]).unwrap();
    let none = "no issuer of the policy has the `iss` of the token";
    for (changes, want) in [
        (json!({}), Ok(())),
        (json!({ "iss": "https://a.example" }), Ok(())),
        (json!({ "iss": "https://a.example/" }), Err(none)),
        (json!({ "iss": "https://login.example/t-1/v2.0", "tid": "t-1" }), Ok(())),
        (json!({ "iss": "https://login.example/t-2/v2.0", "tid": "t-2" }), Ok(())),
        (
            json!({ "iss": "https://login.example/t-3/v2.0", "tid": "t-3", "aud": "other-api" }),
            Ok(()),
        ),
        (
            json!({ "iss": "https://login.example/t-4/v2.0", "tid": "t-4" }),
            Err("`issuer_values` does not list its `tid`"),
        ),
        (
            json!({ "iss": "https://login.example/t-1/v2.0", "tid": "t-2" }),
            Err("`tid` is not that of the claim `tid`: the claim has another value"),
        ),
        (
            json!({ "iss": "https://login.example/t-1/v2.0" }),
            Err("the token has no such claim"),
        ),
        (
            json!({ "iss": "https://login.example/t-1/v2.0", "tid": ["t-1"] }),
            Err("the claim is a list"),
        ),
        (
            json!({ "iss": "https://login.example/{tid}/v2.0", "tid": "{tid}" }),
            Err(none),
        ),
        (
            json!({ "iss": "https://open.example/anybody/shop", "org": "anybody", "app": "shop" }),
            Ok(()),
        ),
        (
            json!({ "iss": "https://open.example/anybody/blog", "org": "anybody", "app": "blog" }),
            Err("does not list its `app`"),
        ),
    ] {
        let request = request("GET /x").bearer(&claims_with(&changes));
        let decision = request.decide(&policies);
        let rejection = decision.outcome.rejection();
        let Err(cause) = want else {
            assert_eq!(rejection, None, "{changes}");
            continue;
        };
        let rejection = rejection.unwrap();
        assert_eq!(rejection.reason().code(), "token_issuer_mismatch", "{changes}");
        assert!(rejection.cause().contains(cause), "{changes}: {}", rejection.cause());
    }
    // The entry with the value decides, not the first with the form.
    let wrong = json!({ "iss": "https://login.example/t-3/v2.0", "tid": "t-3" });
    let audience = request("GET /x").bearer(&claims_with(&wrong)).outcome(&policies);
    assert_eq!(audience, "token_audience_mismatch");
    let labels: Vec<_> = policies.get(0).unwrap().issuers.iter().map(Issuer::label).collect();
    assert_eq!(labels[..2], ["https://a.example", "https://login.example/{tid}/v2.0"]);
}

#[test]
fn claims_without_unique_names_are_rejected() {
    let with = |extra: &str| {
        let claims = claims().to_string();
        format!("{}{extra}}}", claims.strip_suffix('}').unwrap())
    };
    for payload in [
        String::new(),
        "[]".into(),
        "\"x\"".into(),
        "{".into(),
        with(r#","sub":"root""#),
        with(&format!(r#","tenant\u0049d":"{TENANT}""#)),
        with(r#","x":{"a":1,"a":2}"#),
        with(","),
        with(r#","x":"\ud800""#),
        format!("{}x", claims()),
        format!("\u{feff}{}", claims()),
    ] {
        assert_eq!(outcome_of(&sign_text(&payload)), "token_malformed", "{payload}");
    }
    assert_eq!(outcome_of(&sign_text(&with(r#","x":[[1],{"y":null}]"#))), "allow");
}

/// `JSONTestSuite` as claims: what is not JSON is rejected, and nothing else happens.
#[test]
fn token_whose_claims_are_not_json_is_rejected() {
    let Some(folder) = vectors_folder() else { return };
    let mut run = 0;
    for entry in std::fs::read_dir(folder.join("json-test-suite/test_parsing")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(text) = String::from_utf8(std::fs::read(&path).unwrap()) else {
            continue;
        };
        let fits = text.len() < 5000;
        if name.starts_with("n_") && fits {
            assert_eq!(outcome_of(&sign_text(&text)), "token_malformed", "{name}");
            run += 1;
        }
    }
    assert!(run > 100, "{run}");
}

#[test]
fn keys_are_wanted_only_for_what_the_issuer_may_have_signed() {
    let policy = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - { issuer: eventzr.com, audience: unchecked, algorithms: [HS256], keys: { secret: { env: SECRET } } }
    - { issuer: a.example, audience: unchecked, algorithms: [ES256], keys: { jwks: { url: 'https://a.example/keys' } } }
routes: [{ path: /*, auth: jwt }]
";
    let policies = parse(&[policy]).unwrap();
    for (algorithm, issuer, reason, wanted) in [
        ("ES256", "a.example", "keys_unavailable", Some(1)),
        ("HS256", "a.example", "token_algorithm_not_allowed", None),
        ("none", "a.example", "token_algorithm_not_allowed", None),
        ("HS256", "eventzr.com", "token_signature_invalid", None),
        ("ES256", "b.example", "token_issuer_mismatch", None),
    ] {
        let header = json!({ "alg": algorithm, "kid": "k" }).to_string();
        let claims = claims_with(&json!({ "iss": issuer })).to_string();
        let parts = [header, claims, "no signature".to_owned()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let request = request("GET /x").header("authorization", &format!("Bearer {}", parts.join(".")));
        let decision = request.decide(&policies);
        let rejection = decision.outcome.rejection().unwrap();
        assert_eq!(
            (rejection.reason().code(), rejection.wants_keys_of()),
            (reason, wanted),
            "{algorithm} {issuer}"
        );
    }
}

/// What became of a request with a token, and whether the token was known.
fn looked_up(evaluator: &Evaluator, path: &str, token: &str, now: i64) -> (&'static str, CacheResult) {
    let request = request(&format!("GET {path}")).header("authorization", &format!("Bearer {token}"));
    let facts = RequestFacts { now, ..request.facts() };
    let decision = decide(evaluator, &facts, Revocations::Unasked, &mut ());
    let reason = decision.outcome.rejection().map_or("allow", |no| no.reason().code());
    (reason, decision.lookup.unwrap())
}

#[test]
fn a_good_token_is_verified_once() {
    let known = evaluator(&[POLICY]);
    let good = token(&claims());
    assert_eq!(looked_up(&known, "/x", &good, NOW), ("allow", CacheResult::Miss));
    assert_eq!(looked_up(&known, "/x", &good, NOW + 1), ("allow", CacheResult::Hit));
    assert_eq!(
        looked_up(&known, "/x", &good, NOW + 60),
        ("token_expired", CacheResult::Hit)
    );
    assert_eq!(
        looked_up(&known, "/x", &good, NOW + 60),
        ("token_expired", CacheResult::Miss)
    );
    let other = evaluator(&[POLICY]);
    assert_eq!(
        looked_up(&other, "/x", &good, NOW),
        ("allow", CacheResult::Miss),
        "other policies"
    );
    for bad in [
        token(&claims_with(&json!({ "aud": "x" }))),
        good.replace('.', ".."),
        format!("{good}A"),
    ] {
        for _ in 0..2 {
            let (reason, lookup) = looked_up(&known, "/x", &bad, NOW);
            assert_eq!(lookup, CacheResult::Miss, "{reason}");
            assert_ne!(reason, "allow");
        }
    }
}

#[test]
fn a_token_that_is_known_has_to_meet_what_each_route_asks_for() {
    let routes = "routes: [{ path: /x, auth: jwt }, { path: /y, auth: jwt, roles: [admin] }]";
    let known = evaluator(&[&POLICY.replace("routes: [{ path: /*, auth: jwt }]", routes)]);
    let token = token(&claims());
    assert_eq!(looked_up(&known, "/x", &token, NOW), ("allow", CacheResult::Miss));
    assert_eq!(looked_up(&known, "/y", &token, NOW), ("role_missing", CacheResult::Hit));
    assert_eq!(looked_up(&known, "/x", &token, NOW), ("allow", CacheResult::Hit));
}

#[test]
fn a_token_is_known_as_long_as_its_key_is_in_force() {
    let known = evaluator(&[POLICY]);
    let ring = &known.keys().of_policy(0)[0];
    let good = token(&claims());
    let look = || looked_up(&known, "/x", &good, NOW);
    let set = |keys: &[(&str, &str)]| {
        let key = |(kid, secret): &(&str, &str)| json!({ "kty": "oct", "alg": "HS256", "kid": kid, "k": URL_SAFE_NO_PAD.encode(secret) });
        let mut keys: Vec<_> = keys.iter().map(key).collect();
        for key in &mut keys {
            key.as_object_mut().unwrap().retain(|_, value| value != "");
        }
        let text = json!({ "keys": keys }).to_string();
        jwk::parse(text.as_bytes(), &[Algorithm::HS256], Secrets::Allow)
            .unwrap()
            .set
    };
    let (mine, other) = (SECRET, "another-secret-of-at-least-32-bytes");
    assert_eq!(look(), ("allow", CacheResult::Miss));
    ring.replace(set(&[("", mine)]));
    assert_eq!(look(), ("allow", CacheResult::Hit), "the same key, read again");
    ring.replace(set(&[("", mine), ("new", other)]));
    assert_eq!(look(), ("allow", CacheResult::Miss), "keys are picked by id now");
    ring.replace(set(&[("", mine), ("new", mine)]));
    assert_eq!(look(), ("allow", CacheResult::Hit), "a key more");
    ring.replace(set(&[("new", other)]));
    assert_eq!(look(), ("token_signature_invalid", CacheResult::Miss));
    ring.clear();
    assert_eq!(look(), ("keys_unavailable", CacheResult::Miss));
    ring.replace(set(&[("a", mine)]));
    assert_eq!(look(), ("allow", CacheResult::Miss));
    assert_eq!(look(), ("allow", CacheResult::Hit));
}

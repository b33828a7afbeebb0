use serde_json::{Value, json};

use crate::authn::token_cache::CacheResult;
use crate::decision::{Evaluator, decide};
use crate::request::RequestFacts;
use crate::revocation::Revocations;
use crate::testing::{NOW, claims_with, evaluator, request};

const POLICY: &str = "
version: 1
service: s
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - issuer: eventzr.com
      audience: [eventzr-api]
      algorithms: [HS256]
      keys: { secret: { env: SECRET } }
      when:
        - { claim: token_use, equals: access }
        - { claim: azp, in: [web, app] }
        - { claim: email_verified, equals: true }
        - { claim: auth_time, within: 30s }
routes:
  - { path: /x, auth: jwt }
  - { path: /maybe, auth: { any: [jwt, public] } }
";

fn good(changes: &Value) -> Value {
    let mut all = json!({ "token_use": "access", "azp": "web", "email_verified": true, "auth_time": NOW });
    let changes = changes.as_object().unwrap();
    all.as_object_mut().unwrap().extend(changes.clone());
    claims_with(&all)
}

/// What became of a request with a token at a time, why, and whether the token was known.
fn decided(evaluator: &Evaluator, path: &str, claims: &Value, now: i64) -> (&'static str, String, CacheResult) {
    let request = request(&format!("GET {path}")).bearer(claims);
    let facts = RequestFacts { now, ..request.facts() };
    let decision = decide(evaluator, &facts, Revocations::Unasked, &mut ());
    let rejection = decision.outcome.rejection();
    let cause = rejection
        .map(|rejection| rejection.cause().to_owned())
        .unwrap_or_default();
    let reason = rejection.map_or("allow", |rejection| rejection.reason().code());
    (reason, cause, decision.lookup.unwrap())
}

#[test]
fn token_that_does_not_meet_the_conditions_of_its_issuer_is_invalid() {
    let evaluator = evaluator(&[POLICY]);
    for (changes, named) in [
        (json!({}), None),
        (json!({ "azp": "app" }), None),
        (json!({ "token_use": "id" }), Some("`token_use`")),
        (json!({ "token_use": null }), Some("`token_use`")),
        (json!({ "token_use": ["access"] }), Some("`token_use`")),
        (json!({ "azp": "other" }), Some("`azp`")),
        (json!({ "email_verified": false }), Some("`email_verified`")),
        (json!({ "email_verified": "true" }), Some("`email_verified`")),
        (json!({ "auth_time": NOW - 31 }), Some("`auth_time`")),
        (json!({ "auth_time": NOW + 1 }), Some("`auth_time`")),
    ] {
        for path in ["/x", "/maybe"] {
            let (reason, cause, _) = decided(&evaluator, path, &good(&changes), NOW);
            match named {
                None => assert_eq!(reason, "allow", "{changes}: {cause}"),
                Some(named) => {
                    assert_eq!(reason, "token_claim_invalid", "{changes}");
                    assert!(cause.contains(named), "{cause}");
                }
            }
        }
    }
}

#[test]
fn known_token_meets_the_time_of_each_request() {
    let evaluator = evaluator(&[POLICY]);
    let claims = good(&json!({}));
    for (now, want, lookup) in [
        (NOW, "allow", CacheResult::Miss),
        (NOW + 30, "allow", CacheResult::Hit),
        (NOW + 31, "token_claim_invalid", CacheResult::Hit),
        (NOW + 31, "token_claim_invalid", CacheResult::Miss),
        (NOW + 60, "token_expired", CacheResult::Miss),
    ] {
        let (reason, _, found) = decided(&evaluator, "/x", &claims, now);
        assert_eq!((reason, found), (want, lookup), "at {}", now - NOW);
    }
}

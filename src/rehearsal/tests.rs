use std::path::Path;

use http::header::AUTHORIZATION;
use http::{HeaderName, Method};
use serde_json::{Map, Value, json};

use super::*;
use crate::document::problem::{Problem, SourceFile};
use crate::keys::Algorithm;
use crate::policy::ErrorStyle;
use crate::policy_files;
use crate::testing::NOW;

/// Reads a policy in which nothing that is named exists.
fn read(text: &str, keys: &ThrowawayKeys) -> Result<PolicySet, Vec<Problem>> {
    let file = Arc::new(SourceFile::new("p.yaml", text));
    PolicySet::parse(&[file], keys, ErrorStyle::default())
}

fn rehearsal(text: &str) -> Rehearsal {
    let keys = Arc::new(ThrowawayKeys::new());
    let policies = read(text, &keys).unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
    Rehearsal::new(Arc::new(policies), &keys)
}

/// A policy with one issuer.
fn policy(algorithms: &str, keys: &str) -> String {
    format!(
        "version: 1\nservice: s\nprefix: /s\nupstream: {{ url: {{ env: NOT_SET }} }}\n\
         jwt: {{ issuers: [{{ issuer: i, audience: [a], algorithms: [{algorithms}], keys: {keys} }}] }}\n\
         internal_key: {{ keys: [{{ name: jobs, secret: {{ env: NOT_SET }} }}, {{ name: old, sha256: {} }}] }}\n\
         routes: [{{ path: /jobs, auth: internal_key }}, {{ path: /*, auth: jwt }}]\n",
        "ab".repeat(32)
    )
}

fn claims() -> Map<String, Value> {
    let claims = json!({ "iss": "i", "aud": "a", "sub": "user-1", "iat": NOW, "exp": NOW + 60 });
    claims.as_object().unwrap().clone()
}

fn token(rehearsal: &Rehearsal) -> Token {
    Token::of(&rehearsal.policies().policies()[0].issuers[0], claims()).unwrap()
}

fn answer(rehearsal: &Rehearsal, path: &str, caller: &Caller) -> Answer {
    let mut request = Request::new(Method::GET, path, "localhost", NOW);
    caller.apply(&mut request, rehearsal.keys());
    rehearsal.answer(&request.facts(), Revocations::Unasked)
}

/// `forwarded`, or the reason.
fn word(answer: &Answer) -> &'static str {
    answer.reason().map_or("forwarded", |reason| reason.code())
}

fn with_token(token: Token) -> Caller {
    Caller {
        token: Some(token),
        ..Caller::default()
    }
}

/// Where keys are, with algorithms that fit.
const KEYS: [(&str, &str); 10] = [
    ("HS256", "{ secret: { env: NOT_SET } }"),
    ("HS384, HS512", "{ secret: { file: missing, encoding: base64 } }"),
    ("RS256, PS512", "{ pem: { file: missing.pem } }"),
    ("ES256", "{ pem: { file: missing.pem } }"),
    ("EdDSA", "{ pem: { file: missing.pem } }"),
    ("HS256", "{ jwks: { file: missing.json } }"),
    ("RS256, ES256, ES384, EdDSA", "{ jwks: { file: missing.json } }"),
    (
        "PS256",
        "{ jwks: { url: { env: NOT_SET }, bearer_token_file: missing } }",
    ),
    (
        "ES384",
        "{ oidc: { issuer: i, url: { env: NOT_SET }, ca_file: missing.pem } }",
    ),
    ("ES256", "{ oidc: { env: NOT_SET } }"),
];

#[test]
fn token_is_accepted_from_its_own_reference_only_wherever_keys_are() {
    for (algorithms, keys) in KEYS {
        let rehearsal = rehearsal(&policy(algorithms, keys));
        let good = token(&rehearsal);
        let answered = answer(&rehearsal, "/s/x", &with_token(good.clone()));
        assert_eq!(word(&answered), "forwarded", "{algorithms} {keys}");
        let other = self::rehearsal(&policy(algorithms, "{ jwks: { file: other.json } }"));
        let stranger = Token {
            signer: other.policies().policies()[0].issuers[0].signer.clone(),
            ..good
        };
        let rejected = word(&answer(&rehearsal, "/s/x", &with_token(stranger)));
        let is_set = keys.contains("jwks") || keys.contains("oidc");
        let want = if is_set {
            "token_key_unknown"
        } else {
            "token_signature_invalid"
        };
        assert_eq!(rejected, want, "{algorithms} {keys}");
    }
}

#[test]
fn each_listed_algorithm_has_a_key_and_no_other_is_taken() {
    let keys = Arc::new(ThrowawayKeys::new());
    let listing = |algorithms: &str| {
        let policies = read(&policy(algorithms, "{ jwks: { file: missing.json } }"), &keys);
        Rehearsal::new(Arc::new(policies.unwrap()), &keys)
    };
    for (first, added) in Algorithm::ALL
        .iter()
        .flat_map(|first| Algorithm::ALL.map(|added| (*first, added)))
    {
        if first == added {
            continue;
        }
        let listed = format!("{}, {}", first.name(), added.name());
        let (one, both) = (listing(first.name()), listing(&listed));
        let caller = with_token(Token {
            algorithm: added,
            ..token(&both)
        });
        assert_eq!(word(&answer(&both, "/s/x", &caller)), "forwarded", "{listed}");
        let found = word(&answer(&one, "/s/x", &caller));
        assert_eq!(found, "token_algorithm_not_allowed", "{listed}");
    }
}

#[test]
fn corruption_of_a_token_is_rejected_for_its_own_reason() {
    for (algorithms, keys) in KEYS {
        let rehearsal = rehearsal(&policy(algorithms, keys));
        let has_ids = keys.contains("jwks") || keys.contains("oidc");
        for (corruption, want) in [
            (Corruption::Signature, "token_signature_invalid"),
            (Corruption::Algorithm, "token_algorithm_not_allowed"),
            (
                Corruption::KeyId,
                if has_ids { "token_key_unknown" } else { "forwarded" },
            ),
            (Corruption::Malformed, "token_malformed"),
            (Corruption::Twice, "request_malformed"),
        ] {
            let token = Token {
                corruption: Some(corruption),
                ..token(&rehearsal)
            };
            let found = answer(&rehearsal, "/s/x", &with_token(token));
            assert_eq!(word(&found), want, "{algorithms} {keys} {corruption:?}");
        }
    }
}

#[test]
fn internal_key_is_known_by_its_reference() {
    let rehearsal = rehearsal(&policy("HS256", "{ secret: { env: NOT_SET } }"));
    let keys = rehearsal.policies().policies()[0].internal_keys.as_ref().unwrap();
    let call = |key| {
        let caller = Caller {
            key: Some((keys.header.clone(), key)),
            ..Caller::default()
        };
        word(&answer(&rehearsal, "/s/jobs", &caller))
    };
    for key in &keys.keys {
        assert_eq!(call(PresentedKey::Of(key.reference().clone())), "forwarded", "{key:?}");
    }
    assert_eq!(call(PresentedKey::Unknown), "internal_key_invalid");
    assert_eq!(call(PresentedKey::Text("x".repeat(40))), "internal_key_invalid");
}

#[test]
fn issuer_without_keys_answers_that_they_are_unavailable() {
    for (algorithms, keys) in [KEYS[0], KEYS[7]] {
        let rehearsal = rehearsal(&policy(algorithms, keys));
        let caller = with_token(token(&rehearsal));
        assert_eq!(word(&answer(&rehearsal, "/s/x", &caller)), "forwarded");
        rehearsal.remove_keys(0, 0);
        assert_eq!(word(&answer(&rehearsal, "/s/x", &caller)), "keys_unavailable");
    }
}

#[test]
fn token_counts_in_each_place_that_the_policy_names() {
    let sources = "sources: [authorization, { header: x-token }, { cookie: session }, { query: token }, { websocket_protocol: bearer }]";
    let text = policy("HS256", "{ secret: { env: NOT_SET } }").replace("jwt: {", &format!("jwt: {{ {sources},"));
    let rehearsal = rehearsal(&text);
    for (place, want) in [
        (TokenPlace::Authorization, "forwarded"),
        (TokenPlace::Header(HeaderName::from_static("x-token")), "forwarded"),
        (TokenPlace::Cookie("session".into()), "token_source_not_allowed"),
        (TokenPlace::Query("token".into()), "forwarded"),
        (TokenPlace::WebSocketProtocol("bearer".into()), "forwarded"),
        (TokenPlace::Query("other".into()), "credential_missing"),
    ] {
        let caller = Caller {
            place: place.clone(),
            ..with_token(token(&rehearsal))
        };
        let answered = answer(&rehearsal, "/s/x?a=b", &caller);
        assert_eq!(word(&answered), want, "{place:?}");
        if let Some(forwarded) = answered.forwarded() {
            assert_eq!(forwarded.query, b"?a=b", "{place:?}");
            assert_eq!(forwarded.upstream.to_string(), "{ env: NOT_SET }");
        }
    }
}

#[test]
fn what_is_wrong_beside_secrets_is_still_a_problem() {
    let keys = ThrowawayKeys::new();
    for (algorithms, place, code) in [
        ("HS256", "{ jwks: { url: 'https://a.example' } }", "secret_is_public"),
        ("RS256", "{ secret: { env: NOT_SET } }", "algorithm_key_mismatch"),
        ("HS256", "{ pem: { file: missing.pem } }", "algorithm_key_mismatch"),
        (
            "RS256, ES256",
            "{ pem: { file: missing.pem } }",
            "algorithm_key_mismatch",
        ),
        ("RS256", "{ jwks: { url: 'http://a.example' } }", "insecure_url"),
        ("RS256", "{ oidc: 'https://other.example' }", "issuer_mismatch"),
    ] {
        let problems = read(&policy(algorithms, place), &keys).unwrap_err();
        let codes: Vec<_> = problems.iter().map(|problem| problem.code().as_str()).collect();
        assert_eq!(codes, [code], "{place}");
    }
    let same = policy("HS256", "{ secret: { env: NOT_SET } }").replace(
        "name: old, sha256: ",
        "name: old, secret: { env: NOT_SET } }, { name: c, sha256: ",
    );
    let problems = read(&same, &keys).unwrap_err();
    assert_eq!(problems[0].code().as_str(), "duplicate_key", "{problems:?}");
}

#[test]
fn shipped_policies_are_read_without_any_variable_or_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut read = 0;
    for folder in [root.clone(), root.join("example")] {
        let keys = Arc::new(ThrowawayKeys::new());
        let (policies, loaded) = policy_files::read_with(std::slice::from_ref(&folder), ErrorStyle::default(), &*keys);
        let policies = policies.unwrap_or_else(|problems| panic!("{folder:?}: {problems:?}"));
        assert_eq!(loaded.hash().len(), 16);
        assert!(loaded.named.is_empty());
        read += policies.policies().len();
        let rehearsal = Rehearsal::new(Arc::new(policies), &keys);
        for policy in rehearsal.policies().policies() {
            for issuer in &policy.issuers {
                assert!(!keys.key_set(issuer).is_empty(), "{}: {}", policy.file, issuer.signer);
            }
        }
    }
    assert!(read > 2, "{read}");
}

#[test]
fn rejections_that_differ_by_time_id_and_path_only_are_equal() {
    let rehearsal = rehearsal(&policy("HS256", "{ secret: { env: NOT_SET } }"));
    let one = answer(&rehearsal, "/s/x", &Caller::default());
    assert_eq!(one, answer(&rehearsal, "/s/y", &Caller::default()));
    assert_ne!(one, answer(&rehearsal, "/s/jobs", &Caller::default()));
    let Answer::Rejected(rejected) = &one else {
        panic!("{one:?}")
    };
    assert_eq!(rejected.reply.status, 401);
    let fields: Vec<_> = rejected.reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(fields.contains(&"www-authenticate"), "{fields:?}");
}

#[test]
fn cheapest_algorithm_is_chosen_and_a_token_is_signed_once() {
    for (listed, want) in [
        (&[Algorithm::PS256, Algorithm::RS256][..], Some(Algorithm::RS256)),
        (&[Algorithm::RS256, Algorithm::ES256], Some(Algorithm::ES256)),
        (&[Algorithm::ES384, Algorithm::EdDSA], Some(Algorithm::EdDSA)),
        (&[Algorithm::HS512, Algorithm::HS256], Some(Algorithm::HS256)),
        (&[], None),
    ] {
        assert_eq!(cheapest(listed), want);
    }
    let rehearsal = rehearsal(&policy("ES256", "{ jwks: { file: k } }"));
    let sent = || {
        let mut request = Request::new(Method::GET, "/s/x", "localhost", NOW);
        with_token(token(&rehearsal)).apply(&mut request, rehearsal.keys());
        request.headers.get(AUTHORIZATION).unwrap().clone()
    };
    // ES256 signs differently each time.
    assert_eq!(sent(), sent());
}

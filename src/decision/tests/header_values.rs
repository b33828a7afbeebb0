//! Claims as values of identity headers: what cannot stand there is left out, unless it names the caller.

use serde_json::json;

use super::POLICY;
use crate::policy::PolicySet;
use crate::testing::{TENANT, TestRequest, claims_with, parse, request};

fn policies(identity: &str) -> PolicySet {
    parse(&[&format!("{POLICY}{identity}\n")]).unwrap()
}

fn bearing(changes: &serde_json::Value) -> TestRequest {
    request("GET /w/get").bearer(&claims_with(changes)).tenant(TENANT)
}

/// The header with a name, and the headers that were left out.
fn header(request: &TestRequest, policies: &PolicySet, name: &str) -> (Option<String>, Vec<String>) {
    let start = format!("{name}: ");
    let found = request.identity(policies).into_iter();
    let found: Vec<_> = found
        .filter_map(|line| line.strip_prefix(&start).map(str::to_owned))
        .collect();
    assert!(found.len() < 2, "{found:?}");
    let decision = request.decide(policies);
    let omitted = decision.outcome.permit().and_then(|permit| permit.omitted().clone());
    let omitted = omitted.iter().flat_map(|names| names.iter()).map(ToString::to_string);
    (found.into_iter().next(), omitted.collect())
}

#[test]
fn claim_that_cannot_be_a_header_value_leaves_its_header_out() {
    let policies = policies("");
    for (changes, name, want) in [
        (json!({ "email": "a\r\nx-user-id: root" }), "x-user-email", Err(())),
        (json!({ "email": "\u{e9}@example.com" }), "x-user-email", Err(())),
        (json!({ "email": " a" }), "x-user-email", Err(())),
        (json!({ "email": ["a", "b"] }), "x-user-email", Ok(Some("a,b"))),
        (json!({ "email": ["a", 7] }), "x-user-email", Err(())),
        (json!({ "email": "" }), "x-user-email", Ok(None)),
        (json!({ "email": {} }), "x-user-email", Err(())),
        (json!({ "email": 7 }), "x-user-email", Ok(Some("7"))),
        (json!({ "email": "Jane Doe" }), "x-user-email", Ok(Some("Jane Doe"))),
        (json!({ "roles": ["organizer", "a,admin"] }), "x-user-roles", Err(())),
        (json!({ "roles": ["organizer", ""] }), "x-user-roles", Err(())),
        (json!({ "roles": ["organizer", "\u{e9}"] }), "x-user-roles", Err(())),
        (json!({ "scopes": ["read,write"] }), "x-user-scopes", Err(())),
        (json!({ "planTier": "\u{e9}" }), "x-plan-tier", Err(())),
    ] {
        let (found, omitted) = header(&bearing(&changes), &policies, name);
        match want {
            Ok(value) => assert_eq!((found.as_deref(), omitted), (value, Vec::new()), "{changes}"),
            Err(()) => assert_eq!((found, omitted), (None, vec![name.to_owned()]), "{changes}"),
        }
    }
}

#[test]
fn claim_that_names_the_caller_is_never_left_out() {
    for (identity, subject) in [
        ("", "a\u{0}b"),
        ("", "jos\u{e9}"),
        ("identity: { x-account: { from: [sub] } }", " a"),
    ] {
        let policies = policies(identity);
        let request = bearing(&json!({ "sub": subject }));
        assert_eq!(
            request.outcome(&policies),
            "token_claim_invalid",
            "{identity} {subject:?}"
        );
        let decision = request.decide(&policies);
        let cause = decision.outcome.rejection().unwrap().cause().to_owned();
        assert!(cause.contains("`sub` cannot be the value of"), "{cause}");
        assert!(cause.contains("encoding: percent"), "{cause}");
    }
    let encoded = policies("identity: { x-user-id: { from: sub, encoding: percent } }");
    let request = bearing(&json!({ "sub": "jos\u{e9}" }));
    assert_eq!(request.identity(&encoded), ["x-user-id: jos%C3%A9"]);
}

#[test]
fn header_is_encoded_as_the_policy_says() {
    let policies = policies(
        "identity: {
           x-user-email: { from: email, encoding: percent },
           x-user-roles: { from: roles, separator: ';' },
           x-user-scopes: { from: scopes, separator: ' ' },
           x-groups: { from: [org, groups], encoding: percent, separator: '|' },
         }",
    );
    let claims = json!({
        "email": "jos\u{e9}@x", "roles": ["a,b", "c"], "scopes": ["read", "write"],
        "org": { "groups": ["a%2Cb", "c|d", "e f"] },
    });
    assert_eq!(
        bearing(&claims).identity(&policies),
        [
            "x-user-email: jos%C3%A9@x",
            "x-user-roles: a,b;c",
            "x-user-scopes: read write",
            "x-groups: a%252Cb|c%7Cd|e%20f",
        ]
    );
    let (found, omitted) = header(&bearing(&json!({ "roles": ["a;b"] })), &policies, "x-user-roles");
    assert_eq!((found, omitted), (None, vec!["x-user-roles".to_owned()]));
}

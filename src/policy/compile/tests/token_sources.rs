//! The places of tokens that a policy can name.

use super::*;
use crate::policy::token_sources::TokenSources;

/// The messages about sources of a policy, with `error` or `warning` before each.
fn about(sources: &str, rest: &str) -> Vec<String> {
    let text = GOOD.replace("  issuers:\n", &format!("  sources: {sources}\n  issuers:\n"));
    let found = match parse(&[&text.replace("routes:\n", &format!("{rest}routes:\n"))]) {
        Ok(policies) => policies.warnings().cloned().collect(),
        Err(problems) => problems,
    };
    let shown = |problem: &Problem| {
        let kind = if problem.is_error() { "error" } else { "warning" };
        format!("{kind}: {} {}", problem.code(), problem.message())
    };
    found.iter().map(shown).collect()
}

/// Sources, fields beside `jwt`, and how each message about them begins.
const PLACES: &[(&str, &str, &[&str])] = &[
    ("[authorization]", "", &[]),
    ("[{ header: x-goog-iap-jwt-assertion }]", "", &[]),
    ("[{ cookie: __Host-session }, { cookie: __Host-other }]", "", &[]),
    ("[{ query: access_token }, { websocket_protocol: bearer }]", "", &[]),
    (
        "[authorization, authorization]",
        "",
        &["error: duplicate_item the place"],
    ),
    (
        "[{ header: x-a }, { header: X_A }]",
        "",
        &["error: duplicate_item the place"],
    ),
    (
        "[{ cookie: __Host-a }, { cookie: __Host-a }]",
        "",
        &["error: duplicate_item the place"],
    ),
    (
        "[{ header: authorization }]",
        "",
        &["error: reserved_header `authorization` is a place"],
    ),
    ("[{ header: X_Authorization }]", "", &[]),
    ("[{ header: Cookie }]", "", &["error: reserved_header `cookie`"]),
    ("[{ header: host }]", "", &["error: reserved_header `host`"]),
    ("[{ header: connection }]", "", &["error: reserved_header `connection`"]),
    (
        "[{ header: Proxy-Connection }]",
        "",
        &["error: reserved_header `proxy-connection`"],
    ),
    (
        "[{ header: sec_websocket_protocol }]",
        "",
        &["error: reserved_header `sec_websocket_protocol`"],
    ),
    (
        "[{ header: x-forwarded-access-token }]",
        "",
        &["error: reserved_header"],
    ),
    (
        "[{ header: sec-fetch-site }]",
        "",
        &["error: reserved_header `sec-fetch-site`"],
    ),
    ("[{ header: origin }]", "", &["error: reserved_header `origin`"]),
    ("[{ header: x_user_id }]", "", &["error: header_conflict `x_user_id`"]),
    (
        "[{ header: x-tenant-id }]",
        "",
        &["error: header_conflict `x-tenant-id`"],
    ),
    (
        "[{ header: X-Internal-API-Key }]",
        "",
        &["error: header_conflict `x-internal-api-key`"],
    ),
    (
        "[{ header: x-account }]",
        "identity: { x-account: sub }\n",
        &["error: header_conflict `x-account`"],
    ),
    (
        "[{ header: x-userinfo }]",
        "pass: [x-userinfo]\n",
        &["error: pass_not_allowed `x-userinfo`"],
    ),
    ("[{ cookie: __Host-a }]", "credentials: strip\n", &[]),
    ("[authorization, { cookie: __Host-a }]", "credentials: forward\n", &[]),
    (
        "[{ cookie: __Host-a }]",
        "credentials: forward\n",
        &["warning: authorization_unverified the service gets an `Authorization`"],
    ),
    ("[{ header: 'a b' }]", "", &["error: invalid_header_name `a b`"]),
    (
        "[{ cookie: session }]",
        "",
        &["warning: cookie_without_prefix other hosts of the domain can set the cookie `session`"],
    ),
    ("[{ cookie: __host-session }]", "", &["warning: cookie_without_prefix"]),
    ("[{ cookie: 'a=b' }]", "", &["error: invalid_token_source `a=b`"]),
    ("[{ cookie: 'a;b' }]", "", &["error: invalid_token_source `a;b`"]),
    (
        "[{ query: 'access%5Ftoken' }]",
        "",
        &["error: invalid_token_source `access%5Ftoken`"],
    ),
    ("[{ query: 'a+b' }]", "", &["error: invalid_token_source `a+b`"]),
    (
        "[{ websocket_protocol: 'a,b' }]",
        "",
        &["error: invalid_token_source `a,b`"],
    ),
    ("[{ cookie: __Host-a, query: b }]", "", &["error: one_of_fields"]),
    ("[{ }]", "", &["error: one_of_fields"]),
    ("[cookie]", "", &["error: unknown_word unknown word `cookie`"]),
    ("[]", "", &["error: empty_value"]),
    ("authorization", "", &["error: wrong_type"]),
];

#[test]
fn place_that_cannot_have_a_token_is_a_problem() {
    for (sources, rest, want) in PLACES {
        let found = about(sources, rest);
        let fits = found.len() == want.len() && found.iter().zip(*want).all(|(found, want)| found.starts_with(want));
        assert!(fits, "{sources} {rest}: {found:?}, not {want:?}");
    }
    let compared = about("[{ header: x-region }]", "").len()
        + problems(
            &GOOD
                .replace("  issuers:\n", "  sources: [{ header: x-region }]\n  issuers:\n")
                .replace("auth: jwt }", "auth: jwt, when: [{ header: x-region, equals: eu }] }"),
        )
        .len();
    assert_eq!(compared, 1);
}

#[test]
fn default_is_authorization_alone() {
    let sources = |text: &str| parse(&[text]).unwrap().policies()[0].sources.clone();
    let written = GOOD.replace("  issuers:\n", "  sources: [authorization]\n  issuers:\n");
    assert_eq!(sources(GOOD), sources(&written));
    assert_eq!(sources(GOOD), TokenSources::default());
    assert!(sources(GOOD).is_authorization_alone());
}

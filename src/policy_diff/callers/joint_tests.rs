//! Several rules that read the same value: who passes on one side only is found, or the comparison says that it is not exact.

use http::Method;

use super::Callers;
use super::tests::{cell, rehearsals};
use crate::policy_diff::types::Incomplete;

const ISSUER: &str = "issuer: iss-a, audience: [aud]";

/// A policy of an issuer, other rules, and one route.
fn policy(issuer: &str, rules: &str, route: &str) -> String {
    format!(
        "version: 1\nservice: svc\nprefix: /api\nupstream: {{ url: \"http://127.0.0.1:3000\" }}\njwt: {{ issuers: [ {{ \
         {issuer}, algorithms: [HS256], keys: {{ secret: {{ env: SEC }} }} }} ] }}\n{rules}\nroutes: [ {{ {route} }} ]\n"
    )
}

fn effects(old: &str, new: &str, path: &str) -> Result<Vec<&'static str>, Incomplete> {
    let [old, new] = rehearsals(&[old], &[new]);
    let cell = cell(&old, &new, "localhost", &Method::GET, path);
    let delta = Callers::new(&old, &new).compare(&cell)?;
    let effects = delta.iter().flat_map(|delta| &delta.effects);
    Ok(effects.map(|effect| effect.as_str()).collect())
}

#[test]
fn rules_of_one_claim_that_differ_for_nobody_are_not_called_unchanged() {
    for (one, other) in [
        (
            "when: [{ claim: g, has: a }, { claim: g, has_any: [a, b] }]",
            "when: [{ claim: g, has: a }]",
        ),
        (
            "when: [{ claim: c, in: [a, b] }, { claim: c, equals: a }]",
            "when: [{ claim: c, equals: a }]",
        ),
    ] {
        for [old, new] in [[one, other], [other, one]] {
            let [old, new] = [old, new].map(|when| policy(ISSUER, "", &format!("path: /x, auth: jwt, {when}")));
            let found = effects(&old, &new, "/api/x");
            assert!(
                matches!(found, Err(Incomplete::Undecided { .. })),
                "{old}\n{new}\n{found:?}"
            );
        }
    }
}

#[test]
fn rules_of_one_claim_that_are_written_in_another_way_are_the_same() {
    for (one, other) in [
        (
            "when: [{ claim: g, has_any: [a, b] }, { claim: g, has: c }]",
            "when: [{ claim: g, has_any: [c] }, { claim: g, has_any: [b, a] }]",
        ),
        (
            "when: [{ claim: c, in: [a] }, { header: x-c, equals_claim: c }]",
            "when: [{ header: x-c, equals_claim: c }, { claim: c, equals: a }]",
        ),
    ] {
        let [old, new] = [one, other].map(|when| policy(ISSUER, "", &format!("path: /x, auth: jwt, {when}")));
        assert_eq!(effects(&old, &new, "/api/x"), Ok(Vec::new()), "{old}\n{new}");
    }
}

//! Several rules that read the same value: who passes on one side only is found, or the comparison says that it is not exact.

use super::reach_tests::{ISSUER, effects, policy};
use crate::policy_diff::types::Incomplete;

#[test]
fn rules_of_one_claim_that_differ_for_no_caller_are_not_called_unchanged() {
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

#[test]
fn value_that_several_rules_read_opens_and_closes_a_route() {
    const LISTS: &str = "tenant: { claims: [c], format: text, lists: true }";
    let two = |lists: bool| format!("tenant: {{ claims: [d, c], format: text, lists: {lists} }}");
    let of = |rules: &str, route: &str| policy(ISSUER, rules, &format!("path: /x, auth: jwt, {route}"));
    let when = |conditions: &str| of("", &format!("when: [{conditions}]"));
    for (strict, loose) in [
        (
            of("", "roles: [admin], when: [{ claim: roles, has: x }]"),
            of("", "roles: [admin], when: [{ claim: roles, has_any: [x, y] }]"),
        ),
        (
            when("{ claim: amr, has: pwd }, { claim: amr, has: otp }"),
            when("{ claim: amr, has_any: [pwd, kba] }, { claim: amr, has: otp }"),
        ),
        (when("{ claim: aud, has: z }"), when("{ claim: aud, has_any: [z, w] }")),
        (
            when("{ claim: g, has_any: [f, e] }, { claim: g, has_any: [f, a] }"),
            when("{ claim: g, has_any: [f, e] }, { claim: g, has_any: [f, a, b] }"),
        ),
        (
            of("", "roles: [admin], when: [{ claim: roles, has_any: [admin, mfa] }]"),
            of(
                "roles: { boss: [admin] }",
                "roles: [admin], when: [{ claim: roles, has_any: [admin, mfa] }]",
            ),
        ),
        (
            when("{ claim: r, in: [eu, us] }, { header: x-r, equals_claim: r }, { header: x-r, in: [us] }"),
            when("{ claim: r, in: [eu, us] }, { header: x-r, equals_claim: r }, { header: x-r, in: [us, eu] }"),
        ),
        (
            when("{ header: x-r, equals_claim: r }, { header: x-r, in: [us] }"),
            when("{ header: x-r, equals_claim: r }, { header: x-r, in: [eu, us] }"),
        ),
        (
            when("{ header: x-r, equals_claim: r }, { header: x-r, equals: eu }"),
            when("{ header: x-r, equals_claim: r }"),
        ),
        (
            when("{ header: x-r, equals_claim: r }, { header: x-r, equals: p }"),
            when("{ header: x-r, equals_claim: r }, { header: x-r, in: [p, 7] }"),
        ),
        (
            of("", "roles: [a], when: [{ claim: roles, has_any: [f, a] }]"),
            of("", "roles: [a]"),
        ),
        (
            of("", "roles: [a], scopes: [a], when: [{ claim: roles, has_any: [f, a] }]"),
            of("", "roles: [a], scopes: [a]"),
        ),
        (
            of(LISTS, "when: [{ claim: c, has: b }]"),
            of(LISTS, "when: [{ claim: c, has_any: [b, f] }]"),
        ),
        (
            of(LISTS, "when: [{ claim: c, has: b }, { claim: e, equals: e }]"),
            of(LISTS, "when: [{ claim: e, equals: e }]"),
        ),
        (
            of(&two(false), "when: [{ claim: d, equals: acme }]"),
            of(&two(true), "when: [{ claim: d, equals: acme }]"),
        ),
        (
            when("{ claim: c, in: [y] }, { header: x-h, equals_claim: c }"),
            when("{ claim: c, in: [true, x, y] }, { header: x-h, equals_claim: c }"),
        ),
        (
            when("{ claim: c, in: [y] }, { header: x-h, equals_claim: c }"),
            when("{ claim: c, in: [7.5, x, y] }, { header: x-h, equals_claim: c }"),
        ),
    ] {
        for (old, new, effect) in [(&strict, &loose, "opened"), (&loose, &strict, "closed")] {
            let found = effects(old, new, "/api/x");
            let has = found.as_ref().is_ok_and(|effects| effects.contains(&effect));
            assert!(has, "{effect} {found:?}\n{old}\n{new}");
        }
    }
}

#[test]
fn claim_that_picks_the_issuer_and_is_compared_with_others_opens_a_route() {
    const NAMES: &str = "issuer: [p, q], audience: [aud]";
    const LISTED: &str = "issuer: \"https://l.example/{tid}\", issuer_values: { tid: [p, q] }, audience: [aud]";
    const ANY: &str = "issuer: \"https://l.example/{tid}\", issuer_values: { tid: any }, audience: [aud]";
    const TENANT: &str = "tenant: { claims: [tid, org], format: text }";
    let two = |depts: &str| {
        format!(
            "issuer: \"https://l.example/{{a}}/{{b}}\", issuer_values: {{ a: [p, q], b: [r, s] }}, audience: [aud], when: \
             [{{ claim: a, equals: q }}, {{ claim: b, equals: s }}, {{ claim: dept, in: [{depts}] }}]"
        )
    };
    let route = |when: &str| format!("path: /x, auth: jwt, when: [{when}]");
    let cases = [
        (
            NAMES,
            "",
            "{ header: x-i, equals_claim: iss }, { header: x-i, in: [LIST] }",
        ),
        (
            LISTED,
            "",
            "{ header: x-i, equals_claim: tid }, { header: x-i, in: [LIST] }",
        ),
        (
            ANY,
            "",
            "{ header: x-i, equals_claim: tid }, { header: x-i, in: [LIST] }",
        ),
        (LISTED, TENANT, "{ claim: org, in: [LIST] }"),
        (ANY, TENANT, "{ claim: org, in: [LIST] }"),
    ];
    let mut pairs: Vec<[String; 2]> = cases
        .into_iter()
        .map(|(issuer, rules, when)| {
            ["p", "p, q"].map(|list| policy(issuer, rules, &route(&when.replace("LIST", list))))
        })
        .collect();
    pairs.push(["d1", "d1, d2"].map(|depts| policy(&two(depts), "", "path: /x, auth: jwt")));
    for [strict, loose] in &pairs {
        for (old, new, effect) in [(strict, loose, "opened"), (loose, strict, "closed")] {
            let found = effects(old, new, "/api/x");
            let has = found.as_ref().is_ok_and(|effects| effects.contains(&effect));
            assert!(has, "{effect} {found:?}\n{old}\n{new}");
        }
    }
}

#[test]
fn path_whose_callers_none_can_be_does_not_stop_a_comparison() {
    const NAMES: &str = "issuer: [p, q], audience: [aud]";
    const LISTED: &str = "issuer: \"https://l.example/{tid}\", issuer_values: { tid: [p, q] }, audience: [aud]";
    for (issuer, when) in [
        (ISSUER, "{ claim: r, equals: \"{r}\" }, { claim: r, in: [p, q] }"),
        (LISTED, "{ claim: tid, equals: \"{r}\" }"),
        (NAMES, "{ claim: iss, equals: \"{r}\" }"),
    ] {
        let of = |roles: &str| {
            policy(
                issuer,
                "",
                &format!("path: \"/{{r}}/x\", auth: jwt, roles: [{roles}], when: [{when}]"),
            )
        };
        let [old, new] = ["a", "a, b"].map(of);
        assert_eq!(
            effects(&old, &new, "/api/z/x"),
            Ok(vec!["rejected_differently"]),
            "{when}"
        );
        let found = effects(&old, &new, "/api/q/x");
        assert!(
            found.as_ref().is_ok_and(|effects| effects.contains(&"opened")),
            "{when} {found:?}"
        );
    }
}

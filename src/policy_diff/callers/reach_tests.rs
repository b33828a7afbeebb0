//! Callers are made who meet all that a route asks, however many rules are about one claim: what lies behind is compared.

use http::Method;

use super::Callers;
use super::tests::{cell, rehearsals};
use crate::policy_diff::types::Incomplete;

/// An issuer with one name.
pub(super) const ISSUER: &str = "issuer: iss-a, audience: [aud]";

/// A policy of an issuer, other rules, and one route.
pub(super) fn policy(issuer: &str, rules: &str, route: &str) -> String {
    format!(
        "version: 1\nservice: svc\nprefix: /api\nupstream: {{ url: \"http://127.0.0.1:3000\" }}\njwt: {{ issuers: [ {{ \
         {issuer}, algorithms: [HS256], keys: {{ secret: {{ env: SEC }} }} }} ] }}\n{rules}\nroutes: [ {{ {route} }} ]\n"
    )
}

/// Returns the effects of a change on the callers of a path.
pub(super) fn effects(old: &str, new: &str, path: &str) -> Result<Vec<&'static str>, Incomplete> {
    let [old, new] = rehearsals(&[old], &[new]);
    let cell = cell(&old, &new, "localhost", &Method::GET, path);
    let delta = Callers::new(&old, &new).compare(&cell)?;
    let effects = delta.iter().flat_map(|delta| &delta.effects);
    Ok(effects.map(|effect| effect.as_str()).collect())
}

#[test]
fn rule_that_is_dropped_opens_a_route_whatever_else_is_asked() {
    const NAMES: &str = "issuer: [https://a.example, https://b.example], audience: [aud]";
    const LISTED: &str = "issuer: \"https://l.example/{tid}/v2.0\", issuer_values: { tid: [t1, t2] }, audience: [aud]";
    const ANY: &str = "issuer: \"https://l.example/{tid}/v2.0\", issuer_values: { tid: any }, audience: [aud]";
    const UUID: &str = "11111111-1111-4111-a111-111111111111";
    let tenant_in = format!("when: [{{ claim: tenantId, in: [\"{UUID}\"] }}]");
    for (name, issuer, rules, path, kept, dropped) in [
        (
            "isswhen",
            NAMES,
            "",
            "/*",
            "when: [{ claim: iss, equals: \"https://b.example\" }]",
            "roles: [admin]",
        ),
        (
            "isswhen3",
            NAMES,
            "",
            "/*",
            "",
            "when: [{ claim: iss, equals: \"https://a.example\" }]",
        ),
        ("tidwhen2", LISTED, "", "/*", "", "when: [{ claim: tid, equals: t1 }]"),
        ("tidany", ANY, "tenant: { claims: [tid] }", "/*", "", "roles: [admin]"),
        (
            "tid that no pattern lists",
            ANY,
            "",
            "/*",
            "when: [{ claim: tid, equals: t9 }]",
            "roles: [admin]",
        ),
        (
            "iss of a pattern",
            ANY,
            "",
            "/*",
            "when: [{ claim: iss, equals: \"https://l.example/t9/v2.0\" }]",
            "roles: [admin]",
        ),
        (
            "audwhen",
            "issuer: iss-a, audience: [aud], when: [{ claim: aud, has: other }]",
            "",
            "/*",
            "",
            "roles: [admin]",
        ),
        (
            "issrolewhen",
            "issuer: iss-a, audience: [aud], when: [{ claim: roles, has: staff }]",
            "",
            "/*",
            "roles: [editor]",
            "scopes: [s1]",
        ),
        (
            "rolewhen",
            ISSUER,
            "",
            "/*",
            "roles: [editor], when: [{ claim: roles, has: staff }]",
            "scopes: [s1]",
        ),
        (
            "has2",
            ISSUER,
            "",
            "/*",
            "when: [{ claim: amr, has: mfa }, { claim: amr, has: hwk }]",
            "roles: [admin]",
        ),
        (
            "hashasany",
            ISSUER,
            "",
            "/*",
            "when: [{ claim: g, has: a }, { claim: g, has_any: [b, c] }]",
            "roles: [admin]",
        ),
        (
            "two has_any",
            ISSUER,
            "",
            "/*",
            "when: [{ claim: g, has_any: [a, d] }, { claim: g, has_any: [b, c] }]",
            "roles: [admin]",
        ),
        (
            "scopehas",
            ISSUER,
            "",
            "/*",
            "scopes: [a], when: [{ claim: scopes, has: b }]",
            "roles: [admin]",
        ),
        (
            "two in",
            ISSUER,
            "",
            "/*",
            "when: [{ claim: c, in: [a, b] }, { claim: c, in: [b, d] }]",
            "roles: [admin]",
        ),
        (
            "region",
            ISSUER,
            "",
            "/*",
            "when: [{ claim: region, in: [eu, us] }, { header: x-region, equals_claim: region }]",
            "roles: [admin]",
        ),
        (
            "header in",
            ISSUER,
            "",
            "/*",
            "when: [{ header: x-region, in: [eu, us] }, { header: x-region, equals_claim: region }]",
            "roles: [admin]",
        ),
        (
            "hdrorg",
            ISSUER,
            "",
            "/o/{org}/*",
            "when: [{ header: x-org, equals: \"{org}\" }, { header: x-org, equals_claim: org }]",
            "roles: [admin]",
        ),
        (
            "tenwhen",
            ISSUER,
            "tenant: { claims: [tenantId] }",
            "/*",
            &tenant_in,
            "roles: [admin]",
        ),
        (
            "tenpath",
            ISSUER,
            "tenant: { claims: [tenantId] }",
            "/t/{t}/*",
            "when: [{ claim: tenantId, equals: \"{t}\" }]",
            "roles: [admin]",
        ),
        (
            "tentextpath",
            ISSUER,
            "tenant: { claims: [t], format: text }",
            "/t/{t}/*",
            "when: [{ claim: t, equals: \"{t}\" }]",
            "roles: [admin]",
        ),
        (
            "list of tenants",
            ISSUER,
            "tenant: { claims: [ts], format: text, lists: true }",
            "/*",
            "when: [{ claim: ts, has: acme }]",
            "roles: [admin]",
        ),
    ] {
        let all = match kept {
            "" => dropped.to_owned(),
            kept => format!("{kept}, {dropped}"),
        };
        let route = |rest: &str| {
            format!(
                "path: \"{path}\", auth: jwt{}{rest}",
                if rest.is_empty() { "" } else { ", " }
            )
        };
        let (strict, loose) = (policy(issuer, rules, &route(&all)), policy(issuer, rules, &route(kept)));
        let request = path.replace("{org}", "x").replace("{t}", "x").replace('*', "y");
        let request = format!("/api{request}");
        let opened = effects(&strict, &loose, &request);
        assert!(
            opened.as_ref().is_ok_and(|all| all.contains(&"opened")),
            "{name} {opened:?}"
        );
        let closed = effects(&loose, &strict, &request);
        assert!(
            closed.as_ref().is_ok_and(|all| all.contains(&"closed")),
            "{name} {closed:?}"
        );
    }
}

#[test]
fn rule_that_takes_other_callers_opens_and_closes_a_route() {
    const NAMES: &str = "issuer: [https://a.example, https://b.example], audience: [aud]";
    const PATTERN: &str = "issuer: \"https://l.example/{tid}/v2\", audience: [aud], issuer_values: ";
    const TEXT: &str = "tenant: { claims: [t], format: text }";
    let with = |values: &str| format!("{PATTERN}{{ tid: {values} }}");
    let when = |when: &str| format!("path: /*, auth: jwt, when: [{{ {when} }}]");
    let iss = |name: &str| {
        policy(
            NAMES,
            "",
            &when(&format!("claim: iss, equals: \"https://{name}.example\"")),
        )
    };
    for (name, old, new, want) in [
        ("isswhen2", iss("a"), iss("b"), ["opened", "closed"].as_slice()),
        (
            "pat3",
            policy(&with("[x, a1]"), "", "path: /*, auth: jwt"),
            policy(&with("any"), "", "path: /*, auth: jwt"),
            &["opened"],
        ),
        (
            "tenin",
            policy(ISSUER, TEXT, &when("claim: t, in: [acme]")),
            policy(ISSUER, TEXT, &when("claim: t, in: [acme, evil]")),
            &["opened"],
        ),
    ] {
        let found = effects(&old, &new, "/api/y");
        let has_all = |found: &Vec<&str>| want.iter().all(|effect| found.contains(effect));
        assert!(found.as_ref().is_ok_and(has_all), "{name} {found:?}");
    }
}

#[test]
fn rules_that_contradict_each_other_are_not_compared() {
    let never = "issuer: iss-a, audience: [aud], when: [{ claim: c, in: [a, d] }]";
    let route = |rest: &str| {
        policy(
            never,
            "",
            &format!("path: /*, auth: jwt, when: [{{ claim: c, equals: b }}]{rest}"),
        )
    };
    let open = policy(never, "", "path: /*, auth: jwt");
    for (old, new, side) in [
        (route(", roles: [admin]"), route(""), "old"),
        (open.clone(), route(""), "new"),
    ] {
        let found = effects(&old, &new, "/api/y");
        let is_of_side = |found: &Incomplete| matches!(found, Incomplete::NoCaller { side: of, .. } if *of == side);
        assert!(found.as_ref().is_err_and(is_of_side), "{found:?}");
    }
}

#[test]
fn change_that_matters_by_the_second_claim_of_several_is_found() {
    const ROLES: &str = "issuer: iss-a, audience: [aud], roles_claim: [[roles], [groups]]";
    const SCOPES: &str = "issuer: iss-a, audience: [aud], scopes_claim: [[scp], [s]]";
    let one = |claims: &str, kept: &str| claims.replace(kept, kept.split(", ").next().unwrap_or_default());
    let route = |rest: &str| format!("path: /*, auth: jwt{rest}");
    let has = |claim: &str| format!(", roles: [editor], when: [{{ claim: {claim}, has: staff }}]");
    for (name, old, new, want) in [
        (
            "second claim of roles",
            policy(ROLES, "", &route(", roles: [a]")),
            policy(&one(ROLES, "[roles], [groups]"), "", &route(", roles: [a]")),
            "closed",
        ),
        (
            "second claim of scopes",
            policy(SCOPES, "", &route(", scopes: [a]")),
            policy(&one(SCOPES, "[scp], [s]"), "", &route(", scopes: [a]")),
            "closed",
        ),
        (
            "second of the usual claims of scopes",
            policy(ISSUER, "", &route(", scopes: [a]")),
            policy(&format!("{ISSUER}, scopes_claim: scopes"), "", &route(", scopes: [a]")),
            "closed",
        ),
        (
            "condition on the second claim of roles",
            policy(ROLES, "", &route(&has("groups"))),
            policy(ROLES, "", &route(", roles: [editor]")),
            "opened",
        ),
        (
            "role beside a condition on the second claim",
            policy(ROLES, "", &route(&has("groups"))),
            policy(ROLES, "", &route(&has("groups").replace("roles: [editor], ", ""))),
            "opened",
        ),
        (
            "condition that leaves the second claim only",
            policy(
                ROLES,
                "",
                &route(", roles: [editor], when: [{ claim: roles, equals: x }]"),
            ),
            policy(ROLES, "", &route(", when: [{ claim: roles, equals: x }]")),
            "opened",
        ),
    ] {
        for (old, new, want) in [
            (&old, &new, want),
            (&new, &old, if want == "opened" { "closed" } else { "opened" }),
        ] {
            let found = effects(old, new, "/api/y");
            assert!(
                found.as_ref().is_ok_and(|all| all.contains(&want)),
                "{name} {want} {found:?}"
            );
        }
    }
}

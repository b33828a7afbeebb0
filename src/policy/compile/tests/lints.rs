//! What a policy says without effect is a warning in its line, and only where it is true.

use crate::policy::PolicySet;
use crate::testing::{NOW, parse};

const POLICY: &str = "version: 1
service: s
prefix: /p
upstream: { url: http://127.0.0.1:1 }
jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
mtls: { allow: [{ dns: a.b }] }
tenant: { claims: [tenantId] }
roles: { admin: [user] }
routes:
  - { path: /jobs, auth: internal_key }
  - { path: /peer, auth: mtls }
  - { path: /*, auth: jwt, roles: [user] }
";

/// The line and code of each warning at a time.
fn found(policies: &PolicySet, now: i64) -> Vec<(usize, &'static str)> {
    let lints = policies.lints(now);
    lints
        .map(|lint| (lint.location().line(), lint.code().as_str()))
        .collect()
}

#[test]
fn part_without_effect_is_a_warning_at_its_place() {
    for (from, to, want) in [
        ("", "", &[][..]),
        ("auth: internal_key", "auth: public", &[(6, "unused_block")]),
        ("auth: mtls", "auth: public", &[(7, "unused_block")]),
        (
            "auth: jwt, roles: [user]",
            "auth: public",
            &[(5, "unused_block"), (8, "unused_block"), (9, "unused_role")],
        ),
        ("auth: internal_key", "auth: { any: [internal_key, public] }", &[]),
        ("[user] }\n", "[user], owner: [admin] }\n", &[]),
        ("[user] }\n", "[user], owner: [auditor] }\n", &[(9, "unused_role")]),
        ("roles: [user] }\n", "roles: [admin] }\n", &[(9, "unused_role")]),
        ("path: /jobs", "path: /p/jobs", &[(11, "prefix_repeated")]),
        ("path: /jobs", "path: /p", &[(11, "prefix_repeated")]),
        ("path: /jobs", "path: /pay", &[]),
        (
            "  - { path: /jobs,",
            "  - { path: /x/*, auth: deny }\n  - { path: '/{a}/{b}', auth: jwt }\n  - { path: /jobs,",
            &[(11, "denial_opened")],
        ),
        (
            "  - { path: /jobs,",
            "  - { path: /x/*, auth: deny }\n  - { path: '/x/{b}', auth: jwt }\n  - { path: /jobs,",
            &[],
        ),
        ("prefix: /p\n", "prefix: /p\nmode: shadow\n", &[(4, "shadow_mode")]),
        ("auth: mtls", "auth: mtls, mode: shadow", &[(12, "shadow_mode")]),
        ("auth: mtls", "auth: mtls, mode: enforce", &[]),
        (
            "{ env: JOBS_KEY }",
            "{ env: JOBS_KEY }, expires: 2020-01-01T00:00:00Z",
            &[(6, "key_expired")],
        ),
    ] {
        assert!(POLICY.contains(from), "{from}");
        let policies = parse(&[&POLICY.replacen(from, to, 1)]);
        let policies = policies.unwrap_or_else(|problems| panic!("{to}: {problems:?}"));
        assert_eq!(found(&policies, NOW), want, "{to}");
        assert_eq!(policies.warnings().count(), 0, "{to} is not for the log");
    }
}

#[test]
fn key_that_expires_is_a_warning_from_that_second_on() {
    let text = POLICY.replacen(
        "{ env: JOBS_KEY }",
        "{ env: JOBS_KEY }, expires: 2027-01-15T08:00:00Z",
        1,
    );
    let policies = parse(&[&text]).unwrap();
    let expires = "2027-01-15T08:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(found(&policies, expires - 1), []);
    assert_eq!(found(&policies, expires), [(6, "key_expired")]);
}

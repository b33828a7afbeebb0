use crate::testing::parse;

/// What `check` says of a route with conditions: the codes of errors, and of warnings in parentheses.
fn codes(policy: &str, route: &str) -> Vec<String> {
    let text = format!(
        "version: 1\nservice: s\nprefix: /p\nupstream: {{ url: 'http://127.0.0.1:1' }}\n\
         tenant: {{ header: x-org, claims: [org] }}\n\
         internal_key: {{ header: x-job-key, keys: [{{ name: jobs, secret: {{ env: JOBS_KEY }} }}] }}\n\
         identity: {{ x-account: sub }}\n{policy}\nroutes:\n  - {{ path: '/{{id}}/{{other}}:run/*', {route} }}\n"
    );
    match parse(&[&text]) {
        Ok(policies) => policies
            .warnings()
            .map(|warning| format!("({})", warning.code()))
            .collect(),
        Err(problems) => problems.iter().map(|problem| problem.code().to_string()).collect(),
    }
}

const ISSUER: &str =
    "jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn conditions_that_cannot_hold_or_be_read_are_problems() {
    let mut wrong = Vec::new();
    for (when, want) in [
        ("{ claim: sub, equals: '{id}' }", &[][..]),
        ("{ claim: sub, in: [a, 1, 1.5, true] }", &[]),
        ("{ claim: [org, plan], has_any: [a, 'b-{id}'] }", &[]),
        ("{ claim: auth_time, within: 15m }", &[]),
        ("{ header: x-region, equals_claim: region }", &[]),
        ("{ header: origin, in: ['https://a.example'] }", &[]),
        ("{ header: sec-fetch-site, equals: same-origin }", &[]),
        ("{ header: x-userinfo, equals: a }", &[]),
        ("{ client: { in: [10.0.0.0/8, '::1', 192.0.2.1] } }", &[]),
        // Parameters.
        ("{ claim: sub, equals: '{ID}' }", &["unknown_parameter"]),
        ("{ claim: sub, equals: '{other}' }", &[]),
        ("{ claim: sub, equals: '{another}' }", &["unknown_parameter"]),
        ("{ claim: sub, equals: '{}' }", &["unknown_parameter"]),
        ("{ claim: sub, equals: '{id' }", &["unknown_parameter"]),
        ("{ claim: sub, equals: 'id}' }", &["unknown_parameter"]),
        ("{ claim: sub, equals: '{{id}}' }", &["unknown_parameter"]),
        ("{ claim: sub, in: [a, '{another}'] }", &["unknown_parameter"]),
        ("{ header: x-a, equals: '{another}' }", &["unknown_parameter"]),
        // One thing, one operator.
        ("{ claim: sub }", &["one_of_fields"]),
        ("{ equals: a }", &["one_of_fields"]),
        ("{}", &["one_of_fields"]),
        ("{ claim: sub, equals: a, in: [a] }", &["one_of_fields"]),
        ("{ claim: sub, header: x-a, equals: a }", &["one_of_fields"]),
        ("{ claim: sub, equals_claim: a }", &["one_of_fields"]),
        ("{ header: x-a, has: a }", &["one_of_fields"]),
        ("{ header: x-a, within: 1m }", &["one_of_fields"]),
        ("{ client: { in: [10.0.0.0/8] }, equals: a }", &["one_of_fields"]),
        ("{ client: { in: [10.0.0.0/8] }, claim: a }", &["one_of_fields"]),
        (
            "{ client: in, networks: [10.0.0.0/8] }",
            &["wrong_type", "unknown_field"],
        ),
        ("{ claim: sub, not: a }", &["unknown_field"]),
        // Values.
        ("{ claim: sub, in: [] }", &["empty_value"]),
        ("{ claim: c, has_any: [] }", &["empty_value"]),
        ("{ claim: sub, equals: '' }", &["empty_value"]),
        ("{ claim: sub, equals: ~ }", &["empty_value"]),
        ("{ claim: sub, equals: [a] }", &["wrong_type"]),
        ("{ claim: sub, equals: 007 }", &["wrong_type"]),
        ("{ claim: sub, equals: 99999999999999999999 }", &["wrong_type"]),
        ("{ claim: c, has: true }", &["wrong_type"]),
        ("{ claim: c, has_any: [a, 1.5] }", &["wrong_type"]),
        ("{ header: x-a, equals: true }", &["wrong_type"]),
        ("{ header: x-a, in: [1.5] }", &["wrong_type"]),
        ("{ claim: sub, in: [a, b, a] }", &["duplicate_item"]),
        ("{ claim: sub, in: [1, '1'] }", &["duplicate_item"]),
        ("{ claim: sub, in: [true, 'true'] }", &[]),
        ("{ claim: c, within: a }", &["invalid_duration"]),
        ("{ claim: c, within: 0s }", &["out_of_range"]),
        ("{ claim: c, within: 999ms }", &["out_of_range"]),
        ("{ client: { in: [] } }", &["empty_value"]),
        ("{ client: { in: [10.0.0.0/33] } }", &["invalid_network"]),
        ("{ client: { in: ['fe80::/129'] } }", &["invalid_network"]),
        ("{ client: { in: [internal] } }", &["invalid_network"]),
        ("{ client: { in: [10.0.0.0/8, 10.9.0.0/8] } }", &["duplicate_item"]),
        // Claims whose type is known.
        ("{ claim: sub, has: a }", &["(condition_type)"]),
        ("{ claim: exp, has_any: [a] }", &["(condition_type)"]),
        ("{ claim: scope, has: a }", &["(condition_type)"]),
        ("{ claim: amr, equals: a }", &["(condition_type)"]),
        ("{ claim: groups, in: [a] }", &["(condition_type)"]),
        ("{ claim: [x, sub], has: a }", &[]),
        ("{ claim: sub, within: 1m }", &["condition_contradiction"]),
        ("{ claim: roles, within: 1m }", &["condition_contradiction"]),
        ("{ claim: exp, within: 1m }", &["condition_contradiction"]),
        ("{ claim: org.plan, equals: a }", &["(dotted_claim)"]),
        ("{ header: x-a, equals_claim: org.plan }", &["(dotted_claim)"]),
        // Conditions together.
        ("{ claim: a, equals: x }, { claim: a, equals: x }", &["duplicate_item"]),
        (
            "{ claim: a, equals: x }, { claim: a, equals: y }",
            &["condition_contradiction"],
        ),
        (
            "{ claim: a, equals: x }, { claim: a, in: [y, z] }",
            &["condition_contradiction"],
        ),
        ("{ claim: a, equals: x }, { claim: a, in: [x, z] }", &[]),
        ("{ claim: a, equals: 1 }, { claim: a, in: ['1'] }", &[]),
        ("{ claim: a, equals: 1 }, { claim: a, in: [1.0] }", &[]),
        ("{ claim: a, equals: x }, { claim: a, equals: '{id}' }", &[]),
        ("{ claim: a, equals: x }, { claim: [b, a], equals: y }", &[]),
        (
            "{ claim: a, equals: x }, { claim: a, has: x }",
            &["condition_contradiction"],
        ),
        ("{ claim: a, has: x }, { claim: a, has: y }", &[]),
        (
            "{ claim: a, within: 1m }, { claim: a, has: y }",
            &["condition_contradiction"],
        ),
        (
            "{ header: x-a, equals: x }, { header: X-A, in: [y] }",
            &["condition_contradiction"],
        ),
        (
            "{ client: { in: [10.0.0.0/8] } }, { client: { in: ['::1'] } }",
            &["condition_contradiction"],
        ),
        (
            "{ client: { in: [10.0.0.0/8] } }, { client: { in: [10.1.0.0/16] } }",
            &[],
        ),
        // Headers.
        ("{ header: x-edge-secret, equals: a }", &["secret_in_file"]),
        ("{ header: X-Origin-Key, in: [a] }", &["secret_in_file"]),
        ("{ header: x-edge-secret, equals_claim: a }", &[]),
        ("{ header: 'x a', equals: a }", &["invalid_header_name"]),
        ("{ header: authorization, equals: a }", &["reserved_header"]),
        ("{ header: Host, equals: a }", &["reserved_header"]),
        ("{ header: cookie, equals: a }", &["reserved_header"]),
        ("{ header: x-forwarded-proto, equals: https }", &["reserved_header"]),
        ("{ header: x_forwarded_for, equals: a }", &["reserved_header"]),
        ("{ header: cf-connecting-ip, equals: a }", &["reserved_header"]),
        ("{ header: client-cert, equals: a }", &["reserved_header"]),
        ("{ header: idempotency-key, equals: a }", &["reserved_header"]),
        ("{ header: x-org, equals: a }", &["header_conflict"]),
        ("{ header: x_org, equals: a }", &["header_conflict"]),
        ("{ header: x-job-key, equals: a }", &["header_conflict"]),
        ("{ header: x-account, equals: a }", &["header_conflict"]),
        ("{ header: x-user-id, equals: a }", &["header_conflict"]),
        (
            "{ header: x-a, equals: a }, { header: x_a, equals: a }",
            &["header_conflict"],
        ),
    ] {
        let found = codes(ISSUER, &format!("auth: jwt, when: [{when}]"));
        if found != want {
            wrong.push(format!("{when}: {found:?}, expected {want:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn conditions_of_one_route_are_limited_in_number_and_values() {
    let several = |count: usize| {
        let conditions = (0..count).map(|at| format!("{{ claim: c{at}, equals: x }}"));
        conditions.collect::<Vec<_>>().join(", ")
    };
    let values = |count: usize| {
        let values = (0..count).map(|at| at.to_string());
        format!("{{ claim: c, in: [{}] }}", values.collect::<Vec<_>>().join(", "))
    };
    for (when, want) in [
        (several(32), &[][..]),
        (several(33), &["too_large"]),
        (values(256), &[]),
        (values(257), &["too_large"]),
        (String::new(), &["empty_value"]),
    ] {
        assert_eq!(codes(ISSUER, &format!("auth: jwt, when: [{when}]")), want);
    }
}

#[test]
fn claim_on_a_route_that_is_reached_without_a_token_is_a_problem() {
    let claim = "{ claim: c, equals: x }";
    let compared = "{ header: x-a, equals_claim: c }";
    let others = "{ header: x-a, equals: x }, { client: { in: [10.0.0.0/8] } }";
    for (auth, brings_token) in [
        ("jwt", true),
        ("{ any: [jwt] }", true),
        ("{ all: [jwt, internal_key] }", true),
        ("public", false),
        ("internal_key", false),
        ("{ any: [jwt, internal_key] }", false),
        ("{ any: [jwt, public] }", false),
        ("{ all: [internal_key] }", false),
    ] {
        let want: &[&str] = if brings_token {
            &[]
        } else {
            &["condition_without_token"]
        };
        for when in [claim, compared] {
            assert_eq!(
                codes(ISSUER, &format!("auth: {auth}, when: [{when}]")),
                want,
                "{auth} {when}"
            );
        }
        assert_eq!(
            codes(ISSUER, &format!("auth: {auth}, when: [{others}]")),
            [""; 0],
            "{auth}"
        );
    }
}

#[test]
fn issuer_compares_claims_alone() {
    let issuer = |when: &str| ISSUER.replace("audience: [a]", &format!("audience: [a], when: [{when}]"));
    for (when, want) in [
        ("{ claim: token_use, equals: access }", &[][..]),
        ("{ claim: azp, in: [a, b] }, { claim: auth_time, within: 1h }", &[]),
        ("{ claim: sub, equals: '{id}' }", &["unknown_parameter"]),
        ("{ header: x-a, equals: a }", &["missing_field", "unknown_field"]),
        ("{ client: { in: [10.0.0.0/8] } }", &["missing_field", "unknown_field"]),
        ("{ claim: c }", &["one_of_fields"]),
        ("{ claim: c, equals: a, has: a }", &["one_of_fields"]),
        (
            "{ claim: typ, equals: ID }, { claim: typ, equals: Bearer }",
            &["condition_contradiction"],
        ),
        ("{ claim: sub, has: a }", &["(condition_type)"]),
        ("", &["empty_value"]),
    ] {
        let mut found = codes(&issuer(when), "auth: jwt");
        found.sort();
        assert_eq!(found, want, "{when}");
    }
}

#[test]
fn compared_header_passes_on_other_routes_only() {
    let routes = |pass: &str, other: &str| {
        format!("auth: jwt, when: [{{ header: x-region, equals: eu }}]{pass} }}\n  - {{ path: /other, auth: jwt{other}")
    };
    for (policy, routes, want) in [
        ("", routes("", ", pass: [x-region]"), &[][..]),
        ("", routes("", ", pass: [X-Region]"), &[]),
        ("pass: [x-region]", routes("", ""), &[]),
        ("", routes("", ", pass: [x_region]"), &["pass_not_allowed"]),
        ("", routes(", pass: [x-region]", ""), &["pass_not_allowed"]),
        ("", routes("", ", pass: [x-other]"), &["pass_not_allowed"]),
    ] {
        let found = codes(&format!("{policy}\n{ISSUER}"), &routes);
        assert_eq!(found, want, "{policy} {routes}");
    }
}

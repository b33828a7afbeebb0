//! Fields of tests that could not matter: each is a problem, and nothing runs.

use super::{Lab, POLICY, assert_cannot_run, assert_passes, run, test};

#[test]
fn what_could_not_matter_is_a_problem() {
    let deny = "{ nobody: deny, member: allow, \"*\": deny }";
    let with = |caller: &str| format!("  odd: {caller}\n{}", test("GET /api/x", deny));
    let given = |given: &str, request: &str| {
        format!("tests:\n  - {{ name: t, given: {given}, request: {request}, expect: {{ \"*\": 503 }} }}\n")
    };
    let of_nobody = |expect: &str| {
        format!(
            "tests:\n  - {{ name: t, request: GET /api/x, caller: nobody, expect: {expect} }}\n  - {{ name: u, request: GET /api/x, caller: member, expect: allow }}\n"
        )
    };
    for (rest, words) in [
        (with("{ corrupt: signature }"), "`corrupt` could be about"),
        (with("{ source: authorization }"), "`source` could be about"),
        (with("{ bound: other }"), "`bound` could be about"),
        (with("{ revoked: true }"), "`revoked` could be about"),
        (with("{ like: member, bound: true }"), "no certificate"),
        (given("{}", "GET /api/x"), "nothing is given"),
        (
            given("{ no_keys: [iss-a] }", "GET /api/health"),
            "to a route that reads it",
        ),
        (
            of_nobody("{ outcome: deny, response: {} }"),
            "nothing is expected of the response",
        ),
        (
            of_nobody("{ outcome: deny, response: { body: {} } }"),
            "nothing is expected of the response",
        ),
        (of_nobody("{ outcome: allow, headers: {} }"), "no header is named"),
        (
            of_nobody("{ outcome: deny, response: { headers: { content-length: 1 } } }"),
            "expect `present`",
        ),
        (
            with("{ like: member, corrupt: key_id }"),
            "the keys of `iss-a` have no ids",
        ),
        (
            test(
                "{ GET: /api/x, headers: { authorization: Basic eDp5 } }",
                "{ nobody: deny, member: deny }",
            ),
            "`authorization` stands in place of the token",
        ),
        (
            format!(
                "  job: {{ key: job }}\n{}",
                test("{ GET: /api/jobs/x, headers: { x-internal-api-key: k } }", deny)
            ),
            "`x-internal-api-key` stands in place of the key",
        ),
        (
            test(
                "GET /api/x",
                "{ nobody: deny, member: { outcome: allow, headers: { x-usr-id: null } } }",
            ),
            "the service could not get `x-usr-id`",
        ),
        (
            test(
                "GET /api/x",
                "{ nobody: deny, member: { outcome: allow, headers: { x_user_id: null } } }",
            ),
            "the service could not get `x_user_id`",
        ),
        (test("GET /api/admin/*", deny), "write a path: `/api/admin/x`"),
        (
            "tests:\n  - { name: t, request: GET /api/x, caller: [nobody, nobody], expect: deny }\n".to_owned(),
            "`nobody` is written twice",
        ),
    ] {
        assert_cannot_run(&run(&rest), "b.test.yaml:", &[words]);
    }
    let bare = "  forged: { like: member, corrupt: signature }\n  bare: { like: forged, token: null }\n";
    let said = run(&format!(
        "{bare}{}",
        test(
            "GET /api/x",
            "{ nobody: deny, member: allow, forged: 401, bare: credential_missing }"
        )
    ));
    assert_passes(&said, 4);
}

#[test]
fn what_the_policies_do_not_look_at_is_a_problem() {
    let other = "version: 1\nservice: o\nprefix: /o\nupstream: { url: http://127.0.0.1:1 }\nrevocation: {}\n\
                 jwt: { issuers: [{ issuer: a, audience: [b], algorithms: [HS256], keys: { secret: { env: S } } }] }\n\
                 quotas: [{ name: q, per: subject, limit: 3, window: 1m }]\n\
                 routes: [{ path: /health, auth: public, quotas: off }, { path: /*, auth: jwt }]\n";
    for (callers, given, request, words) in [
        (
            "  odd: { key: job }\n",
            "",
            "GET /o/x",
            "`odd` has a key, and `o` has no `internal_key`",
        ),
        (
            "  odd: { key: unknown }\n",
            "",
            "GET /o/x",
            "`odd` has a key, and `o` has no `internal_key`",
        ),
        (
            "  odd: { certificate: { cn: x } }\n",
            "",
            "GET /o/x",
            "`odd` has a certificate, and `o` has no `mtls`",
        ),
        (
            "",
            "given: { store: down }, ",
            "GET /o/health",
            "no request of the test needs the store",
        ),
        (
            "",
            "given: { no_keys: [a] }, ",
            "GET /o/health",
            "no caller of the test sends a token",
        ),
        (
            "",
            "given: { revoked: [{ subject: user-7 }] }, ",
            "GET /o/health",
            "no caller of the test has a token that this revokes",
        ),
    ] {
        let rest =
            format!("{callers}tests:\n  - {{ name: t, {given}request: {request}, expect: {{ \"*\": deny }} }}\n");
        let lab = Lab::new(POLICY).file("o.yaml", other).tests(&rest);
        assert_cannot_run(&lab.run(&["."]), "b.test.yaml:", &["error[nothing_to_prove]", words]);
    }
}

#[test]
fn revocation_that_no_caller_has_is_a_problem() {
    let policy = format!("{POLICY}revocation: {{}}\n");
    let file = |revoked: &str| {
        let rest = format!(
            "tests:\n  - {{ name: t, given: {{ revoked: [{revoked}] }}, request: GET /api/x, expect: {{ nobody: deny, member: token_revoked }} }}\n"
        );
        Lab::new(&policy).tests(&rest).run(&["."])
    };
    assert_passes(&file("{ subject: user-7, issuer: iss-a }"), 2);
    assert_cannot_run(
        &file("{ subject: user-8 }"),
        "b.test.yaml:6:",
        &[
            "error[nothing_to_prove]",
            "no caller of the test has a token that this revokes",
        ],
    );
    assert_cannot_run(
        &file("{ subject: user-7, issuer: iss-b }"),
        "b.test.yaml:6:",
        &["error[not_in_policies]", "did you mean `iss-a`?"],
    );
}

#[test]
fn certificate_is_a_problem_where_no_listener_asks_for_one() {
    let callers = "  worker: { certificate: { uri: 'spiffe://td/ns/a/sa/job' } }\n";
    let rest = format!("{callers}{}", test("GET /api/x", "{ member: allow, \"*\": deny }"));
    let config = |tls: &str| {
        format!(
            "version: 1\npolicies: .\nlisteners: [{{ address: '127.0.0.1:8443', tls: {{ certificate: a.pem, key: a.key{tls} }} }}]\n"
        )
    };
    let run = |config: &str| Lab::new(POLICY).file("sidegate.yaml", config).tests(&rest).run(&["."]);
    assert_passes(&run(&config(", client_ca: ca.pem")), 3);
    let words = ["error[nothing_to_prove]", "no listener has a `client_ca`"];
    assert_cannot_run(&run(&config("")), "b.test.yaml:5:3", &words);
}

#[test]
fn more_cases_than_are_decided_are_a_problem_and_long_chains_are_not() {
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let callers = many(1_000, |number| {
        format!(
            "  c{number}: {{ like: {} }}\n",
            match number {
                0 => "member".to_owned(),
                number => format!("c{}", number - 1),
            }
        )
    });
    let rows = |count: usize| {
        let requests: Vec<_> = (0..count).map(|number| format!("GET /api/docs/{number}")).collect();
        format!(
            "tests:\n  - {{ name: t, requests: [{}], expect: {{ nobody: deny, \"*\": allow }} }}\n",
            requests.join(", ")
        )
    };
    assert_passes(&run(&format!("{callers}{}", rows(1))), 1_002);
    assert_cannot_run(
        &run(&format!("{callers}{}", rows(100))),
        "b.test.yaml:1:",
        &["error[too_large]", "the file has 100200 cases"],
    );
}

#[test]
fn what_makes_no_difference_for_the_policy_is_a_problem() {
    for (rest, place, words) in [
        (
            "tests:\n  - { name: t, given: { revoked: [{ subject: user-7 }] }, request: GET /api/x, expect: { member: deny, nobody: deny } }\n",
            "b.test.yaml:6:34",
            &["error[nothing_to_prove]", "no `revocation`"][..],
        ),
        (
            "  gone: { like: member, revoked: true }\ntests:\n  - { name: t, request: GET /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:5:34",
            &["error[nothing_to_prove]", "no `revocation`"],
        ),
        (
            "tests:\n  - { name: t, given: { store: down }, request: GET /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:6:32",
            &["error[nothing_to_prove]", "no request of the test needs the store"],
        ),
        (
            "tests:\n  - { name: t, given: { no_keys: [iss-b] }, request: GET /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:6:35",
            &["error[not_in_policies]", "did you mean `iss-a`?"],
        ),
    ] {
        assert_cannot_run(&run(rest), place, words);
    }
    let public =
        "version: 1\nservice: p\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: public }]\n";
    let said = Lab::new(public)
        .tests("tests:\n  - { name: t, request: GET /x, expect: { \"*\": allow } }\n")
        .run(&["."]);
    assert_cannot_run(
        &said,
        "b.test.yaml:4:35",
        &["error[nothing_to_prove]", "`member` has roles"],
    );
}

#[test]
fn nothing_to_run_is_exit_2() {
    let lab = Lab::new(POLICY)
        .file("b.test.yaml", "version: 1\ncallers: { nobody: {} }\n")
        .file("empty/x.yaml", "");
    assert_cannot_run(
        &lab.run(&["b.test.yaml"]),
        "b.test.yaml:1:1",
        &["error[no_tests]", "the file has no test"],
    );
    assert_cannot_run(
        &lab.run(&["empty"]),
        "empty",
        &["error[no_tests]", "`empty` has no `*.test.yaml`"],
    );
    assert_cannot_run(&lab.run(&["missing"]), "missing", &["error[file_unreadable]"]);
    let lab = Lab::new(POLICY)
        .tests("tests:\n  - { name: t, request: GET /api/x, expect: { nobody: deny, member: allow } }\n");
    let said = lab.run(&[".", "--filter", "no such name"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{}", said.text);
    assert!(said.text.contains("`--filter` fits nothing"), "{}", said.text);
    assert_passes(&lab.run(&[".", "--filter", "member: GET"]), 1);
}

#[test]
fn caller_without_a_test_and_test_without_a_caller_are_problems() {
    for (rest, place, words) in [
        (
            "  spare: {}\ntests:\n  - { name: t, request: GET /api/x, expect: { nobody: deny, member: allow } }\n",
            "b.test.yaml:5:3",
            &["error[unused_caller]", "no test uses the caller `spare`"][..],
        ),
        (
            "tests:\n  - { name: t, request: GET /api/x, expect: { nobdy: deny, member: allow } }\n",
            "b.test.yaml:6:47",
            &["error[unknown_caller]", "did you mean `nobody`?"],
        ),
        (
            "tests:\n  - { name: t, request: GET /api/x, expect: allow }\n",
            "b.test.yaml:6:45",
            &["error[missing_field]", "no caller is named"],
        ),
        (
            "tests:\n  - { name: t, request: GET /api/x, expect: { \"*\": deny } }\n  - { name: t, request: GET /api/y, expect: { \"*\": deny } }\n",
            "b.test.yaml:7:13",
            &["error[duplicate_item]", "`t` is written twice"],
        ),
        (
            "  job: { key: jobb }\ntests:\n  - { name: t, request: GET /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:5:15",
            &["error[not_in_policies]", "did you mean `job`?"],
        ),
        (
            "  bad: { like: member, spoilt: signature }\ntests:\n  - { name: t, request: GET /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:5:24",
            &["error[unknown_field]", "did you mean `corrupt`?"],
        ),
        (
            "  web: { like: member, source: cookie }\ntests:\n  - { name: t, request: GET /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:5:32",
            &["error[not_in_policies]", "`b` reads no token from a cookie"],
        ),
        (
            "tests:\n  - { name: t, request: GTE /api/x, expect: { \"*\": deny } }\n",
            "b.test.yaml:6:25",
            &["error[unknown_method]", "did you mean `GET`?"],
        ),
        (
            "tests:\n  - name: t\n    request: GET /api/x\n    caller: [nobody, member]\n    expect: { outcome: deny, route: '/api/*/' }\n",
            "b.test.yaml:9:37",
            &["error[not_in_policies]", "did you mean `/api/*`?"],
        ),
    ] {
        assert_cannot_run(&run(rest), place, words);
    }
}

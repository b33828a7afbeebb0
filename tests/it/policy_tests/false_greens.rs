//! Tests that would pass without proof: each says what it would not see, or is a problem.

use super::{CALLERS, Lab, POLICY, assert_cannot_run, assert_fails, assert_passes, run};

/// A test with some request and what is expected.
fn test(request: &str, expect: &str) -> String {
    format!("tests:\n  - {{ name: t, request: {request}, expect: {expect} }}\n")
}

#[test]
fn token_of_an_issuer_with_placeholders_needs_their_claims() {
    let policy = POLICY.replace(
        "issuer: iss-a,",
        "issuer: 'https://login.example.com/{tid}/v2.0', issuer_values: { tid: [t1] },",
    );
    let file = |claims: &str| {
        let callers = CALLERS.replace("sub: user-7", claims);
        let test = test("GET /api/docs/1", "{ nobody: deny, member: allow }");
        Lab::new(&policy)
            .file("b.test.yaml", &format!("{callers}{test}"))
            .run(&["."])
    };
    assert_cannot_run(
        &file("sub: user-7"),
        "b.test.yaml:4:20",
        &["error[issuer_not_chosen]", "needs the claim `tid`"],
    );
    for claims in [
        "sub: user-7, tid: t1",
        "sub: user-7, tid: t1, iss: 'https://login.example.com/t1/v2.0'",
        "sub: user-7, tid: t1, iss: 'https://login.example.com/{tid}/v2.0'",
    ] {
        assert_passes(&file(claims), 2);
    }
}

#[test]
fn header_field_of_a_request_stands_beside_a_token_in_it() {
    let policy = POLICY.replace("jwt:\n", "jwt:\n  sources: [authorization, { cookie: session }]\n");
    let caller = "  web: { like: member, source: cookie, headers: { cookie: a=1, sec-fetch-site: same-origin } }\n";
    let request = "{ GET: /api/docs/1, headers: { cookie: b=2, x-a: '  1  ' } }";
    let expect = "{ nobody: deny, member: allow, web: { outcome: allow, headers: { x-a: '1' } } }";
    let said = Lab::new(&policy)
        .tests(&format!("{caller}{}", test(request, expect)))
        .run(&["."]);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn host_of_a_caller_chooses_the_policy() {
    let policy = POLICY.replace("prefix: /api\n", "prefix: /api\nhosts: [api.example.com]\n");
    let callers = "  far: { like: member, headers: { host: api.example.com } }\n";
    let rest = test("GET /api/docs/1", "{ far: allow, \"*\": route_not_found }");
    let said = Lab::new(&policy).tests(&format!("{callers}{rest}")).run(&["."]);
    assert_passes(&said, 3);
    let own = test(
        "{ GET: /api/docs/1, host: other.example.com }",
        "{ \"*\": route_not_found }",
    );
    assert_passes(&Lab::new(&policy).tests(&format!("{callers}{own}")).run(&["."]), 3);
}

#[test]
fn address_of_a_client_is_read_as_that_of_a_connection() {
    let policy = POLICY.replace(
        "{ path: /health, auth: public }",
        "{ path: /health, auth: public, when: [{ client: { in: [10.0.0.0/8] } }] }",
    );
    let callers = "  near: { client: '::ffff:10.0.0.1' }\n";
    let rest = test("GET /api/health", "{ near: allow, \"*\": 403 }");
    assert_passes(&Lab::new(&policy).tests(&format!("{callers}{rest}")).run(&["."]), 3);
}

#[test]
fn framing_is_that_of_the_fields_of_a_request() {
    let request = |fields: &str| format!("{{ POST: /api/x, headers: {{ {fields} }} }}");
    for (fields, nobody, member) in [
        ("content-length: '99999999'", "deny", "413"),
        ("content-length: x", "400", "400"),
        ("transfer-encoding: gzip", "400", "400"),
        ("transfer-encoding: chunked", "deny", "allow"),
    ] {
        let expect = format!("{{ nobody: {nobody}, member: {member} }}");
        assert_passes(&run(&test(&request(fields), &expect)), 2);
    }
}

#[test]
fn response_and_headers_are_those_of_the_request() {
    let expect = "{ outcome: deny, response: { body: { path: /api/x, code: present } } }";
    let rest = format!(
        "tests:\n  - {{ name: t, request: GET /api/x, caller: nobody, expect: {expect} }}\n  - {{ name: u, request: HEAD /api/x, caller: nobody, expect: {} }}\n  - {{ name: v, request: GET /api/x, caller: member, expect: {} }}\n",
        "{ outcome: deny, response: { body: { path: null } } }",
        "{ outcome: allow, headers: { x-forwarded-for: present } }",
    );
    assert_passes(&run(&rest), 3);
    let said = run(&rest.replace("x-forwarded-for: present", "x-forwarded-for: null"));
    assert_fails(&said, &["wanted no x-forwarded-for"]);
}

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
fn configuration_decides_with_its_limits_and_proxies() {
    let config = "version: 1\npolicies: policies\nlimits: { uri_bytes: 1KiB }\ntrusted_proxies: [10.0.0.0/8]\n";
    let policy = POLICY.replace(
        "{ path: /health, auth: public }",
        "{ path: /health, auth: public, when: [{ client: { in: [192.0.2.0/24] } }] }",
    );
    let long = format!("/api/x?{}", "a".repeat(2000));
    let rest = format!(
        "tests:\n  - {{ name: t, request: 'GET {long}', expect: {{ nobody: 414, member: 414 }} }}\n  - {{ name: u, request: {{ GET: /api/health, client: 10.0.0.1, headers: {{ x-forwarded-for: 192.0.2.1 }} }}, expect: {{ \"*\": allow }} }}\n"
    );
    let lab = Lab::new(&policy)
        .file("sidegate.yaml", config)
        .file("policies/b.yaml", &policy)
        .tests(&format!("{}\n", rest.trim_end()));
    assert_eq!(lab.run(&["."]).code, Some(1));
    let lab = lab.tests(&format!("policies: sidegate.yaml\n{rest}").replace("version: 1\n", ""));
    assert_passes(&lab.run(&["."]), 4);
}

#[test]
fn configuration_beside_policies_applies_where_it_names_their_folder() {
    let config = |policies: &str| format!("version: 1\npolicies: {policies}\nlimits: {{ body_bytes: 1KiB }}\n");
    let request = "{ POST: /api/x, body: { type: application/json, bytes: 2KiB } }";
    let rest = |want: &str| test(request, &format!("{{ nobody: deny, member: {want} }}"));
    let with = |config: &str, policies: &str, want: &str| {
        let lab = Lab::new(POLICY).file("sidegate.yaml", config);
        let lab = lab.file("other/b.yaml", POLICY);
        lab.tests(&format!("policies: {policies}\n{}", rest(want))).run(&["."])
    };
    for (policies, named, want) in [
        (".", ".", "413"),
        (".", "b.yaml", "413"),
        ("b.yaml", "b.yaml", "413"),
        (".", "other", "allow"),
        ("other", "b.yaml", "allow"),
        ("other", "sidegate.yaml", "413"),
        ("/no/such/folder", ".", "allow"),
    ] {
        let said = with(&config(policies), named, want);
        assert_eq!(said.code, Some(0), "{policies} {named}: {}", said.text);
    }
    let lab = Lab::new(POLICY).file("sidegate.yaml", &config("."));
    assert_passes(&lab.tests(&rest("413")).run(&["."]), 2);
    let wrong = with("version: 1\npolicies: .\nlimit: {}\n", ".", "413");
    assert_cannot_run(&wrong, "sidegate.yaml:3:", &["error[unknown_field]"]);
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
fn files_that_look_like_tests_and_are_not_run_are_named() {
    let said = Lab::new(POLICY)
        .tests(&test("GET /api/x", "{ nobody: deny, member: allow }"))
        .file(".hidden.test.yaml", "")
        .file("C.Test.YAML", "")
        .file("more/d.test.yaml", "")
        .run(&["."]);
    assert_passes(&said, 2);
    for name in [".hidden.test.yaml", "C.Test.YAML", "more/d.test.yaml"] {
        assert!(
            said.text.contains(&format!("not run: `./{name}`")),
            "{name} in {}",
            said.text
        );
    }
}

#[test]
fn report_has_no_text_that_a_terminal_or_github_acts_on() {
    let rest = "  '::stop-commands::x': {}\n".to_owned()
        + "tests:\n  - { name: '::error::b', request: GET /api/x, expect: { '::stop-commands::x': allow, \"*\": deny } }\n  - { name: u, request: GET /api/x, expect: { member: allow } }\n";
    let said = Lab::new(POLICY).tests(&rest).run(&[".", "--output", "github"]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert!(!said.text.contains('\u{1b}'), "{}", said.text);
    for line in said
        .stdout
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("::"))
    {
        assert!(line.starts_with("::error file=b.test.yaml,"), "{line}");
    }
}

#[test]
fn program_that_reads_reports_gets_one_where_nothing_ran() {
    let lab = Lab::new(POLICY).tests(&test("GET /api/x", "{ nobdy: deny, member: allow }"));
    for (output, parts) in [
        (
            "json",
            ["\"passed\": 0", "\"cases\": []", "\"code\": \"unknown_caller\""],
        ),
        (
            "junit",
            ["errors=\"1\"", "<error type=\"unknown_caller\"", "</testsuites>"],
        ),
        (
            "github",
            [
                "::error file=b.test.yaml,line=6",
                "title=unknown_caller",
                "did you mean",
            ],
        ),
    ] {
        let said = lab.run(&[".", "--output", output]);
        assert_eq!(said.code, Some(2), "{}", said.text);
        for part in parts {
            assert!(said.stdout.contains(part), "{part} in {}", said.stdout);
        }
    }
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
fn claim_within_a_mapping_is_a_time_where_a_condition_reads_one() {
    let policy = POLICY.replace(
        "{ path: /health, auth: public }",
        "{ path: /health, auth: jwt, when: [{ claim: [login, at], within: 5m }] }",
    );
    let callers = "  fresh: { like: member, token: { login: { at: -1m } } }\n  stale: { like: member, token: { login: { at: -10m } } }\n";
    let rest = test(
        "GET /api/health",
        "{ nobody: deny, fresh: allow, stale: condition_failed, member: deny }",
    );
    let said = Lab::new(&policy).tests(&format!("{callers}{rest}")).run(&["."]);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

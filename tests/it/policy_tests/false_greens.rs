//! Tests that would pass without proof, were requests not read as on a connection, and policies not as they are served.

use super::{CALLERS, Lab, POLICY, assert_cannot_run, assert_fails, assert_passes, run, test};

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

#[test]
fn value_that_no_response_could_have_proves_nothing_by_its_absence() {
    let file = |outcome: &str, response: &str| {
        let expect = format!("{{ outcome: {outcome}, response: {response} }}");
        format!(
            "tests:\n  - {{ name: t, request: GET /api/x, caller: [nobody], expect: {expect} }}\n  - {{ name: u, request: GET /api/x, expect: {{ member: allow }} }}\n"
        )
    };
    let envelope = POLICY.replace(
        "version: 1\n",
        "version: 1\nerrors: { format: envelope, code_prefix: ERR_B }\n",
    );
    for (policy, outcome, response) in [
        (POLICY, "deny", "{ body: { cod: null } }"),
        (POLICY, "401", "{ body: { code: present, error.code: null } }"),
        (POLICY, "deny", "{ body: { code.x: null } }"),
        (&envelope, "deny", "{ body: { error.code: present, code: null } }"),
        (&envelope, "deny", "{ body: { error.details.reson: null } }"),
        (POLICY, "deny", "{ headers: { x-sidegate-reson: null } }"),
        (
            POLICY,
            "deny",
            "{ status: 401, headers: { www-authenticate: present, x-user-id: null } }",
        ),
        (POLICY, "preflight", "{ body: { code: null } }"),
        (POLICY, "metadata", "{ body: { resorce: null } }"),
    ] {
        let said = Lab::new(policy).tests(&file(outcome, response)).run(&["."]);
        assert_eq!(said.code, Some(2), "{outcome} {response}: {}", said.text);
        assert_cannot_run(&said, "b.test.yaml:", &["error[nothing_to_prove]", "never has"]);
    }
    for (policy, response) in [
        (
            POLICY,
            "{ headers: { retry-after: null, allow: null, access-control-allow-origin: null } }",
        ),
        (&envelope, "{ body: { data: null, error.details.reason: present } }"),
    ] {
        assert_passes(&Lab::new(policy).tests(&file("deny", response)).run(&["."]), 2);
    }
}

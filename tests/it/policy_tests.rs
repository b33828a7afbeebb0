//! `sidegate test`: what becomes of requests is decided without a network and without secrets, and nothing passes by not matching.

use std::{fmt::Write as _, fs, process::Command};

use tempfile::TempDir;

use crate::cli_check::{Said, said};

mod false_greens;
mod places;
mod reports;
mod spare_fields;

/// A policy with all ways to authenticate, roles and routes of all kinds.
const POLICY: &str = "\
version: 1
service: b
prefix: /api
upstream: { url: { env: B_UPSTREAM } }
jwt:
  issuers:
    - { issuer: iss-a, audience: [aud], algorithms: [HS256], keys: { secret: { env: B_SECRET } } }
internal_key:
  keys:
    - { name: job, secret: { file: /no/such/key } }
mtls:
  allow:
    - { uri: 'spiffe://td/ns/*/sa/job' }
roles: { admin: [editor], editor: [viewer] }
routes:
  - { path: /health, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: '/docs/{id}', methods: [GET], auth: jwt, roles: [viewer] }
  - { path: /*, auth: jwt }
";

/// The callers that most files need.
const CALLERS: &str = "\
version: 1
callers:
  nobody: {}
  member: { token: { sub: user-7, roles: [viewer] } }
";

/// A folder with a policy and files beside it.
struct Lab(TempDir);

impl Lab {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self(folder).file("b.yaml", policy)
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A test file: the usual callers, and the rest.
    fn tests(self, rest: &str) -> Self {
        self.file("b.test.yaml", &format!("{CALLERS}{rest}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command
            .arg("test")
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear();
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&self.command(arguments).output().unwrap())
    }
}

/// What `sidegate test .` says of a test file beside the policy.
fn run(rest: &str) -> Said {
    Lab::new(POLICY).tests(rest).run(&["."])
}

#[track_caller]
fn assert_passes(said: &Said, cases: usize) {
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(said.stdout.contains(&format!("{cases} passed, in ")), "{}", said.text);
}

/// Exit 2 before anything ran, at a line of the test file, with some words.
#[track_caller]
fn assert_cannot_run(said: &Said, place: &str, words: &[&str]) {
    assert_eq!(said.code, Some(2), "{}", said.text);
    assert!(said.text.contains(place), "{place} in {}", said.text);
    for word in words {
        assert!(said.text.contains(word), "{word} in {}", said.text);
    }
    assert_eq!(said.stdout, "", "nothing runs");
}

#[track_caller]
fn assert_fails(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(1), "{}", said.text);
    for word in words {
        assert!(said.stdout.contains(word), "{word} in {}", said.text);
    }
}

/// A test with some request and what is expected.
fn test(request: &str, expect: &str) -> String {
    format!("tests:\n  - {{ name: t, request: {request}, expect: {expect} }}\n")
}

#[test]
fn misspelt_path_does_not_count_as_denied() {
    let said = run("tests:\n  - name: t\n    request: GET /aip/admin/x\n    expect: { nobody: deny, member: 404 }\n");
    assert_fails(
        &said,
        &[
            "FAILED  t",
            "./b.test.yaml:6:11",
            "nobody: GET /aip/admin/x",
            "wanted deny, got 404 route_not_found",
        ],
    );
    assert!(!said.text.contains("member:"), "{}", said.text);
}

#[test]
fn row_with_too_few_or_too_many_outcomes_runs_nothing() {
    for (row, help) in [
        ("[allow]", "write the outcome for `member`, too"),
        ("[allow, allow, allow]", "one outcome for each of `callers`"),
    ] {
        let said = run(&format!(
            "matrix:\n  callers: [nobody, member]\n  GET /api/health: [allow, allow]\n  GET /api/x: {row}\n"
        ));
        assert_cannot_run(
            &said,
            "b.test.yaml:8:15",
            &["error[incomplete_matrix]", help, "no test was run: 1 problem"],
        );
    }
}

#[test]
fn misspelt_outcome_gets_the_right_one() {
    let said = run("tests:\n  - { name: t, request: GET /api/x, expect: { member: role_mising, nobody: deny } }\n");
    assert_cannot_run(
        &said,
        "b.test.yaml:6:55",
        &["error[unknown_outcome]", "did you mean `role_missing`?"],
    );
}

#[test]
fn result_is_the_same_with_and_without_the_real_secrets() {
    let lab = Lab::new(POLICY).tests(
        "  job: { key: job }\n\
         tests:\n  - { name: t, request: GET /api/admin/x, expect: { nobody: deny, member: role_missing, job: allow } }\n",
    );
    let without = said(&lab.command(&["."]).output().unwrap());
    let mut command = lab.command(&["."]);
    command
        .env("B_SECRET", "a-real-secret-of-at-least-32-bytes-in-all")
        .env("B_UPSTREAM", "http://10.0.0.1:1");
    let with = said(&command.output().unwrap());
    let plain = |said: &Said| said.stdout.rsplit_once(", in ").unwrap().0.to_owned();
    assert_fails(
        &without,
        &["job: GET /api/admin/x", "wanted allow, got 401 credential_missing"],
    );
    assert_eq!((plain(&with), with.code), (plain(&without), without.code));
}

#[test]
fn token_of_a_policy_with_two_issuers_has_to_name_one() {
    let second = "    - { issuer: iss-b, audience: [aud], algorithms: [RS256], keys: { jwks: { url: 'https://b.example/jwks' } } }\n";
    let policy = POLICY.replacen("internal_key:\n", &format!("{second}internal_key:\n"), 1);
    let tests = "tests:\n  - { name: t, request: GET /api/docs/1, expect: { member: allow, nobody: deny } }\n";
    let said = Lab::new(&policy).tests(tests).run(&["."]);
    assert_cannot_run(
        &said,
        "b.test.yaml:4:20",
        &["error[issuer_not_chosen]", "known: iss-a, iss-b"],
    );
    for (iss, want) in [("iss-a", Some(0)), ("iss-b", Some(0)), ("iss-c", Some(2))] {
        let callers = CALLERS.replace("sub: user-7", &format!("sub: user-7, iss: {iss}"));
        let said = Lab::new(&policy)
            .file("b.test.yaml", &format!("{callers}{tests}"))
            .run(&["."]);
        assert_eq!(said.code, want, "{}", said.text);
    }
}

#[test]
fn token_of_an_unknown_issuer_is_good_for_a_test_that_expects_the_mismatch() {
    let stranger = "  stranger: { like: member, token: { iss: iss-x } }\n";
    let said = run(&format!(
        "{stranger}tests:\n  - {{ name: t, request: GET /api/x, expect: {{ stranger: token_issuer_mismatch, nobody: deny, member: allow }} }}\n"
    ));
    assert_passes(&said, 3);
    let said = run(&format!(
        "{stranger}tests:\n  - {{ name: t, request: GET /api/x, expect: {{ stranger: deny, nobody: deny, member: allow }} }}\n"
    ));
    assert_cannot_run(
        &said,
        "b.test.yaml:5:43",
        &["error[not_in_policies]", "did you mean `iss-a`?"],
    );
}

#[test]
fn forged_token_is_rejected_where_no_token_is_needed() {
    let policy = POLICY.replace(
        "{ path: /health, auth: public }",
        "{ path: /health, auth: { any: [jwt, public] } }",
    );
    let said = Lab::new(&policy)
        .tests(
            "  forged: { like: member, corrupt: signature }\n\
             tests:\n  - { name: t, request: GET /api/health, expect: { nobody: allow, member: allow, forged: token_signature_invalid } }\n",
        )
        .run(&["."]);
    assert_passes(&said, 3);
}

#[test]
fn what_shadow_mode_lets_through_is_not_allowed() {
    let policy = POLICY.replace("{ path: /*, auth: jwt }", "{ path: /*, auth: jwt, mode: shadow }");
    let test = |outcome: &str| {
        format!(
            "tests:\n  - {{ name: t, request: GET /api/x, caller: nobody, expect: {outcome} }}\n  \
             - {{ name: u, request: GET /api/x, caller: member, expect: allow }}\n"
        )
    };
    let said = Lab::new(&policy).tests(&test("allow")).run(&["."]);
    assert_fails(
        &said,
        &[
            "wanted allow, got shadow credential_missing",
            "in the policy: auth: jwt, mode: shadow",
        ],
    );
    for outcome in ["deny", "credential_missing", "401"] {
        assert_eq!(
            Lab::new(&policy).tests(&test(outcome)).run(&["."]).code,
            Some(1),
            "{outcome}"
        );
    }
    assert_passes(
        &Lab::new(&policy).tests(&test("shadow credential_missing")).run(&["."]),
        2,
    );
}

#[test]
fn requests_are_read_as_the_proxy_reads_them() {
    let said = run("matrix:\n  callers: [nobody, member]\n  \
         HEAD /api/docs/1: [credential_missing, allow]\n  \
         TRACE /api/docs/1: [405, method_not_allowed]\n  \
         GET /api/health/: [allow, allow]\n  \
         GET /api//health: [path_ambiguous, 400]\n  \
         GET /api/%61dmin/x: [credential_missing, role_missing]\n  \
         OPTIONS *: [options, options]\n  \
         \"GET /api/docs/{admin}?q={x}\": [deny, allow]\n");
    assert_passes(&said, 14);
}

#[test]
fn given_revocations_keys_and_store_change_what_becomes_of_requests() {
    let policy = format!("{POLICY}revocation: {{}}\ntenant: {{ claims: [tenant], header: x-tenant }}\n");
    let said = Lab::new(&policy)
        .file(
            "b.test.yaml",
            "version: 1\ncallers:\n  member: { token: { sub: user-7, tenant: 00000000-0000-4000-a000-000000000001 }, \
             headers: { x-tenant: 00000000-0000-4000-a000-000000000001 } }\n  \
             gone: { like: member, token: { sub: user-8 }, revoked: true }\n  other: { like: member, token: { sub: user-9 } }\n\
             tests:\n  - { name: a, request: GET /api/x, expect: { gone: token_revoked, \"*\": allow } }\n  \
             - { name: b, given: { revoked: [{ subject: user-7 }] }, request: GET /api/x, expect: { other: allow, \"*\": token_revoked } }\n  \
             - { name: c, given: { revoked: [{ tenant: 00000000-0000-4000-a000-000000000001 }] }, request: GET /api/x, expect: { \"*\": token_revoked } }\n  \
             - { name: d, given: { store: down }, request: GET /api/x, expect: { gone: token_revoked, \"*\": 503 store_unavailable } }\n  \
             - { name: e, given: { no_keys: [iss-a] }, request: GET /api/x, expect: { \"*\": 503 keys_unavailable } }\n  \
             - { name: f, request: GET /api/x, expect: { member: allow } }\n",
        )
        .run(&["."]);
    assert_passes(&said, 16);
}

#[test]
fn details_are_compared_with_what_service_and_client_get() {
    let test = |user: &str, code: &str| {
        format!(
            "tests:\n  - name: told\n    request: {{ GET: /api/docs/1, headers: {{ X_User_Id: boss, x-user-id: boss }} }}\n    caller: member\n    \
             expect:\n      outcome: allow\n      route: '/api/docs/{{id}}'\n      service: b\n      \
             headers: {{ x-user-id: {user}, x_user_id: null, x-user-roles: viewer, authorization: present, x-client-id: null }}\n  \
             - name: rejected\n    request: GET /api/x\n    caller: nobody\n    \
             expect: {{ outcome: deny, response: {{ status: 401, headers: {{ www-authenticate: present, x-sidegate-reason: credential_missing }}, body: {{ code: {code}, statusCode: 401 }} }} }}\n"
        )
    };
    assert_passes(&run(&test("user-7", "ERR_B_UNAUTHORIZED")), 2);
    let said = run(&test("user-8", "ERR_A_UNAUTHORIZED"));
    assert_fails(
        &said,
        &[
            "wanted x-user-id: user-8, got x-user-id: user-7",
            "wanted `code` in the body to be \"ERR_A_UNAUTHORIZED\", got \"ERR_B_UNAUTHORIZED\"",
        ],
    );
}

#[test]
fn certificates_and_keys_are_those_of_the_policy() {
    let policy = POLICY.replace("{ path: /health, auth: public }", "{ path: /health, auth: mtls }");
    let said = Lab::new(&policy)
        .file(
            "b.test.yaml",
            "version: 1\ncallers:\n  nobody: {}\n  job: { certificate: { uri: spiffe://td/ns/prod/sa/job }, key: job }\n  \
             late: { like: job, certificate: { uri: spiffe://td/ns/prod/sa/job, not_after: -1s } }\n  \
             refused: { like: job, certificate: { uri: spiffe://td/ns/prod/sa/job, refused: true } }\n  \
             other: { like: job, certificate: { dns: jobs.internal }, key: unknown }\n\
             matrix:\n  callers: [nobody, job, late, refused, other]\n  \
             GET /api/health: [client_certificate_missing, allow, 403, client_certificate_not_allowed, 403]\n  \
             POST /api/jobs/1: [credential_missing, allow, allow, allow, internal_key_invalid]\n",
        )
        .run(&["."]);
    assert_passes(&said, 10);
}

#[test]
fn thousand_cells_are_all_decided() {
    let mut matrix = String::from("matrix:\n  callers: [nobody, member]\n");
    for number in 0..500 {
        let _infallible = writeln!(matrix, "  GET /api/docs/{number}: [credential_missing, allow]");
    }
    assert_passes(&run(&matrix), 1000);
}

#[test]
fn each_file_runs_once_and_policies_are_found_from_the_file() {
    let lab = Lab::new(POLICY)
        .tests("tests:\n  - { name: t, request: GET /api/x, expect: { nobody: deny, member: allow } }\n")
        .file(
            "more/c.test.yaml",
            "version: 1\npolicies: ../b.yaml\ncallers: { nobody: {} }\ntests: [{ name: t, request: GET /api/health, expect: { nobody: allow } }]\n",
        );
    let said = lab.run(&[".", "b.test.yaml", "more", "./more/c.test.yaml"]);
    assert_passes(&said, 3);
    assert!(
        said.stdout
            .contains("./b.test.yaml      2 of 2\nmore/c.test.yaml   1 of 1\n"),
        "{}",
        said.stdout
    );
    let lab = lab.file("more/c.test.yaml", "version: 1\npolicies: ../c.yaml\ncallers: { nobody: {} }\ntests: [{ name: t, request: GET /, expect: { nobody: allow } }]\n");
    assert_cannot_run(
        &lab.run(&["more"]),
        "more/c.test.yaml:2:11",
        &["error[file_unreadable]"],
    );
}

#[test]
fn policies_that_do_not_check_out_are_reported_and_nothing_runs() {
    let lab = Lab::new(&POLICY.replace("auth: public", "auth: pubic"))
        .tests("tests:\n  - { name: t, request: GET /api/x, expect: { nobody: deny, member: allow } }\n");
    assert_cannot_run(
        &lab.run(&["."]),
        "b.yaml:16:28",
        &["error[unknown_auth]", "did you mean `public`?"],
    );
}

#[test]
fn check_of_a_test_file_leads_to_the_right_command() {
    let lab = Lab::new(POLICY)
        .tests("policies: .\ntests:\n  - { name: t, request: GET /api/x, expect: { nobody: deny, member: allow } }\n");
    let mut check = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    check
        .args(["check", "b.test.yaml"])
        .current_dir(lab.0.path())
        .env_clear();
    let said = said(&check.output().unwrap());
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert!(said.text.contains("error[not_a_policy]"), "{}", said.text);
    assert!(said.text.contains("run it with `sidegate test "), "{}", said.text);
}

#[test]
fn policy_in_place_of_a_test_file_is_one_problem() {
    let said = Lab::new(POLICY).run(&["b.yaml"]);
    assert_cannot_run(
        &said,
        "b.yaml",
        &["error[no_tests]", "is a policy", "*.test.yaml", "1 problem"],
    );
}

#[test]
fn folder_with_tests_in_folders_within_names_them() {
    let said = Lab::new(POLICY)
        .file("nest/a/b.yaml", POLICY)
        .file("nest/a/b.test.yaml", "version: 1\n")
        .run(&["."]);
    assert_cannot_run(&said, ".", &["error[no_tests]", "name `./nest/a`"]);
}

#[test]
fn role_that_no_policy_names_is_a_warning() {
    let warning = "names the role";
    let file = |role: &str, want: &str| {
        let callers = CALLERS.replace("roles: [viewer]", &format!("roles: [{role}]"));
        let rest = test("GET /api/docs/1", &format!("{{ nobody: deny, member: {want} }}"));
        Lab::new(POLICY)
            .file("b.test.yaml", &format!("{callers}{rest}"))
            .run(&["."])
    };
    for (role, want, words) in [
        ("viewr", "deny", &[warning, "`viewr`", "did you mean `viewer`?"][..]),
        (
            "viewer, edtor",
            "allow",
            &[warning, "`edtor`", "did you mean `editor`?"],
        ),
        (
            "viewer, accounting",
            "allow",
            &[warning, "`accounting`", "correct it, or leave it out"],
        ),
        ("accounting", "deny", &[]),
        ("accounting", "403 role_missing", &[]),
        ("viewer", "allow", &[]),
        ("admin", "allow", &[]),
    ] {
        let said = file(role, want);
        assert_passes(&said, 2);
        assert_eq!(said.text.contains(warning), !words.is_empty(), "{role}: {}", said.text);
        for word in words {
            assert!(said.text.contains(word), "{role}: {word} in {}", said.text);
        }
    }
    let policy = POLICY.replace(", roles: [admin]", "").replace(", roles: [viewer]", "");
    let policy = policy.replace("roles: { admin: [editor], editor: [viewer] }\n", "");
    let said = Lab::new(&policy)
        .tests(&test("GET /api/docs/1", "{ nobody: deny, member: allow }"))
        .run(&["."]);
    assert_passes(&said, 2);
    assert!(!said.text.contains(warning), "{}", said.text);
}

#[test]
fn request_that_no_route_takes_fails_with_what_was_likely_meant() {
    assert_fails(
        &run(&test("GET /aip/docs/1", "{ nobody: deny, member: allow }")),
        &["did you mean a path of the route `/api/docs/{id}`?"],
    );
    let hosts = POLICY.replace(
        "prefix: /api\n",
        "prefix: /api\nhosts: [api.example.com, '*.example.org']\n",
    );
    let said = Lab::new(&hosts)
        .tests(&test("GET /api/docs/1", "{ nobody: deny, member: allow }"))
        .run(&["."]);
    let hint = "the host is `localhost`, and the policies are for `*.example.org`, `api.example.com`: set `host`";
    assert_fails(&said, &[hint]);
}

#[test]
fn list_of_values_that_come_in_one_line_is_explained() {
    let policy = POLICY.replace(
        "roles: { admin",
        "identity: { x-user-roles: { from: roles, separator: ',' } }\nroles: { admin",
    );
    let callers = CALLERS.replace("roles: [viewer]", "roles: [viewer, editor]");
    let expect = "{ outcome: allow, headers: { x-user-roles: [viewer, editor] } }";
    let rest =
        format!("tests:\n  - {{ name: t, request: GET /api/docs/1, expect: {{ nobody: deny, member: {expect} }} }}\n");
    let said = Lab::new(&policy)
        .file("b.test.yaml", &format!("{callers}{rest}"))
        .run(&["."]);
    assert_fails(&said, &["in one header line (a list means several: write one text)"]);
}

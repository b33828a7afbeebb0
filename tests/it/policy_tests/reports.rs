//! The reports of `sidegate test`, for people and for programs.

use std::fmt::Write as _;

use serde_json::Value;

use super::{CALLERS, Lab, POLICY, assert_fails, assert_passes, test};

#[test]
fn claim_that_no_policy_reads_is_a_warning_on_standard_error() {
    let rest = "  odd: { like: member, token: { rolse: [admin] } }\ntests:\n  - { name: t, request: GET /api/x, expect: { nobody: deny, \"*\": allow } }\n";
    let lab = Lab::new(POLICY).tests(rest);
    let said = lab.run(&["."]);
    assert_passes(&said, 3);
    assert!(!said.stdout.contains("rolse"), "{}", said.stdout);
    for part in ["warning[unread_claim]", "b.test.yaml:5:33", "the claim `rolse`"] {
        assert!(said.text.contains(part), "{part} in {}", said.text);
    }
    let report: Value = serde_json::from_str(&lab.run(&[".", "--output", "json"]).stdout).unwrap();
    let problem = &report["problems"][0];
    assert_eq!(
        (&problem["severity"], &problem["code"]),
        (&"warning".into(), &"unread_claim".into())
    );
}

#[test]
fn place_in_a_policy_is_without_steps_up() {
    let config = "version: 1\npolicies: policies\n";
    for policies in ["../sidegate.yaml", "../policies/b.yaml", "../policies/../policies"] {
        let rest = test("GET /api/x", "{ nobody: allow, member: allow }");
        let lab = Lab::new(POLICY)
            .file("sidegate.yaml", config)
            .file("policies/b.yaml", POLICY);
        let lab = lab.file("tests/b.test.yaml", &format!("{CALLERS}policies: {policies}\n{rest}"));
        let said = lab.run(&["tests"]);
        assert_fails(&said, &["/api/* (policies/b.yaml:20:13)"]);
    }
}

#[test]
fn junit_has_the_case_its_place_and_the_steps() {
    let said = Lab::new(POLICY)
        .tests("tests:\n  - { name: 'a <b> & \"c\"', request: GET /api/docs/1, expect: { nobody: allow, member: allow } }\n")
        .run(&[".", "--output", "junit"]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    for part in [
        "<testsuites name=\"sidegate test\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"",
        "<testcase classname=\"./b.test.yaml\" name=\"a &lt;b&gt; &amp; &quot;c&quot; / nobody: GET /api/docs/1\" file=\"./b.test.yaml\" line=\"6\">",
        "<failure type=\"outcome\" message=\"wanted allow, got 401 credential_missing\">",
        "  route        ok  /api/docs/{id} (./b.yaml:19:13)\n",
        "  credentials  no  credential_missing: ",
        "in the policy: auth: jwt, roles: [viewer]</failure>",
        "name=\"a &lt;b&gt; &amp; &quot;c&quot; / member: GET /api/docs/1\" file=\"./b.test.yaml\" line=\"6\"/>",
    ] {
        assert!(said.stdout.contains(part), "{part} in {}", said.stdout);
    }
    assert_eq!(said.stdout.matches("<testcase").count(), 2);
}

#[test]
fn json_has_every_case_with_its_place() {
    let said = Lab::new(POLICY)
        .tests("tests:\n  - { name: t, request: 'GET /api/docs/{id}', expect: { nobody: allow, member: allow } }\n")
        .run(&[".", "--output", "json"]);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&1.into(), &1.into()));
    let [first, second] = report["cases"].as_array().unwrap().as_slice() else {
        panic!("{report}")
    };
    for (key, value) in [
        ("file", Value::from("./b.test.yaml")),
        ("line", 6.into()),
        ("column", 65.into()),
        ("test", "t".into()),
        ("caller", "nobody".into()),
        ("request", "GET /api/docs/id".into()),
        ("wanted", "allow".into()),
        ("got", "401 credential_missing".into()),
        ("passed", false.into()),
    ] {
        assert_eq!(first[key], value, "{key} in {first}");
    }
    assert_eq!(first["steps"][0]["step"], "route");
    assert_eq!((&second["passed"], &second["got"]), (&true.into(), &"allow".into()));
}

#[test]
fn github_shows_nine_failures_and_counts_the_rest() {
    let mut tests = String::from("tests:\n");
    for number in 0..30 {
        let _infallible = writeln!(
            tests,
            "  - {{ name: '100%, {number}: x', request: GET /api/x, expect: {{ nobody: allow }} }}"
        );
    }
    tests.push_str("  - { name: t, request: GET /api/x, expect: { member: allow } }\n");
    let said = Lab::new(POLICY).tests(&tests).run(&[".", "--output", "github"]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    let annotations: Vec<_> = said
        .stdout
        .lines()
        .filter(|line| line.starts_with("::error "))
        .collect();
    assert_eq!(annotations.len(), 10, "{annotations:?}");
    assert!(annotations[9].contains("21 more"), "{}", annotations[9]);
    let first = annotations[0];
    assert!(first.starts_with("::error file=b.test.yaml,line=6,col="), "{first}");
    assert!(
        first.contains("title=FAILED 100%25%2C 0%3A x::nobody: GET /api/x: wanted allow, got 401"),
        "{first}"
    );
    assert!(first.contains("%0A"), "{first}");
    assert_eq!(said.stdout.matches("FAILED  100%, ").count(), 30);
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

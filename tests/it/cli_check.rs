//! `sidegate check`: every problem at once, each with its place and with what would fix it.

use std::process::Output;

use serde_json::Value;

use crate::harness::Setup;

pub(crate) const GOOD: &str = "\
version: 1
service: wallet-svc
prefix: /wallet
upstream: { url: 'http://127.0.0.1:3002' }
errors: { format: envelope, code_prefix: ERR_WALLET }
jwt:
  issuers:
    - issuer: eventzr.com
      audience: [eventzr-api]
      algorithms: [HS256]
      keys: { secret: { env: IT_SECRET } }
internal_key:
  header: x-internal-api-key
  keys:
    - { name: scheduler, secret: { env: IT_JOBS_KEY } }
roles: { admin: [user] }
routes:
  - { path: /open/*, auth: public }
  - { path: /wallets, methods: [POST], auth: jwt, roles: [admin] }
  - { path: /*, auth: jwt }
  - { path: /jobs/*, auth: internal_key }
  - { path: /mine/*, auth: jwt, roles: [user] }
";

pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    pub(crate) stdout: String,
}

pub(crate) fn said(output: &Output) -> Said {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("panicked"), "{text}");
    Said {
        code: output.status.code(),
        text,
        stdout,
    }
}

pub(crate) fn check(policy: &str) -> Said {
    said(&Setup::new().policy("bad", policy).run(&["check", "policies/bad.yaml"]))
}

/// This in place of that is a problem on the line of the change, with these words.
pub(crate) type Fault<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Each of these makes the good policy a bad one. All of them are tried before any is reported.
#[track_caller]
pub(crate) fn each_is_refused(faults: &[Fault<'_>]) {
    let complaints: Vec<String> = faults.iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n---\n"));
}

fn complaint((that, this, words): &Fault<'_>) -> Option<String> {
    assert!(GOOD.contains(that), "{that} is in the good policy");
    let policy = GOOD.replacen(that, this, 1);
    let said = check(&policy);
    if said.code != Some(1) {
        return Some(format!("{this}: exit {:?} {}", said.code, said.text));
    }
    let at = policy.find(this).unwrap();
    let first = policy[..at].lines().count().max(1);
    let last = policy[..at + this.len()].lines().count() + 1;
    let placed = (first..=last).any(|line| said.text.contains(&format!("bad.yaml:{line}:")));
    if !placed {
        return Some(format!(
            "{this}: no place within lines {first} to {last}:\n{}",
            said.text
        ));
    }
    let missing = words.iter().find(|word| !said.text.contains(**word))?;
    Some(format!("{this}: `{missing}` is not in\n{}", said.text))
}

#[test]
fn a_good_policy_is_fine() {
    let said = check(GOOD);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn every_problem_is_listed_with_its_line_and_a_caret() {
    let policy = GOOD
        .replace("auth: public", "auth: pubic")
        .replace("algorithms:", "algoritms:")
        .replace("methods: [POST]", "metods: [POST]")
        .replace("IT_JOBS_KEY", "IT_NOT_SET");
    let said = check(&policy);
    assert_eq!(said.code, Some(1), "{}", said.text);
    for (line, word, right) in [
        (10, "algoritms", "algorithms"),
        (15, "IT_NOT_SET", "IT_NOT_SET"),
        (18, "pubic", "public"),
        (19, "metods", "methods"),
    ] {
        assert!(
            said.text.contains(&format!("bad.yaml:{line}:")),
            "line {line}:\n{}",
            said.text
        );
        assert!(
            said.text.contains(word) && said.text.contains(right),
            "{word}:\n{}",
            said.text
        );
    }
    assert!(said.text.contains('^'), "{}", said.text);
    assert!(said.text.contains("did you mean"), "{}", said.text);
}

#[test]
fn as_json_for_an_editor() {
    let policy = GOOD
        .replace("auth: public", "auth: pubic")
        .replace("methods: [POST]", "metods: [POST]");
    let output = Setup::new()
        .policy("bad", &policy)
        .run(&["check", "--output", "json", "policies/bad.yaml"]);
    let said = said(&output);
    assert_eq!(said.code, Some(1), "{}", said.text);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let problems = document["problems"].as_array().unwrap();
    let mut lines: Vec<u64> = problems
        .iter()
        .map(|problem| problem["line"].as_u64().unwrap())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, [18, 19], "{document}");
    for problem in problems {
        assert!(problem["file"].as_str().unwrap().ends_with("bad.yaml"), "{problem}");
        assert!(
            problem["column"].as_u64().unwrap() > 1 && !problem["message"].as_str().unwrap().is_empty(),
            "{problem}"
        );
        assert!(problem["help"].is_string(), "{problem}");
        let end = (problem["end_line"].as_u64(), problem["end_column"].as_u64().unwrap());
        assert_eq!(end.0, problem["line"].as_u64(), "{problem}");
        assert!(end.1 > problem["column"].as_u64().unwrap(), "{problem}");
    }
    let codes: Vec<_> = problems.iter().map(|problem| problem["code"].clone()).collect();
    assert_eq!(codes, ["unknown_auth", "unknown_field"], "{document}");
    let fine = Setup::new()
        .policy("bad", GOOD)
        .run(&["check", "--output", "json", "policies"]);
    assert_eq!(
        serde_json::from_slice::<Value>(&fine.stdout).unwrap()["problems"],
        serde_json::json!([])
    );
}

#[test]
fn warning_fails_the_check_where_it_is_denied() {
    let policy = GOOD.replace("routes:", "mode: shadow\nroutes:");
    let setup = Setup::new().policy("shadow", &policy);
    for (flags, code, summary) in [
        (&[][..], 0, "1 policy, 1 warning"),
        (&["--deny-warnings"], 1, "1 warning, denied by `--deny-warnings`"),
        (&["--deny-warnings", "--output", "json"], 1, "\"severity\": \"warning\""),
    ] {
        let said = said(&setup.run(&[&["check", "policies"], flags].concat()));
        assert_eq!(said.code, Some(code), "{}", said.text);
        assert!(said.text.contains(summary), "{}", said.text);
    }
    let fine = Setup::new().policy("good", GOOD);
    let said = said(&fine.run(&["check", "--deny-warnings", "policies"]));
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn names_that_are_not_known() {
    each_is_refused(&[
        ("upstream:", "upstrem:", &["upstrem", "upstream"]),
        ("auth: public", "auth: jwtt", &["jwtt", "jwt"]),
        ("auth: public", "auth: mtls", &["mtls"]),
        ("[HS256]", "[HS265]", &["HS265", "HS256"]),
        ("[HS256]", "[none]", &["none"]),
        ("format: envelope", "format: envelop", &["envelop", "envelope"]),
        ("methods: [POST]", "methods: [PSOT]", &["PSOT"]),
        ("auth: public", "auth: { any: [jwt, cookie] }", &["cookie"]),
        ("auth: public", "auth: { some: [jwt] }", &["some"]),
        ("roles: { admin: [user] }", "roles: { admin: [user] }\nfoo: 1", &["foo"]),
    ]);
}

#[test]
fn what_is_missing_twice_or_of_a_wrong_type() {
    each_is_refused(&[
        ("version: 1\n", "version: 2\n", &["version"]),
        ("prefix: /wallet", "prefix: wallet", &["prefix", "/"]),
        ("prefix: /wallet\n", "prefix: /wallet\nprefix: /other\n", &["prefix"]),
        ("auth: public }", "auth: public, auth: jwt }", &["auth"]),
        ("path: /open/*", "path: open/*", &["open"]),
        ("path: /open/*", "path: /open/../x", &["/open/../x"]),
        ("path: /open/*", "path: /o*n", &["/o*n"]),
        ("path: /open/*", "path: /open//x", &["/open//x"]),
        ("path: /open/*", "path: '/open/{id'", &["{id"]),
        ("methods: [POST]", "methods: POST", &["methods"]),
        ("http://127.0.0.1:3002", "ftp://127.0.0.1:3002", &["ftp"]),
        ("http://127.0.0.1:3002", "127.0.0.1:3002", &[]),
        (
            "{ url: 'http://127.0.0.1:3002' }",
            "{ url: 'http://127.0.0.1:3002', timeout: 30 parsecs }",
            &["parsecs"],
        ),
        ("auth: public", "auth: { any: [public, jwt] }", &["public"]),
        ("auth: public", "auth: { all: [public, jwt] }", &["public"]),
        ("auth: public", "auth: { any: [] }", &[]),
        ("auth: public", "auth: public, roles: [admin]", &["roles"]),
    ]);
    for missing in [
        "service: wallet-svc\n",
        "upstream: { url: 'http://127.0.0.1:3002' }\n",
        "      algorithms: [HS256]\n",
        "      audience: [eventzr-api]\n",
        "    - issuer: eventzr.com\n      audience",
    ] {
        let replacement = if missing.ends_with("audience") {
            "    - audience"
        } else {
            ""
        };
        let said = check(&GOOD.replacen(missing, replacement, 1));
        assert_eq!(said.code, Some(1), "without {missing}: {}", said.text);
        let name = missing.trim_start_matches([' ', '-']).split(':').next().unwrap();
        assert!(said.text.contains(name), "without {missing}: {}", said.text);
    }
}

#[test]
fn routes_that_can_never_match_and_routes_that_could_both() {
    let same = "  - { path: /open/*, auth: public }\n";
    each_is_refused(&[
        (
            same,
            "  - { path: /open/*, auth: public }\n  - { path: /open/*, auth: jwt }\n",
            &["/open/*"],
        ),
        (
            same,
            "  - { path: '/a/{x}', auth: public }\n  - { path: '/a/{y}', auth: jwt }\n",
            &["/a/{"],
        ),
        (
            same,
            "  - { path: /a, methods: [GET, POST], auth: public }\n  - { path: /a, methods: [POST, PUT], auth: jwt }\n",
            &["POST"],
        ),
        (
            same,
            "  - { path: '/{x}/b', auth: public }\n  - { path: '/a/{y}', auth: jwt }\n  - { path: /a/, auth: public }\n  - { path: /a, auth: jwt }\n",
            &["/a"],
        ),
    ]);
    // A longer pattern below a shorter one is what specificity is for.
    let fine = GOOD.replace(same, "  - { path: /open/*, auth: public }\n  - { path: /open/x, auth: jwt }\n  - { path: '/open/{x}', auth: jwt }\n  - { path: /open/x, methods: [GET], auth: public }\n");
    let said = check(&fine);
    assert_eq!(said.code, Some(0), "{}", said.text);
}

#[test]
fn two_policies_for_the_same_requests() {
    let other = GOOD.replace("wallet-svc", "other-svc");
    let output = Setup::new()
        .policy("a", GOOD)
        .policy("b", &other)
        .run(&["check", "policies"]);
    let said = said(&output);
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert!(
        said.text.contains("a.yaml") && said.text.contains("b.yaml"),
        "{}",
        said.text
    );
}

#[test]
fn file_that_is_not_a_policy_is_a_clear_error() {
    let bomb: String = (1..40).fold("version: 1\na0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!(
            "{text}a{n}: &a{n} [*a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}]\n",
            p = n - 1
        )
    });
    let huge = format!("{GOOD}# {}\n", "x".repeat(10 << 20));
    let deep = format!("version: {}1{}\n", "[".repeat(20_000), "]".repeat(20_000));
    for (what, text) in [
        ("an alias bomb", bomb.as_str()),
        ("10 MB", huge.as_str()),
        ("deep nesting", deep.as_str()),
        ("nothing", ""),
        ("a list", "- 1\n"),
        ("broken YAML", "version: [1\n"),
        ("a tab", "version:\t1\n\tx: 1\n"),
        ("two documents", &format!("{GOOD}---\n{GOOD}")),
    ] {
        let said = check(text);
        assert!(
            matches!(said.code, Some(1 | 2)),
            "{what}: {:?} {}",
            said.code,
            said.text
        );
        assert!(said.text.contains("bad.yaml"), "{what}: {}", said.text);
        assert!(
            said.text.len() < 20_000,
            "{what}: {} bytes of complaint",
            said.text.len()
        );
    }
}

#[test]
fn a_folder_is_checked_whole_and_a_missing_one_cannot_be() {
    let broken = GOOD
        .replace("auth: public", "auth: pubic")
        .replace("/wallet", "/two")
        .replace("wallet-svc", "two-svc");
    let setup = Setup::new()
        .policy("one", GOOD)
        .policy("two", &broken)
        .policy("three.test", "no policy at all")
        .file("policies/notes.txt", "nor this");
    let said_whole = said(&setup.run(&["check", "policies"]));
    assert_eq!(said_whole.code, Some(1));
    assert!(
        said_whole.text.contains("two.yaml:18:")
            && !said_whole.text.contains("one.yaml:")
            && !said_whole.text.contains("three.test"),
        "{}",
        said_whole.text
    );
    assert_eq!(said(&setup.run(&["check", "policies/one.yaml"])).code, Some(0));
    for paths in [
        &["not-there"][..],
        &["policies/one.yaml", "not-there"],
        &["not-there", "policies"],
    ] {
        assert_eq!(
            said(&setup.run(&[&["check"], paths].concat())).code,
            Some(2),
            "{paths:?}"
        );
    }
    assert_eq!(said(&setup.run(&["check"])).code, Some(2));
}

#[test]
fn sidegate_yaml_is_checked_as_well() {
    let config = "version: 1\nlistners:\n  - address: nowhere\npolicies: ./policies\nthreads: many\n";
    let setup = Setup::new().policy("one", GOOD).file("other.yaml", config);
    setup.write();
    let output = crate::harness::gateway::output(setup.command(&["run", "--config", "other.yaml"]));
    let said = said(&output);
    assert!(matches!(said.code, Some(1 | 2)), "{:?} {}", said.code, said.text);
    for word in ["listners", "listeners", "other.yaml:2:", "threads"] {
        assert!(said.text.contains(word), "`{word}` is not in {}", said.text);
    }
}

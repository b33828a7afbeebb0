//! `sidegate init`: a first policy for every identity provider, which `check` accepts as it is.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const SERVICE: [&str; 4] = ["--service", "orders", "--upstream", "http://127.0.0.1:3000"];

/// An identity provider with its flags, and lines that its policy has.
type Provider = (&'static str, &'static [&'static str], &'static [&'static str]);

const PROVIDERS: [Provider; 11] = [
    (
        "keycloak",
        &["--domain", "id.example.com", "--realm", "shop", "--audience", "orders"],
        &[
            "- issuer: https://id.example.com/realms/shop",
            "roles_claim: [realm_access, roles]",
        ],
    ),
    (
        "auth0",
        &[
            "--domain",
            "shop.eu.auth0.com",
            "--audience",
            "https://orders.example.com",
        ],
        &[
            "- issuer: https://shop.eu.auth0.com/",
            "keys: { oidc: https://shop.eu.auth0.com/ }",
        ],
    ),
    (
        "entra",
        &[
            "--tenant",
            "11111111-2222-3333-4444-555555555555",
            "--audience",
            "99999999-8888-7777-6666-555555555555",
        ],
        &[
            "- issuer: https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
            "roles_claim: roles",
            "scopes_claim: scp",
        ],
    ),
    (
        "entra",
        &[
            "--tenant",
            "organizations",
            "--audience",
            "99999999-8888-7777-6666-555555555555",
        ],
        &[
            "- issuer: \"https://login.microsoftonline.com/{tid}/v2.0\"",
            "issuer_values: { tid: any }",
            "keys: { oidc: { url: https://login.microsoftonline.com/organizations/v2.0 } }",
        ],
    ),
    (
        "entra",
        &[
            "--tenant",
            "11111111-2222-3333-4444-555555555555, one",
            "--audience",
            "orders",
        ],
        &["issuer_values: { tid: [\"11111111-2222-3333-4444-555555555555\", \"one\"] }"],
    ),
    (
        "okta",
        &["--domain", "shop.okta.com", "--audience", "api://default"],
        &[
            "- issuer: https://shop.okta.com/oauth2/default",
            "roles_claim: groups",
            "scopes_claim: scp",
        ],
    ),
    (
        "cognito",
        &["--pool", "eu-central-1_AbCdEfGhI"],
        &[
            "- issuer: https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEfGhI",
            "audience: unchecked",
        ],
    ),
    (
        "cognito",
        &["--pool", "eu-central-1_AbCdEfGhI", "--audience", "7abc"],
        &["audience: [\"7abc\"]", "audience_claim: client_id"],
    ),
    (
        "google",
        &["--audience", "1234.apps.googleusercontent.com"],
        &[
            "- issuer: https://accounts.google.com",
            "audience: [\"1234.apps.googleusercontent.com\"]",
        ],
    ),
    (
        "oidc",
        &[
            "--issuer",
            "https://auth.example.com/",
            "--audience",
            "orders",
            "--audience",
            "orders-api",
        ],
        &["- issuer: https://auth.example.com/", "audience: [orders, orders-api]"],
    ),
    ("none", &[], &["- { path: /health, methods: [GET], auth: public }"]),
];

fn sidegate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let command = command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env_remove("SIDEGATE_CONFIG").output().unwrap()
}

fn init(folder: &TempDir, idp: &str, more: &[&str]) -> Output {
    let arguments = [&["init", "--idp", idp], &SERVICE[..], more].concat();
    sidegate(folder.path(), &arguments)
}

fn texts(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

#[test]
fn first_policy_for_every_identity_provider_passes_check() {
    for (idp, flags, lines) in PROVIDERS {
        let folder = tempfile::tempdir().unwrap();
        let output = init(&folder, idp, &[flags, &["--prefix", "/orders"]].concat());
        assert_eq!(output.status.code(), Some(0), "{idp}: {}", texts(&output));
        let policy = fs::read_to_string(folder.path().join("policies/orders.yaml")).unwrap();
        assert!(
            policy.starts_with("# yaml-language-server: $schema=../schema/policy.json\n"),
            "{policy}"
        );
        for line in lines.iter().chain(&["service: orders", "prefix: /orders"]) {
            assert!(
                policy.lines().any(|found| found.trim() == *line),
                "{idp}: {line} in\n{policy}"
            );
        }
        // The commands that it names work as they are.
        let printed = String::from_utf8(output.stdout).unwrap();
        for (command, want) in [("check", 0), ("test", 0), ("explain", 0)] {
            let line = printed
                .lines()
                .map(str::trim)
                .find(|line| line.starts_with(&format!("sidegate {command}")));
            let arguments: Vec<_> = line.unwrap().split(' ').skip(1).collect();
            let ran = sidegate(folder.path(), &arguments);
            assert_eq!(ran.status.code(), Some(want), "{idp}: {line:?}: {}", texts(&ran));
        }
    }
}

#[test]
fn tests_of_a_first_policy_notice_each_weakening_of_it() {
    let root = ("root", &[][..], &[][..]);
    for (idp, flags, _) in PROVIDERS.iter().chain([&root]) {
        let (idp, prefix) = if *idp == "root" {
            ("none", "/")
        } else {
            (*idp, "/orders")
        };
        let folder = tempfile::tempdir().unwrap();
        let output = init(&folder, idp, &[*flags, &["--prefix", prefix]].concat());
        assert_eq!(output.status.code(), Some(0), "{idp}: {}", texts(&output));
        let tests = fs::read_to_string(folder.path().join("policies/orders.test.yaml")).unwrap();
        assert!(
            tests.starts_with("# yaml-language-server: $schema=../schema/test.json\n"),
            "{tests}"
        );
        let ran = sidegate(folder.path(), &["test", "--require", "routes,weakenings", "policies"]);
        assert_eq!(ran.status.code(), Some(0), "{idp}: {}\n{tests}", texts(&ran));
        assert!(!texts(&ran).contains("warning"), "{idp}: {}", texts(&ran));
    }
}

#[test]
fn policy_leads_editors_to_the_schemas_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(init(&folder, "none", &[]).status.code(), Some(0));
    for name in ["policy", "test", "config"] {
        let written = fs::read(folder.path().join(format!("schema/{name}.json"))).unwrap();
        assert!(written == sidegate(folder.path(), &["schema", name]).stdout, "{name}");
    }
    let config = fs::read_to_string(folder.path().join("sidegate.yaml")).unwrap();
    assert!(
        config.starts_with("# yaml-language-server: $schema=schema/config.json\n"),
        "{config}"
    );
}

#[test]
fn existing_file_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sidegate.yaml"), "version: 1\n").unwrap();
    assert_eq!(init(&folder, "none", &[]).status.code(), Some(0));
    assert_eq!(
        fs::read_to_string(folder.path().join("sidegate.yaml")).unwrap(),
        "version: 1\n"
    );
    let path = folder.path().join("policies/orders.yaml");
    fs::write(&path, "mine").unwrap();
    let tests = folder.path().join("policies/orders.test.yaml");
    fs::write(&tests, "my tests").unwrap();
    let output = init(&folder, "none", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", texts(&output));
    assert!(texts(&output).contains("exists already"), "{}", texts(&output));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    fs::remove_file(&path).unwrap();
    let output = init(&folder, "none", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", texts(&output));
    assert!(
        texts(&output).contains("kept  ./policies/orders.test.yaml"),
        "{}",
        texts(&output)
    );
    assert_eq!(fs::read_to_string(tests).unwrap(), "my tests");
}

#[test]
fn missing_flag_without_a_terminal_ends_it_with_the_usage() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, flags) in [
        (&["init"][..], "--service, --upstream, --idp"),
        (
            &["init", "--service", "a", "--upstream", "unix:/a", "--idp", "okta"],
            "--domain, --audience",
        ),
    ] {
        let output = sidegate(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{}", texts(&output));
        for part in [flags, "Usage: sidegate init"] {
            assert!(texts(&output).contains(part), "{part} in {}", texts(&output));
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn answer_that_makes_no_good_policy_is_a_problem_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let good = [
        ("--idp", "oidc"),
        ("--audience", "a"),
        ("--issuer", "https://a.example"),
        ("--service", "orders"),
        ("--upstream", "http://127.0.0.1:3000"),
    ];
    for (flag, value) in [
        ("--service", "a b"),
        ("--upstream", "127.0.0.1:3000"),
        ("--upstream", "http://a\nroutes: []"),
        ("--prefix", "orders"),
        ("--issuer", "http://id.example.com"),
    ] {
        let others = good.iter().filter(|(name, _)| *name != flag);
        let wrong = [(flag, value)];
        let flags = others.chain(&wrong).flat_map(|(name, value)| [*name, *value]);
        let arguments: Vec<_> = ["init"].into_iter().chain(flags).collect();
        let output = sidegate(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {}", texts(&output));
        assert!(
            texts(&output).contains("nothing was written"),
            "{flag} {value}: {}",
            texts(&output)
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn name_that_a_folder_of_policies_leaves_out_gets_another_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["sidegate", "orders.test"] {
        let arguments = [
            "init",
            "--service",
            name,
            "--upstream",
            "http://127.0.0.1:3000",
            "--idp",
            "none",
        ];
        let output = sidegate(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", texts(&output));
        assert!(folder.path().join(format!("policies/{name}-policy.yaml")).is_file());
    }
}

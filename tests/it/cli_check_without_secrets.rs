//! `sidegate check --without-secrets`: all of `check` but what depends on the secrets; and the annotations of
//! `--output github`.

use std::process::Command;

use crate::cli_check::{Said, said};
use crate::harness::Setup;

/// Everything that a policy can name, and nothing of it exists.
const POLICY: &str = "\
version: 1
service: orders
prefix: /orders
upstream:
  url: { env: NOT_SET_UPSTREAM }
  ca_file: missing/ca.pem
  client_certificate: missing/client.pem
  client_key: missing/client.key
  spiffe_id: spiffe://example.org/orders
jwt:
  issuers:
    - issuer: https://one.example.com
      audience: [orders]
      algorithms: [HS256]
      keys: { secret: { env: NOT_SET_SECRET } }
    - issuer: https://two.example.com
      audience: [orders]
      algorithms: [RS256]
      keys: { pem: { file: missing/two.pem } }
    - issuer: https://three.example.com
      audience: [orders]
      algorithms: [ES256]
      keys: { jwks: { file: missing/three.json } }
    - issuer: https://four.example.com
      audience: [orders]
      algorithms: [ES256]
      keys: { jwks: { url: { env: NOT_SET_KEYS }, ca_file: missing/ca.pem, bearer_token_file: missing/token } }
    - issuer: https://five.example.com
      audience: [orders]
      algorithms: [ES256]
      keys: { oidc: { env: NOT_SET_ISSUER } }
internal_key:
  keys:
    - { name: jobs, secret: { file: missing/jobs } }
    - { name: cron, secret: { env: NOT_SET_CRON, encoding: base64 } }
routes:
  - { path: /jobs/*, auth: internal_key }
  - { path: /*, auth: jwt }
";

const CONFIG: &str = "\
version: 1
listeners:
  - address: 0.0.0.0:8443
    tls:
      certificate: missing/server.pem
      key: missing/server.key
      client_ca: missing/clients.pem
      client_crl: missing/clients.crl
store:
  redis:
    url: { env: NOT_SET_STORE }
    username: sidegate
    ca_file: missing/store.pem
policies: policies
";

fn check(policy: &str, config: &str, arguments: &[&str]) -> Said {
    let setup = Setup::new().policy("orders", policy).file("process.yaml", config);
    said(&setup.run(&[&["check"], arguments].concat()))
}

#[test]
fn nothing_that_a_policy_and_the_configuration_name_is_read() {
    for paths in [&["policies"][..], &["policies/orders.yaml"], &["process.yaml"]] {
        let real = check(POLICY, CONFIG, paths);
        assert_eq!(real.code, Some(1), "{}", real.text);
        assert!(real.text.contains("NOT_SET_SECRET"), "{}", real.text);
        let without = check(
            POLICY,
            CONFIG,
            &[paths, &["--without-secrets", "--deny-warnings"]].concat(),
        );
        assert_eq!(without.code, Some(0), "{}", without.text);
        assert_eq!(without.stdout, "1 policy, no problems\n");
    }
}

#[test]
fn what_is_wrong_beside_secrets_is_a_problem_with_its_place() {
    for (that, this, word) in [
        (
            "algorithms: [HS256]",
            "algorithms: [RS256]",
            "a shared secret cannot be used with RS256",
        ),
        (
            "algorithms: [RS256]",
            "algorithms: [HS256]",
            "cannot be used with HS256",
        ),
        (
            "file: missing/jobs",
            "env: NOT_SET_CRON, encoding: base64",
            "another key has the same secret",
        ),
        ("auth: internal_key", "auth: internal", "did you mean"),
        ("https://five.example.com", "https://four.example.com", "written twice"),
        (
            "env: NOT_SET_UPSTREAM",
            "env: NOT_SET_UPSTREAM, default: orders",
            "is not a URL of an upstream",
        ),
        (
            "env: NOT_SET_ISSUER",
            "env: NOT_SET_ISSUER, default: 'https://six.example.com'",
            "https://six.example.com",
        ),
        (
            "      client_ca: missing/clients.pem\n",
            "",
            "`client_crl` needs `client_ca`",
        ),
        ("ca_file: missing/store.pem", "prefix: ''", "a prefix of keys"),
    ] {
        let (policy, config) = (POLICY.replacen(that, this, 1), CONFIG.replacen(that, this, 1));
        assert!((&*policy, &*config) != (POLICY, CONFIG), "{that}");
        let said = check(&policy, &config, &["process.yaml", "--without-secrets"]);
        assert_eq!(said.code, Some(1), "{this}: {}", said.text);
        assert!(
            said.text.contains(word) && said.text.contains(".yaml:"),
            "{this}: {}",
            said.text
        );
    }
}

#[test]
fn shipped_configurations_are_checked_without_any_variable() {
    let root = env!("CARGO_MANIFEST_DIR");
    for path in [
        "policies",
        "policies/example/orders.yaml",
        "deploy/compose/sidegate.yaml",
    ] {
        let path = format!("{root}/{path}");
        let mut sidegate = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        let checked = sidegate
            .env_clear()
            .args(["check", "--without-secrets", &path])
            .output()
            .unwrap();
        let said = said(&checked);
        // The compose file names a folder of the image, which does not exist here.
        let is_fine = said.code == Some(0) || said.text.contains("/etc/sidegate") && !said.text.contains("not set");
        assert!(is_fine, "{path}: {}", said.text);
    }
}

#[test]
fn problems_are_annotations_behind_the_text() {
    let policy = POLICY
        .replace("auth: internal_key", "auth: internal")
        .replace("env: NOT_SET_UPSTREAM", "'http://user:word,100%@orders'");
    let text = check(&policy, CONFIG, &["policies", "--without-secrets"]);
    let github = check(
        &policy,
        CONFIG,
        &["policies", "--without-secrets", "--output", "github"],
    );
    assert_eq!(github.code, Some(1), "{}", github.text);
    let annotations = github.stdout.strip_prefix(&text.stdout).unwrap();
    let lines: Vec<_> = annotations.lines().collect();
    assert!(
        !lines.is_empty()
            && lines
                .iter()
                .all(|line| line.starts_with("::error file=policies/orders.yaml,line=")),
        "{annotations}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains(",line=37,col=28,endColumn=36,title=")),
        "{annotations}"
    );
}

#[test]
fn warnings_are_annotations_and_no_errors() {
    let policy = POLICY.replacen("audience: [orders]", "audience: [orders]\n      binding: ignore", 1);
    let said = check(
        &policy,
        CONFIG,
        &["policies", "--without-secrets", "--output", "github"],
    );
    assert_eq!(said.code, Some(0), "{}", said.text);
    let last = said.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("::warning file=policies/orders.yaml,line=14,col="),
        "{}",
        said.text
    );
    assert!(last.contains("title=binding_ignored::"), "{last}");
}

#[test]
fn texts_and_names_of_files_begin_no_command_and_no_line() {
    let command = "::stop-commands::x";
    for end in ["\\n", "\\r", "\\r\\n", "\\x1b[2K\\r", "\\x85", "\\u2028", "\\u202e"] {
        let odd = |word: &str| format!("\"{word}{end}{command}\"");
        let policy = POLICY
            .replace("version: 1", &format!("version: 1\n{}: 1", odd("x")))
            .replace("service: orders", &format!("service: {}", odd("orders")))
            .replace("auth: internal_key", &format!("auth: {}", odd("pub")))
            .replace("algorithms: [HS256]", &format!("algorithms: [{}]", odd("HS256")))
            .replace("auth: jwt", &format!("auth: jwt, mode: {}", odd("sha")))
            .replace("env: NOT_SET_UPSTREAM", &odd("http://h"));
        let raw = end
            .replace("\\n", "\n")
            .replace("\\r", "\r")
            .replace("\\x1b", "\u{1b}")
            .replace("\\x85", "\u{85}");
        let setup = Setup::new()
            .file(&format!("policies/a{raw}{command}.yaml"), &policy)
            .file("policies/raw.yaml", &format!("{command}{raw}{command}\n{command}\n"))
            .file(
                "policies/old.yaml",
                "version: 1 # ##[stop-commands]x\nservice: '##[add-mask]service'\nroutes: 7 ##[error]x\n",
            );
        for arguments in [
            &["check", "policies", "--output", "github"][..],
            &["check", "policies"],
            &["routes", "policies"],
        ] {
            let said = said(&setup.run(arguments));
            assert_ne!(said.code, Some(0), "{end}: {}", said.text);
            let is_odd = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{2028}' | '\u{202e}'));
            assert!(!said.text.contains(is_odd), "{end}: {:?}", said.text);
            // The older form of commands, which may stand anywhere in a line.
            let has_old_form = said
                .text
                .lines()
                .any(|line| line.contains("##[") && !line.starts_with("::error file="));
            assert!(!has_old_form, "{end}: {}", said.text);
            let commands: Vec<_> = said
                .text
                .lines()
                .filter(|line| line.trim_start().starts_with("::"))
                .collect();
            let is_github = arguments.contains(&"github");
            assert_eq!(commands.is_empty(), !is_github, "{end}: {}", said.text);
            assert!(
                commands
                    .iter()
                    .all(|line| line.starts_with("::error file=policies/") && line.contains(",line=")),
                "{end}: {}",
                said.text
            );
        }
    }
}

#[test]
fn what_is_wrong_whatever_a_variable_is_has_the_same_problem_with_and_without_secrets() {
    for (that, this, word) in [
        (
            "NOT_SET_UPSTREAM }",
            "SET_UPSTREAM, default: orders }",
            "is not a URL of an upstream",
        ),
        (
            "NOT_SET_UPSTREAM }",
            "SET_UPSTREAM, default: 'http://h' }",
            "`client_certificate` has an effect",
        ),
        (
            "NOT_SET_KEYS }",
            "SET_KEYS, default: 'http://h/keys' }",
            "error[insecure_url]",
        ),
        ("NOT_SET_KEYS }", "SET_KEYS, default: keys }", "error[invalid_url]"),
        (
            "NOT_SET_ISSUER }",
            "SET_ISSUER, default: 'https://six.example.com' }",
            "these are the keys of",
        ),
        (
            "NOT_SET_ISSUER }",
            "SET_ISSUER, default: 'https://five.example.com/.well-known/openid-configuration' }",
            "is the document of an issuer",
        ),
        (
            "oidc: { env: NOT_SET_ISSUER }",
            "oidc: { issuer: 'https://five.example.com', url: { env: SET_ISSUER, default: 'http://five.example.com' } }",
            "error[insecure_url]",
        ),
        (
            "NOT_SET_STORE }",
            "SET_STORE, default: 'rediss://u:word@h' }",
            "a password does not belong in this file",
        ),
        (
            "NOT_SET_STORE }",
            "SET_STORE, default: 'http://h' }",
            "error[invalid_redis_url]",
        ),
        (
            "env: NOT_SET_SECRET",
            "env: 'NOT SET='",
            "no environment variable can have this name",
        ),
        (
            "env: NOT_SET_UPSTREAM",
            "env: '='",
            "no environment variable can have this name",
        ),
        (
            "env: NOT_SET_STORE",
            "env: 'a=b'",
            "no environment variable can have this name",
        ),
        ("env: NOT_SET_SECRET", "env: ''", "the text is empty"),
        ("env: NOT_SET_UPSTREAM", "env: \"A\\0\"", "cannot be seen"),
        (
            "- { name: cron, secret: { env: NOT_SET_CRON, encoding: base64 } }",
            "- { name: cron, secret: { file: .//./jobs-key } }",
            "another key has the same secret",
        ),
    ] {
        let (policy, config) = (POLICY.replacen(that, this, 1), CONFIG.replacen(that, this, 1));
        assert!((&*policy, &*config) != (POLICY, CONFIG), "{that}");
        let policy = policy.replace("missing/jobs", "jobs-key");
        let setup = Setup::new()
            .policy("orders", &policy)
            .file("process.yaml", &config)
            .file("policies/jobs-key", "an-internal-key-for-tests")
            .env("SET_UPSTREAM", "https://orders.example.com")
            .env("SET_KEYS", "https://four.example.com/keys")
            .env("SET_ISSUER", "https://five.example.com")
            .env("SET_STORE", "rediss://h");
        for arguments in [
            &["check", "process.yaml"][..],
            &["check", "process.yaml", "--without-secrets"],
        ] {
            let said = said(&setup.run(arguments));
            assert_eq!(said.code, Some(1), "{this}: {}", said.text);
            assert!(said.text.contains(word), "{this} {arguments:?}: {}", said.text);
        }
    }
}

#[test]
fn default_that_is_as_good_as_the_variable_has_no_problem() {
    let policy = POLICY
        .replace(
            "NOT_SET_UPSTREAM }",
            "SET_UPSTREAM, default: 'https://other.example.com' }",
        )
        .replace(
            "NOT_SET_KEYS }",
            "SET_KEYS, default: 'https://other.example.com/keys' }",
        )
        .replace("NOT_SET_ISSUER }", "SET_ISSUER, default: 'https://five.example.com' }");
    let setup = Setup::new()
        .policy("orders", &policy)
        .env("SET_UPSTREAM", "https://orders.example.com")
        .env("SET_KEYS", "https://four.example.com/keys")
        .env("SET_ISSUER", "https://five.example.com");
    let said = said(&setup.run(&["check", "policies", "--output", "json"]));
    for word in [
        "SET_UPSTREAM",
        "SET_KEYS",
        "SET_ISSUER",
        "other.example.com",
        "five.example.com",
    ] {
        assert!(!said.stdout.contains(word), "{}", said.text);
    }
}

#[test]
fn test_file_in_place_of_a_policy_or_a_configuration_names_the_command_for_it() {
    let tests = "version: 1\npolicies: [orders.yaml]\ncallers:\n  nobody: {}\ntests:\n  - { name: a, allow: { nobody: GET /orders } }\n";
    let setup = Setup::new()
        .policy("orders", POLICY)
        .file("policies/orders.test.yaml", tests)
        .file("other.yaml", tests);
    for file in ["policies/orders.test.yaml", "other.yaml"] {
        for arguments in [
            &["check", file][..],
            &["check", "policies", file],
            &["check", file, "--without-secrets"],
            &["routes", file],
            &["routes", "--policies", file],
            &["routes", "--config", file],
            &["explain", "GET", "/orders", "--without-secrets", "--policies", file],
            &["explain", "GET", "/orders", "--without-secrets", "--config", file],
            &["run", "--config", file],
            &["diff", "policies", file],
        ] {
            let said = said(&setup.run(arguments));
            assert!(matches!(said.code, Some(1 | 2)), "{arguments:?}: {}", said.text);
            let help = format!("run it with `sidegate test {file}`");
            assert!(
                said.text.contains("this is a test file"),
                "{arguments:?}: {}",
                said.text
            );
            assert!(said.text.contains(&help), "{arguments:?}: {}", said.text);
            assert!(
                !said.text.contains("name it `sidegate.yaml`"),
                "{arguments:?}: {}",
                said.text
            );
        }
    }
    let said = said(&setup.run(&["check", "policies", "--without-secrets"]));
    assert_eq!(said.code, Some(0), "{}", said.text);
}

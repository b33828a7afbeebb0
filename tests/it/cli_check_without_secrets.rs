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

//! `sidegate test --coverage`: which routes the tests of a policy reach, and which weaker policies they notice.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A policy with each way to authenticate.
const WALLET: &str = r#"version: 1
service: wallet-svc
prefix: /wallet/v1
upstream: { url: "http://127.0.0.1:3002" }
errors: { format: envelope, code_prefix: ERR_WALLET }
jwt:
  issuers:
    - issuer: eventzr.com
      audience: [eventzr-api]
      algorithms: [HS256]
      keys: { secret: { env: WALLET_JWT_SECRET } }
      required_claims: [sub]
tenant: { header: x-tenant-id, claims: [tenant, tenantId] }
internal_key:
  keys:
    - { name: scheduler, secret: { env: WALLET_JOBS_KEY } }
routes:
  - { path: /_internal/*, auth: public }
  - { path: /jobs/scheduled/*, auth: internal_key }
  - { path: /*, auth: jwt }
"#;

/// Its callers.
const CALLERS: &str = r"version: 1
policies: wallet.yaml
callers:
  nobody: {}
  member:
    token: { sub: user-7, tenant: &t 00000000-0000-4000-a000-000000000001, tenantId: *t }
    headers: { x-tenant-id: *t }
  scheduler: { key: scheduler }
";

/// One test for each kind of caller.
const FEW: &str = r"tests:
  - { name: health, request: GET /wallet/v1/_internal/health, expect: { nobody: allow } }
  - { name: without a token, request: GET /wallet/v1/wallets, expect: { nobody: deny } }
  - { name: with a token, request: GET /wallet/v1/wallets, expect: { member: allow } }
  - { name: a job, request: POST /wallet/v1/jobs/scheduled/x, expect: { scheduler: allow } }
";

fn folder(policy: &str, tests: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wallet.yaml"), policy).unwrap();
    fs::write(folder.path().join("wallet.test.yaml"), format!("{CALLERS}{tests}")).unwrap();
    folder
}

/// Runs the program without any variable.
fn sidegate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command
        .env_clear()
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn coverage(folder: &Path) -> Value {
    let output = sidegate(folder, &["test", "--coverage", "--output", "json", "."]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    report["coverage"].clone()
}

/// What is not noticed: the subject and what it then does.
fn unnoticed(coverage: &Value) -> Vec<String> {
    let list = coverage["weakenings"]["unnoticed"].as_array().unwrap();
    let line = |one: &Value| {
        format!(
            "{} {}",
            one["subject"].as_str().unwrap(),
            one["change"].as_str().unwrap()
        )
    };
    list.iter().map(line).collect()
}

#[test]
fn few_tests_reach_all_routes_and_notice_few_weakenings() {
    let folder = folder(WALLET, FEW);
    let output = sidegate(folder.path(), &["test", "--coverage", "wallet.test.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for line in [
        "routes      3 of 3 reached; never rejected: /wallet/v1/jobs/scheduled/*\n",
        "weakenings  4 of 16 noticed. No test fails if\n",
        "  /wallet/v1/jobs/scheduled/*  is open to anybody                     wallet.yaml:19:13\n",
        "lets in callers without a credential: GET /wallet/v1/jobs/scheduled\n",
        "  /wallet/v1/*                 takes the key `scheduler` as well      wallet.yaml:20:13\n",
        "  tenant                       is not compared                        wallet.yaml:13:1\n",
        "lets in tokens whose tenant is not that of the request: GET /wallet/v1\n",
    ] {
        assert!(text(&output).contains(line), "{line}\n{}", text(&output));
    }
    let coverage = coverage(folder.path());
    assert_eq!(
        (&coverage["weakenings"]["total"], &coverage["weakenings"]["noticed"]),
        (&16.into(), &4.into())
    );
    assert_eq!(
        unnoticed(&coverage),
        [
            "/wallet/v1/jobs/scheduled/* is open to anybody",
            "/wallet/v1/jobs/scheduled/* is in shadow mode",
            "/wallet/v1/jobs/scheduled/* takes a token as well",
            "/wallet/v1/* takes the key `scheduler` as well",
            "issuer is unchecked",
            "audience is unchecked",
            "binding is ignored",
            "tenant is not compared",
            "tenant does not compare the claim `tenant`",
            "tenant does not compare the claim `tenantId`",
            "tenant does not need its header",
            "tenant may be one of several in a token",
        ]
    );
    let first = &coverage["weakenings"]["unnoticed"][0];
    assert_eq!(first["kind"], "public");
    assert_eq!(first["place"], "wallet.yaml:19:13");
    assert_eq!(
        (&first["caller"], &first["was"], &first["now"]),
        (
            &serde_json::json!({}),
            &"401 credential_missing".into(),
            &"allow".into()
        )
    );
    assert_eq!(coverage["routes"]["total"], 3);
    assert_eq!(coverage["routes"]["missing"][0]["never"], "refused");
}

/// Tests that notice each step.
const ALL: &str = r"  wrong-key: { key: unknown }
  other-issuer: { like: member, token: { iss: example.com } }
  other-audience: { like: member, token: { aud: example-api } }
  stolen: { like: member, bound: other }
  stranger: { like: member, headers: { x-tenant-id: &other 11111111-1111-4111-a111-111111111111 } }
  half: { like: member, token: { tenant: *other } }
  other-half: { like: member, token: { tenantId: *other } }
  without: { like: member, headers: { x-tenant-id: null } }
  several: { like: member, token: { tenant: [*t], tenantId: [*t] } }
matrix:
  callers:                           [nobody,             member,             scheduler,          wrong-key]
  GET /wallet/v1/_internal/health:   [allow,              allow,              allow,              allow]
  POST /wallet/v1/jobs/scheduled/x:  [credential_missing, credential_missing, allow,              internal_key_invalid]
  GET /wallet/v1/wallets:            [credential_missing, allow,              credential_missing, credential_missing]
tests:
  - name: tokens
    request: GET /wallet/v1/wallets
    expect:
      other-issuer: token_issuer_mismatch
      other-audience: token_audience_mismatch
      stolen: token_binding_mismatch
      stranger: tenant_mismatch
      half: tenant_mismatch
      other-half: tenant_mismatch
      without: tenant_header_missing
      several: token_claim_invalid
";

#[test]
fn one_test_for_each_weakening_notices_all() {
    let folder = folder(WALLET, ALL);
    let output = sidegate(folder.path(), &["test", "--require", "routes,weakenings", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for line in ["routes      3 of 3 reached\n", "weakenings  16 of 16 noticed\n"] {
        assert!(text(&output).contains(line), "{line}\n{}", text(&output));
    }
}

#[test]
fn what_is_required_and_missing_is_exit_1() {
    let folder = folder(WALLET, FEW);
    for (arguments, want) in [
        (&["test", "--coverage", "."][..], 0),
        (&["test", "--require", "routes", "."], 1),
        (&["test", "--require", "weakenings", "."], 1),
        (&["test", "--require", "routes", "--require", "weakenings", "."], 1),
        (&["test", "--require", "rules", "."], 2),
        (&["test", "--coverage", "--filter", "job", "."], 2),
    ] {
        let output = sidegate(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(want), "{arguments:?}: {}", text(&output));
    }
    let arguments = ["test", "--require", "weakenings", "--output", "github", "."];
    let output = text(&sidegate(folder.path(), &arguments));
    let errors = output
        .lines()
        .filter(|line| line.starts_with("::error file=wallet.yaml,line="));
    assert_eq!(errors.count(), 10, "{output}");
    assert!(output.contains("::warning file=wallet.yaml,line=19,col=13"), "{output}");
}

#[test]
fn test_files_about_the_same_policies_count_together() {
    let folder = folder(WALLET, FEW);
    let path = folder.path().join("more.test.yaml");
    fs::write(path, format!("{CALLERS}{ALL}").replace("policies: wallet.yaml\n", "")).unwrap();
    let output = sidegate(folder.path(), &["test", "--require", "routes,weakenings", "."]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(
        text(&output).matches("16 of 16 noticed").count(),
        1,
        "{}",
        text(&output)
    );
}

#[test]
fn test_that_fails_covers_nothing() {
    let wrong = FEW.replace("{ scheduler: allow }", "{ scheduler: deny }");
    let folder = folder(WALLET, &wrong);
    let output = sidegate(folder.path(), &["test", "--coverage", "."]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let want = "routes      2 of 3 reached; never reached: /wallet/v1/jobs/scheduled/*\n";
    assert!(text(&output).contains(want), "{}", text(&output));
}

#[test]
fn route_of_each_kind_has_to_show_what_it_does() {
    let policy = WALLET.replace(
        "  - { path: /*, auth: jwt }",
        "  - { path: /new/*, auth: jwt, mode: shadow }\n  - { path: /old/*, auth: deny }\n  - { path: /v2/*, methods: [GET], auth: jwt }\n  \
         - { path: /v2/*, methods: [POST], auth: jwt }\n  - { path: /*, auth: jwt }",
    );
    let tests = r"tests:
  - { name: health, request: GET /wallet/v1/_internal/health, expect: { nobody: allow } }
  - { name: job, request: GET /wallet/v1/jobs/scheduled/x, expect: { nobody: deny, scheduler: allow } }
  - { name: new, request: GET /wallet/v1/new/x, expect: { nobody: shadow credential_missing, member: allow } }
  - { name: old, request: GET /wallet/v1/old/x, expect: { member: route_denied } }
  - { name: read, request: GET /wallet/v1/v2/x, expect: { member: allow } }
";
    let folder = folder(&policy, tests);
    let want = "routes      5 of 7 reached; never reached: POST /wallet/v1/v2/*, /wallet/v1/*; never rejected: GET /wallet/v1/v2/*\n";
    let output = text(&sidegate(folder.path(), &["test", "--coverage", "."]));
    assert!(output.contains(want), "{output}");
}

#[test]
fn tests_of_the_shipped_policies_notice_each_weakening() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments = ["test", "--require", "routes,weakenings", "policies", "policies/example"];
    let output = sidegate(root, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(!text(&output).contains("warning"), "{}", text(&output));
}

#[test]
fn caller_who_would_get_in_has_no_key_that_has_expired_by_then() {
    let first = "    - { name: scheduler, secret: { env: WALLET_JOBS_KEY } }\n";
    let expired = "    - { name: scheduler, secret: { env: WALLET_JOBS_KEY }, expires: 2026-02-01T00:00:00Z }\n";
    let second = "    - { name: scheduler-2, secret: { env: WALLET_JOBS_KEY_2 } }\n";
    let tests = FEW.replace("{ scheduler: allow }", "{ scheduler: internal_key_invalid }");
    let of_keys = |coverage: &Value| -> Vec<Value> {
        let list = coverage["weakenings"]["unnoticed"].as_array().unwrap().iter();
        list.filter(|one| one["subject"] == "/wallet/v1/*" && one["change"].as_str().unwrap().contains("key"))
            .map(|one| one["caller"]["key"].clone())
            .collect()
    };
    for (keys, at, want) in [
        (format!("{expired}{second}"), "2026-03-01", &["scheduler-2"][..]),
        (format!("{second}{expired}"), "2026-03-01", &["scheduler-2"]),
        (expired.to_owned(), "2026-03-01", &[]),
        (expired.to_owned(), "2026-01-01", &["scheduler"]),
    ] {
        let tests = match at {
            "2026-03-01" => tests.as_str(),
            _ => FEW,
        };
        let folder = folder(&WALLET.replace(first, &keys), &format!("at: {at}T00:00:00Z\n{tests}"));
        assert_eq!(of_keys(&coverage(folder.path())), want, "{keys} {at}");
    }
}

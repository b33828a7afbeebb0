//! `sidegate diff --callers`: what a change is for the callers of a test file.

use std::{collections::BTreeSet, process::Command};

use super::{Folder, Said};

/// A policy with all that callers may show.
const POLICY: &str = "\
version: 1
service: s
prefix: /api
upstream: { url: 'http://127.0.0.1:22000' }
jwt:
  sources: [authorization, { query: access }]
  issuers:
    - { issuer: iss-a, audience: [aud], algorithms: [HS256], keys: { secret: { env: S_SECRET } } }
internal_key: { keys: [{ name: job, secret: { env: S_KEY } }] }
revocation: {}
routes:
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: /*, auth: jwt }
";

/// Another one, which knows another issuer and nothing else.
const OTHER: &str = "\
version: 1
service: t
prefix: /t
upstream: { url: 'http://127.0.0.1:22001' }
jwt:
  issuers:
    - { issuer: iss-t, audience: [aud], algorithms: [HS256], keys: { secret: { env: T_SECRET } } }
routes:
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: /*, auth: jwt }
";

/// Callers of each kind, and a test for the first policy alone.
const TESTS: &str = "\
version: 1
at: 2030-01-01T00:00:00Z
callers:
  nobody: {}
  member: { token: { sub: m, iss: iss-a, roles: [user] } }
  admin: { like: member, token: { roles: [admin] } }
  foreign: { like: admin, token: { iss: 'https://elsewhere.example' } }
  forged: { like: admin, corrupt: signature }
  late: { like: admin, token: { exp: 2029-01-01T00:00:00Z } }
  early: { like: admin, token: { exp: 2030-01-01T01:00:00Z } }
  in-query: { like: admin, source: query }
  revoked: { like: admin, revoked: true }
  scheduler: { key: job }
  there: { token: { sub: t, iss: iss-t, roles: [admin] } }
tests:
  - name: x
    request: GET /api/admin/x
    expect:
      nobody: deny
      member: role_missing
      foreign: token_issuer_mismatch
      forged: deny
      late: token_expired
      revoked: token_revoked
      admin: allow
      in-query: allow
      early: allow
      scheduler: deny
  - { name: y, request: GET /t/admin/x, expect: { there: allow } }
";

fn taken_by_test(folder: &Folder, file: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["test", file]).current_dir(folder.path()).env_clear();
    let said = Said::of(&command.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
}

/// Returns who is let in and who is kept out by all changes.
fn named(said: &Said) -> [BTreeSet<String>; 2] {
    let json = said.json();
    ["let_in", "kept_out"].map(|what| {
        let changes = json["changes"].as_array().unwrap().iter();
        let names = changes.flat_map(|change| change["callers"][what].as_array().unwrap());
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    })
}

#[test]
fn caller_of_a_file_that_test_takes_shows_what_it_shows_there() {
    let folder = Folder::new(&[
        ("old/s.yaml", POLICY),
        ("old/t.yaml", OTHER),
        ("old/a.test.yaml", TESTS),
    ]);
    taken_by_test(&folder, "old/a.test.yaml");
    for (file, this, that, let_in, kept_out) in [
        (
            "s",
            "path: /admin/*, auth: jwt, roles: [admin]",
            "path: /admin/*, auth: jwt",
            &["member"][..],
            &[][..],
        ),
        (
            "s",
            "path: /admin/*, auth: jwt, roles: [admin]",
            "path: /admin/*, auth: deny",
            &[],
            &["admin", "early", "in-query"],
        ),
        (
            "s",
            "path: /admin/*, auth: jwt, roles: [admin]",
            "path: /admin/*, auth: internal_key",
            &["scheduler"],
            &["admin", "early", "in-query"],
        ),
        ("s", "revocation: {}\n", "", &["revoked"], &[]),
        ("s", ", { query: access }", "", &[], &["in-query"]),
        // The keys and places of the first policy are nothing to this one.
        (
            "t",
            "path: /admin/*, auth: jwt, roles: [admin]",
            "path: /admin/*, auth: deny",
            &[],
            &["there"],
        ),
    ] {
        folder.write("new/s.yaml", POLICY);
        folder.write("new/t.yaml", OTHER);
        let policy = if file == "s" { POLICY } else { OTHER };
        assert!(policy.contains(this), "{this}");
        folder.write(&format!("new/{file}.yaml"), &policy.replace(this, that));
        let said = folder.diff(&["old", "new", "--callers", "old/a.test.yaml", "--output", "json"]);
        assert_eq!(said.code, Some(1), "{file} {that}: {said:?}");
        let found = named(&said);
        let want = [let_in, kept_out].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(found, want, "{file} {that}: {said:?}");
    }
}

#[test]
fn file_that_init_writes_names_callers() {
    let folder = Folder::new(&[]);
    let mut init = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    init.args("init --service o --upstream http://127.0.0.1:3000 --prefix /o --idp keycloak".split(' '))
        .args("--domain id.example.com --realm shop --audience orders".split(' '))
        .current_dir(folder.path())
        .env_clear();
    let said = Said::of(&init.output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    let policy = std::fs::read_to_string(folder.path().join("policies/o.yaml")).unwrap();
    folder.write("new/o.yaml", &policy.replace("prefix: /o", "prefix: /p"));
    let said = folder.diff(&[
        "policies",
        "new",
        "--callers",
        "policies/o.test.yaml",
        "--output",
        "json",
    ]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let [let_in, kept_out] = named(&said);
    assert!(!let_in.is_empty() && !kept_out.is_empty(), "{said:?}");
    assert!(
        !let_in.iter().chain(&kept_out).any(|name| name == "foreign"),
        "{said:?}"
    );
}

#[test]
fn caller_whose_token_cannot_be_made_is_not_named_there() {
    let two = OTHER.replace(
        "  issuers:\n",
        "  issuers:\n    - { issuer: iss-b, audience: [aud], algorithms: [HS256], keys: { secret: { env: B_SECRET } } }\n",
    );
    let tests = "\
version: 1
callers:
  member: { token: { sub: m, roles: [admin] } }
tests:
  - { name: x, request: GET /api/x, expect: { member: allow } }
";
    let folder = Folder::new(&[
        ("old/s.yaml", POLICY),
        ("old/t.yaml", &two),
        ("old/a.test.yaml", tests),
        (
            "new/s.yaml",
            &POLICY.replace("path: /*, auth: jwt", "path: /*, auth: deny"),
        ),
        (
            "new/t.yaml",
            &two.replace("path: /*, auth: jwt", "path: /*, auth: deny"),
        ),
    ]);
    taken_by_test(&folder, "old/a.test.yaml");
    let said = folder.diff(&["old", "new", "--callers", "old/a.test.yaml", "--output", "json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stderr
            .contains("the token of `member` names no issuer, and `t` has several"),
        "{said:?}"
    );
    let json = said.json();
    for change in json["changes"].as_array().unwrap() {
        assert_eq!(
            change["callers"].is_null(),
            change["was"]["service"] == "t",
            "{change:#}"
        );
    }
}

//! `sidegate diff`: which requests are answered differently, as its users read it. Whether it is exact is proven elsewhere;
//! here it is what is compared, what is said of it, and the exit code.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

mod callers;
mod meaning;
mod reports;
mod revisions;

/// The policy that all tests begin with.
const OLD: &str = "\
version: 1
service: s
prefix: /api
upstream: { url: 'http://127.0.0.1:22000' }
jwt:
  issuers:
    - { issuer: iss-a, audience: [aud], algorithms: [HS256], keys: { secret: { env: S_SECRET } } }
internal_key: { keys: [{ name: job, secret: { env: S_KEY } }] }
mtls: { allow: [{ uri: 'spiffe://td/ns/*/sa/job' }] }
roles: { admin: [editor], editor: [viewer] }
routes:
  - { path: /health, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: '/docs/{id}', methods: [GET], auth: jwt, roles: [viewer] }
  - { path: /*, auth: jwt }
";

/// A folder of files, in which the program runs without any variable.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn diff(&self, arguments: &[&str]) -> Said {
        self.diff_in("", arguments, |_| {})
    }

    fn diff_in(&self, folder: &str, arguments: &[&str], set: impl FnOnce(&mut Command)) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command
            .arg("diff")
            .args(arguments)
            .current_dir(self.path().join(folder))
            .env_clear();
        set(&mut command);
        Said::of(&command.output().unwrap())
    }
}

/// What the program said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        said
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }

    #[track_caller]
    fn could_not_run(&self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word}: {}", self.stderr);
        }
    }
}

/// Compares the base policy with the one that has this in place of that.
fn changed(this: &str, that: &str, arguments: &[&str]) -> Said {
    assert!(OLD.contains(this), "{this}");
    let folder = Folder::new(&[("old/a.yaml", OLD), ("new/a.yaml", &OLD.replace(this, that))]);
    folder.diff(&[&["old", "new"], arguments].concat())
}

#[test]
fn policies_that_mean_the_same_do_not_differ() {
    for (this, that) in [
        ("", ""),
        ("{id}", "{doc}"),
        ("version: 1\n", "# a comment\nversion: 1\n"),
        (
            "  - { path: /health, auth: public }\n  - { path: /jobs/*, auth: internal_key }\n",
            "  - { path: /jobs/*, auth: internal_key }\n  - { path: /health, auth: public }\n",
        ),
        (
            "upstream: { url: 'http://127.0.0.1:22000' }",
            "upstream: { url: 'http://127.0.0.1:22000', timeout: 30s, connect_timeout: 1000ms, idle_timeout: 4s }",
        ),
        ("roles: {", "streams: { idle_timeout: 60m }\nmode: enforce\nroles: {"),
        ("auth: public }", "auth: public, log: on }"),
    ] {
        let said = changed(this, that, &[]);
        assert_eq!(said.code, Some(0), "{this}: {said:?}");
        assert_eq!(said.stdout, "no request is answered differently\n");
        let json = changed(this, that, &["--output", "json"]).json();
        assert_eq!(
            (&json["changes"], &json["settings"]),
            (&serde_json::json!([]), &serde_json::json!([]))
        );
    }
}

#[test]
fn file_does_not_differ_from_itself_and_from_its_folder() {
    let folder = Folder::new(&[("p/a.yaml", OLD)]);
    for (one, other) in [("p", "p"), ("p/a.yaml", "p"), ("p", "p/a.yaml"), ("p/", "./p")] {
        assert_eq!(folder.diff(&[one, other]).code, Some(0), "{one} {other}");
    }
}

#[test]
fn setting_is_said_with_its_place_and_counts_for_any_alone() {
    for (this, that, field, was, now, line) in [
        (
            "http://127.0.0.1:22000'",
            "http://127.0.0.1:22000', timeout: 5s",
            "upstream.timeout",
            "30s",
            "5s",
            4,
        ),
        (
            "auth: public }",
            "auth: public, timeout: 5s }",
            "routes[0].timeout",
            "30s",
            "5s",
            12,
        ),
        (
            "auth: public }",
            "auth: public, log: off }",
            "routes[0].log",
            "on",
            "off",
            12,
        ),
        (
            "roles: {",
            "streams: { idle_timeout: 5m }\nroles: {",
            "streams.idle_timeout",
            "1h",
            "5m",
            10,
        ),
        (
            "roles: {",
            "paths: { allow: [double_slash] }\nroles: {",
            "paths.allow",
            "[]",
            "[double_slash]",
            10,
        ),
    ] {
        let said = changed(this, that, &["--output", "json"]);
        let json = said.json();
        let found: Vec<_> = json["settings"].as_array().unwrap().iter().collect();
        let [setting] = found.as_slice() else {
            panic!("{that}: {json}")
        };
        assert_eq!(
            (setting["field"].as_str(), setting["kind"].as_str()),
            (Some(field), Some("settings"))
        );
        assert_eq!(
            (setting["was"].as_str(), setting["now"].as_str()),
            (Some(was), Some(now)),
            "{that}"
        );
        let place = setting["place"].as_str().unwrap();
        assert!(place.starts_with(&format!("new/a.yaml:{line}:")), "{that}: {place}");
        for (fail_on, code) in [("any", 1), ("opened", 0), ("public", 0), ("never", 0)] {
            assert_eq!(
                changed(this, that, &["--fail-on", fail_on]).code,
                Some(code),
                "{that} {fail_on}"
            );
        }
        let text = changed(this, that, &[]).stdout;
        assert!(text.starts_with("the policies decide alike; 1 setting\n"), "{text}");
        assert!(
            text.contains("SETTINGS\n") && text.contains(&format!("  {field}: {was} -> {now}")),
            "{text}"
        );
    }
}

#[test]
fn quota_of_the_policy_is_one_setting_for_all_its_routes() {
    let with = |limit: u32| {
        let quotas = format!("quotas: [{{ name: calls, per: subject, limit: {limit}, window: 1m }}]\nroutes:");
        OLD.replace("routes:", &quotas)
            .replace("auth: public }", "auth: public, quotas: 'off' }")
    };
    let folder = Folder::new(&[("old.yaml", &with(10)), ("new.yaml", &with(1000))]);
    let json = folder.diff(&["old.yaml", "new.yaml", "--output", "json"]).json();
    let settings = json["settings"].as_array().unwrap();
    assert_eq!(settings.len(), 1, "{json}");
    assert_eq!(settings[0]["field"], "quotas[0].limit");
    assert_eq!(
        (&settings[0]["was"], &settings[0]["now"]),
        (&"10".into(), &"1000".into())
    );
    assert_eq!(settings[0]["routes"].as_array().unwrap().len(), 4, "{json}");
    assert_eq!(settings[0]["service"], "s");
}

#[test]
fn configurations_are_compared_with_the_policies_that_they_name() {
    let config = |lines: &str| format!("version: 1\npolicies: policies\n{lines}");
    let folder = Folder::new(&[
        ("old/sidegate.yaml", &config("limits: { body_bytes: 10MiB }\n")),
        ("old/policies/a.yaml", OLD),
        ("new/sidegate.yaml", &config("trusted_proxies: [10.0.0.0/8]\n")),
        (
            "new/policies/a.yaml",
            &OLD.replace("auth: public }", "auth: public, timeout: 5s }"),
        ),
    ]);
    let said = folder.diff(&["old/sidegate.yaml", "new/sidegate.yaml", "--output", "json"]);
    let json = said.json();
    let fields: Vec<_> = json["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["trusted_proxies", "routes[0].timeout"]);
    assert_eq!(json["settings"][0]["place"], "new/sidegate.yaml:3:18");
    // One side alone has no configuration to compare with.
    let said = folder.diff(&["old", "new/sidegate.yaml"]);
    said.could_not_run(&["OLD: `old` has no policy: name `old/sidegate.yaml`"]);
    for (paths, side) in [
        (["old/policies", "new/sidegate.yaml"], "NEW"),
        (["old/sidegate.yaml", "new/policies"], "OLD"),
    ] {
        let words = format!("only {side} has a `sidegate.yaml`, so the settings of the process are not compared\n");
        assert!(folder.diff(&paths).stderr.contains(&words), "{paths:?}");
    }
    let said = folder.diff(&["old/policies", "new/sidegate.yaml", "--output", "json"]);
    let fields = said.json()["settings"].as_array().unwrap().len();
    assert_eq!(fields, 1);
}

#[test]
fn nothing_that_policies_name_is_read() {
    let issuers = "    - { issuer: iss-b, audience: [aud], algorithms: [RS256], keys: { jwks: { url: 'https://keys.invalid/set' } } }
    - { issuer: iss-c, audience: [aud], algorithms: [RS256], keys: { jwks: { file: missing.json } } }
    - { issuer: iss-d, audience: [aud], algorithms: [HS256], keys: { secret: { file: missing } } }
    - { issuer: iss-e, audience: [aud], algorithms: [ES256], keys: { pem: { file: missing.pem } } }
    - { issuer: 'https://e.invalid/', audience: [aud], algorithms: [RS256], keys: { oidc: 'https://e.invalid/' } }
internal_key:";
    let upstream = "upstream: { url: { env: S_UPSTREAM }, timeout: 30s }";
    let old = OLD
        .replace("internal_key:", issuers)
        .replace("upstream: { url: 'http://127.0.0.1:22000' }", upstream);
    let folder = Folder::new(&[
        ("old.yaml", &old),
        ("new.yaml", &old.replace("timeout: 30s", "timeout: 5s")),
    ]);
    let said = folder.diff(&["old.yaml", "new.yaml"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stdout.starts_with("the policies decide alike; 1 setting\n"),
        "{said:?}"
    );
    // The values of variables make no difference either.
    let with = folder.diff_in("", &["old.yaml", "new.yaml"], |command| {
        command.env("S_UPSTREAM", "http://127.0.0.1:1").env("S_SECRET", "short");
    });
    assert_eq!((with.code, with.stdout), (said.code, said.stdout));
}

#[test]
fn side_that_does_not_check_out_ends_with_its_problems() {
    let folder = Folder::new(&[
        ("good.yaml", OLD),
        ("bad.yaml", &OLD.replace("auth: public", "auth: pubic")),
        ("empty/readme.txt", ""),
    ]);
    folder.diff(&["good.yaml", "bad.yaml"]).could_not_run(&[
        "error[unknown_auth]",
        "bad.yaml:12:",
        "did you mean `public`",
        "sidegate: NEW (`bad.yaml`) does not check out: 1 problem; nothing was compared",
    ]);
    folder
        .diff(&["bad.yaml", "good.yaml"])
        .could_not_run(&["sidegate: OLD (`bad.yaml`) does not check out"]);
    let both = folder.diff(&["bad.yaml", "bad.yaml", "--output", "json"]);
    both.could_not_run(&["OLD (`bad.yaml`)", "NEW (`bad.yaml`)"]);
    folder
        .diff(&["good.yaml", "missing"])
        .could_not_run(&["NEW", "`missing` cannot be read"]);
    folder
        .diff(&["good.yaml", "empty"])
        .could_not_run(&["NEW", "`empty` has no policy"]);
}

#[test]
fn wrong_usage_says_how_it_is_written() {
    let folder = Folder::new(&[("a.yaml", OLD)]);
    for arguments in [
        &[][..],
        &["a.yaml"],
        &["a.yaml", "a.yaml", "a.yaml"],
        &["--git", "main"],
        &["--git", "main", "a.yaml", "a.yaml"],
        &["a.yaml", "a.yaml", "--fail-on", "some"],
        &["a.yaml", "a.yaml", "--output", "yaml"],
    ] {
        let said = folder.diff(arguments);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}: {said:?}"
        );
        assert!(!said.stderr.is_empty());
    }
}

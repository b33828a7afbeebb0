//! Files that cannot be read, and those that are not regular files: each is a problem at once, beside those of
//! the others. Nothing waits for a pipe.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::cli_check::{GOOD, said};
use crate::harness::{Request, Setup, eventually, gateway::output};

/// Makes something that is not a regular file.
type Make = fn(&Path);

const KINDS: [(&str, Make); 4] = [
    ("it is a pipe", |path| mkfifoat(CWD, path, Mode::RWXU).unwrap()),
    ("it is a socket", |path| drop(UnixListener::bind(path).unwrap())),
    ("it is a folder", |path| fs::create_dir(path).unwrap()),
    ("it is a device", |path| symlink("/dev/zero", path).unwrap()),
];

/// Policies and lines of `sidegate.yaml` that name the file `odd`.
const NAMES: [(&str, &str, &str); 12] = [
    ("{ env: IT_SECRET }", "{ file: '$folder/odd' }", ""),
    ("{ env: IT_JOBS_KEY }", "{ file: '$folder/odd' }", ""),
    ("{ secret: { env: IT_SECRET } }", "{ pem: { file: '$folder/odd' } }", ""),
    (
        "{ secret: { env: IT_SECRET } }",
        "{ jwks: { file: '$folder/odd' } }",
        "",
    ),
    (
        "[HS256]\n      keys: { secret: { env: IT_SECRET } }",
        "[RS256]\n      keys: { jwks: { url: 'https://h', bearer_token_file: '$folder/odd' } }",
        "",
    ),
    (
        "[HS256]\n      keys: { secret: { env: IT_SECRET } }",
        "[RS256]\n      keys: { oidc: { issuer: eventzr.com, url: 'https://h', ca_file: '$folder/odd' } }",
        "",
    ),
    ("'http://127.0.0.1:3002'", "'https://h', ca_file: '$folder/odd'", ""),
    (
        "'http://127.0.0.1:3002'",
        "'https://h', client_certificate: '$folder/odd', client_key: '$folder/odd'",
        "",
    ),
    (
        "",
        "",
        "store: { redis: { url: 'redis://h', password: { file: odd } } }",
    ),
    ("", "", "store: { redis: { url: 'rediss://h', ca_file: odd } }"),
    (
        "",
        "",
        "store: { redis: { url: 'rediss://h', client_certificate: odd, client_key: odd } }",
    ),
    ("", "", "TLS"),
];

#[test]
fn an_irregular_file_is_a_problem_at_once_wherever_it_is_named() {
    for (that, this, config) in NAMES {
        for (what, make) in KINDS {
            let mut setup = Setup::new().policy("p", &GOOD.replacen(that, this, 1));
            setup = match config {
                "TLS" => setup.tls_with("  - address: 127.0.0.1:$tls_port\n    tls: { certificate: odd, key: odd, client_ca: odd, client_crl: odd }\n"),
                lines => setup.config(lines),
            };
            make(&setup.path("odd"));
            for (arguments, code) in [(&["check", "sidegate.yaml"][..], 1), (&["run"], 2)] {
                let said = said(&setup.run(arguments));
                assert_eq!(said.code, Some(code), "{this}{config}: {}", said.text);
                assert!(said.text.contains(what), "{this}{config}: {}", said.text);
                assert!(said.text.contains("odd` cannot be read"), "{}", said.text);
                assert!(said.text.contains("help: name a regular file"), "{}", said.text);
            }
        }
    }
}

#[test]
fn an_irregular_policy_or_sidegate_yaml_is_a_problem_at_once() {
    for (what, make) in KINDS {
        let setup = Setup::new().policy("p", GOOD);
        setup.write();
        for name in ["policies/odd.yaml", "odd.yaml", "other/sidegate.yaml"] {
            fs::create_dir_all(setup.path(name).parent().unwrap()).unwrap();
            make(&setup.path(name));
        }
        for (arguments, code, name) in [
            (&["check", "policies"][..], 1, "policies/odd.yaml"),
            (
                &["explain", "GET", "/wallet/open/x", "--policies", "policies"],
                2,
                "policies/odd.yaml",
            ),
            (&["run", "--policies", "policies"], 2, "policies/odd.yaml"),
            (
                &["doctor", "--offline", "--policies", "policies"],
                2,
                "policies/odd.yaml",
            ),
            (&["check", "other/sidegate.yaml"], 1, "other/sidegate.yaml"),
            (&["run", "--config", "other/sidegate.yaml"], 2, "other/sidegate.yaml"),
        ] {
            let said = said(&output(setup.command(arguments)));
            assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.text);
            let message = format!("`{name}` cannot be read: {what}");
            assert!(said.text.contains(&message), "{arguments:?}: {}", said.text);
        }
        if what != "it is a folder" {
            let said = said(&output(setup.command(&["check", "odd.yaml"])));
            assert!(said.code == Some(1) && said.text.contains(what), "{}", said.text);
        }
    }
}

#[test]
fn a_reload_does_not_wait_for_a_pipe() {
    let policy = "$wallet\nprefix: /w\nroutes: [{ path: /*, auth: public }]\n";
    let gateway = Setup::new()
        .policy(
            "wallet",
            &policy
                .replace("$wallet", super::harness::setup::WALLET)
                .replace("{ env: IT_SECRET }", "{ file: '$folder/secret' }"),
        )
        .file("secret", super::harness::SECRET)
        .start();
    fs::remove_file(gateway.path("secret")).unwrap();
    mkfifoat(CWD, gateway.path("secret"), Mode::RWXU).unwrap();
    eventually("it is refused", || gateway.log_text().contains("it is a pipe"));
    gateway.allowed(&Request::get("/w/x"));
}

#[test]
fn unreadable_files_are_problems_beside_those_of_the_others() {
    let setup = Setup::new().policy("bad", &GOOD.replace("auth: public", "auth: pubic"));
    setup.write();
    symlink("gone", setup.path("policies/a.yaml")).unwrap();
    symlink("gone", setup.path("policies/b.yaml")).unwrap();
    fs::write(setup.path("policies/c.yaml"), b"version: 1\nservice: a\xffb\n").unwrap();
    for (arguments, code) in [
        (&["check", "policies"][..], 1),
        (&["run"], 2),
        (&["explain", "GET", "/"], 2),
    ] {
        let said = said(&output(setup.command(arguments)));
        assert_eq!(said.code, Some(code), "{}", said.text);
        for part in [
            "policies/a.yaml` cannot be read: No such file",
            "policies/b.yaml` cannot be read: No such file",
            "policies/c.yaml:2:11",
            "not UTF-8",
            "policies/bad.yaml:18:",
            "4 problems",
        ] {
            assert!(said.text.contains(part), "{arguments:?}: no `{part}` in {}", said.text);
        }
    }
    let json = output(setup.command(&["check", "--output", "json", "policies"]));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let places: Vec<_> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["file"].clone(), p["line"].clone()))
        .collect();
    assert!(places.contains(&("policies/c.yaml".into(), 2.into())), "{places:?}");
    assert!(places.contains(&("policies/a.yaml".into(), 1.into())), "{places:?}");
}

#[test]
fn a_missing_path_is_reported_beside_the_problems_of_the_others() {
    let setup = Setup::new().policy("bad", &GOOD.replace("auth: public", "auth: pubic"));
    setup.write();
    for (arguments, has_others) in [
        (&["check", "gone", "policies"][..], true),
        (&["check", "gone", "gone-too"], false),
        (&["check", "gone/sidegate.yaml"], false),
    ] {
        let said = said(&output(setup.command(arguments)));
        assert_eq!(said.code, Some(2), "{}", said.text);
        assert!(said.text.contains("cannot be read: No such file"), "{}", said.text);
        assert_eq!(said.text.contains("bad.yaml:18:"), has_others, "{}", said.text);
    }
}

#[test]
fn a_sidegate_yaml_is_checked_together_with_its_policies() {
    let bad = GOOD.replace("auth: public", "auth: pubic");
    for (config, problem) in [
        (
            "store: { redis: { url: 'redis://h', password: { file: nope } } }",
            "`nope` cannot be read",
        ),
        (
            "store: { redis: { url: { env: IT_NOT_SET } } }",
            "`IT_NOT_SET` is not set",
        ),
        ("store: disk", "unknown word `disk`"),
        ("threads: 0", "between 1 and 256"),
        ("foo: 1", "unknown field `foo`"),
        ("log: 1", "expected a mapping"),
        ("TLS", "certificate: gone.crt"),
    ] {
        let setup = Setup::new().policy("bad", &bad);
        let setup = match config {
            "TLS" => setup.tls_with(
                "  - address: 127.0.0.1:$tls_port\n    tls:\n      certificate: gone.crt\n      key: server.key\n",
            ),
            lines => setup.config(lines),
        };
        for arguments in [&["check", "sidegate.yaml"][..], &["run"]] {
            let said = said(&setup.run(arguments));
            for part in [problem, "bad.yaml:18:", "2 problems"] {
                assert!(
                    said.text.contains(part),
                    "{arguments:?} {config}: no `{part}` in {}",
                    said.text
                );
            }
        }
    }
}

#[test]
fn no_policies_are_a_problem() {
    let setup = Setup::new();
    setup.write();
    fs::create_dir(setup.path("tests")).unwrap();
    fs::write(setup.path("tests/a.test.yaml"), "x").unwrap();
    for (name, text) in [
        ("empty", ""),
        ("comment", "# nothing\n"),
        ("null", "---\n"),
        ("list", "[]\n"),
        ("mapping", "{}\n"),
    ] {
        fs::write(setup.path(&format!("{name}.yaml")), text).unwrap();
    }
    for path in [
        "policies",
        "tests",
        "empty.yaml",
        "comment.yaml",
        "null.yaml",
        "list.yaml",
        "mapping.yaml",
    ] {
        for (arguments, code) in [
            (&["check", path][..], 1),
            (&["explain", "GET", "/", "--policies", path], 2),
            (&["run", "--policies", path], 2),
            (&["doctor", "--offline", "--policies", path], 2),
        ] {
            let said = said(&output(setup.command(arguments)));
            assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.text);
            assert!(
                said.text.contains(path) && !said.text.contains("0 policies"),
                "{}",
                said.text
            );
        }
    }
    // Named in a file, as the shipped ones are.
    assert_eq!(said(&output(setup.command(&["check", "sidegate.yaml"]))).code, Some(1));
}

#[test]
fn sidegate_yaml_that_is_a_link_to_nothing_starts_nothing() {
    let setup = Setup::new().policy("p", GOOD);
    setup.write();
    fs::remove_file(setup.path("sidegate.yaml")).unwrap();
    symlink("gone.yaml", setup.path("sidegate.yaml")).unwrap();
    for arguments in [
        &["run", "--policies", "policies"][..],
        &["doctor", "--offline", "--policies", "policies"],
        &["explain", "GET", "/", "--policies", "policies"],
    ] {
        let said = said(&output(setup.command(arguments)));
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.text);
        assert!(
            said.text.contains("sidegate.yaml` cannot be read"),
            "{arguments:?}: {}",
            said.text
        );
    }
}

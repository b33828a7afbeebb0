//! Secrets that were written where they do not belong: no command and no log repeats them.

use std::fs;

use crate::harness::{
    Setup, eventually,
    gateway::{output, text},
};

const MARKER: &str = "MARKER-0123456789-abcdefghij";

/// What is written in place of a reference to a secret.
const SECRETS: [&str; 12] = [
    "$",
    "\"$\"",
    "'$'",
    "[$]",
    "[1, [$]]",
    "{ $ }",
    "{ value: $ }",
    "{ env: IT_SECRET, default: $ }",
    "{ env: [$] }",
    "!tag $",
    "@$",
    "\"$",
];

/// The same for values that stand on lines of their own.
const BLOCKS: [&str; 4] = [
    "|\n          $\n",
    ">-\n          a\n          $\n",
    "\n          - $\n",
    "\n          value: $\n",
];

/// What is written in place of a URL.
const URLS: [&str; 6] = [
    "'SCHEME://u:$@h'",
    "SCHEME://:$@h:1/x",
    "{ env: IT_NOT_SET, default: 'SCHEME://u:$@h' }",
    "['SCHEME://u:$@h']",
    "{ 'SCHEME://u:$@h' }",
    "'SCHEME://u:$@h",
];

/// Another fault beside the value: nothing, a field that is unknown, one that comes twice, one of
/// a wrong type, and a text that is not YAML.
const BESIDE: [&str; 5] = [
    "",
    ", foo: 1",
    ", foo: [1], foo: 2",
    ", refresh: [], name: {}, timeout: []",
    ", [",
];

/// Policies in which `VALUE` is a secret or a URL, and `BESIDE` another fault in the same mapping.
const POLICIES: [(&str, &str); 8] = [
    (
        "secret",
        "jwt:\n  issuers:\n    - issuer: https://a\n      audience: [a]\n      algorithms: [HS256]\n      keys: { secret: VALUE BESIDE }\n",
    ),
    (
        "keys",
        "jwt:\n  issuers:\n    - issuer: https://a\n      audience: [a]\n      algorithms: [HS256]\n      keys: VALUE\n",
    ),
    (
        "slip",
        "jwt:\n  issuers:\n    - issuer: https://a\n      audience: [a]\n      algorithms: [HS256]\n      keys: { secert: VALUE BESIDE }\n",
    ),
    (
        "jwks",
        "jwt:\n  issuers:\n    - issuer: https://a\n      audience: [a]\n      algorithms: [RS256]\n      keys: { jwks: { url: VALUE BESIDE } }\n",
    ),
    (
        "oidc",
        "jwt:\n  issuers:\n    - issuer: https://a\n      audience: [a]\n      algorithms: [RS256]\n      keys: { oidc: { issuer: VALUE BESIDE } }\n",
    ),
    (
        "internal",
        "internal_key:\n  keys:\n    - { name: a, secret: VALUE BESIDE }\n",
    ),
    ("list", "internal_key:\n  keys: VALUE\n"),
    ("upstream", ""),
];

/// The same for `sidegate.yaml`.
const CONFIGS: [&str; 5] = [
    "store: { redis: { url: 'redis://h', password: VALUE BESIDE } }\n",
    "store: { redis: { url: 'redis://h', passwrod: VALUE BESIDE } }\n",
    "store: { redis: { url: VALUE BESIDE } }\n",
    "store: VALUE\n",
    "admin: { probe: { path: /, upstream: VALUE BESIDE } }\n",
];

/// All shapes of a value, each with each other fault.
fn shapes(text: &str, scheme: &str) -> Vec<String> {
    let mut all = Vec::new();
    let urls = URLS.iter().map(|shape| shape.replace("SCHEME", scheme));
    let values: Vec<String> = SECRETS
        .iter()
        .filter(|_| scheme.is_empty())
        .map(ToString::to_string)
        .chain(urls.filter(|_| !scheme.is_empty()))
        .collect();
    for value in &values {
        for beside in BESIDE {
            all.push(text.replace("VALUE", value).replace("BESIDE", beside));
        }
    }
    if let (true, Some((before, _))) = (scheme.is_empty(), text.rsplit_once("VALUE")) {
        let (above, line) = before.rsplit_once('\n').unwrap_or(("", before));
        if let Some((_, key)) = line.trim_end().trim_end_matches(':').rsplit_once(['{', ',']) {
            // The mapping over several lines.
            let outside = line.split('{').next().unwrap_or_default();
            for value in BLOCKS {
                all.push(format!(
                    "{above}\n{outside}\n        {}: {value}        foo: 1\n",
                    key.trim()
                ));
            }
        }
    }
    let mut written: Vec<_> = all.iter().map(|text| text.replace('$', MARKER)).collect();
    written.sort();
    written.dedup();
    written
}

fn policies() -> Vec<String> {
    let mut all = Vec::new();
    for (name, rest) in POLICIES {
        let is_url = matches!(name, "jwks" | "oidc" | "upstream");
        let scheme = if is_url { "ftp" } else { "" };
        let rest = if rest.is_empty() {
            "upstream: { url: VALUE BESIDE }\n"
        } else {
            rest
        };
        for (number, shape) in shapes(rest, scheme).into_iter().enumerate() {
            let upstream = if name == "upstream" {
                ""
            } else {
                "upstream: { url: 'http://127.0.0.1:1' }\n"
            };
            all.push(format!(
                "version: 1\nservice: {name}-{number}\nprefix: /{name}/{number}\n{upstream}{shape}routes: [{{ path: /*, auth: public }}]\n"
            ));
        }
    }
    all
}

#[track_caller]
fn hidden(said: &str, of: &str) {
    if let Some(at) = said.find("MARKER") {
        let start = said[..at].rfind("\nerror").unwrap_or_default();
        panic!("{of}: {}", &said[start..(at + 200).min(said.len())]);
    }
}

#[test]
fn a_literal_secret_in_a_policy_is_in_no_output() {
    let policies = policies();
    let mut setup = Setup::new();
    for (number, policy) in policies.iter().enumerate() {
        setup = setup.file(&format!("policies/p{number:03}.yaml"), policy);
    }
    for arguments in [
        &["check", "policies"][..],
        &["check", "--output", "json", "policies"],
        &["run"],
    ] {
        let output = setup.run(arguments);
        let said = text(&output);
        hidden(&said, &format!("{arguments:?}"));
        assert!(!output.status.success(), "{arguments:?}");
        for (number, policy) in policies.iter().enumerate() {
            let file = format!("p{number:03}.yaml");
            assert!(said.contains(&file), "{arguments:?} takes {file}:\n{policy}");
        }
    }
}

#[test]
fn a_literal_secret_in_sidegate_yaml_is_in_no_output() {
    let mut configs = Vec::new();
    for config in CONFIGS {
        let is_secret = config.contains("passw");
        configs.extend(shapes(config, if is_secret { "" } else { "redis" }));
    }
    let setup = Setup::new().policy("p", super::cli_check::GOOD);
    setup.write();
    let name = |number: usize| format!("c{number:03}.yaml");
    for (number, config) in configs.iter().enumerate() {
        fs::write(setup.path(&name(number)), format!("version: 1\n{config}")).unwrap();
    }
    let names: Vec<_> = (0..configs.len()).map(name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for arguments in [&["check"][..], &["check", "--output", "json"]] {
        let said = text(&output(setup.command(&[arguments, &names[..]].concat())));
        hidden(&said, &format!("{arguments:?}"));
        for (name, config) in names.iter().zip(&configs) {
            assert!(said.contains(name), "{arguments:?} takes\n{config}");
        }
    }
    for name in names.iter().step_by(9) {
        for arguments in [
            &["run", "--config", name][..],
            &["doctor", "--offline", "--config", name],
        ] {
            let said = text(&output(setup.command(arguments)));
            hidden(&said, name);
            assert!(said.contains(name), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_literal_secret_is_not_in_the_log_of_a_reload() {
    let gateway = Setup::new()
        .policy("wallet", "$wallet\nprefix: /w\nroutes: [{ path: /*, auth: jwt }]\n")
        .start();
    let policies = policies();
    for (number, policy) in policies.iter().enumerate() {
        fs::write(gateway.path(&format!("policies/p{number:03}.yaml")), policy).unwrap();
    }
    let last = format!("p{:03}.yaml", policies.len() - 1);
    eventually("the last one is refused", || {
        let refused = |line: &serde_json::Value| line["place"].as_str().is_some_and(|place| place.contains(&last));
        gateway.log_lines().iter().any(refused)
    });
    hidden(&gateway.log_text(), "the log");
}

#[test]
fn a_secret_from_a_variable_is_in_no_output() {
    for (policy, variable) in [
        ("upstream: { url: { env: IT_URL } }\n", "ftp://u:$@h"),
        ("upstream: { url: { env: IT_URL } }\n", "http://u:$@h"),
        ("upstream: { url: { env: IT_URL } }\n", "unix:u:$@h"),
        (
            "upstream: { url: 'http://127.0.0.1:1' }\njwt: { issuers: [{ issuer: a, audience: [a], algorithms: [RS256], keys: { jwks: { url: { env: IT_URL } } } }] }\n",
            "ftp://u:$@h",
        ),
        (
            "upstream: { url: 'http://127.0.0.1:1' }\njwt: { issuers: [{ issuer: a, audience: [a], algorithms: [RS256], keys: { oidc: { env: IT_URL } } }] }\n",
            "https://u:$@h",
        ),
    ] {
        let policy = format!("version: 1\nservice: s\n{policy}routes: [{{ path: /*, auth: public }}]\n");
        let setup = Setup::new()
            .policy("p", &policy)
            .env("IT_URL", &variable.replace('$', MARKER));
        let output = setup.run(&["check", "policies"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        hidden(&said, &policy);
    }
}

#[test]
fn a_hidden_secret_has_its_place_in_the_report() {
    let said = text(
        &Setup::new()
            .policy(
                "p",
                &super::cli_check::GOOD.replace("{ secret: { env: IT_SECRET } }", "{ secret: x-y-z-0, foo: 1 }"),
            )
            .run(&["check", "policies"]),
    );
    for part in [
        "p.yaml:11:23",
        "keys: { secret: ***",
        "^^^",
        "unknown field `foo`",
        "at policies/p.yaml:11:32, behind what may be a secret",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
}

/// Other files than policies, as keys and variables, and policies that break beside a secret.
const NO_YAML: [&str; 16] = [
    "$\n",
    "$",
    "one\n$\n",
    "user:$\n",
    "$ $\n{\n",
    "A=b\nexport JWT_SECRET=$\nC: [\n",
    "URL=redis://:$@h\nC: [\n",
    "-----BEGIN PRIVATE KEY-----\n$\n-----END PRIVATE KEY-----\n",
    "$\n-----END PRIVATE KEY-----\n",
    "- $\n",
    "[$",
    "\t$\n",
    "@$\n",
    "version: 1\ninternal_key:\n  keys:\n    - name: a\n      secret: |\n$\nroutes: []\n",
    "version: 1\nstore:\n  redis:\n    password:\n- $\n",
    "version: 1\nunheard_of: $\n---\nversion: 1\n",
];

#[test]
fn file_that_is_not_yaml_is_in_no_output() {
    let setup = Setup::new().policy("p", super::cli_check::GOOD);
    setup.write();
    for (number, file) in NO_YAML.iter().enumerate() {
        let name = format!("f{number}.yaml");
        fs::write(setup.path(&name), file.replace('$', MARKER)).unwrap();
        for arguments in [
            &["check", &name][..],
            &["check", "--output", "json", &name],
            &["run", "--config", &name],
            &["run", "--policies", &name],
            &["explain", "GET", "/", "--policies", &name],
        ] {
            let output = output(setup.command(arguments));
            let said = text(&output);
            hidden(&said, &format!("{arguments:?} of {file:?}"));
            assert!(!output.status.success(), "{arguments:?} of {file:?}");
            assert!(said.contains(&name), "{arguments:?}: {said}");
        }
    }
}

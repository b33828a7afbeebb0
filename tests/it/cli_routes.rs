//! `sidegate routes`: what guards what, as a table.

use std::fs;

use serde_json::{Value, json};

use crate::cli_check::{Said, said};
use crate::harness::Setup;

const HUB: &str = "\
version: 1
service: hub
prefix: /hub
hosts: [hub.example.com]
upstream: { url: { env: NOT_SET } }
roles: { developer: [admin] }
jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [RS256], keys: { jwks: { url: 'https://not-there.invalid' } } }] }
internal_key: { keys: [{ name: scheduler, secret: { file: missing } }] }
cors: { origins: ['https://app.example.com', 'https://*.example.org'] }
routes:
  - { path: /*, auth: jwt }
  - { path: /admin/*, methods: [GET, POST], auth: jwt, roles: [admin], scopes: [manage], content_types: [application/json] }
  - { path: '/jobs/{id}', auth: internal_key, mode: shadow }
  - { path: /legacy, auth: deny }
";

const OPEN: &str = "\
version: 1
service: pages
upstream: { url: 'http://127.0.0.1:9' }
paths: { case_insensitive: true }
routes:
  - { path: /health, methods: [GET], auth: public }
";

fn routes(arguments: &[&str]) -> Said {
    let setup = Setup::new().policy("hub", HUB).policy("open", OPEN);
    said(&setup.run(&[&["routes"], arguments].concat()))
}

#[test]
fn table_has_each_route_with_who_may_call_it_and_its_place() {
    let said = routes(&["policies"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let lines: Vec<_> = said
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert!(
        lines[0].starts_with("hash: ") && lines[0].len() == 22,
        "{}",
        said.stdout
    );
    assert_eq!(
        &lines[1..],
        [
            "",
            "host hub.example.com",
            "METHODS PATH WHO SERVICE PLACE",
            "GET, HEAD, POST /hub/admin/* token with role admin (or developer) and scope manage; body application/json hub policies/hub.yaml:12:13",
            "all but TRACE /hub/jobs/{id} key scheduler (not enforced: shadow) hub policies/hub.yaml:13:13",
            "all /hub/legacy no caller: every request is rejected hub policies/hub.yaml:14:13",
            "all but TRACE /hub/* token hub policies/hub.yaml:11:13",
            "",
            "all other hosts",
            "METHODS PATH WHO SERVICE PLACE",
            "GET, HEAD /health public pages policies/open.yaml:6:13",
            "",
            "Sidegate itself responds",
            "METHODS PATH WHO SERVICE PLACE",
            "OPTIONS /hub/* (hub.example.com) preflights of pages from https://app.example.com, https://*.example.org hub policies/hub.yaml",
        ]
    );
}

#[test]
fn json_has_the_fields_of_each_route_and_the_hash_of_the_running_process() {
    let gateway = Setup::new().policy("open", OPEN).start();
    let metrics = gateway.metrics();
    let said = self::said(
        &Setup::new()
            .policy("open", OPEN)
            .run(&["routes", "policies", "--output", "json"]),
    );
    let table: Value = serde_json::from_str(&said.stdout).unwrap();
    let hash = table["hash"].as_str().unwrap();
    assert!(
        metrics.contains(&format!("sidegate_policy_info{{hash=\"{hash}\"}} 1")),
        "{hash}"
    );
    let table: Value = serde_json::from_str(&routes(&["policies", "--output", "json"]).stdout).unwrap();
    assert_eq!(
        table["routes"][0],
        json!({
            "hosts": ["hub.example.com"], "path": "/hub/admin/*", "any_case": false, "any_case_prefix": false, "methods": ["GET", "POST"],
            "auth": "jwt", "roles": ["admin"], "roles_above": ["developer"], "scopes": ["manage"],
            "tenant": null, "expired_keys": [], "when": [],
            "content_types": ["application/json"], "mode": "enforce",
            "who": "token with role admin (or developer) and scope manage",
            "service": "hub", "upstream": "{ env: NOT_SET }", "file": "policies/hub.yaml", "line": 12, "column": 13,
        })
    );
    assert_eq!(table["routes"].as_array().unwrap().len(), 5);
    assert_eq!(table["own"][0]["kind"], "preflight");
}

#[test]
fn policies_are_those_of_the_configuration_or_of_the_paths() {
    let setup = Setup::new().policy("open", OPEN);
    for arguments in [
        &["routes"][..],
        &["routes", "sidegate.yaml"],
        &["routes", "policies/open.yaml"],
    ] {
        let said = self::said(&setup.run(arguments));
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.text);
        assert!(said.stdout.contains("/health"), "{arguments:?}: {}", said.text);
    }
    for arguments in [&["routes", "missing.yaml"][..], &["routes", "--policies", "missing"]] {
        let said = self::said(&setup.run(arguments));
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.text);
    }
    let wrong = Setup::new().policy("open", &OPEN.replace("public", "pubic"));
    let wrong = self::said(&wrong.run(&["routes", "policies"]));
    assert_eq!(wrong.code, Some(2), "{}", wrong.text);
    assert!(wrong.text.contains("did you mean"), "{}", wrong.text);
}

#[test]
fn markdown_is_a_table_that_fits_into_a_comment() {
    let said = routes(&["policies", "--output", "markdown"]);
    assert!(
        said.stdout
            .contains("| `hub.example.com` | `all but TRACE` | `/hub/*` | `token` | `hub` |"),
        "{}",
        said.stdout
    );
    let many: Vec<_> = (0..3000)
        .map(|at| format!("  - {{ path: /p{at}, auth: public }}\n"))
        .collect();
    let setup = Setup::new().policy("open", &format!("{OPEN}{}", many.concat()));
    let markdown = self::said(&setup.run(&["routes", "policies", "--output", "markdown"])).stdout;
    assert!(
        markdown.len() < 60_000 && markdown.contains("more are left out"),
        "{}",
        markdown.len()
    );
}

const CASES: &str = "\
version: 1
service: cases
upstream: { url: 'http://127.0.0.1:9' }
paths: { case_insensitive: true }
jwt: { issuers: [{ issuer: i, audience: [a], algorithms: [ES256], keys: { jwks: { url: 'https://not-there.invalid' } } }] }
routes:
  - { path: /open/*, auth: public }
  - { path: /mixed/*, auth: { any: [jwt, public] } }
  - { path: /token/*, auth: jwt, mode: shadow }
  - { path: /closed/*, auth: deny }
";

/// What the table says of case is held against what becomes of requests.
#[test]
fn case_is_said_not_to_count_where_requests_show_it() {
    for prefix in ["", "/p/q"] {
        let policy = CASES.replace(
            "service: cases\n",
            &match prefix {
                "" => "service: cases\n".to_owned(),
                prefix => format!("service: cases\nprefix: {prefix}\n"),
            },
        );
        let setup = Setup::new().policy("cases", &policy);
        let said = self::said(&setup.run(&["routes", "policies", "--output", "json"]));
        let table: Value = serde_json::from_str(&said.stdout).unwrap();
        let reaches = |path: &str, pattern: &Value| {
            let arguments = [
                "explain",
                "GET",
                path,
                "--without-secrets",
                "--policies",
                "policies",
                "--output",
                "json",
            ];
            let said: Value = serde_json::from_str(&self::said(&setup.run(&arguments)).stdout).unwrap();
            said["route"] == *pattern
        };
        let routes = table["routes"].as_array().unwrap();
        assert_eq!(routes.len(), 4, "{table}");
        for route in routes {
            let pattern = &route["path"];
            let path = pattern.as_str().unwrap().replace('*', "x");
            let behind = path.strip_prefix(prefix).unwrap();
            let (upper_prefix, upper) = (
                format!("{}{behind}", prefix.to_uppercase()),
                format!("{prefix}{}", behind.to_uppercase()),
            );
            assert!(reaches(&path, pattern), "{path}");
            assert_eq!(route["any_case"] == true, reaches(&upper, pattern), "{route}");
            assert_eq!(
                route["any_case_prefix"] == true,
                !prefix.is_empty() && reaches(&upper_prefix, pattern),
                "{route}"
            );
        }
        let text = self::said(&setup.run(&["routes", "policies"])).stdout;
        let note = "The case of paths does not count for cases, but public routes match as they are written";
        assert_eq!(text.lines().filter(|line| line.starts_with(note)).count(), 1, "{text}");
        assert_eq!(text.contains("behind their prefix"), !prefix.is_empty(), "{text}");
    }
}

#[test]
fn tenants_expired_keys_and_public_routes_in_shadow_are_said() {
    let policy = HUB
        .replace("cors:", "tenant: { claims: [tenant] }\ncors:")
        .replace("secret: { file: missing } }", "secret: { file: missing }, expires: '2020-01-01T00:00:00Z' }, { name: next, secret: { file: other }, expires: '2999-01-01T00:00:00Z' }")
        .replace("/legacy, auth: deny", "/legacy, auth: public, mode: shadow")
        .replace("hosts: [hub.example.com]\n", "");
    let other = OPEN.replace("service: pages", "service: pages\nprefix: /pages");
    let setup = Setup::new().policy("hub", &policy).policy("open", &other);
    let said = self::said(&setup.run(&["routes", "policies"]));
    let lines = said
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = lines.collect::<Vec<_>>().join("\n");
    for words in [
        "token with role admin (or developer) and scope manage, tenant in x-tenant-id; body",
        "token, tenant in x-tenant-id ",
        "key scheduler (expired) or next (not enforced: shadow)",
        "all but TRACE /hub/legacy public hub",
        "\nall hosts\n",
        "The prefix of public routes is taken in any case for pages.",
    ] {
        assert!(text.contains(words), "{words}: {}", said.text);
    }
    assert!(!said.stdout.contains("all other hosts"), "{}", said.text);
    let said = self::said(&setup.run(&["routes", "policies", "--output", "json"]));
    let table: Value = serde_json::from_str(&said.stdout).unwrap();
    let rows = table["routes"].as_array().unwrap().iter();
    let found: Vec<_> = rows
        .map(|row| json!([row["path"], row["tenant"], row["expired_keys"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["/hub/admin/*", "x-tenant-id", []]),
            json!(["/hub/jobs/{id}", null, ["scheduler"]]),
            json!(["/hub/legacy", null, []]),
            json!(["/hub/*", "x-tenant-id", []]),
            json!(["/pages/health", null, []]),
        ]
    );
}

#[test]
fn markdown_links_and_hides_nothing_of_a_policy() {
    let odd = "@team #1 a&amp;b <b> `x` | **y** https://evil.example";
    let policy = HUB.replace("[admin]", &format!("['{odd}']"));
    let setup = Setup::new().file("policies/@team #1 `a` | <b>.yaml", &policy);
    let said = self::said(&setup.run(&["routes", "policies", "--output", "markdown"]));
    assert_eq!(said.code, Some(0), "{}", said.text);
    let who = r"`` token with role @team #1 a&amp;b <b> `x` \| **y** https://evil.example (or developer) and scope manage; body application/json ``";
    let place = r"`` policies/@team #1 `a` \| <b>.yaml:12:13 ``";
    for cell in [who, place] {
        assert!(said.stdout.contains(&format!("| {cell} |")), "{}", said.text);
    }
    // All cells are code, so that nothing of them is read.
    let rows = said
        .stdout
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| host") && !line.starts_with("| ---"));
    for row in rows {
        let cells = row.trim_matches('|').split(" | ").map(str::trim);
        assert!(
            cells.clone().count() == 6 && cells.clone().all(|cell| cell.starts_with('`') && cell.ends_with('`')),
            "{row}"
        );
    }
}

#[test]
fn policies_in_folders_within_are_named_and_not_read() {
    let mut setup = Setup::new();
    for folder in ["p/within", "p/others", "p/.hidden", "q"] {
        fs::create_dir_all(setup.folder.path().join(folder)).unwrap();
    }
    for (name, text) in [
        ("p/open.yaml", OPEN),
        ("p/within/hub.yaml", HUB),
        ("p/within/notes.yaml", "a: 1\n"),
        ("p/others/values.yaml", "routes: []\n"),
        ("p/.hidden/hub.yaml", HUB),
        ("q/open.yaml", OPEN),
    ] {
        setup = setup.file(name, text);
    }
    for command in [
        &["check", "p", "--without-secrets"][..],
        &["routes", "p"],
        &["diff", "p", "q"],
    ] {
        let output = setup.run(command);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {}", said(&output).text);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            stderr.matches("not read: the policies in `p/within`").count(),
            1,
            "{command:?}: {stderr}"
        );
        assert_eq!(stderr.matches("not read:").count(), 1, "{command:?}: {stderr}");
    }
    for command in [
        &["check", "p", "p/within", "--without-secrets"][..],
        &["routes", "p/within"],
        &["routes", "q"],
    ] {
        let output = setup.run(command);
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("not read:"),
            "{command:?}"
        );
    }
}

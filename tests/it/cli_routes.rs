//! `sidegate routes`: what guards what, as a table.

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
            "",
            "The case of paths does not count for pages.",
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
            "hosts": ["hub.example.com"], "path": "/hub/admin/*", "any_case": false, "methods": ["GET", "POST"],
            "auth": "jwt", "roles": ["admin"], "roles_above": ["developer"], "scopes": ["manage"], "when": [],
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
            .contains("| hub.example.com | all but TRACE | /hub/\\* | token | hub |"),
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

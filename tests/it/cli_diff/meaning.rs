//! `sidegate diff` compares what files mean, not how they say it, and shows no secret of them.

use serde_json::{Value, json};

use super::{Folder, OLD, changed};

/// The base policy with another line in place of one, on both sides.
fn both(line: &str, was: &str, now: &str) -> Folder {
    assert!(OLD.contains(line), "{line}");
    Folder::new(&[
        ("old.yaml", &OLD.replace(line, was)),
        ("new.yaml", &OLD.replace(line, now)),
    ])
}

const SECRET: &str = "algorithms: [HS256], keys: { secret: { env: S_SECRET } }";

fn key_set(url: &str) -> String {
    format!("algorithms: [RS256], keys: {{ jwks: {{ url: '{url}' }} }}")
}

#[test]
fn other_spelling_of_the_same_does_not_differ() {
    let upstream = "http://127.0.0.1:22000";
    let audience = "audience: [aud]";
    for (line, was, now) in [
        (upstream, "http://Orders.internal:80", "HTTP://orders.internal/"),
        (upstream, "http://[::1]:80", "http://[0:0::1]"),
        (
            "prefix: /api",
            "prefix: /api\nhosts: [API.example.com]",
            "prefix: /api\nhosts: [api.example.com]",
        ),
        (
            "prefix: /api",
            "prefix: /api\nhosts: [api.example.com, '*.example.com']",
            "prefix: /api\nhosts: ['*.example.com']",
        ),
        (
            "auth: internal_key",
            "auth: internal_key",
            "auth: { all: [internal_key] }",
        ),
        (
            audience,
            "audience: [aud]",
            "audience: [aud], roles_claim: roles, binding: verify, types: [AT+jwt, JWT]",
        ),
        ("issuer: iss-a", "issuer: [iss-a, b]", "issuer: [b, iss-a]"),
        (
            "roles: { admin: [editor]",
            "roles: { admin: [editor]",
            "roles: { admin: [editor, viewer]",
        ),
        ("mtls:", "mtls:", "errors: { format: flat, reason_header: true }\nmtls:"),
        (
            "mtls:",
            "identity: { x-a: sub }\nmtls:",
            "identity: { X-A: { from: sub, encoding: none } }\nmtls:",
        ),
        (
            "mtls:",
            "revocation: {}\nmtls:",
            "revocation: { max_stale: 30000ms, when_unavailable: deny }\nmtls:",
        ),
        (
            "auth: jwt }",
            "auth: jwt, when: [{ claim: a, equals: x }] }",
            "auth: jwt, when: [{ claim: a, in: [x] }] }",
        ),
        (
            SECRET,
            &key_set("https://IDP.example:443/keys?a=b"),
            &key_set("https://idp.example/keys?a=b").replace("url:", "refresh: 5m, url:"),
        ),
    ] {
        let said = both(line, was, now).diff(&["old.yaml", "new.yaml"]);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(0), "no request is answered differently\n"),
            "{now}"
        );
    }
}

#[test]
fn secret_in_a_url_is_in_no_report() {
    let url = |secret: &str| key_set(&format!("https://idp.example/keys?code={secret}&v=1"));
    let folder = both(SECRET, &url("first-s3cret"), &url("other-s3cret"));
    for form in ["text", "json", "markdown", "github"] {
        let said = folder.diff(&["old.yaml", "new.yaml", "--all", "--output", form]);
        assert_eq!(said.code, Some(1));
        assert!(!said.stdout.contains("s3cret"), "{form}: {}", said.stdout);
        assert!(
            said.stdout.contains("https://idp.example/keys?code=***&v=***"),
            "{form}: {}",
            said.stdout
        );
    }
    let text = folder.diff(&["old.yaml", "new.yaml"]).stdout;
    assert!(text.contains("keys.jwks.url: another value, not shown: "), "{text}");
}

#[test]
fn defaults_of_a_configuration_that_are_written_do_not_differ() {
    let config = |lines: &str| format!("version: 1\npolicies: p.yaml\n{lines}");
    for (was, now, want) in [
        (
            "",
            "defaults: { errors: { format: flat, reason_header: true } }",
            &[][..],
        ),
        (
            "trusted_proxies: [10.0.0.0/8]",
            "trusted_proxies: [10.0.0.0/8, 10.1.0.0/16]",
            &[],
        ),
        (
            "trusted_proxies: [10.0.0.0/8]",
            "trusted_proxies: [10.0.0.0/9]",
            &["trusted_proxies"],
        ),
        (
            "defaults: { errors: { format: flat } }",
            "defaults: { errors: { format: problem } }",
            &["defaults.errors.format"],
        ),
    ] {
        let folder = Folder::new(&[
            ("old/sidegate.yaml", &config(was)),
            ("new/sidegate.yaml", &config(now)),
            ("old/p.yaml", OLD),
            ("new/p.yaml", OLD),
        ]);
        let json = folder
            .diff(&["old/sidegate.yaml", "new/sidegate.yaml", "--output", "json"])
            .json();
        let settings = json["settings"].as_array().unwrap().iter();
        let fields: Vec<_> = settings.map(|one| one["field"].as_str().unwrap()).collect();
        assert_eq!(fields, want, "{now}");
    }
}

#[test]
fn report_has_identity_headers_with_their_source_and_encoding() {
    let said = both(
        "mtls:",
        "identity: { x-a: groups, x-b: sub, x-c: roles, x-d: sub }\nmtls:",
        "identity: { x-a: { from: groups, separator: '|' }, x-b: { from: sub, encoding: percent }, x-c: scopes, x-e: sub }\nmtls:",
    )
    .diff(&["old.yaml", "new.yaml", "--output", "json"]);
    let json = said.json();
    let told = |path: &str| -> Value {
        let changes = json["changes"].as_array().unwrap();
        let has_path = |change: &&Value| change["paths"][0]["pattern"] == path;
        changes.iter().find(has_path).unwrap()["told"].clone()
    };
    let told = told("/api/*");
    for want in [
        json!({ "header": "x-a", "was": "claim groups", "now": "claim groups, separated by |" }),
        json!({ "header": "x-b", "was": "claim sub", "now": "claim sub, percent-encoded" }),
        json!({ "header": "x-c", "was": "roles", "now": "scopes" }),
        json!({ "header": "x-d", "was": "claim sub", "now": null }),
        json!({ "header": "x-e", "was": null, "now": "claim sub" }),
    ] {
        assert!(told.as_array().unwrap().contains(&want), "{want}: {told:#}");
    }
}

#[test]
fn command_of_a_change_names_any_file() {
    for (name, shown) in [("-n.yaml", "./-n.yaml"), ("a b's.yaml", r"'a b'\''s.yaml'")] {
        let new = OLD.replace("/jobs/*, auth: internal_key", "/jobs/*, auth: public");
        let folder = Folder::new(&[("old.yaml", OLD), (name, &new)]);
        let said = folder.diff(&["--", "old.yaml", name]);
        let line = said.stdout.lines().find(|line| line.contains("try  ")).unwrap();
        assert!(line.ends_with(&format!("--policies {shown}")), "{line}");
    }
}

#[test]
fn place_that_requests_go_to_and_the_case_of_their_paths_are_said() {
    let text = changed("service: s\n", "service: t\n", &["--all"]).stdout;
    assert!(text.contains("to another service: s -> t"), "{text}");
    let text = changed("127.0.0.1:22000", "127.0.0.1:22001", &[]).stdout;
    let want = "to another upstream: http://127.0.0.1:22000 -> http://127.0.0.1:22001";
    assert!(text.contains(want), "{text}");
    let text = changed("  - { path: /admin/*, auth: jwt, roles: [admin] }\n", "", &[]).stdout;
    assert!(text.contains("/api/admin/* with `admin` in another case"), "{text}");
    let first = text.lines().find(|line| line.contains("lets in")).unwrap();
    assert!(first.contains("(were 403 role_missing)"), "{text}");
}

#[test]
fn algorithm_that_an_issuer_takes_as_well_lets_tokens_in() {
    let keys = "keys: { oidc: 'https://i.example' }";
    let issuer = "issuer: iss-a, audience: [aud], algorithms: [HS256], keys: { secret: { env: S_SECRET } }";
    let listing = |algorithms: &str| {
        let other = format!("issuer: 'https://i.example', audience: [aud], algorithms: [{algorithms}], {keys}");
        OLD.replace(issuer, &other)
    };
    for (first, added) in [
        ("ES256", "RS256"),
        ("ES384", "PS512"),
        ("EdDSA", "RS384"),
        ("RS256", "ES256"),
        ("RS256", "PS256"),
        ("ES256", "EdDSA"),
    ] {
        let both = format!("{first}, {added}");
        let folder = Folder::new(&[("one.yaml", &listing(first)), ("both.yaml", &listing(&both))]);
        for (arguments, kind, passing) in [
            (["one.yaml", "both.yaml"], "opened", "now"),
            (["both.yaml", "one.yaml"], "closed", "was"),
        ] {
            let json = folder
                .diff(&[&arguments[..], &["--all", "--output", "json"]].concat())
                .json();
            let changes = json["changes"].as_array().unwrap();
            assert!(
                !changes.is_empty() && changes.iter().all(|change| change["kind"] == kind),
                "{both}: {json:#}"
            );
            assert!(
                json.to_string().contains(&format!("\"{passing}\":\"allow\"")),
                "{both}: {json:#}"
            );
        }
    }
}

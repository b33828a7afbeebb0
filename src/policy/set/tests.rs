use std::sync::Arc;

use super::*;
use crate::document::problem::SourceFile;
use crate::testing::{environment, parse};

const POLICY: &str = "
version: 1
service: s
prefix: /v1
hosts: [a.example]
upstream: { url: 'http://127.0.0.1:1', timeout: 5s }
jwt:
  issuers:
    - { issuer: i, audience: [a, 'https://t.example/mcp'], algorithms: [HS256], keys: { secret: { env: SECRET } }, leeway: 1s, required_claims: [sub], roles_claim: roles }
    - { issuer: r, audience: [a, 'https://t.example/mcp'], algorithms: [ES256], keys: { jwks: { url: 'https://a.example/keys', refresh: 1m } } }
tenant: { claims: [tenant] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
mtls: { allow: [{ uri: 'spiffe://e/job' }] }
roles: { admin: [user, editor, viewer, author] }
revocation: { max_stale: 10s }
idempotency: { ttl: 1h }
identity: { x-user: sub }
resource: { url: 'https://t.example/mcp', authorization_servers: ['https://l.example'], scopes: [read] }
cors: { origins: ['https://a.example'], headers: [x-in], expose: [x-out], credentials: false, max_age: 1m }
errors: { format: flat, code_prefix: ERR }
routes:
  - { path: /open, auth: public }
  - { path: '/items/{id}', methods: [GET], auth: jwt, roles: [user], scopes: [read] }
";

#[test]
fn same_text_compiled_twice_is_equal() {
    assert!(parse(&[POLICY]).unwrap() == parse(&[POLICY]).unwrap());
}

#[test]
fn policy_with_one_field_changed_is_not_equal() {
    let policies = parse(&[POLICY]).unwrap();
    for (from, to) in [
        ("service: s", "service: t"),
        ("prefix: /v1", "prefix: /v2"),
        ("hosts: [a.", "hosts: [b."),
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("timeout: 5s", "timeout: 5s, strip_prefix: true"),
        ("prefix: /v1", "paths: { encoded_slash: opaque }\nprefix: /v1"),
        ("prefix: /v1", "paths: { allow: [encoded_percent] }\nprefix: /v1"),
        ("timeout: 5s", "timeout: 6s"),
        ("issuer: i,", "issuer: j,"),
        ("audience: [a,", "audience: [b,"),
        ("HS256", "HS384"),
        ("leeway: 1s", "leeway: 2s"),
        ("required_claims: [sub]", "required_claims: [jti]"),
        ("roles_claim: roles", "roles_claim: group"),
        ("a.example/keys", "b.example/keys"),
        ("refresh: 1m", "refresh: 2m"),
        ("claims: [tenant]", "claims: [teamid]"),
        ("name: jobs", "name: task"),
        ("env: JOBS_KEY", "env: SECRET"),
        ("spiffe://e/job", "spiffe://e/jab"),
        ("admin: [user", "admin: [role"),
        ("max_stale: 10s", "max_stale: 20s"),
        ("ttl: 1h", "ttl: 2h"),
        ("x-user: sub", "x-user: jti"),
        ("https://l.example'", "https://m.example'"),
        (
            "['https://l.example'], scopes: [read]",
            "['https://l.example'], scopes: [edit]",
        ),
        ("https://a.example'", "https://b.example'"),
        ("['https://a.example']", "['https://*.a.example']"),
        ("[x-in]", "[x-other]"),
        ("[x-out]", "[x-other]"),
        ("credentials: false", "credentials: true"),
        ("max_age: 1m", "max_age: 2m"),
        ("format: flat", "format: problem"),
        ("code_prefix: ERR", "code_prefix: BAD"),
        ("/open", "/free"),
        ("auth: public", "auth: jwt"),
        ("/items/{id}", "/items/{id}/x"),
        ("methods: [GET]", "methods: [PUT]"),
        ("roles: [user]", "roles: [none]"),
        ("roles: [user], scopes: [read]", "roles: [user], scopes: [edit]"),
    ] {
        assert!(POLICY.contains(from), "{from}");
        let changed = parse(&[&POLICY.replacen(from, to, 1)]);
        let changed = changed.unwrap_or_else(|problems| panic!("{to}: {problems:?}"));
        assert!(policies != changed, "{to}");
    }
}

#[test]
fn same_policy_in_another_layout_is_equal() {
    let spaced = POLICY.replace("routes:", "# the routes\n\nroutes:");
    assert!(parse(&[POLICY]).unwrap() == parse(&[&spaced]).unwrap());
}

#[test]
fn policy_with_another_secret_is_not_equal() {
    let compile = |secret: &str| {
        let mut environment = environment();
        environment.variables.push(("SECRET".into(), secret.into()));
        environment.variables.rotate_right(1);
        PolicySet::parse(
            &[Arc::new(SourceFile::new("", POLICY))],
            &environment,
            ErrorStyle::default(),
        )
        .unwrap()
    };
    let [one, other] = [
        "one-secret-of-at-least-32-bytes..",
        "another-secret-of-at-least-32-bytes",
    ];
    assert!(compile(one) == compile(one));
    assert!(compile(one) != compile(other));
}

#[test]
fn set_with_another_policy_is_not_equal() {
    let other =
        "{ version: 1, service: t, upstream: { url: 'http://127.0.0.1:1' }, routes: [{ path: /*, auth: public }] }";
    assert!(parse(&[POLICY]).unwrap() != parse(&[POLICY, other]).unwrap());
}

use std::sync::Arc;

use super::*;
use crate::document::problem::SourceFile;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_diff::compare;
use crate::rehearsal::ThrowawayKeys;

const POLICY: &str = r#"version: 1
service: s
prefix: /api
upstream: { url: "http://127.0.0.1:1" }
jwt: { issuers: [{ issuer: a, audience: unchecked, algorithms: [HS256], keys: { secret: { env: S } } }] }
internal_key: { keys: [{ name: job, secret: { env: K } }] }
roles: { admin: [editor] }
paths: { case: exact }
routes:
  - { path: /health, auth: public, content_types: [text/csv] }
  - { path: /jobs/*, auth: internal_key }
  - { path: /docs/*, methods: [GET], auth: jwt, roles: [editor] }
  - { path: /*, auth: jwt, roles: [admin] }
"#;

/// One change of the policy, and who gets in by it.
const CHANGES: &[(&str, &str, Option<&str>)] = &[
    (
        "public, content_types: [text/csv]",
        "jwt",
        Some("tokens, with a body of application/x-unnamed"),
    ),
    (
        "public, content_types: [text/csv]",
        "public",
        Some("callers without a credential, with a body of application/x-unnamed"),
    ),
    (
        "  - { path: /health, auth: public, content_types: [text/csv] }\n",
        "",
        Some("tokens with role admin, with a body of application/x-unnamed"),
    ),
    (
        "  - { path: /jobs/*, auth: internal_key }\n",
        "",
        Some("tokens with role admin"),
    ),
    (
        "auth: internal_key",
        "auth: public",
        Some("callers without a credential"),
    ),
    (
        "auth: internal_key",
        "auth: internal_key, mode: shadow",
        Some("callers without a credential"),
    ),
    (
        "auth: internal_key",
        "auth: jwt, roles: [editor]",
        Some("tokens with role admin or editor"),
    ),
    (
        "auth: internal_key",
        "auth: jwt, scopes: [b, a]",
        Some("tokens with scopes a and b"),
    ),
    (
        "auth: internal_key",
        "auth: jwt, when: [{ claim: region, equals: eu }]",
        Some("tokens with `region` \"eu\""),
    ),
    ("auth: internal_key", "auth: { all: [internal_key, jwt] }", None),
    ("roles: [editor]", "roles: [admin]", None),
    (
        "jwt, roles: [editor]",
        "jwt",
        Some("tokens without role admin or editor"),
    ),
    (
        "  - { path: /docs/*, methods: [GET], auth: jwt, roles: [editor] }\n",
        "",
        None,
    ),
    ("methods: [GET], ", "", Some("tokens with role editor")),
    ("path: /docs/*", "path: /docs", None),
    ("path: /health", "path: /health/*", Some("callers without a credential")),
    (
        "s: { admin: [editor] }",
        "s: { admin: [editor], guest: [admin] }",
        Some("tokens with role guest"),
    ),
    ("issuer: a, audience", "issuer: [a, b], audience", Some("tokens of `b`")),
    ("env: K", "env: L", Some("the key `job`")),
    ("prefix: /api", "prefix: /v2", Some("tokens with role admin")),
];

fn rehearsal(text: &str, keys: &Arc<ThrowawayKeys>) -> Rehearsal {
    let source = Arc::new(SourceFile::new("a.yaml", text));
    let policies = PolicySet::parse(&[source], &**keys, ErrorStyle::default()).unwrap();
    Rehearsal::new(Arc::new(policies), keys)
}

#[test]
fn opening_is_found_where_a_whole_comparison_finds_one() {
    let keys = Arc::new(ThrowawayKeys::new());
    let old = rehearsal(POLICY, &keys);
    for (from, to, caller) in CHANGES {
        let edited = POLICY.replacen(from, to, 1);
        assert_ne!(edited, POLICY, "{from}");
        let new = rehearsal(&edited, &keys);
        let found = opening(&old, &new).unwrap();
        let difference = compare(&old, &new).unwrap();
        let is_opened = difference.changes.iter().any(|change| !change.delta.gained.is_empty());
        assert_eq!(found.is_some(), is_opened, "{from} -> {to}: {found:?}");
        assert_eq!(found.is_some(), caller.is_some(), "{from} -> {to}: {found:?}");
        if let (Some(found), Some(caller)) = (found, caller) {
            let callers: Vec<_> = found.gained.iter().map(|change| change.caller.words()).collect();
            assert!(
                callers.iter().any(|words| words == caller),
                "{from} -> {to}: {callers:?}"
            );
        }
    }
}

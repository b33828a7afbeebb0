use std::sync::Arc;

use super::*;
use crate::document::problem::SourceFile;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::types::Cell;
use crate::rehearsal::{Rehearsal, Request, ThrowawayKeys};
use crate::revocation::Revocations;

/// Policy B of the contract.
const B: &str = r#"version: 1
service: s
prefix: /api
upstream: { url: "http://127.0.0.1:22000" }
jwt:
  issuers:
    - { issuer: iss-a, audience: [aud], algorithms: [HS256], keys: { secret: { env: S_SECRET } } }
internal_key: { keys: [{ name: job, secret: { env: S_KEY } }] }
mtls: { allow: [{ uri: "spiffe://td/ns/*/sa/job" }] }
roles: { admin: [editor], editor: [viewer] }
routes:
  - { path: /health, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /admin/*, auth: jwt, roles: [admin] }
  - { path: "/docs/{id}", methods: [GET], auth: jwt, roles: [viewer] }
  - { path: /*, auth: jwt }
"#;

pub(super) fn rehearsals(old: &[&str], new: &[&str]) -> [Rehearsal; 2] {
    try_rehearsals(old, new).unwrap_or_else(|| panic!("{old:?} {new:?}"))
}

/// Prepares policies of both sides, if they check out.
pub(super) fn try_rehearsals(old: &[&str], new: &[&str]) -> Option<[Rehearsal; 2]> {
    let keys = Arc::new(ThrowawayKeys::new());
    let read = |texts: &[&str]| {
        let files = texts.iter().enumerate();
        let files: Vec<_> = files
            .map(|(at, text)| Arc::new(SourceFile::new(format!("{at}.yaml"), *text)))
            .collect();
        let set = PolicySet::parse(&files, &*keys, ErrorStyle::default());
        Some(Rehearsal::new(Arc::new(set.ok()?), &keys))
    };
    Some([read(old)?, read(new)?])
}

pub(super) fn cell(old: &Rehearsal, new: &Rehearsal, host: &str, method: &Method, path: &str) -> Cell {
    let request = Request::new(method.clone(), path, host, 0);
    let [old, new] = [old, new].map(|side| {
        let decision = side.decide(&request.facts(), Revocations::Unasked, &mut ());
        decision.matched.scope()
    });
    Cell {
        host: host.to_owned(),
        path: path.to_owned(),
        method: method.clone(),
        old,
        new,
    }
}

pub(super) fn delta(old: &str, new: &[&str], line: &str) -> Option<Rc<Delta>> {
    let [old, new] = rehearsals(&[old], new);
    let (method, path) = line.split_once(' ').unwrap();
    let cell = cell(&old, &new, "localhost", &method.parse().unwrap(), path);
    Callers::new(&old, &new).compare(&cell).unwrap()
}

pub(super) fn effects(delta: Option<&Delta>) -> String {
    let effects = delta.map(|delta| {
        delta
            .effects
            .iter()
            .map(|effect: &Effect| effect.as_str())
            .collect::<Vec<_>>()
    });
    effects.unwrap_or_default().join(" ")
}

#[test]
fn effects_of_a_change_are_those_of_the_callers_who_meet_it() {
    const PUBLIC: &str = "{ path: /admin/*, auth: jwt, roles: [admin] }";
    let with_tenant = B.replace("roles: { admin", "tenant: { claims: [tenantId] }\nroles: { admin");
    let both = with_tenant.replace(
        "{ path: /*, auth: jwt }",
        "{ path: /*, auth: { any: [jwt, internal_key] } }",
    );
    let reports = r#"version: 1
service: reports
prefix: /api/admin/reports
upstream: { url: "http://127.0.0.1:22001" }
routes: [{ path: /*, methods: [GET], auth: public }]
"#;
    let issuer = "keys: { secret: { env: S_SECRET } } }\n    - { issuer: iss-b, audience: [aud], algorithms: [HS256], keys: { secret: { env: B } } }";
    for (name, old, new, line, want) in [
        ("same", B, B.to_owned(), "GET /api/admin/x", ""),
        (
            "D2",
            B,
            B.replace(PUBLIC, "{ path: /admin/*, auth: public }"),
            "GET /api/admin/x",
            "opened_to_public forwarded_differently",
        ),
        (
            "D3",
            B,
            B.replace("roles: { admin: [editor]", "roles: { support: [admin], admin: [editor]"),
            "GET /api/admin/x",
            "opened",
        ),
        (
            "D3",
            B,
            B.replace("roles: { admin: [editor]", "roles: { support: [admin], admin: [editor]"),
            "GET /api/docs/x",
            "opened",
        ),
        (
            "D3",
            B,
            B.replace("roles: { admin: [editor]", "roles: { support: [admin], admin: [editor]"),
            "GET /api/x",
            "",
        ),
        (
            "D9",
            B,
            B.replace(
                "{ path: /health, auth: public }",
                "{ path: /health, auth: { any: [jwt, public] } }",
            ),
            "GET /api/health",
            "forwarded_differently closed",
        ),
        (
            "D11",
            &both,
            both.replace("any: [jwt, internal_key]", "any: [internal_key, jwt]"),
            "GET /api/x",
            "opened forwarded_differently rejected_differently",
        ),
        (
            "D14",
            B,
            B.replace(PUBLIC, "{ path: /admin/*, auth: jwt, roles: [admin], mode: shadow }"),
            "GET /api/admin/x",
            "opened_to_public",
        ),
        (
            "D16",
            &with_tenant,
            B.to_owned(),
            "GET /api/x",
            "opened forwarded_differently",
        ),
        ("D16", &with_tenant, B.to_owned(), "GET /api/health", ""),
        ("D16", &with_tenant, B.to_owned(), "GET /api/jobs/x", ""),
        (
            "D16",
            &with_tenant,
            B.to_owned(),
            "GET /api/admin/x",
            "opened forwarded_differently rejected_differently",
        ),
        (
            "D21",
            B,
            B.replace("keys: { secret: { env: S_SECRET } } }", issuer),
            "GET /api/x",
            "opened rejected_differently",
        ),
        (
            "D23",
            B,
            B.replace("S_SECRET", "OTHER"),
            "GET /api/admin/x",
            "opened closed rejected_differently",
        ),
        (
            "D24",
            B,
            B.replace("name: job,", "name: cron,"),
            "GET /api/jobs/x",
            "forwarded_differently",
        ),
        (
            "D24",
            B,
            B.replace(
                "keys: [{ name: job,",
                "keys: [{ name: job2, secret: { env: S2 } }, { name: job,",
            ),
            "GET /api/jobs/x",
            "opened",
        ),
        (
            "D26",
            B,
            B.replace("roles: { admin", "identity: { x-user-id: email }\nroles: { admin"),
            "GET /api/x",
            "forwarded_differently",
        ),
        (
            "D26",
            B,
            B.replace("roles: { admin", "identity: { x-user-id: email }\nroles: { admin"),
            "GET /api/health",
            "forwarded_differently",
        ),
        (
            "D30",
            B,
            B.replace(&format!("  - {PUBLIC}\n"), ""),
            "GET /api/admin/x",
            "opened",
        ),
    ] {
        let found = delta(old, &[&new], line);
        assert_eq!(effects(found.as_deref()), want, "{name} {line}\n{found:#?}");
    }
    for (line, want) in [
        ("GET /api/admin/reports", "opened_to_public forwarded_differently"),
        ("POST /api/admin/reports/x", "closed rejected_differently"),
        ("GET /api/admin/other", ""),
    ] {
        let found = delta(B, &[B, reports], line);
        assert_eq!(effects(found.as_deref()), want, "D17 {line}\n{found:#?}");
    }
}

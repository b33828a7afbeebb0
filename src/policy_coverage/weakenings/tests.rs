use crate::policy::PolicySet;
use crate::policy_coverage::weakening::{Kind, Weakening};
use crate::testing;

/// A policy with something of everything.
const POLICY: &str = r#"version: 1
service: s
prefix: /api
upstream: { url: "http://127.0.0.1:1" }
jwt:
  sources: [{ cookie: __Host-session }]
  issuers:
    - issuer: a
      audience: [b]
      algorithms: [HS256]
      keys: { secret: { env: SECRET } }
      required_claims: [sub, roles]
      types: [at+jwt]
      binding: required
      when: [{ claim: use, equals: access }]
tenant: { header: x-org, claims: [org, team] }
revocation: {}
internal_key: { keys: [{ name: job, secret: { env: JOBS_KEY } }] }
mtls: { allow: [{ uri: "spiffe://td/ns/*/sa/job" }, { dns: jobs.internal }] }
roles: { admin: [editor], editor: [viewer] }
content_types: [application/json]
paths: { case_insensitive: true }
idempotency: {}
quotas: [{ name: calls, per: subject, limit: 9, window: 1m }]
routes:
  - { path: /health, auth: public }
  - { path: /jobs/*, auth: internal_key }
  - { path: /both/*, auth: { all: [mtls, jwt] }, content_types: [text/csv] }
  - { path: /admin, methods: [POST], auth: jwt, roles: [admin, other], scopes: [read, write] }
  - { path: /eu, auth: jwt, when: [{ header: x-region, equals: eu }, { claim: acr, equals: "2" }] }
  - { path: /old/*, auth: deny }
  - { path: /*, auth: jwt }
"#;

fn set(text: &str) -> PolicySet {
    testing::parse(&[text]).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn place(weakening: &Weakening) -> String {
    format!("{}:{}", weakening.location.line(), weakening.location.column())
}

/// The lines of a report.
fn listed(text: &str) -> Vec<String> {
    let line = |one: &Weakening| format!("{}: {} {} ({})", place(one), one.subject, one.words, one.kind.as_str());
    super::of(&set(text)).iter().map(line).collect()
}

/// What is replaced in the file by what, so that the policy is the weaker one.
const EDITS: &[(&str, &str, &str)] = &[
    (
        "26:13: /api/health takes all paths below as well (below)",
        "path: /health,",
        "path: /health/*,",
    ),
    (
        "27:13: /api/jobs/* is open to anybody (public)",
        "/jobs/*, auth: internal_key",
        "/jobs/*, auth: public",
    ),
    (
        "27:13: /api/jobs/* is in shadow mode (shadow)",
        "internal_key }",
        "internal_key, mode: shadow }",
    ),
    (
        "27:13: /api/jobs/* is deleted (deleted)",
        "  - { path: /jobs/*, auth: internal_key }\n",
        "",
    ),
    (
        "27:13: /api/jobs/* takes a token as well (any)",
        "auth: internal_key",
        "auth: { any: [internal_key, jwt] }",
    ),
    (
        "27:13: /api/jobs/* takes a client certificate as well (any)",
        "auth: internal_key",
        "auth: { any: [internal_key, mtls] }",
    ),
    (
        "28:13: /api/both/* is open to anybody (public)",
        "{ all: [mtls, jwt] }",
        "public",
    ),
    (
        "28:13: /api/both/* does not need a client certificate (all)",
        "{ all: [mtls, jwt] }",
        "jwt",
    ),
    (
        "28:13: /api/both/* does not need a token (all)",
        "{ all: [mtls, jwt] }",
        "mtls",
    ),
    (
        "28:13: /api/both/* takes any content type (content_types)",
        "[text/csv]",
        "any",
    ),
    (
        "29:13: /api/admin is open to anybody (public)",
        "auth: jwt, roles: [admin, other], scopes: [read, write]",
        "auth: public",
    ),
    ("29:13: /api/admin needs no role (roles)", "roles: [admin, other], ", ""),
    (
        "29:13: /api/admin takes the role `editor` in place of `admin` (role)",
        "[admin, other]",
        "[editor, other]",
    ),
    (
        "29:13: /api/admin takes the role `viewer` in place of `admin` (role)",
        "[admin, other]",
        "[viewer, other]",
    ),
    (
        "29:13: /api/admin does not need the scope `read` (scope)",
        "[read, write]",
        "[write]",
    ),
    (
        "29:13: /api/admin does not need the scope `write` (scope)",
        "[read, write]",
        "[read]",
    ),
    ("29:13: /api/admin takes all methods (methods)", "methods: [POST], ", ""),
    (
        "30:13: /api/eu is open to anybody (public)",
        "auth: jwt, when: [{ header: x-region, equals: eu }, { claim: acr, equals: \"2\" }]",
        "auth: public, when: [{ header: x-region, equals: eu }]",
    ),
    (
        "30:13: /api/eu has no condition: the header `x-region` must equal `eu` (when)",
        "{ header: x-region, equals: eu }, ",
        "",
    ),
    (
        "30:13: /api/eu has no condition: the claim `acr` must equal `2` (when)",
        ", { claim: acr, equals: \"2\" }",
        "",
    ),
    (
        "31:13: /api/old/* is open to anybody (public)",
        "auth: deny",
        "auth: public, content_types: any",
    ),
    (
        "31:13: /api/old/* is not denied (deny)",
        "  - { path: /old/*, auth: deny }\n",
        "",
    ),
    (
        "32:13: /api/* takes the key `job` as well (any)",
        "/*, auth: jwt }",
        "/*, auth: { any: [jwt, internal_key] } }",
    ),
    ("8:7: issuer is unchecked (issuer)", "issuer: a", "issuer: unchecked"),
    (
        "9:7: audience is unchecked (audience)",
        "audience: [b]",
        "audience: unchecked",
    ),
    (
        "12:7: required_claims leave `roles` out (required_claim)",
        "[sub, roles]",
        "[sub]",
    ),
    ("13:7: types have `JWT` as well (type)", "[at+jwt]", "[at+jwt, JWT]"),
    (
        "14:7: binding is not required (binding)",
        "binding: required",
        "binding: verify",
    ),
    (
        "14:7: binding is ignored (binding)",
        "binding: required",
        "binding: ignore",
    ),
    (
        "15:14: when has no condition: the claim `use` must equal `access` (when)",
        "      when: [{ claim: use, equals: access }]\n",
        "",
    ),
    (
        "6:3: sources have `authorization` as well (source)",
        "[{ cookie: __Host-session }]",
        "[authorization, { cookie: __Host-session }]",
    ),
    (
        "16:1: tenant is not compared (tenant)",
        "tenant: { header: x-org, claims: [org, team] }\n",
        "",
    ),
    (
        "16:35: tenant does not compare the claim `org` (tenant_claim)",
        "[org, team]",
        "[team]",
    ),
    (
        "16:40: tenant does not compare the claim `team` (tenant_claim)",
        "[org, team]",
        "[org]",
    ),
    (
        "16:1: tenant does not need its header (tenant_header)",
        "[org, team] }",
        "[org, team], header_required: false }",
    ),
    (
        "16:1: tenant may be one of several in a token (tenant_lists)",
        "[org, team] }",
        "[org, team], lists: true }",
    ),
    ("17:1: revocation is deleted (revocation)", "revocation: {}\n", ""),
    (
        "19:19: mtls takes `spiffe://td/*/*/sa/job` (certificate)",
        "td/ns/*/sa/job",
        "td/*/*/sa/job",
    ),
    (
        "19:19: mtls takes `spiffe://td/ns/*/*/job` (certificate)",
        "td/ns/*/sa/job",
        "td/ns/*/*/job",
    ),
    (
        "19:19: mtls takes `spiffe://td/ns/*/sa/*` (certificate)",
        "td/ns/*/sa/job",
        "td/ns/*/sa/*",
    ),
    (
        "21:1: content_types are any (content_types)",
        "content_types: [application/json]",
        "content_types: any",
    ),
    (
        "22:10: paths in another case are other paths (case)",
        "case_insensitive: true",
        "case: exact",
    ),
];

#[test]
fn weaker_policy_is_the_one_that_is_written_so() {
    let policies = set(POLICY);
    let found = super::of(&policies);
    let lines = listed(POLICY);
    for (line, from, to) in EDITS {
        let at = lines.iter().position(|found| found == line);
        let at = at.unwrap_or_else(|| panic!("{line} is not in\n{}", lines.join("\n")));
        let edited = POLICY.replacen(from, to, 1);
        assert_ne!(edited, POLICY, "{line}");
        assert!(
            found[at].apply(&policies) == set(&edited),
            "{line}: not the policy of\n{edited}"
        );
    }
}

#[test]
fn every_kind_is_one_that_policies_have() {
    let edited: Vec<_> = EDITS.iter().map(|(line, ..)| *line).collect();
    for one in super::of(&set(POLICY)) {
        let kind = format!("({})", one.kind.as_str());
        assert!(edited.iter().any(|line| line.ends_with(&kind)), "{kind}");
    }
}

#[test]
fn policy_that_could_not_be_written_is_left_out() {
    let routes = |routes: &str| {
        let start = POLICY.split("routes:\n").next().unwrap();
        let kinds = super::of(&set(&format!("{start}routes:\n{routes}")));
        let kinds = kinds.into_iter().filter(|one| one.route == Some(0));
        kinds.map(|one| one.kind).collect::<Vec<_>>()
    };
    for (text, without) in [
        // There would be no route.
        ("  - { path: /x, auth: jwt }\n", Kind::Deleted),
        // Callers would get in without a token.
        ("  - { path: /x, auth: jwt, roles: [a] }\n", Kind::Any),
        (
            "  - { path: /x, auth: { all: [jwt, mtls] }, scopes: [a] }\n  - { path: /y, auth: public }\n",
            Kind::Any,
        ),
        // Two routes could win.
        (
            "  - { path: /x, methods: [GET], auth: jwt }\n  - { path: /X, auth: jwt }\n",
            Kind::Methods,
        ),
        (
            "  - { path: /x, auth: jwt }\n  - { path: /x/*, auth: jwt }\n",
            Kind::Below,
        ),
        (
            "  - { path: \"/x/{a}\", auth: jwt }\n  - { path: \"/{b}/y/*\", auth: jwt }\n",
            Kind::Below,
        ),
        // It is public already, and rejects every request.
        ("  - { path: /x, auth: public }\n", Kind::Public),
        ("  - { path: /x, auth: public }\n", Kind::Shadow),
        ("  - { path: /x, auth: deny }\n", Kind::Shadow),
        ("  - { path: /x, auth: deny }\n", Kind::Any),
        ("  - { path: /x, auth: jwt }\n", Kind::Methods),
        ("  - { path: /x/*, auth: jwt }\n", Kind::Below),
    ] {
        let kinds = routes(text);
        assert!(!kinds.contains(&without), "{without:?} for {text}");
    }
}

#[test]
fn issuer_among_several_is_named_and_checked() {
    let two = POLICY.replacen(
        "    - issuer: a\n",
        "    - issuer: other\n      audience: unchecked\n      algorithms: [HS256]\n      keys: { secret: { env: SECRET } }\n    - issuer: a\n",
        1,
    );
    let lines = listed(&two);
    assert!(
        lines.iter().any(|line| line.contains("audience of a is unchecked")),
        "{lines:?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("issuer is unchecked")),
        "{lines:?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("audience of other")),
        "{lines:?}"
    );
}

#[test]
fn names_of_other_policies_for_the_service_are_those_of_the_weaker_set() {
    let other = "version: 1\nservice: t\nprefix: /t\nupstream: { url: \"http://127.0.0.1:1\" }\nroutes: [{ path: /*, auth: public }]\n";
    let policies = testing::parse(&[POLICY, other]).unwrap();
    let weakenings = super::of(&policies);
    let tenant = weakenings.iter().find(|one| one.kind == Kind::Tenant).unwrap();
    let edited = POLICY.replacen("tenant: { header: x-org, claims: [org, team] }\n", "", 1);
    assert!(tenant.apply(&policies) == testing::parse(&[&edited, other]).unwrap());
}

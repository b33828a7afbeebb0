//! Revocation, idempotency and quotas as policies write them.

use std::time::Duration;

use super::{GOOD, problems, said};
use crate::policy::{Fallback, Mode, PolicySet, QuotaScope};
use crate::testing::parse;

const QUOTA: &str = "{ name: q, per: tenant, limit: 3, window: 1h }";

fn policies(lines: &str, routes: &str) -> PolicySet {
    let text = GOOD.replacen("routes:\n", &format!("{lines}\nroutes:\n{routes}"), 1);
    assert_eq!(problems(&text), [], "{text}");
    parse(&[&text]).unwrap()
}

#[test]
fn defaults() {
    let policies = policies(
        "revocation: {}\nidempotency: {}\nquotas: [{ name: q, per: tenant, limit: 3, window: 1h }]",
        "",
    );
    let policy = policies.get(0).unwrap();
    let revocation = policy.revocation.as_ref().unwrap();
    assert_eq!(revocation.max_stale, Duration::from_secs(30));
    assert_eq!(revocation.when_unavailable, Fallback::Deny);
    let route = policy.routes.last().unwrap();
    let rule = route.idempotency.as_deref().unwrap();
    assert_eq!(rule.methods, ["POST", "PUT", "PATCH"]);
    assert_eq!((rule.required, rule.max_body), (false, 1 << 20));
    assert_eq!(
        (rule.ttl, rule.when_unavailable),
        (Duration::from_hours(24), Fallback::Deny)
    );
    let quota = route.quotas.first().unwrap();
    assert_eq!((quota.mode, quota.when_unavailable), (Mode::Enforce, Fallback::Allow));
    assert_eq!(
        (quota.plan_claim.as_slice(), quota.rate.limit()),
        (&["planTier".to_owned()][..], 3)
    );
}

#[test]
fn what_a_policy_says_holds_where_callers_are_proven() {
    let lines = "idempotency: {}\nquotas: [{ name: q, per: tenant, limit: 3, window: 1h }, { name: a, per: address, limit: 3, window: 1h }]";
    let routes = "  - { path: /off, auth: jwt, idempotency: off, quotas: off }
  - { path: /maybe, auth: { any: [jwt, public] } }
  - { path: /own, auth: jwt, sandbox: true, idempotency: { required: true, methods: [DELETE], ttl: 7d, max_body: 0, when_unavailable: allow }, quotas: [{ name: b, per: subject, limit: 1, window: 500ms, mode: shadow, when_unavailable: deny, plan_claim: [a, b], plans: { x: 2 } }] }
";
    let policies = policies(lines, routes);
    let policy = policies.get(0).unwrap();
    for (route, idempotent, quotas) in [
        ("/p/off", false, &[][..]),
        ("/p/maybe", false, &["q", "a"]),
        ("/p/own", true, &["b"]),
        ("/p/open", false, &["a"]),
        ("/p/x", true, &["q", "a"]),
    ] {
        let found = policy.routes.iter().find(|found| found.pattern == route).unwrap();
        assert_eq!(found.idempotency.is_some(), idempotent, "{route}");
        let names: Vec<_> = found.quotas.iter().map(|quota| quota.name.as_str()).collect();
        assert_eq!(names, quotas, "{route}");
        assert_eq!(found.sandbox, route == "/p/own");
    }
    let own = policy.routes.iter().find(|route| route.pattern == "/p/own").unwrap();
    let quota = own.quotas.first().unwrap();
    assert_eq!(
        (quota.per, quota.mode, quota.when_unavailable),
        (QuotaScope::Subject, Mode::Shadow, Fallback::Deny)
    );
    assert_eq!(
        (quota.rate_of(Some("x")).limit(), quota.rate_of(Some("y")).limit()),
        (2, 1)
    );
}

#[test]
fn sandbox_of_a_policy_holds_where_callers_are_proven_and_routes_say_nothing_else() {
    let lines = "sandbox: true\nquotas: [{ name: q, per: tenant, limit: 3, window: 1h }, { name: a, per: address, limit: 3, window: 1h }]";
    let routes = "  - { path: /counted, auth: jwt, sandbox: false }
  - { path: /unlimited, auth: jwt, quotas: off }
  - { path: /maybe, auth: { any: [jwt, public] } }
  - { path: /said, auth: public, sandbox: true }
";
    let policies = policies(lines, routes);
    for (route, sandbox) in [
        ("/p/counted", false),
        ("/p/unlimited", true),
        ("/p/maybe", false),
        ("/p/said", true),
        ("/p/open", false),
        ("/p/x", true),
    ] {
        let mut all = policies.get(0).unwrap().routes.iter();
        let found = all.find(|found| found.pattern == route).unwrap();
        assert_eq!(found.sandbox, sandbox, "{route}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_fault_is_one_problem() {
    let lines = |lines: &str| {
        said(
            "roles: { admin: [user] }",
            &format!("roles: {{ admin: [user] }}\n{lines}"),
        )
    };
    let route = |fields: &str| {
        said(
            "{ path: /x, auth: jwt }",
            &format!("{{ path: /x, auth: jwt, {fields} }}"),
        )
    };
    let open = |fields: &str| {
        said(
            "{ path: /open, auth: public }",
            &format!("{{ path: /open, auth: public, {fields} }}"),
        )
    };
    for (found, want) in [
        (
            lines("revocation: { max_stale: 1s }"),
            "`max_stale` must be at least `2s`",
        ),
        (lines("revocation: { when_unavailable: maybe }"), "unknown word `maybe`"),
        (
            lines("idempotency: { methods: [GET] }"),
            "`GET` changes nothing, and needs no key",
        ),
        (lines("idempotency: { methods: [PSOT] }"), "unknown method `PSOT`"),
        (
            lines("idempotency: { ttl: 31d }"),
            "a response is stored for `1s` to `30d`",
        ),
        (
            lines("idempotency: { max_body: 17MiB }"),
            "a response of at most `16MiB` can be stored",
        ),
        (
            lines("idempotency: { required: yes }"),
            "expected `true` or `false`, found text",
        ),
        (lines("quotas: []"), "the list is empty"),
        (lines("quotas: off"), "expected a list, found text"),
        (lines(&format!("quotas: [{QUOTA}, {QUOTA}]")), "`q` is written twice"),
        (
            lines(&format!("quotas: [{}]", QUOTA.replace("name: q", "name: a b"))),
            "the name of a quota has letters, digits, `-`, `_` and `.` only",
        ),
        (
            lines(&format!("quotas: [{}]", QUOTA.replace("limit: 3", "limit: 0"))),
            "a quota is at least one request, and at most one in a microsecond",
        ),
        (
            lines(&format!(
                "quotas: [{}]",
                QUOTA.replace("1h }", "1h, plans: { free: 0 } }")
            )),
            "a quota is at least one request, and at most one in a microsecond",
        ),
        (
            lines(&format!("quotas: [{}]", QUOTA.replace("tenant", "user"))),
            "unknown word `user`",
        ),
        (
            lines(&format!("quotas: [{}]", QUOTA.replace("window: 1h", "window: 0s"))),
            "a timeout of zero would end everything at once",
        ),
        (
            route("sandbox: true"),
            "`sandbox` has no effect: the route has no quotas",
        ),
        (
            lines("sandbox: true"),
            "`sandbox` has no effect: no authenticated route has quotas",
        ),
        (lines("sandbox: yes"), "expected `true` or `false`, found text"),
        (
            open("idempotency: {}"),
            "`idempotency` needs an authenticated route: responses are stored per caller",
        ),
        (
            open(&format!("quotas: [{QUOTA}]")),
            "the route verifies nothing about its clients, so a quota can only be `per: address`",
        ),
        (
            said(
                "{ path: /x, auth: jwt }",
                "{ path: /x, auth: jwt, quotas: [{ name: q, per: tenant, limit: 3, window: 1h }] }\n  - { path: /y, auth: jwt, quotas: [{ name: q, per: tenant, limit: 4, window: 1h }] }",
            ),
            "another route has another quota `q`",
        ),
        (
            said("tenant: { claims: [tenantId] }", &format!("quotas: [{QUOTA}]")),
            "no tenant is verified: the policy has no `tenant:` block",
        ),
    ] {
        let messages: Vec<_> = found.iter().map(|(_, message)| message.as_str()).collect();
        assert_eq!(messages, [want]);
    }
    let keyless = "version: 1\nservice: s\nupstream: { url: http://127.0.0.1:1 }\nrevocation: {}\nroutes: [{ path: /*, auth: public }]\n";
    let messages: Vec<_> = problems(keyless).iter().map(|p| p.message().to_owned()).collect();
    assert_eq!(
        messages,
        ["there are no tokens to revoke: the policy has no `jwt:` block"]
    );
}

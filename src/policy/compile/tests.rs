use std::cmp::Reverse;

use http::Method;
use proptest::prelude::*;

use crate::document::problem::Problem;
use crate::policy::route::Route;
use crate::testing::parse;

mod hints;
mod lints;
mod pass;
mod store_rules;
mod token_sources;

const GOOD: &str = "\
version: 1
service: s
prefix: /p
upstream: { url: http://127.0.0.1:1 }
jwt:
  issuers:
    - issuer: i
      audience: [a]
      algorithms: [HS256]
      keys: { secret: { env: SECRET } }
tenant: { claims: [tenantId] }
internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
mtls: { allow: [{ dns: a.b }] }
roles: { admin: [user] }
routes:
  - { path: /open, auth: public }
  - { path: /x, methods: [GET], auth: jwt, roles: [user] }
  - { path: /x, auth: jwt }
  - { path: /*, auth: { any: [internal_key, jwt] } }
";

fn problems(text: &str) -> Vec<Problem> {
    parse(&[text]).err().unwrap_or_default()
}

/// What is said about a good policy with one thing changed, and in which line.
fn said(from: &str, to: &str) -> Vec<(usize, String)> {
    assert!(GOOD.contains(from), "{from}");
    let problems = problems(&GOOD.replacen(from, to, 1));
    problems
        .iter()
        .map(|p| (p.location().line(), p.message().to_owned()))
        .collect()
}

#[test]
fn a_good_policy_has_no_problems() {
    assert_eq!(problems(GOOD), []);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_fault_is_one_problem_in_its_line() {
    for (from, to, line, message) in [
        ("version: 1", "version: 2", 1, "version 2 of the format is unknown"),
        (
            "service: s",
            "service: 'a b'",
            2,
            "the name of a service has letters, digits, `-`, `_` and `.` only",
        ),
        ("prefix: /p", "prefix: p", 3, "`p` does not start with `/`"),
        (
            "prefix: /p",
            "prefix: /p/{id}",
            3,
            "`/p/{id}` has a wildcard, and a prefix has none",
        ),
        (
            "http://127.0.0.1:1",
            "127.0.0.1:1",
            4,
            "`127.0.0.1:1` is not a URL of an upstream",
        ),
        (
            "http://127.0.0.1:1",
            "{ env: NOT_SET }",
            4,
            "the variable `NOT_SET` is not set",
        ),
        (
            "issuer: i",
            "issuer: i\n      issuer: j",
            8,
            "`issuer` is written twice",
        ),
        (
            "audience: [a]",
            "audience: a",
            8,
            "expected a list of audiences, or `unchecked`, found text",
        ),
        ("audience: [a]", "audience: []", 8, "the list is empty"),
        ("algorithms:", "algoritms:", 9, "unknown field `algoritms`"),
        ("[HS256]", "[none]", 9, "unknown algorithm `none`"),
        (
            "[HS256]",
            "[HS256, RS256]",
            10,
            "a shared secret cannot be used with RS256",
        ),
        (
            "{ env: SECRET }",
            "{ env: NOT_SET }",
            10,
            "the variable `NOT_SET` is not set",
        ),
        ("{ env: SECRET }", "{ env: EMPTY }", 10, "the variable `EMPTY` is empty"),
        ("{ env: SECRET }", "{ file: empty }", 10, "the file `empty` is empty"),
        (
            "{ env: SECRET }",
            "{ env: SHORT }",
            10,
            "the secret has 5 bytes; at least 32 are needed",
        ),
        ("{ env: SECRET }", "hush", 10, "a secret does not belong in this file"),
        (
            "{ secret: { env: SECRET } }",
            "{ jwks: { url: 'http://keys.example' } }",
            10,
            "HS256 needs a shared secret, which cannot come from a URL",
        ),
        (
            "{ env: JOBS_KEY }",
            "{ env: SHORT }",
            12,
            "the key has 5 bytes; at least 16 are needed",
        ),
        (
            "secret: { env: JOBS_KEY }",
            "sha256: abc",
            12,
            "a SHA-256 digest has 64 hex digits",
        ),
        (
            "{ env: JOBS_KEY }",
            "{ env: JOBS_KEY }, expires: soon",
            12,
            "`soon` is not a point in time",
        ),
        (
            "{ dns: a.b }",
            "{ dns: a.b, cn: c }",
            13,
            "exactly one of `uri`, `dns` and `cn` is needed, and several are written",
        ),
        (
            "{ dns: a.b }",
            "{ dns: '*.b' }",
            13,
            "a DNS name is matched exactly, and `*.b` has a `*`",
        ),
        ("audience: [a]", "audience: ['']", 8, "the text is empty"),
        (
            "audience: [a]",
            "audience: [Unchecked]",
            8,
            "`unchecked` stands alone, not in a list",
        ),
        (
            "issuer: i",
            "issuer: Unchecked",
            7,
            "`Unchecked` would be the name of an issuer",
        ),
        (
            "{ env: SECRET }",
            "{ file: public.pem }",
            10,
            "the secret is a PEM file, whose key may be known to all",
        ),
        (
            "secret: { env: JOBS_KEY }",
            "sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            12,
            "this is the digest of an empty key: was a variable empty?",
        ),
        (
            "secret: { env: JOBS_KEY }",
            "sha256: '+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1'",
            12,
            "a SHA-256 digest has 64 hex digits",
        ),
        (
            "{ dns: a.b }",
            "{ cn: '*' }",
            13,
            "a common name is matched exactly, and `*` has a `*`",
        ),
        ("auth: public", "auth: pubic", 16, "unknown way to authenticate `pubic`"),
        (
            "/open",
            "/:id",
            16,
            "`:id` would be these very characters, not any segment",
        ),
        (
            "/open",
            "/a|b",
            16,
            "`/a|b` is a pattern that Sidegate does not read: paths are matched by whole segments",
        ),
        (
            "/open",
            "\"/o\u{200b}pen\"",
            16,
            "the character U+200B here cannot be seen",
        ),
        ("prefix: /p", "prefix: /p\nhosts: [a..b]", 4, "`a..b` is not a host"),
        ("prefix: /p", "prefix: /p\nhosts: [a.b.]", 4, "`a.b.` is not a host"),
        (
            "prefix: /p",
            "prefix: /p\npaths: { case_insensitive: true, case: exact }",
            4,
            "`case: exact` contradicts `case_insensitive: true`",
        ),
        (
            "prefix: /p",
            "prefix: /é\npaths: { case_insensitive: true }",
            3,
            super::NOT_FOLDED,
        ),
        (
            "auth: public",
            "auth: public, roles: [user]",
            16,
            "`roles` come from tokens, and callers get in here without one",
        ),
        (
            "auth: public",
            "auth: { all: [jwt, public] }",
            16,
            "`public` needs no credential: it can only be the last of `any`, after another",
        ),
        (
            "auth: public",
            "auth: { any: [public, jwt] }",
            16,
            "`public` needs no credential: it can only be the last of `any`, after another",
        ),
        (
            "auth: public",
            "auth: public, pass: [x-user-id]",
            16,
            "`x-user-id` is read or set by Sidegate, and a client's never passes",
        ),
        ("/open", "open", 16, "`open` does not start with `/`"),
        ("/open", "/o%70en", 16, "`%` cannot stand in a path here"),
        ("methods: [GET]", "methods: [get]", 17, "unknown method `get`"),
        ("methods: [GET]", "methods: []", 17, "the list is empty"),
        ("roles: [user] }", "roles: }", 17, "the field has no value"),
        (
            "roles: [user] }",
            "roles: [usr] }",
            17,
            "`usr` is not among the policy's `roles`",
        ),
        (
            "auth: public",
            "auth: [jwt]",
            16,
            "expected one way to authenticate, found a list",
        ),
        (
            "auth: public",
            "auth: { any: [{ all: [jwt] }] }",
            16,
            "expected one way to authenticate, found a mapping",
        ),
        (
            "internal_key: {",
            "internal_key: { header: Authorization,",
            12,
            "`authorization` frames, routes or authenticates a request, and cannot serve here",
        ),
        (
            "internal_key: {",
            "internal_key: { header: X_Request_Id,",
            12,
            "`x_request_id` frames, routes or authenticates a request, and cannot serve here",
        ),
        (
            "internal_key: {",
            "internal_key: { header: x-tenant-id,",
            2,
            "`x-tenant-id` is both the tenant header and the internal key's",
        ),
        (
            "methods: [GET], ",
            "",
            18,
            "the route can never match: `/p/x` on line 17 takes the same requests",
        ),
        (
            "  - { path: /x, auth: jwt }",
            "  - { path: /x, methods: [HEAD], auth: jwt }",
            18,
            "the route can never match: `/p/x` on line 17 takes the same requests",
        ),
        ("jwt:\n  issuers", "jwtt:\n  issuers", 5, "unknown field `jwtt`"),
    ] {
        let said = said(from, to);
        assert_eq!(said.first(), Some(&(line, message.to_owned())), "{to}: {said:#?}");
    }
}

#[test]
fn one_fault_is_told_once() {
    for (from, to, count) in [
        ("[HS256]", "[HS257]", 1),
        ("{ env: SECRET }", "{ env: NOT_SET }", 1),
        ("issuer: i\n", "issuer: [[i]]\n", 1),
        ("{ dns: a.b }", "{ }", 1),
    ] {
        assert_eq!(said(from, to).len(), count, "{to}: {:#?}", said(from, to));
    }
}

#[test]
fn a_missing_block_is_named() {
    let text = GOOD.replace("internal_key: {", "roles_: {");
    let said: Vec<_> = problems(&text).iter().map(|p| p.message().to_owned()).collect();
    let want = "the route needs `internal_key`, and the policy has no `internal_key:` block";
    assert!(said.contains(&want.to_owned()), "{said:#?}");
}

#[test]
fn all_faults_are_told_at_once_with_a_fix() {
    let text = GOOD
        .replace("auth: public", "auth: pubic")
        .replace("algorithms:", "algoritms:")
        .replace("methods: [GET]", "methods: [GTE]");
    let report: Vec<_> = problems(&text).iter().map(|p| p.render(false)).collect();
    let report = report.join("\n");
    for part in [
        "0.yaml:9:7",
        "did you mean `algorithms`?",
        "did you mean `public`?",
        "did you mean `GET`?",
        "^^^^^",
        "  - { path: /open, auth: pubic }",
    ] {
        assert!(report.contains(part), "{part} in {report}");
    }
}

#[test]
fn routes_that_could_both_win() {
    let policy = |routes: &[&str]| {
        let routes: Vec<_> = routes
            .iter()
            .map(|route| format!("  - {{ {route}, auth: public }}\n"))
            .collect();
        let routes = routes.concat();
        format!("version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\nroutes:\n{routes}")
    };
    for (routes, count) in [
        (&["path: /a", "path: /a/"][..], 1),
        (&["path: /a/*", "path: /a"], 0),
        (&["path: '/{a}'", "path: '/{b}'"], 1),
        (&["path: '/{a}/b'", "path: '/a/{b}'"], 1),
        (
            &["path: '/{a}/b', methods: [GET]", "path: '/a/{b}', methods: [POST]"],
            0,
        ),
        (&["path: '/{a}/b', methods: [GET]", "path: '/a/{b}'"], 1),
        (&["path: '/{a}/b'", "path: '/a/b'"], 0),
        (&["path: '/{a}/{b}'", "path: '/a/{b}'"], 0),
        (&["path: /a, methods: [GET, POST]", "path: /a, methods: [POST]"], 1),
        (
            &["path: /a, methods: [GET]", "path: /a, methods: [POST]", "path: /a"],
            0,
        ),
        (&["path: /A", "path: /a"], 1),
        (&["path: /A/x", "path: '/a/{b}'"], 0),
        (&["path: '/{a}/b'", "path: '/a/{b}'", "path: /a/b"], 0),
        (&["path: '/a/b'", "path: '/{a}/b'", "path: '/a/{b}'"], 0),
        (&["path: '/{a}/b'", "path: '/a/{b}'", "path: /a/b/*"], 1),
        (&["path: '/{a}/b'", "path: '/a/{b}'", "path: /a/b, methods: [GET]"], 1),
        (
            &[
                "path: '/{a}/b', methods: [GET]",
                "path: '/a/{b}', methods: [GET, PUT]",
                "path: /a/b, methods: [GET]",
            ],
            0,
        ),
        (
            &[
                "path: '/{a}/b', methods: [GET, PUT]",
                "path: '/a/{b}'",
                "path: /a/b, methods: [GET]",
                "path: /a/b, methods: [PUT]",
            ],
            0,
        ),
        (
            &[
                "path: '/{a}/b', methods: [HEAD]",
                "path: '/a/{b}', methods: [GET]",
                "path: /a/b, methods: [GET]",
            ],
            0,
        ),
        (
            &[
                "path: '/{a}/b', methods: [TRACE]",
                "path: '/a/{b}', methods: [TRACE]",
                "path: /a/b",
            ],
            1,
        ),
        (&["path: '/{a}/b/*'", "path: '/a/{b}/*'", "path: /a/b/*"], 0),
        (&["path: '/{a}/b/*'", "path: '/a/{b}/*'", "path: /a/b"], 1),
        (&["path: '/{a}/{b}/c'", "path: '/a/{b}/{c}'", "path: '/a/{b}/c'"], 0),
        (&["path: '/{a}/{b}/c'", "path: '/a/{b}/{c}'", "path: '/a/b/c'"], 1),
        (&["path: '/{a}:x/b'", "path: '/c:x/{b}'", "path: '/c:x/b'"], 0),
        (&["path: '/{a}/B'", "path: '/a/{b}'", "path: /A/b"], 0),
        (&["path: '/{a}:x'", "path: '/{b}:x'"], 1),
        (&["path: '/{a}:x'", "path: '/{b}:X'"], 1),
        (&["path: '/{a}:x'", "path: '/{b}x'", "path: '/{c}'", "path: '/a:x'"], 0),
        (&["path: '/{a}:x'", "path: '/{b}:y'"], 0),
        (&["path: '/{a}:x/b'", "path: '/{a}/{b}'"], 0),
        (&["path: '/{a}:x/{b}'", "path: '/{a}/{b}:y'"], 1),
        (&["path: '/{a}:x/{b}'", "path: '/{a}:z/{b}:y'"], 0),
        (&["path: '/{a}:x/b'", "path: '/c:x/{b}'"], 1),
    ] {
        let found = problems(&policy(routes));
        assert_eq!(found.len(), count, "{routes:?}: {found:#?}");
    }
    let crossing = ["path: '/{a}/B'", "path: '/a/{b}'", "path: /A/b"];
    for (paths, count) in [("case_insensitive: true", 1), ("case: exact", 1)] {
        let paths = format!("paths: {{ {paths} }}\nroutes:");
        // An open route decides in one case only.
        let text = policy(&crossing).replace("routes:", &paths);
        assert_eq!(problems(&text).len(), count, "{paths}");
    }
    for (paths, count) in [("case_insensitive: true", 1), ("case: exact", 0)] {
        let paths = format!("paths: {{ {paths} }}\nroutes:");
        let text = policy(&["path: /A", "path: /a"]).replace("routes:", &paths);
        assert_eq!(problems(&text).len(), count, "{paths}");
    }
}

/// Policies of routes that begin and end alike.
fn alike() -> impl Strategy<Value = String> {
    let path = "(/(a|b|ab|\\{x\\}|\\{x\\}b)){1,3}(/\\*)?";
    let methods = prop::sample::select(vec![
        "",
        ", methods: [GET]",
        ", methods: [GET, POST]",
        ", methods: [HEAD]",
    ]);
    let route = (path, methods).prop_map(|(path, methods)| {
        let named = path.split('/').enumerate();
        let named: Vec<_> = named
            .map(|(at, part)| part.replace("{x}", &format!("{{x{at}}}")))
            .collect();
        format!("  - {{ path: '{}'{methods}, auth: public }}\n", named.join("/"))
    });
    prop::collection::vec(route, 1..9).prop_map(|routes| {
        let routes = routes.concat();
        format!("version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\nroutes:\n{routes}")
    })
}

/// Whether a route is at least as specific as another one that takes the same request.
fn is_as_specific(route: &Route, other: &Route) -> bool {
    let (a, b) = (&route.path, &other.path);
    if a.is_prefix != b.is_prefix || a.segments.len() != b.segments.len() {
        return (a.is_prefix, Reverse(a.segments.len())) < (b.is_prefix, Reverse(b.segments.len()));
    }
    let by_methods = a.segments != b.segments || !route.methods.is_empty() || other.methods.is_empty();
    by_methods && a.segments.iter().zip(&b.segments).all(|(a, b)| a.rank() >= b.rank())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_route_of_those_that_take_a_request_is_the_most_specific(text in alike()) {
        const PARTS: [&str; 5] = ["", "/a", "/b", "/ab", "/bb"];
        let Ok(policies) = parse(&[&text]) else { return Ok(()) };
        let policy = &policies.policies()[0];
        let pairs = PARTS.into_iter().flat_map(|a| PARTS.map(|b| format!("{a}{b}")));
        for path in pairs.flat_map(|start| PARTS.map(|end| format!("{start}{end}"))) {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
                let given: Vec<_> = path.split('/').skip(1).collect();
                let takes = |route: &&Route| {
                    let pattern = &route.path;
                    let fits = pattern.segments.len() == given.len()
                        || (pattern.is_prefix && pattern.segments.len() < given.len());
                    route.accepts(&method) && fits && pattern.segments.iter().zip(&given).all(|(s, text)| s.matches(text))
                };
                let taking: Vec<_> = policy.routes.iter().filter(takes).collect();
                let most = |route: &&&Route| taking.iter().all(|other| is_as_specific(route, other));
                let winners: Vec<_> = taking.iter().filter(most).map(|route| &route.pattern).collect();
                let found: Vec<_> = policy.route_for(&path, &method).map(|route| &route.pattern).into_iter().collect();
                prop_assert_eq!(&winners, &found, "{} {} in {}", method, path, text);
            }
        }
    }
}

#[test]
fn guarded_route_that_is_open_in_another_case_is_warned_of_where_case_is_exact() {
    const ADMIN: &str = "  - { path: '/admin/{id}/x', methods: [POST], auth: internal_key }\n";
    const OPEN: &str = "  - { path: /*, auth: public }\n";
    let policy = |paths: &str, routes: &str| {
        format!(
            "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{paths}\
             internal_key: {{ keys: [{{ name: jobs, secret: {{ env: JOBS_KEY }} }}] }}\nroutes:\n{routes}"
        )
    };
    for (paths, open, want) in [
        ("paths: { case: exact }\n", OPEN, Some("`/ADMIN/x/X` is open by `/*`")),
        (
            "paths: { case: exact }\n",
            "  - { path: /*, methods: [GET], auth: public }\n",
            None,
        ),
        (
            "paths: { case: exact }\n",
            "  - { path: /*, auth: internal_key }\n",
            None,
        ),
        (
            "paths: { case: exact }\n",
            "  - { path: '/{any}/*', auth: public }\n",
            Some("is open by"),
        ),
        ("", OPEN, None),
        ("paths: { case_insensitive: true }\n", OPEN, None),
    ] {
        let policies = parse(&[&policy(paths, &format!("{ADMIN}{open}"))]).unwrap();
        let warnings: Vec<_> = policies.warnings().map(ToString::to_string).collect();
        assert_eq!(
            warnings.len(),
            usize::from(want.is_some()),
            "{paths}{open}: {warnings:?}"
        );
        assert!(
            warnings.iter().all(|warning| warning.contains(want.unwrap())),
            "{warnings:?}"
        );
    }
}

#[test]
fn each_way_to_be_open_in_another_case_is_warned_of() {
    let policy = |rest: &str, routes: &[&str]| {
        let routes: Vec<_> = routes.iter().map(|route| format!("  - {{ {route} }}\n")).collect();
        let routes = routes.concat();
        format!(
            "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\npaths: {{ case: exact }}\n{rest}\
             internal_key: {{ keys: [{{ name: jobs, secret: {{ env: JOBS_KEY }} }}] }}\nroutes:\n{routes}"
        )
    };
    let (open, key) = ("auth: public", "auth: internal_key");
    for (guarded, other, warned) in [
        (
            "path: /admin, methods: [POST, GET]",
            "path: '/{x}', methods: [GET]",
            true,
        ),
        ("path: /admin", "path: /*, methods: [POST]", true),
        ("path: /admin", "path: /Admin", true),
        ("path: /admin/*", "path: /Admin/stats", true),
        ("path: /admin/*", "path: /ADMIN/stats/*", true),
        ("path: /a/b/c", "path: /A/B/c", true),
        ("path: /admin, methods: [POST]", "path: /*, methods: [GET]", false),
        ("path: /admin/*", "path: /admin/open/*", false),
        ("path: /admin", "path: /other", false),
        ("path: '/{id}'", "path: /open", false),
        ("path: /7", "path: /*", false),
        ("path: '/{id}:run'", "path: '/{id}:RUN'", true),
        ("path: '/{id}:run'", "path: '/{id}un'", true),
        ("path: '/{id}:run'", "path: '/{id}'", true),
        ("path: '/{id}:run'", "path: /7:Run", true),
        ("path: '/7:Run'", "path: '/{id}:run'", true),
        ("path: '/a:run'", "path: '/{id}:run'", true),
        ("path: '/7:run'", "path: '/{id}:run'", false),
        ("path: '/{id}'", "path: '/{id}:run'", false),
        ("path: '/{id}:run'", "path: '/{id}:stop'", false),
    ] {
        let text = policy("", &[&format!("{guarded}, {key}"), &format!("{other}, {open}")]);
        let policies = parse(&[&text]).unwrap();
        assert_eq!(
            policies.warnings().count(),
            usize::from(warned),
            "{guarded} beside {other}"
        );
    }
    for (inner, outer, warned) in [
        ("prefix: /api\n", "", true),
        ("prefix: /api\n", "prefix: /API\n", true),
        ("prefix: /api\nhosts: [a]\n", "hosts: [b]\n", false),
        ("prefix: /api\nhosts: ['*.a']\n", "", true),
        ("prefix: /api\n", "prefix: /other\n", false),
    ] {
        let texts = [
            policy(inner, &[&format!("path: /*, {key}")]),
            policy(outer, &[&format!("path: /*, {open}")]),
        ];
        let policies = parse(&[&texts[0], &texts[1]]).unwrap();
        assert_eq!(
            policies.warnings().count(),
            usize::from(warned),
            "{inner:?} beside {outer:?}"
        );
    }
}

#[test]
fn policies_that_could_both_win() {
    let policy = |prefix: &str, rest: &str| {
        format!(
            "version: 1\nservice: s\nprefix: {prefix}\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{rest}routes: [{{ path: /b/*, auth: public }}, {{ path: /c, auth: public }}]\n"
        )
    };
    for (a, b, want) in [
        (policy("/a", ""), policy("/x", ""), None),
        (policy("/a", ""), policy("/a/", ""), Some("both policies could win")),
        (policy("/a", ""), policy("/a", "hosts: [h]\n"), None),
        (
            policy("/a", "hosts: [h]\n"),
            policy("/a", "hosts: [i, h]\n"),
            Some("both policies could win"),
        ),
        (
            policy("/a", "hosts: [h]\n"),
            policy("/a", "hosts: [H]\n"),
            Some("both policies could win"),
        ),
        (policy("/a", ""), policy("/A", ""), Some("in another case")),
        (
            policy("/a", "paths: { case: exact }\n"),
            policy("/A", ""),
            Some("in another case"),
        ),
        (
            policy("/a", "paths: { case: exact }\n"),
            policy("/A", "paths: { case: exact }\n"),
            None,
        ),
        (policy("/a", ""), policy("/a/b", ""), Some("the route can never match")),
        (policy("/a", ""), policy("/a/c/d", ""), None),
    ] {
        let found = parse(&[&a, &b]).err().unwrap_or_default();
        assert_eq!(found.len(), usize::from(want.is_some()), "{found:#?}");
        assert!(
            found.iter().all(|p| p.message().contains(want.unwrap_or_default())),
            "{found:#?}"
        );
    }
}

#[test]
fn a_policy_of_any_size_is_read_in_no_time() {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let chain = lines(1000, &|n| format!("  r{n}: [r{}]\n", n + 1));
    let all: String = lines(200, &|n| format!("r{n}, "));
    let each_brings_all = lines(200, &|n| format!("  r{n}: [{all}]\n"));
    let routes = lines(5100, &|n| format!("  - {{ path: '/{{a}}/b{n}', auth: public }}\n"));
    let methods = lines(3000, &|n| format!("M{n}, "));
    let deep = "/a".repeat(100_000);
    for (from, to, said) in [
        (
            "roles: { admin: [user] }",
            format!("roles:\n{chain}"),
            Some("`roles` names 1001 roles"),
        ),
        (
            "roles: { admin: [user] }",
            format!("roles:\n{each_brings_all}  admin: [user]"),
            None,
        ),
        ("routes:\n", format!("routes:\n{routes}"), Some("at most 5000 routes")),
        ("[GET]", format!("[{methods}]"), Some("more problems than are listed")),
        ("path: /open", format!("path: {deep}"), Some("at most 64 segments")),
    ] {
        let started = std::time::Instant::now();
        let problems = problems(&GOOD.replacen(from, &to, 1));
        assert!(
            started.elapsed() < std::time::Duration::from_secs(20),
            "{:?}",
            started.elapsed()
        );
        let found = |said| problems.iter().any(|problem| problem.message().contains(said));
        assert!(
            said.is_none_or(found),
            "{:?}",
            problems.iter().take(3).collect::<Vec<_>>()
        );
        assert!(said.is_some() || problems.is_empty(), "{:?}", problems.first());
    }
}

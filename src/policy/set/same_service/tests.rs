use super::*;
use crate::testing::parse;

/// A policy at a URL, with what tells it apart.
fn policy(prefix: &str, url: &str, rest: &str) -> String {
    format!(
        "version: 1\nservice: s\nprefix: /{prefix}\nupstream: {{ url: '{url}' }}\n\
         jwt: {{ issuers: [{{ issuer: i, audience: [a], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
         {rest}\n"
    )
}

const OWNER: &str = "tenant: { header: x-org, claims: [org] }
internal_key: { header: x-job-key, keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }
identity: { x-account: sub, x_group: roles }
routes: [{ path: /*, auth: jwt }]";

const OPEN: &str = "routes: [{ path: /*, auth: public }]";

#[test]
fn names_are_shared_by_the_policies_of_one_service_and_by_no_others() {
    for (url, other, shared) in [
        ("http://a.example:80", "http://a.example:80", true),
        ("http://a.example:80", "http://A.Example", true),
        ("http://a.example:80", "http://b.example:80", false),
        ("http://a.example:80", "http://a.example:81", false),
        ("http://a.example:80", "h2c://a.example:80", false),
        ("https://a.example", "https://a.example:443", true),
        ("http://[::1]:80", "http://[0:0:0:0:0:0:0:1]:80", true),
        ("unix:/run/a", "unix:/run/a", true),
        ("unix:/run/a", "unix:/run/b", false),
    ] {
        let policies = parse(&[&policy("a", url, OWNER), &policy("b", other, OPEN)]).unwrap();
        for name in ["x-account", "X_Account", "x-group", "x-org", "x-job-key", "x.job.key"] {
            let owns = FoldedName::with(name, |name| policies.get(1).unwrap().is_reserved(&name));
            assert_eq!(owns, shared, "{name} at {url} and {other}");
        }
        let key = FoldedName::with("x-job-key", |name| policies.get(0).unwrap().identity.is_reserved(&name));
        assert!(!key, "whether its own key goes on is for the policy to say");
    }
}

#[test]
fn name_that_another_policy_takes_from_clients_is_warned_of_where_it_may_be_the_same_service() {
    let own = "identity: { x-account: sub }\nroutes: [{ path: /*, auth: jwt }]";
    let default = "routes: [{ path: /*, auth: jwt }]";
    for (owner, url, other, want) in [
        (
            own,
            "http://a:80",
            ("http://b:80", OPEN),
            &["`x-account`", "`1.yaml`"][..],
        ),
        (
            own,
            "http://127.0.0.1:80",
            ("http://localhost:80", OPEN),
            &["`x-account`"],
        ),
        (own, "http://a:80", ("https://a:443", OPEN), &["`x-account`"]),
        (own, "http://a:80", ("h2c://a:80", OPEN), &["`x-account`"]),
        (
            OWNER,
            "http://a:80",
            ("http://b:80", OPEN),
            &["`x-account`, `x-group`, `x-job-key` and 1 more"],
        ),
        (own, "http://a:80", ("http://a:80", OPEN), &[]),
        (own, "http://a:80", ("http://a:81", OPEN), &[]),
        (own, "http://a:80", ("http://b:81", OPEN), &[]),
        (own, "unix:/a", ("unix:/b", OPEN), &[]),
        (own, "http://a:80", ("http://b:80", own), &[]),
        (default, "http://a:80", ("http://b:80", OPEN), &[]),
        (
            "identity: { x-remote-user: sub }\nroutes: [{ path: /*, auth: jwt }]",
            "http://a:80",
            (
                "http://b:80",
                "routes: [{ path: /*, auth: jwt, pass: [x-remote-user] }]",
            ),
            &["`x-remote-user`"],
        ),
        (
            "identity: { x-remote-user: sub }\nroutes: [{ path: /*, auth: jwt }]",
            "http://a:80",
            ("http://b:80", OPEN),
            &[],
        ),
    ] {
        let (other_url, other) = other;
        let policies = parse(&[&policy("a", url, owner), &policy("b", other_url, other)]).unwrap();
        let warnings: Vec<_> = policies.warnings().map(ToString::to_string).collect();
        assert_eq!(
            warnings.len(),
            usize::from(!want.is_empty()),
            "{url} {other_url}: {warnings:?}"
        );
        for part in want {
            assert!(
                warnings[0].starts_with("0.yaml:") && warnings[0].contains(part),
                "{part}: {warnings:?}"
            );
        }
    }
}

#[test]
fn one_policy_has_one_warning_however_many_others_there_are() {
    let mut files = vec![policy("a", "http://a:80", OWNER)];
    files.extend((0..5).map(|at| policy(&format!("b{at}"), &format!("http://b{at}:80"), OPEN)));
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let policies = parse(&files).unwrap();
    let warnings: Vec<_> = policies.warnings().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("`1.yaml`, `2.yaml`, `3.yaml` and 2 more"),
        "{warnings:?}"
    );
}

#[test]
fn name_that_another_policy_for_the_same_service_sets_cannot_be_passed() {
    let sets = |name: &str| format!("identity: {{ {name}: sub }}\nroutes: [{{ path: /*, auth: jwt }}]");
    let passes = |name: &str, rest: &str| format!("{rest}routes: [{{ path: /*, auth: public, pass: [{name}] }}]");
    let key = "internal_key: { header: x-userinfo, keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }\n\
               routes: [{ path: /*, auth: internal_key }]";
    let (here, there) = ("http://a:80", "http://a:81");
    for (setter, url, passing, fine) in [
        (sets("x-userinfo"), here, passes("x-userinfo", ""), false),
        (sets("X_Userinfo"), here, passes("x-userinfo", ""), false),
        // The name of another product stays one, also where it is for a tenant.
        (
            sets("x-userinfo").replace("sub", "'@tenant'"),
            here,
            passes("x-userinfo", ""),
            false,
        ),
        (
            format!("tenant: {{ header: x-userinfo, claims: [org] }}\n{}", sets("x-account")),
            here,
            passes("x-userinfo", ""),
            false,
        ),
        (key.to_owned(), here, passes("x-userinfo", ""), false),
        (sets("x-userinfo"), there, passes("x-userinfo", ""), true),
        (sets("x-consumer-id"), here, passes("x-userinfo", ""), true),
        (
            sets("x-account"),
            here,
            passes("x-account", "tenant: { header: x-account, claims: [org] }\n"),
            false,
        ),
        (OWNER.to_owned(), here, passes("x-tenant-id", ""), true),
        (
            OWNER.to_owned(),
            here,
            passes("x-org", "tenant: { header: x-org, claims: [org] }\n"),
            true,
        ),
    ] {
        let found = parse(&[&policy("a", here, &setter), &policy("b", url, &passing)]);
        let found = found.err().unwrap_or_default();
        let errors: Vec<_> = found.iter().filter(|problem| problem.is_error()).collect();
        assert_eq!(errors.len(), usize::from(!fine), "{setter} {url} {passing}: {errors:?}");
        for error in errors {
            assert!(error.to_string().starts_with("1.yaml:"), "{error}");
            assert!(
                error
                    .message()
                    .contains("`0.yaml` reads or sets it for the same service"),
                "{error}"
            );
        }
    }
}

const SOURCES: &str =
    "sources: [{ header: X_Edge }, { cookie: session }, { query: key }, { websocket_protocol: bearer }], ";

/// A policy that reads tokens in all kinds of places.
fn reader(url: &str) -> String {
    policy("a", url, "routes: [{ path: /*, auth: jwt }]").replace("jwt: { ", &format!("jwt: {{ {SOURCES}"))
}

#[test]
fn places_of_tokens_are_removed_by_the_policies_of_one_service_and_read_by_the_one_that_names_them() {
    for (url, shared) in [
        ("http://A.example", true),
        ("http://b.example", false),
        ("http://a.example:81", false),
    ] {
        let policies = parse(&[&reader("http://a.example"), &policy("b", url, OPEN)]).unwrap();
        let sources = |index| &policies.get(index).unwrap().sources;
        let (reader, other) = (sources(0), sources(1));
        assert_eq!(reader.removed, reader.read, "{url}");
        assert_eq!(reader.read.iter().count(), 4, "{url}");
        assert!(other.is_authorization_alone(), "{url}");
        assert_eq!(other.removed == reader.read, shared, "{url}");
        assert_eq!(other.removed.is_empty(), !shared, "{url}");
        for name in ["x-edge", "X_EDGE", "http-x.edge"] {
            let is_removed = FoldedName::with(name, |name| other.removed.is_header(&name));
            assert_eq!(is_removed, shared, "{name} at {url}");
        }
    }
}

#[test]
fn each_policy_of_a_service_reads_its_own_places_and_removes_all_of_them() {
    let second = policy("b", "http://a", "routes: [{ path: /*, auth: jwt }]")
        .replace("jwt: { ", "jwt: { sources: [{ cookie: other }, { cookie: session }], ");
    let policies = parse(&[&reader("http://a"), &second, &policy("c", "http://a", OPEN)]).unwrap();
    for (index, read) in [(0, &["session"][..]), (1, &["other", "session"]), (2, &[])] {
        let sources = &policies.get(index).unwrap().sources;
        assert_eq!(sources.read.cookies, read, "{index}");
        let mut removed = sources.removed.cookies.clone();
        removed.sort_unstable();
        assert_eq!(removed, ["other", "session"], "{index}");
    }
}

#[test]
fn place_of_tokens_that_another_policy_lets_through_is_warned_of_where_it_may_be_the_same_service() {
    let about = |other: &str| {
        let policies = parse(&[&reader("http://a:80"), other]).unwrap();
        let warnings: Vec<_> = policies.warnings().map(ToString::to_string).collect();
        let of_service = |text: &&String| text.contains("header_not_removed");
        warnings.iter().find(of_service).cloned().unwrap_or_default()
    };
    let found = about(&policy("b", "http://b:80", OPEN));
    for part in [
        "0.yaml:",
        "`x-edge`, cookie `session`, query parameter `key` and 1 more",
        "`1.yaml`",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    for other in [
        policy("b", "http://b:81", OPEN),
        reader("http://b:80").replace("prefix: /a", "prefix: /b"),
    ] {
        assert_eq!(about(&other), "", "{other}");
    }
}

#[test]
fn header_with_the_tokens_of_another_policy_for_the_same_service_has_no_other_use() {
    let condition = "routes: [{ path: /*, auth: public, when: [{ header: x-edge, equals: a }] }]";
    let key = "internal_key: { header: x.edge, keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }\n\
               routes: [{ path: /*, auth: internal_key }]";
    let identity = "identity: { X-Edge: sub }\nroutes: [{ path: /*, auth: jwt }]";
    let tenant = "tenant: { header: x-edge, claims: [org] }\nroutes: [{ path: /*, auth: jwt }]";
    for rest in [condition, key, identity, tenant] {
        for (url, code) in [("http://a", Some("header_conflict")), ("http://b:81", None)] {
            let found = parse(&[&reader("http://a"), &policy("b", url, rest)])
                .err()
                .unwrap_or_default();
            let errors: Vec<_> = found.iter().filter(|problem| problem.is_error()).collect();
            let codes: Vec<_> = errors.iter().map(|error| error.code().to_string()).collect();
            assert_eq!(codes, code.as_slice(), "{rest} {url}: {errors:?}");
            let is_here =
                |error: &&Problem| error.to_string().starts_with("1.yaml:") && error.message().contains("`0.yaml`");
            assert!(errors.iter().all(is_here), "{errors:?}");
        }
    }
}

#[test]
fn header_with_the_tokens_of_another_policy_for_the_same_service_cannot_be_passed() {
    let reader = reader("http://a").replace("X_Edge", "x-goog-iap-jwt-assertion");
    let passes = "routes: [{ path: /*, auth: public, pass: [x-goog-iap-jwt-assertion] }]";
    for (url, fine) in [("http://a", false), ("http://b:81", true)] {
        let found = parse(&[&reader, &policy("b", url, passes)]).err().unwrap_or_default();
        let codes: Vec<_> = found
            .iter()
            .filter(|problem| problem.is_error())
            .map(Problem::code)
            .collect();
        let want: &[ProblemCode] = if fine { &[] } else { &[ProblemCode::PassNotAllowed] };
        assert_eq!(codes, want, "{url}: {found:?}");
    }
}

//! Which policy and route a request is for.

use super::*;

#[test]
fn a_policy_is_chosen_by_host_and_prefix() {
    let policy = |service: &str, rest: &str| {
        format!(
            "version: 1\nservice: {service}\nupstream: {{ url: 'http://127.0.0.1:1' }}\n{rest}\nroutes: [{{ path: /*, auth: public }}]\n"
        )
    };
    let files = [
        policy("plain", "prefix: /a"),
        policy("longer", "prefix: /a/b"),
        policy("host", "prefix: /a\nhosts: [api.example.com]"),
        policy("any-host", "prefix: /a\nhosts: ['*.example.com']"),
    ];
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let policies = parse(&files).unwrap();
    for (host, path, want) in [
        ("x", "/a", Some("plain")),
        ("x", "/a/", Some("plain")),
        ("x", "/a/c", Some("plain")),
        ("x", "/a/b", Some("longer")),
        ("x", "/a/b/c", Some("longer")),
        ("x", "/a/bc", Some("plain")),
        ("x", "/ab", None),
        ("API.example.com:8080", "/a/b", Some("host")),
        ("b.example.com", "/a/b", Some("any-host")),
        ("example.com", "/a/c", Some("plain")),
    ] {
        let line = request(&format!("GET {path}")).host(host);
        let decision = line.decide(&policies);
        let service = decision.matched.policy().map(|policy| policy.service.as_str());
        assert_eq!(service, want, "{host}{path}");
    }
}

#[test]
fn a_prefix_in_disguise_changes_nothing() {
    for path in ["/w/open/x", "/%77/open/x"] {
        let line = request(&format!("GET {path}"));
        check(
            &line.clone().tenant(TENANT).tenant(OTHER_TENANT),
            "tenant_header_invalid",
        );
        check(&line.key("a").key("b"), "request_malformed");
    }
}

#[test]
fn an_encoded_literal_never_evades_the_literal() {
    let text = POLICY.replace("/open/*, auth: public", "'/open/{id}:run', auth: public");
    let policies = parse(&[&text]).unwrap();
    for (path, want) in [
        ("/w/open/7:run", "allow"),
        ("/w/open/7:run/", "allow"),
        ("/w/open/%37:%72un", "allow"),
        ("/w/open/7%3Arun", "path_ambiguous"),
        ("/w/open/7:Run", "path_ambiguous"),
        ("/w/open/7:stop", "route_not_found"),
        ("/w/open/:run", "route_not_found"),
    ] {
        let line = request(&format!("GET {path}"));
        assert_eq!(line.outcome(&policies), want, "{path}");
    }
    let text = POLICY.replace(
        "/get, methods: [GET], auth: jwt",
        "'/get:all', auth: jwt, roles: [admin]",
    ) + "  - { path: /*, auth: public }\n";
    let policies = parse(&[&text]).unwrap();
    for (path, want) in [
        ("/w/get:all", "credential_missing"),
        ("/w/%67et:all", "credential_missing"),
        // Some services decode this before they look for a route, others do not.
        ("/w/get%3Aall", "path_ambiguous"),
        ("/w/get%3aall", "path_ambiguous"),
        ("/w/other%3Aall", "allow"),
    ] {
        let line = request(&format!("GET {path}"));
        assert_eq!(line.outcome(&policies), want, "{path}");
    }
}

#[test]
fn an_allowance_never_opens_another_route() {
    let text = POLICY.replace(
        "prefix: /w",
        "prefix: /w\npaths: { allow: [double_slash, semicolon, encoded_slash] }",
    ) + "  - { path: /*, auth: jwt }\n";
    let policies = parse(&[&text]).unwrap();
    for (path, want) in [
        ("/w/x//y", "allow"),
        ("/w/x;a=1/y", "allow"),
        ("/w/x%2Fy", "allow"),
        ("/w/open//x", "path_ambiguous"),
        ("/w/open/x;y", "path_ambiguous"),
        ("/w/open%2Fx", "path_ambiguous"),
        ("/w//jobs/x", "path_ambiguous"),
        ("/w/roles;x", "path_ambiguous"),
        ("/w//roles", "path_ambiguous"),
        ("/w%2Fopen/x", "path_ambiguous"),
        ("/w/x/..;/y", "path_ambiguous"),
        ("/w/x%2F..%2Fy", "path_ambiguous"),
    ] {
        let line = good(&format!("GET {path}"));
        assert_eq!(line.outcome(&policies), want, "{path}");
    }
}

#[test]
fn case_is_folded_where_the_service_folds_it_but_never_into_the_open() {
    let text =
        POLICY.replace("prefix: /w", "prefix: /w\npaths: { case_insensitive: true }") + "  - { path: /*, auth: jwt }\n";
    let policies = parse(&[&text]).unwrap();
    for (path, want) in [
        ("/w/roles", "role_missing"),
        ("/w/ROLES", "role_missing"),
        ("/W/Roles/", "role_missing"),
        ("/w/rol%45s", "role_missing"),
        ("/w/other", "allow"),
        ("/w/caf%C3%A9", "allow"),
        // Dotless i, long s and the sign of Kelvin are i, s and k to some.
        ("/w/role%C5%BF", "path_ambiguous"),
        ("/w/%E2%84%AA", "path_ambiguous"),
        ("/w/%C4%B1", "path_ambiguous"),
        ("/w/%C4%B0", "path_ambiguous"),
    ] {
        let user = claims_with(&json!({ "roles": ["user"] }));
        let line = request(&format!("GET {path}")).bearer(&user).tenant(TENANT);
        assert_eq!(line.outcome(&policies), want, "{path}");
    }
    assert_eq!(request("GET /w/open/x").outcome(&policies), "allow");
    assert_eq!(request("GET /w/OPEN/x").outcome(&policies), "credential_missing");
}

#[test]
fn path_that_leads_to_another_route_in_another_case_is_rejected() {
    let text = POLICY.to_owned()
        + "  - { path: /*, auth: jwt }\n  - { path: /Admin/*, auth: mtls }\n  - { path: '/items/{id}', auth: jwt, roles: [admin] }\n";
    let policies = parse(&[&text]).unwrap();
    for (line, want) in [
        ("GET /w/jobs/settle", "credential_missing"),
        ("GET /w/Jobs/settle", "path_ambiguous"),
        ("GET /w/JOBS/Settle", "path_ambiguous"),
        ("GET /w/%4Aobs/settle", "path_ambiguous"),
        ("GET /w/open/Anything", "allow"),
        ("GET /w/Open/x", "path_ambiguous"),
        ("GET /w/Admin/x", "client_certificate_missing"),
        ("GET /w/admin/x", "path_ambiguous"),
        ("GET /w/items/01HXY", "role_missing"),
        ("GET /w/Items/01HXY", "path_ambiguous"),
        // The route takes other methods only, in either case.
        ("GET /w/get", "allow"),
        ("GET /w/Get", "path_ambiguous"),
        ("DELETE /w/Get", "allow"),
        ("GET /w/Other", "allow"),
        // The prefix leads to no policy in another case.
        ("GET /W/open/x", "route_not_found"),
        // Dotless i, long s and the sign of Kelvin are i, s and k to some.
        ("GET /w/job%C5%BF/settle", "path_ambiguous"),
        ("GET /w/%C4%B1%C5%9F%C4%B1k", "allow"),
    ] {
        assert_eq!(good(line).outcome(&policies), want, "{line}");
    }
    let exact = text.replace("prefix: /w", "prefix: /w\npaths: { case: exact }");
    let policies = parse(&[&exact]).unwrap();
    for line in [
        "GET /w/Jobs/settle",
        "GET /w/admin/x",
        "GET /w/Get",
        "GET /w/job%C5%BF/settle",
    ] {
        assert_eq!(good(line).outcome(&policies), "allow", "{line}");
    }
}

#[test]
fn open_route_takes_no_path_of_another_open_route_in_another_case() {
    let text = "version: 1\nservice: s\nprefix: /p\nupstream: { url: 'http://127.0.0.1:1' }\n\
         paths: { case_insensitive: true }\n\
         internal_key: { keys: [{ name: jobs, secret: { env: JOBS_KEY } }] }\n\
         routes:\n\
         \x20 - { path: /*, auth: public }\n\
         \x20 - { path: /login, methods: [POST], auth: public, content_types: [application/json] }\n\
         \x20 - { path: /Refresh, methods: [POST], auth: public, content_types: [application/json] }\n\
         \x20 - { path: /maybe, auth: { any: [internal_key, public] } }\n\
         \x20 - { path: /jobs/*, auth: internal_key }\n";
    let policies = parse(&[text]).unwrap();
    for (line, want) in [
        ("POST /p/login", "content_type_unsupported"),
        ("POST /p/Login", "path_ambiguous"),
        ("POST /P/LOGIN/", "path_ambiguous"),
        ("POST /P/login", "content_type_unsupported"),
        ("GET /p/Login", "allow"),
        ("POST /p/Refresh", "content_type_unsupported"),
        ("POST /p/refresh", "path_ambiguous"),
        ("POST /p/REFRESH", "path_ambiguous"),
        ("GET /p/Maybe", "path_ambiguous"),
        ("GET /p/Other", "allow"),
        ("GET /p/Jobs/x", "credential_missing"),
    ] {
        let line = request(line).body("text/plain", Body::Sized(2));
        assert_eq!(line.outcome(&policies), want, "{line:?}");
    }
}

#[test]
fn path_that_leads_to_another_policy_in_another_case_is_rejected() {
    const EXACT: &str = "paths: { case: exact }\n";
    const INSENSITIVE: &str = "paths: { case_insensitive: true }\n";
    let policy = |prefix: &str, rest: &str, auth: &str| {
        format!(
            "version: 1\nservice: s\nprefix: {prefix}\n{rest}upstream: {{ url: 'http://127.0.0.1:1' }}\n\
             internal_key: {{ keys: [{{ name: jobs, secret: {{ env: JOBS_KEY }} }}] }}\nroutes: [{{ path: /*, auth: {auth} }}]\n"
        )
    };
    for (outer, inner, path, want) in [
        ("", "", "/wallet/x", "credential_missing"),
        ("", "", "/Wallet/x", "path_ambiguous"),
        ("", "", "/Other/x", "allow"),
        // A service that ignores case may be behind both policies.
        (INSENSITIVE, "", "/Wallet/x", "path_ambiguous"),
        ("", EXACT, "/Wallet/x", "path_ambiguous"),
        (EXACT, "", "/Wallet/x", "path_ambiguous"),
        (EXACT, EXACT, "/Wallet/x", "allow"),
        (EXACT, INSENSITIVE, "/Wallet/x", "credential_missing"),
        ("", INSENSITIVE, "/Wallet/x", "credential_missing"),
    ] {
        let policies = parse(&[&policy("/", outer, "public"), &policy("/wallet", inner, "internal_key")]);
        let got = request(&format!("GET {path}")).outcome(&policies.unwrap());
        assert_eq!(got, want, "{path}: {outer:?} {inner:?}");
    }
    // Here the prefix has the capital letter.
    let policies = parse(&[&policy("/", "", "public"), &policy("/Wallet", "", "internal_key")]).unwrap();
    assert_eq!(request("GET /wallet/x").outcome(&policies), "path_ambiguous");
    assert_eq!(request("GET /Wallet/x").outcome(&policies), "credential_missing");
}

#[test]
fn a_host_is_the_same_with_a_dot_behind_it() {
    let strict = POLICY
        .replace("prefix: /w", "prefix: /w\nhosts: [A.example, '*.wild.example']")
        .replace("/open/*, auth: public", "/open/*, auth: jwt");
    let lax = POLICY.to_owned();
    let policies = parse(&[&strict, &lax]).unwrap();
    for (host, want) in [
        ("other.example", "allow"),
        ("a.example", "credential_missing"),
        ("a.example.", "credential_missing"),
        ("A.EXAMPLE.:80", "credential_missing"),
        ("x.wild.example.", "credential_missing"),
        ("a.example..", "request_malformed"),
    ] {
        assert_eq!(request("GET /w/open/x").host(host).outcome(&policies), want, "{host}");
    }
}

#[test]
fn a_ping_is_for_no_service() {
    let policies = parse(&[POLICY]).unwrap();
    assert_eq!(request("OPTIONS *").outcome(&policies), "allow");
    for line in ["GET *", "OPTIONS *?", "OPTIONS **", "OPTIONS /*/.."] {
        assert_ne!(request(line).outcome(&policies), "allow", "{line}");
    }
}

#[test]
fn connect_is_rejected_on_every_route() {
    let policies = parse(&[POLICY]).unwrap();
    assert_eq!(request("CONNECT /w/open/x").outcome(&policies), "method_not_allowed");
    assert_eq!(
        request("CONNECT evil.example:443").outcome(&policies),
        "method_not_allowed"
    );
}

#[test]
fn rejected_method_names_the_accepted_ones() {
    let policies = policies();
    let line = request("DELETE /w/get");
    let decision = line.decide(&policies);
    let allow: Vec<_> = decision
        .outcome
        .rejection()
        .unwrap()
        .allow()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(allow, ["GET", "HEAD"]);
}

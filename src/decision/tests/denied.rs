//! Routes that reject every request.

use super::*;

fn policies(paths: &str) -> PolicySet {
    let routes = "  - { path: /internal/*, auth: deny }\n  - { path: /items/*, methods: [DELETE], auth: deny }\n\
                  \x20 - { path: /open/internal, auth: deny }\n  - { path: '/{id}:purge', auth: deny }\n\
                  \x20 - { path: /*, auth: jwt }\n";
    let text = POLICY.replace(
        "prefix: /w",
        &format!("prefix: /w\nmode: shadow\nquotas: [{{ name: q, per: address, limit: 1, window: 1m }}]\n{paths}"),
    );
    parse(&[&(text + routes)]).unwrap()
}

#[test]
fn denied_route_rejects_every_request_before_its_credentials() {
    let policies = policies("");
    for (line, want) in [
        ("GET /w/internal", "route_denied"),
        ("GET /w/internal/x/y", "route_denied"),
        ("OPTIONS /w/internal/x", "route_denied"),
        ("GET /w/%69nternal/x", "route_denied"),
        ("GET /w/Internal/x", "path_ambiguous"),
        ("GET /w/internalx", "allow"),
        ("DELETE /w/items/7", "route_denied"),
        ("GET /w/items/7", "allow"),
        ("GET /w/open/internal", "route_denied"),
        ("GET /w/open/other", "allow"),
        ("GET /w/7:purge", "route_denied"),
        ("TRACE /w/internal", "route_denied"),
    ] {
        assert_eq!(good(line).outcome(&policies), want, "{line}");
    }
    let bad = request("GET /w/internal/x").bearer(&json!({ "iss": "other" }));
    assert_eq!(bad.outcome(&policies), "route_denied");
    let twice = good("GET /w/internal/x").tenant(OTHER_TENANT);
    assert_eq!(twice.outcome(&policies), "tenant_header_invalid");
}

#[test]
fn denied_route_denies_in_every_case_where_case_is_ignored() {
    let policies = policies("paths: { case_insensitive: true }");
    for line in [
        "GET /w/INTERNAL/x",
        "GET /W/Internal",
        "DELETE /w/Items/7",
        "GET /w/7:PURGE",
    ] {
        assert_eq!(good(line).outcome(&policies), "route_denied", "{line}");
    }
}

#[test]
fn denied_route_is_shown_as_such() {
    let policies = policies("");
    let line = good("GET /w/internal/x");
    let decision = line.decide(&policies);
    let route = decision.matched.route().unwrap();
    assert_eq!((route.auth_label(), decision.outcome.label()), ("deny", "deny"));
    assert!(!route.is_open() && !route.is_permissive() && route.quotas.is_empty());
    let line = good("POST /w/items/7");
    assert!(line.decide(&policies).outcome.rejection().is_none());
}

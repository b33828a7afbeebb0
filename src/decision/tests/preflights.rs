//! Preflights of pages, which Sidegate itself answers, and requests that only look like one.

use super::*;
use crate::decision::Outcome;

const CORS: &str = "cors: { origins: ['https://app.example.com', 'https://*.example.org'], headers: [authorization] }";

fn policies(cors: &str) -> PolicySet {
    let routes = "  - { path: /write, methods: [PUT, DELETE], auth: jwt }\n  - { path: /write, methods: [DELETE], auth: deny }\n\
                  \x20 - { path: /find, methods: [SEARCH], auth: jwt }\n  - { path: /options, methods: [OPTIONS], auth: public }\n\
                  \x20 - { path: /closed/*, auth: deny }\n  - { path: /Capital, methods: [PUT], auth: jwt }\n";
    let routes = routes.replace("[PUT, DELETE]", "[PUT]");
    parse(&[&format!(
        "{}{routes}",
        POLICY.replace("prefix: /w", &format!("prefix: /w\n{cors}"))
    )])
    .unwrap()
}

fn preflight(path: &str, method: &str) -> TestRequest {
    request(&format!("OPTIONS {path}"))
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", method)
}

#[test]
fn preflight_is_answered_before_authentication_where_a_route_takes_the_method() {
    let policies = policies(CORS);
    for (path, method, want) in [
        ("/w/write", "PUT", "preflight"),
        ("/w/write/", "PUT", "preflight"),
        ("/w/%77rite", "PUT", "preflight"),
        ("/w/get", "GET", "preflight"),
        ("/w/get", "HEAD", "preflight"),
        ("/w/roles", "POST", "preflight"),
        ("/w/shadow", "POST", "preflight"),
        ("/w/find", "SEARCH", "preflight"),
        ("/w/open/x", "OPTIONS", "preflight"),
        ("/w/options", "OPTIONS", "preflight"),
        ("/w/Capital", "PUT", "preflight"),
        // Ordinary requests.
        ("/w/write", "DELETE", "method_not_allowed"),
        ("/w/write", "GET", "method_not_allowed"),
        ("/w/write", "put", "method_not_allowed"),
        ("/w/write", "PUT, PUT", "method_not_allowed"),
        ("/w/write", "", "method_not_allowed"),
        ("/w/options", "PUT", "allow"),
        ("/w/roles", "CONNECT", "credential_missing"),
        ("/w/roles", "TRACE", "credential_missing"),
        ("/w/roles", "get", "credential_missing"),
        ("/w/closed/x", "GET", "route_denied"),
        ("/w/nothing", "GET", "route_not_found"),
        ("/w/write/%2e%2e/x", "PUT", "path_ambiguous"),
        ("/w//write", "PUT", "path_ambiguous"),
        ("/w/capital", "PUT", "path_ambiguous"),
    ] {
        assert_eq!(preflight(path, method).outcome(&policies), want, "{path} {method}");
    }
}

#[test]
fn request_that_is_not_a_preflight_of_a_listed_page_is_an_ordinary_one() {
    let policies = policies(CORS);
    let asked = |request: TestRequest| request.header("access-control-request-method", "POST");
    let from = |origin: &'static str| asked(request("OPTIONS /w/roles").header("origin", origin));
    for (request, want) in [
        (from("https://app.example.com"), "preflight"),
        (from("https://a.example.org"), "preflight"),
        (from("https://a.b.example.org"), "credential_missing"),
        (from("https://app.example.com:443"), "credential_missing"),
        (from("https://evil.example"), "credential_missing"),
        (from("null"), "credential_missing"),
        (
            from("https://app.example.com").header("origin", "https://app.example.com"),
            "credential_missing",
        ),
        (
            from("https://app.example.com").header("access-control-request-method", "POST"),
            "credential_missing",
        ),
        (asked(request("OPTIONS /w/roles")), "credential_missing"),
        (
            request("OPTIONS /w/roles").header("origin", "https://app.example.com"),
            "credential_missing",
        ),
        (
            asked(request("POST /w/roles").header("origin", "https://app.example.com")),
            "credential_missing",
        ),
        (
            asked(request("OPTIONS *").header("origin", "https://app.example.com")),
            "allow",
        ),
        (
            from("https://app.example.com").header("access-control-request-headers", "x-not-listed"),
            "preflight",
        ),
        (
            from("https://app.example.com").bearer(&claims()).tenant("x"),
            "preflight",
        ),
    ] {
        assert_eq!(request.outcome(&policies), want, "{request:?}");
    }
}

#[test]
fn without_the_block_a_preflight_is_an_ordinary_request() {
    let policies = policies("");
    for (path, method, want) in [
        ("/w/write", "PUT", "method_not_allowed"),
        ("/w/roles", "GET", "credential_missing"),
        ("/w/open/x", "GET", "allow"),
    ] {
        assert_eq!(preflight(path, method).outcome(&policies), want, "{path} {method}");
    }
}

#[test]
fn preflight_names_the_methods_of_the_path_and_belongs_to_the_route_that_takes_one() {
    let policies = policies(CORS);
    for (path, method, methods, route) in [
        ("/w/write", "PUT", "PUT", "/w/write"),
        ("/w/get", "HEAD", "GET HEAD", "/w/get"),
        ("/w/find", "SEARCH", "SEARCH", "/w/find"),
        (
            "/w/open/x",
            "PURGE",
            "DELETE GET HEAD OPTIONS PATCH POST PUT PURGE",
            "/w/open/*",
        ),
    ] {
        let request = preflight(path, method);
        let decision = request.decide(&policies);
        let Outcome::Preflight(found) = &decision.outcome else {
            panic!("{path}: {:?}", decision.outcome);
        };
        let found: Vec<_> = found.iter().map(http::Method::as_str).collect();
        assert_eq!(found.join(" "), methods, "{path}");
        assert_eq!(decision.matched.route().unwrap().pattern, route);
        assert!(decision.principal.is_none() && decision.checks.is_empty() && decision.outcome.permit().is_none());
    }
}

//! Any text is a policy, or a list of problems that stand somewhere in it. What is accepted can be
//! asked, and every route of the file is in the router. Reading never panics and never hangs.
//!
//! The first byte of an input says whether the rest is policies, with 0x1e between two of them, or
//! `sidegate.yaml`.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use sidegate::config::ServerConfig;
use sidegate::decision::{Evaluator, decide};
use sidegate::document::problem::{Problem, Problems, SourceFile};
use sidegate::document::yaml::Value;
use sidegate::policy::Policy;
use sidegate::policy::route::Route;
use sidegate::policy::router::RouteMatch;
use sidegate::revocation::Revocations;
use sidegate_fuzz::setup::{self, KEY, TENANT, TOKEN};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if kind % 4 == 3 {
        return check_config(text);
    }
    let texts: Vec<_> = text.split('\u{1e}').collect();
    match setup::parse(&texts) {
        Ok(policies) => {
            for (policy, text) in policies.policies().iter().zip(&texts) {
                check_routes(policy, text);
            }
            ask(&Evaluator::new(Arc::new(policies)));
        }
        Err(problems) => check_problems(&problems, &texts),
    }
});

fn check_config(text: &str) {
    let source = SourceFile::new("sidegate.yaml", text);
    if let Err(problems) = ServerConfig::parse(source, Path::new("/etc")) {
        check_problems(&problems, &[text]);
    }
}

/// Every route that is in the file is in the router.
fn check_routes(policy: &Policy, text: &str) {
    assert_eq!(policy.routes.len(), written_routes(text), "{text}");
    for (index, route) in policy.routes.iter().enumerate() {
        let method = route.methods.first().cloned().unwrap_or(Method::GET);
        let found = policy.find(&example_path(policy, route), &method);
        let RouteMatch::Found(at) = found else {
            panic!("{} is not in the router: {found:?}", route.pattern)
        };
        let other = &policy.routes[at];
        // Another route may only be one that is more specific.
        assert!(
            at == index || other.path.segments.len() >= route.path.segments.len(),
            "{} is found for {}",
            other.pattern,
            route.pattern
        );
    }
}

/// The number of routes that a file lists, counted without the reader of policies.
fn written_routes(text: &str) -> usize {
    let source = SourceFile::new("", text);
    let node = sidegate::document::read(&mut Problems::of(Arc::new(source))).expect("an accepted policy is YAML");
    let Value::Mapping(entries) = node.value else {
        panic!("an accepted policy is a mapping")
    };
    let routes = entries.into_iter().filter(|((key, _), _)| key == "routes");
    let counts = routes.map(|(_, routes)| match routes.value {
        Value::Sequence(items) => items.len(),
        _ => 0,
    });
    counts.sum()
}

/// A path that a route takes.
fn example_path(policy: &Policy, route: &Route) -> String {
    let own = route.pattern.strip_prefix(&policy.prefix).unwrap_or_default();
    let own = own.strip_suffix("/*").unwrap_or(own);
    let segments: Vec<_> = own
        .split('/')
        .map(|segment| match segment.split_once('}') {
            Some((_, suffix)) => format!("any{suffix}"),
            None => segment.to_owned(),
        })
        .collect();
    format!("{}{}", policy.prefix, segments.join("/"))
}

/// Every problem has words and a place in one of the texts.
fn check_problems(problems: &[Problem], texts: &[&str]) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        let span = problem.location().span();
        assert!(
            texts.iter().any(|text| text.get(span.clone()).is_some()),
            "{span:?}: {problem}"
        );
        assert!(!problem.message().is_empty());
        assert!(problem.location().line() >= 1 && problem.location().column() >= 1);
        assert!(!problem.render(false).is_empty() && !problem.render(true).is_empty());
    }
}

/// Asks for each route with and without credentials.
fn ask(evaluator: &Evaluator) {
    for policy in evaluator.policies().policies() {
        for path in paths(policy) {
            for method in [Method::GET, Method::POST] {
                for headers in [HeaderMap::new(), credentials(policy)] {
                    let facts = setup::request(&method, path.as_bytes(), Some("a.example"), &headers);
                    let decision = decide(evaluator, &facts, Revocations::Unasked, &mut ());
                    assert!(decision.outcome.permit().is_none() || decision.matched.route().is_some());
                }
            }
        }
    }
}

fn paths(policy: &Policy) -> impl Iterator<Item = String> {
    let patterns = policy.routes.iter().take(16).map(|route| route.pattern.as_str());
    let patterns = patterns.chain(["", "/", "/a/b;c//d%2Fe"]);
    patterns.map(|pattern| format!("{}{}", policy.prefix, pattern.replace(['{', '}', '*'], "a")))
}

fn credentials(policy: &Policy) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bearer = HeaderValue::from_str(&format!("Bearer {}", *TOKEN)).expect("a token is visible ASCII");
    headers.insert("authorization", bearer);
    if let Some(rule) = &policy.tenant {
        headers.insert(&rule.header, HeaderValue::from_static(TENANT));
    }
    if let Some(keys) = &policy.internal_keys {
        headers.insert(&keys.header, HeaderValue::from_static(KEY));
    }
    headers
}

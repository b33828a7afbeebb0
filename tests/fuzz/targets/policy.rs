//! Any text is a policy, or a list of problems that stand somewhere in it. What is accepted can be
//! asked. Reading never panics and never hangs.
//!
//! The first byte of an input says whether the rest is policies, with 0x1e between two of them, or
//! `sidegate.yaml`.

#![no_main]

use std::path::Path;

use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use sidegate::config::ServerConfig;
use sidegate::decision::decide;
use sidegate::policy::problem::{Problem, Source};
use sidegate::policy::{Policy, PolicySet};
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
        Ok(policies) => ask(&policies),
        Err(problems) => check_problems(&problems, &texts),
    }
});

fn check_config(text: &str) {
    let source = Source {
        name: "sidegate.yaml".into(),
        text: text.into(),
    };
    if let Err(problems) = ServerConfig::parse(source, Path::new("/etc")) {
        check_problems(&problems, &[text]);
    }
}

/// Every problem has words and a place in one of the texts.
fn check_problems(problems: &[Problem], texts: &[&str]) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        let span = problem.place().span();
        assert!(
            texts.iter().any(|text| text.get(span.clone()).is_some()),
            "{span:?}: {problem}"
        );
        assert!(!problem.message().is_empty());
        assert!(problem.place().line() >= 1 && problem.place().column() >= 1);
        assert!(!problem.render(false).is_empty() && !problem.render(true).is_empty());
    }
}

/// Asks for each route with and without credentials.
fn ask(policies: &PolicySet) {
    for policy in policies.policies() {
        for path in paths(policy) {
            for method in [Method::GET, Method::POST] {
                for headers in [HeaderMap::new(), credentials(policy)] {
                    let facts = setup::request(&method, path.as_bytes(), Some("a.example"), &headers);
                    let decision = decide(policies, &facts, Revocations::Unasked, &mut ());
                    assert!(decision.outcome.permit().is_none() || decision.route.is_some());
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

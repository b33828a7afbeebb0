//! What a route asks of its callers, in the words of policies.

use std::fmt::Write as _;

use crate::policy::Mode;
use crate::policy::route::{AuthRule, Route};
use crate::principal::{AuthMethod, DENY};

/// Writes what a route asks, as its policy could have it in one line.
pub fn asks(route: &Route) -> String {
    let words = |methods: &[AuthMethod]| {
        let words: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
        words.join(", ")
    };
    let mut text = match route.authentication.rule() {
        AuthRule::Deny => format!("auth: {DENY}"),
        AuthRule::All(methods) if methods.len() == 1 => format!("auth: {}", words(methods)),
        AuthRule::All(methods) => format!("auth: {{ all: [{}] }}", words(methods)),
        AuthRule::Any(methods) => format!("auth: {{ any: [{}] }}", words(methods)),
    };
    let requirement = &route.requirement;
    for (name, list) in [("roles", &requirement.roles), ("scopes", &requirement.scopes)] {
        if !list.is_empty() {
            let _infallible = write!(text, ", {name}: [{}]", list.join(", "));
        }
    }
    if !requirement.conditions.is_empty() {
        text.push_str(", when: …");
    }
    if route.mode == Mode::Shadow {
        text.push_str(", mode: shadow");
    }
    text
}

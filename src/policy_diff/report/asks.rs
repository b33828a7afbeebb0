//! What a route asks of callers, in few words.

use crate::policy::route::{AuthRule, Route};
use crate::policy::{Mode, Policy};
use crate::principal::AuthMethod;

/// Describes what a route asks, as in `jwt; one of viewer, editor, admin`.
pub(super) fn asks(policy: &Policy, route: &Route) -> String {
    let mut parts = vec![methods(route.authentication.rule())];
    if !route.requirement.roles.is_empty() {
        parts.push(format!("one of {}", roles(policy, route).join(", ")));
    }
    if !route.requirement.scopes.is_empty() {
        parts.push(format!("scopes {}", route.requirement.scopes.join(", ")));
    }
    match route.requirement.conditions.len() {
        0 => {}
        1 => parts.push("1 condition".to_owned()),
        count => parts.push(format!("{count} conditions")),
    }
    if route.mode == Mode::Shadow {
        parts.push("shadow mode".to_owned());
    }
    parts.join("; ")
}

/// The roles of a route, and those that bring one of them along.
fn roles<'p>(policy: &'p Policy, route: &'p Route) -> Vec<&'p str> {
    let mut found: Vec<&str> = Vec::new();
    for wanted in &route.requirement.roles {
        for role in std::iter::once(wanted.as_str()).chain(policy.roles.bringing(wanted)) {
            if !found.contains(&role) {
                found.push(role);
            }
        }
    }
    found
}

fn methods(rule: &AuthRule) -> String {
    let words = |methods: &[AuthMethod], between: &str| {
        let words: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
        words.join(between)
    };
    match rule {
        AuthRule::Any(methods) => words(methods, " or "),
        AuthRule::All(methods) => words(methods, " and "),
        AuthRule::Deny => "deny".to_owned(),
    }
}

//! What routes are called in a report.

use http::Method;

use crate::policy::Policy;

/// Returns the pattern of a route by its place, with its methods in front where other routes have the pattern, too.
pub(super) fn route_name(policy: &Policy, at: usize) -> String {
    let Some(route) = policy.routes.get(at) else {
        return String::new();
    };
    let alike = policy.routes.iter().filter(|other| other.pattern == route.pattern);
    match alike.count() > 1 && !route.methods.is_empty() {
        true => {
            let methods: Vec<_> = route.methods.iter().map(Method::as_str).collect();
            format!("{} {}", methods.join(", "), route.pattern)
        }
        false => route.pattern.clone(),
    }
}

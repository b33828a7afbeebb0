//! The methods that pages ask for.

use http::Method;

use crate::policy::Policy;

/// Returns the methods that pages may ask for: those of the standard, and others that policies name.
pub(super) fn asked<'p>(policies: impl Iterator<Item = &'p Policy>) -> Vec<Method> {
    let mut methods = vec![
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ];
    let routes = policies.flat_map(|policy| &policy.routes);
    for method in routes.flat_map(|route| &route.methods) {
        if !methods.contains(method) {
            methods.push(method.clone());
        }
    }
    methods
}

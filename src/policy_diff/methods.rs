//! Classes of methods.

use std::collections::BTreeSet;

use http::Method;

use crate::policy::PolicySet;
use crate::policy::router::STANDARD;

/// Methods of which one stands for all that no policy names.
const OTHERS: [&str; 4] = ["PROPFIND", "REPORT", "SEARCH", "LINK"];

/// All methods that make a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Methods {
    /// The standard ones, and those that policies name, in the order of the alphabet.
    pub named: Vec<Method>,
    /// One that stands for every other.
    pub other: Method,
}

impl Methods {
    /// Returns the methods of two sets.
    pub(super) fn of(old: &PolicySet, new: &PolicySet) -> Self {
        let policies = [old, new].into_iter().flat_map(PolicySet::policies);
        let named = policies
            .flat_map(|policy| &policy.routes)
            .flat_map(|route| &route.methods);
        let all: BTreeSet<&str> = named
            .chain(&STANDARD)
            .map(Method::as_str)
            .filter(|name| *name != "CONNECT")
            .collect();
        let numbered = (0..=all.len()).map(|at| format!("OTHER-{at}"));
        let mut others = OTHERS.into_iter().map(str::to_owned).chain(numbered);
        let other = others.find(|name| !all.contains(name.as_str()));
        Self {
            other: other.and_then(|name| name.parse().ok()).unwrap_or(Method::TRACE),
            named: all.into_iter().filter_map(|name| name.parse().ok()).collect(),
        }
    }

    /// Returns all of them, the one for all others last.
    pub(super) fn all(&self) -> impl Iterator<Item = &Method> {
        self.named.iter().chain([&self.other])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn one_method_stands_for_all_that_neither_side_names() {
        let text = |methods: &str| {
            format!(
                "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\n\
                 routes: [{{ path: /*, methods: [{methods}], auth: public }}]\n"
            )
        };
        let set = |methods: &str| parse(&[&text(methods)]).unwrap();
        for (old, new, named, other) in [
            ("GET", "POST", "", "PROPFIND"),
            ("PURGE", "PROPFIND", "PROPFIND PURGE", "REPORT"),
        ] {
            let methods = Methods::of(&set(old), &set(new));
            let extensions = methods.named.iter().filter(|method| !STANDARD.contains(method));
            let extensions: Vec<_> = extensions.map(Method::as_str).collect();
            assert_eq!((extensions.join(" ").as_str(), methods.other.as_str()), (named, other));
        }
    }
}

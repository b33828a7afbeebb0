//! `{name}` in the path of a test's request: a segment that no route names.

use std::collections::BTreeSet;

use crate::policy::PolicySet;
use crate::policy::route::Segment;

/// The words that the paths of some policies have.
#[derive(Debug)]
pub(super) struct PathWords {
    /// Whole segments of prefixes and routes, in lower case.
    literals: BTreeSet<String>,
    /// What stands behind a wildcard in a segment, in lower case.
    suffixes: BTreeSet<String>,
}

impl PathWords {
    /// Collects the words of policies.
    pub(super) fn of(policies: &PolicySet) -> Self {
        let (mut literals, mut suffixes) = (BTreeSet::new(), BTreeSet::new());
        for policy in policies.policies() {
            literals.extend(policy.prefix.split('/').map(str::to_lowercase));
            for segment in policy.routes.iter().flat_map(|route| &route.path.segments) {
                match segment {
                    Segment::Literal(text) => literals.insert(text.to_lowercase()),
                    Segment::Wildcard(suffix) => !suffix.is_empty() && suffixes.insert(suffix.to_lowercase()),
                };
            }
        }
        Self { literals, suffixes }
    }

    /// Fills each `{name}` of a path with a segment that no route names: the name itself unless a route names it, otherwise with a
    /// number behind it. The query stays as it is.
    pub(super) fn fill(&self, target: &str) -> String {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let mut filled = String::with_capacity(target.len());
        let mut rest = path;
        while let Some((before, name, behind)) = placeholder(rest) {
            filled.push_str(before);
            filled.push_str(&self.segment(name));
            rest = behind;
        }
        filled + rest + query
    }

    /// Returns a text that is not a literal of a route, and does not end as one.
    fn segment(&self, name: &str) -> String {
        // Each literal and each suffix may take some of them.
        let numbered = (1..10_000).map(|number| format!("{name}-{number}-x"));
        let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
        let is_free = |text: &String| {
            let text = text.to_lowercase();
            !self.literals.contains(&text) && !self.suffixes.iter().any(|suffix| text.ends_with(suffix.as_str()))
        };
        candidates.find(is_free).unwrap_or_else(|| name.to_owned())
    }
}

/// The first `{name}` of a text, with what stands before and behind it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find('{')?;
        let (before, rest) = text.split_at_checked(start)?;
        let (name, behind) = rest.get(1..)?.split_once('}')?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !name.is_empty() && name.bytes().all(fits) {
            return Some((before, name, behind));
        }
        from = start + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_is_filled_with_a_segment_that_no_route_names() {
        let policies = crate::testing::parse(&[
            "version: 1\nservice: s\nprefix: /api/v1\nupstream: { url: 'http://127.0.0.1:1' }\n\
             routes:\n  - { path: '/Users/{id}', auth: public }\n  - { path: '/users/{id}:run-1', auth: public }\n  \
             - { path: /id, auth: public }\n",
        ])
        .unwrap();
        let words = PathWords::of(&policies);
        for (target, want) in [
            ("/api/v1/x", "/api/v1/x"),
            ("/api/v1/{user}", "/api/v1/user"),
            ("/api/v1/{users}/{id}?x={id}", "/api/v1/users-1-x/id-1-x?x={id}"),
            ("/api/v1/{USERS}", "/api/v1/USERS-1-x"),
            ("/a/{}/{b c}/{b}", "/a/{}/{b c}/b"),
            ("/a/{b}:run", "/a/b:run"),
            ("/a/{b", "/a/{b"),
            ("/{v1}", "/v1-1-x"),
        ] {
            assert_eq!(words.fill(target), want, "{target}");
        }
    }

    #[test]
    fn segment_does_not_end_as_one_of_a_route() {
        let words = PathWords {
            literals: BTreeSet::from(["id".to_owned(), "id-2-x".to_owned()]),
            suffixes: BTreeSet::from(["-1-x".to_owned()]),
        };
        assert_eq!(words.fill("/{id}"), "/id-3-x");
    }
}

//! The values that two documents do not have in common, each as small as it means something by itself.

use super::document::{Step, field, kind_text, says_the_same};
use crate::document::yaml::{Node, Value};

/// A value that is not what it was.
#[derive(Debug, Clone)]
pub struct Difference<'n> {
    /// Where it stands: in the new document, or in the old one if it is gone.
    pub path: Vec<Step>,
    /// What it was; `None` if it was not there.
    pub was: Option<&'n Node>,
    /// What it is; `None` if it is gone.
    pub now: Option<&'n Node>,
}

/// Mappings that mean something as a whole only.
const WHOLE: [&str; 10] = [
    "routes[].auth",
    "upstream.url",
    "jwt.issuers[].keys",
    "jwt.issuers[].issuer",
    "jwt.sources[]",
    "internal_key.keys[].secret",
    "mtls.allow[]",
    "routes[].when[]",
    "jwt.issuers[].when[]",
    "store.redis.password",
];

/// The fields that say which item of a list is meant.
const NAMES: [&str; 4] = ["name", "issuer", "address", "certificate"];

/// Finds the differences of two values at a path.
pub fn differences<'n>(path: &[Step], was: Option<&'n Node>, now: Option<&'n Node>) -> Vec<Difference<'n>> {
    let mut found = Vec::new();
    compare(path, was, now, &mut found);
    found
}

fn compare<'n>(path: &[Step], was: Option<&'n Node>, now: Option<&'n Node>, found: &mut Vec<Difference<'n>>) {
    let (Some(old), Some(new)) = (was, now) else {
        if was.is_some() || now.is_some() {
            let path = path.to_vec();
            found.push(Difference { path, was, now });
        }
        return;
    };
    if says_the_same(old, new) {
        return;
    }
    match (&old.value, &new.value) {
        (Value::Mapping(was), Value::Mapping(now)) if !is_whole(path, old, new) => {
            let added = now.iter().filter(|((key, _), _)| field(old, key).is_none());
            for ((key, _), _) in was.iter().chain(added) {
                compare(
                    &joined(path, Step::Key(key.clone())),
                    field(old, key),
                    field(new, key),
                    found,
                );
            }
        }
        (Value::Sequence(was), Value::Sequence(now)) if was.iter().chain(now).any(is_mapping) => {
            for (was, now) in pairs(was, now) {
                let index = now.or(was).map(|(index, _)| index).unwrap_or_default();
                let path = joined(path, Step::Item(index));
                compare(&path, was.map(|(_, node)| node), now.map(|(_, node)| node), found);
            }
        }
        _ => found.push(Difference {
            path: path.to_vec(),
            was,
            now,
        }),
    }
}

/// Whether two mappings are compared as one value. Two key sets behind URLs are not: that the times of their fetches
/// differ says nothing of the keys.
fn is_whole(path: &[Step], old: &Node, new: &Node) -> bool {
    let kind = kind_text(path);
    let same_keys = |name: &str| match (field(old, name), field(new, name)) {
        (Some(old), Some(new)) => is_mapping(old) && is_mapping(new),
        _ => false,
    };
    match kind.as_str() {
        "jwt.issuers[].keys" => !["jwks", "oidc"].iter().any(|name| same_keys(name)),
        kind => WHOLE.contains(&kind),
    }
}

fn is_mapping(node: &Node) -> bool {
    matches!(node.value, Value::Mapping(_))
}

fn joined(path: &[Step], step: Step) -> Vec<Step> {
    path.iter().cloned().chain([step]).collect()
}

/// An item with its place in the list.
type Item<'n> = (usize, &'n Node);

/// Pairs the items of two lists: those that are equal, those of one name, and those of the rest that have a field in
/// common and stand in the same order.
fn pairs<'n>(was: &'n [Node], now: &'n [Node]) -> Vec<(Option<Item<'n>>, Option<Item<'n>>)> {
    let mut old: Vec<Item<'_>> = was.iter().enumerate().collect();
    let mut paired: Vec<(Option<Item<'_>>, Option<Item<'_>>)> = Vec::new();
    let mut open: Vec<Item<'_>> = now.iter().enumerate().collect();
    let tests: [fn(&Node, &Node) -> bool; 3] = [says_the_same, has_the_same_name, has_a_field_in_common];
    for fits in tests {
        open.retain(|new| {
            let at = old.iter().position(|old| fits(old.1, new.1));
            let found = at.map(|at| old.remove(at));
            paired.extend(found.map(|old| (Some(old), Some(*new))));
            found.is_none()
        });
    }
    paired.extend(old.into_iter().map(|old| (Some(old), None)));
    paired.extend(open.into_iter().map(|new| (None, Some(new))));
    paired.sort_by_key(|(old, new)| new.or(*old).map(|(index, _)| index));
    paired
}

fn has_the_same_name(one: &Node, other: &Node) -> bool {
    let same = |name: &&str| match (field(one, name), field(other, name)) {
        (Some(one), Some(other)) => says_the_same(one, other),
        _ => false,
    };
    NAMES.iter().any(same)
}

fn has_a_field_in_common(one: &Node, other: &Node) -> bool {
    let Value::Mapping(entries) = &one.value else {
        return false;
    };
    entries
        .iter()
        .any(|((key, _), value)| field(other, key).is_some_and(|other| says_the_same(value, other)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::document::{Document, flow, path_text};
    use super::*;
    use crate::document::problem::SourceFile;

    fn found(was: &str, now: &str) -> Vec<String> {
        let document = |text: &str| Document::new(&Arc::new(SourceFile::new("a", text))).unwrap();
        let (was, now) = (document(was), document(now));
        let text = |node: Option<&Node>| node.map_or_else(|| "-".to_owned(), flow);
        let found = differences(&[], Some(was.root()), Some(now.root()));
        let line = |one: &Difference<'_>| format!("{} {} {}", path_text(&one.path), text(one.was), text(one.now));
        found.iter().map(line).collect()
    }

    #[test]
    fn differences_are_as_small_as_they_mean_something() {
        for (was, now, want) in [
            ("a: 1\nb: 2", "b: 2\na: 1 # same", &[][..]),
            (
                "tenant: { claims: [a, b] }",
                "tenant: { claims: [a] }",
                &["tenant.claims [a, b] [a]"],
            ),
            ("{}", "tenant: { claims: [a] }", &["tenant - { claims: [a] }"]),
            ("roles: { a: [b] }", "roles: { a: [b], c: [a] }", &["roles.c - [a]"]),
            (
                "internal_key: { keys: [{ name: job, secret: { env: K } }] }",
                "internal_key: { keys: [{ name: cron, secret: { env: K } }] }",
                &["internal_key.keys[0].name job cron"],
            ),
            (
                "internal_key: { keys: [{ name: job, secret: { env: K } }] }",
                "internal_key: { keys: [{ name: x, secret: { env: L } }, { name: job, secret: { file: K } }] }",
                &[
                    "internal_key.keys[0] - { name: x, secret: { env: L } }",
                    "internal_key.keys[1].secret { env: K } { file: K }",
                ],
            ),
            (
                "jwt: { issuers: [{ issuer: a, audience: [x] }, { issuer: b, audience: [x] }] }",
                "jwt: { issuers: [{ issuer: b, audience: [y] }] }",
                &[
                    "jwt.issuers[0].audience [x] [y]",
                    "jwt.issuers[0] { issuer: a, audience: [x] } -",
                ],
            ),
            (
                "jwt: { issuers: [{ issuer: a, keys: { jwks: { url: u, refresh: 1m } } }] }",
                "jwt: { issuers: [{ issuer: a, keys: { jwks: { url: u, refresh: 2m } } }] }",
                &["jwt.issuers[0].keys.jwks.refresh 1m 2m"],
            ),
            (
                "jwt: { issuers: [{ issuer: a, keys: { secret: { env: A } } }] }",
                "jwt: { issuers: [{ issuer: a, keys: { pem: { file: A } } }] }",
                &["jwt.issuers[0].keys { secret: { env: A } } { pem: { file: A } }"],
            ),
        ] {
            let mut lines = found(was, now);
            lines.sort();
            let mut want: Vec<_> = want.iter().map(|line| (*line).to_owned()).collect();
            want.sort();
            assert_eq!(lines, want, "{was}");
        }
    }
}

//! The roles and scopes that a verified token grants.

use std::collections::HashSet;

use serde_json::Value;

use crate::policy::issuer::GrantClaims;
use crate::principal::{Claims, Grants, written};
use crate::rejection::kind;

/// Reads what some claims grant together, each name once, in the order of the claims. One claim of another type spoils
/// all of them: a role may also take rights away.
pub(super) fn read(claims: &Claims, from: &GrantClaims) -> Grants {
    let mut names = Names::default();
    for (path, value) in from.of(claims) {
        if let Err(fault) = names.add_claim(value, from.splits_text) {
            return Grants::faulty(fault.message(path, from.splits_text));
        }
    }
    Grants::of(names.in_order.into_iter().map(str::to_owned).collect())
}

/// Names that were read.
#[derive(Default)]
struct Names<'c> {
    in_order: Vec<&'c str>,
    known: HashSet<&'c str>,
}

/// What is wrong with a claim.
enum Fault {
    /// Its type.
    Claim(&'static str),
    /// The type of one of its items, which are counted from one.
    Item(usize, &'static str),
}

impl Fault {
    fn message(&self, path: &[String], splits_text: bool) -> String {
        let claim = written(path);
        match self {
            Self::Item(at, kind) => format!("item {at} of the claim `{claim}` is {kind}; it must be a text"),
            Self::Claim(kind) if splits_text => {
                format!("the claim `{claim}` is {kind}; it must be a list of texts, or a text with spaces")
            }
            Self::Claim(kind) => format!("the claim `{claim}` is {kind}; it must be a list of texts, or one text"),
        }
    }
}

impl<'c> Names<'c> {
    fn add_claim(&mut self, value: &'c Value, splits_text: bool) -> Result<(), Fault> {
        match value {
            Value::String(text) if splits_text => {
                let names = text.split(' ').filter(|name| !name.is_empty());
                names.for_each(|name| self.add(name));
            }
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => self.add(text),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.add(item.as_str().ok_or_else(|| Fault::Item(at + 1, kind(item)))?);
                }
            }
            other => return Err(Fault::Claim(kind(other))),
        }
        Ok(())
    }

    /// Adds a name, unless it was read before.
    fn add(&mut self, name: &'c str) {
        if self.known.insert(name) {
            self.in_order.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn grants_are_the_union_of_lists_and_texts() {
        let paths = |paths: &[&[&str]]| {
            let path = |path: &&[&str]| path.iter().map(|name| (*name).to_owned()).collect();
            Some(paths.iter().map(path).collect())
        };
        let (roles, scopes) = (GrantClaims::roles, GrantClaims::scopes);
        let two = || paths(&[&["scp"], &["a", "b.c"]]);
        for (claims, from, want) in [
            (json!({ "roles": ["b", "a", "b"] }), roles(None), Ok("b|a")),
            (json!({ "roles": "a b,c" }), roles(None), Ok("a b,c")),
            (json!({ "roles": "" }), roles(None), Ok("")),
            (json!({ "roles": null }), roles(None), Ok("")),
            (json!({ "roles": [] }), roles(None), Ok("")),
            (json!({ "roles": ["a b", ""] }), roles(None), Ok("a b|")),
            (json!({ "role": ["a"] }), roles(None), Ok("")),
            (
                json!({ "roles": 7 }),
                roles(None),
                Err("the claim `roles` is a number; it must be a list of texts, or one text"),
            ),
            (
                json!({ "roles": ["a", null] }),
                roles(None),
                Err("item 2 of the claim `roles` is null; it must be a text"),
            ),
            (json!({ "scope": "a  b\tc b" }), scopes(None), Ok("a|b\tc|b")),
            (json!({ "scope": ["a", "b c"] }), scopes(None), Ok("a|b c")),
            (json!({ "scopes": "a b" }), scopes(None), Ok("a|b")),
            (json!({ "scopes": ["a"], "scope": "b" }), scopes(None), Ok("a")),
            (json!({ "scopes": [], "scope": "b" }), scopes(None), Ok("")),
            (json!({ "scopes": null, "scope": "b" }), scopes(None), Ok("b")),
            (
                json!({ "scopes": 7, "scope": "b" }),
                scopes(None),
                Err("the claim `scopes` is a number; it must be a list of texts, or a text with spaces"),
            ),
            (
                json!({ "scp": ["a"], "scope": "b" }),
                scopes(paths(&[&["scp"]])),
                Ok("a"),
            ),
            (
                json!({ "scp": "a b", "a": { "b.c": ["b", "d"] } }),
                scopes(two()),
                Ok("a|b|d"),
            ),
            (
                json!({ "scp": "a b", "a": { "b.c": ["b", "d"] } }),
                roles(two()),
                Ok("a b|b|d"),
            ),
            (json!({ "scp": null, "a": { "b.c": "x" } }), scopes(two()), Ok("x")),
            (
                json!({ "scp": "a", "a": { "b.c": {} } }),
                scopes(two()),
                Err("the claim `[a, b.c]` is an object; it must be a list of texts, or a text with spaces"),
            ),
            (json!({ "a": "x" }), scopes(two()), Ok("")),
        ] {
            let read = read(claims.as_object().unwrap(), &from);
            let found = match read.fault() {
                Some(fault) => Err(fault),
                None => Ok(read.names().join("|")),
            };
            assert_eq!(found, want.map(str::to_owned), "{claims}");
        }
    }
}

//! Texts of segments that are a class of their own, because a condition compares with them what another one compares with the
//! segment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Operand, Parameter, Part};
use crate::policy::route::Route;
use crate::policy::{Policy, PolicySet};

/// The most texts at one place of paths.
const MOST: usize = 64;

/// What a condition compares: a claim, or a header.
type Subject = (Vec<String>, Option<String>);

/// A segment with what stands before and behind it in an operand.
type Around = (String, Parameter, String);

/// Texts of segments by their places, from 0 on.
#[derive(Debug, Clone, Default)]
pub(super) struct Constants {
    subjects: HashMap<Subject, Compared>,
    texts: BTreeMap<usize, BTreeSet<String>>,
}

/// What one claim or header is compared with.
#[derive(Debug, Clone, Default)]
struct Compared {
    fixed: BTreeSet<String>,
    segments: Vec<Around>,
}

impl Constants {
    /// Adds the conditions of a side.
    pub(super) fn add(&mut self, policies: &PolicySet) {
        for policy in policies.policies() {
            conditions(policy).for_each(|condition| self.add_condition(condition));
        }
        for compared in self.subjects.values() {
            for (before, parameter, behind) in &compared.segments {
                let values = compared.fixed.iter();
                let values =
                    values.filter_map(|text| text.strip_prefix(before.as_str())?.strip_suffix(behind.as_str()));
                let known = self.texts.entry(parameter.segment).or_default();
                for value in values {
                    let text = format!("{value}{}", parameter.suffix);
                    if !value.is_empty() && is_plain(value) && known.len() < MOST {
                        known.insert(text);
                    }
                }
            }
        }
    }

    fn add_condition(&mut self, condition: &Condition) {
        let (subject, operands): (Subject, &[Operand]) = match condition {
            Condition::Claim { path, test } => {
                let operands = match test {
                    ClaimTest::Equals(operand) | ClaimTest::Has(operand) => std::slice::from_ref(operand),
                    ClaimTest::In(operands) => operands,
                    ClaimTest::HasAny(texts) => texts.written(),
                    ClaimTest::Within(_) => return,
                };
                ((path.clone(), None), operands)
            }
            Condition::Header { name, test } => {
                let operands = match test {
                    HeaderTest::Equals(operand) => std::slice::from_ref(operand),
                    HeaderTest::In(operands) => operands,
                    HeaderTest::EqualsClaim(_) => return,
                };
                ((Vec::new(), Some(name.to_string())), operands)
            }
            Condition::Client { .. } => return,
        };
        let compared = self.subjects.entry(subject).or_default();
        for operand in operands {
            compared.fixed.extend(fixed(operand));
            let around = around(operand);
            compared
                .segments
                .extend(around.filter(|around| !compared.segments.contains(around)));
        }
    }

    /// Returns the texts at a place of paths.
    pub(super) fn at(&self, place: usize) -> impl Iterator<Item = &str> {
        self.texts.get(&place).into_iter().flatten().map(String::as_str)
    }

    /// Returns whether a segment is one of them.
    pub(super) fn has(&self, place: usize, text: &str) -> bool {
        self.texts.get(&place).is_some_and(|texts| texts.contains(text))
    }

    /// Returns those of the segments of a path that a route compares and that are such texts.
    pub(super) fn met<'c>(&'c self, route: &Route, path: &'c str) -> Vec<(usize, &'c str)> {
        let mut met = Vec::new();
        for (place, text) in path.split('/').skip(1).enumerate() {
            let is_compared = || {
                route
                    .requirement
                    .conditions
                    .iter()
                    .any(|condition| compares(condition, place))
            };
            if self.has(place, text) && is_compared() {
                met.push((place, text));
            }
        }
        met
    }
}

fn conditions(policy: &Policy) -> impl Iterator<Item = &Condition> {
    let of_issuers = policy.issuers.iter().flat_map(|issuer| &issuer.when);
    let of_routes = policy.routes.iter().flat_map(|route| &route.requirement.conditions);
    of_issuers.chain(of_routes)
}

fn compares(condition: &Condition, place: usize) -> bool {
    let operands: &[Operand] = match condition {
        Condition::Claim { test, .. } => match test {
            ClaimTest::Equals(operand) | ClaimTest::Has(operand) => std::slice::from_ref(operand),
            ClaimTest::In(operands) => operands,
            ClaimTest::HasAny(texts) => texts.written(),
            ClaimTest::Within(_) => &[],
        },
        Condition::Header { test, .. } => match test {
            HeaderTest::Equals(operand) => std::slice::from_ref(operand),
            HeaderTest::In(operands) => operands,
            HeaderTest::EqualsClaim(_) => &[],
        },
        Condition::Client { .. } => &[],
    };
    let parts = operands.iter().filter_map(|operand| match operand {
        Operand::Text(parts) => Some(parts),
        Operand::Number(_) | Operand::Boolean(_) => None,
    });
    parts
        .flatten()
        .any(|part| matches!(part, Part::Parameter(parameter) if parameter.segment == place))
}

/// Returns the text of an operand without parameters.
fn fixed(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Text(parts) => {
            let parts = parts.iter().map(|part| match part {
                Part::Literal(text) => Some(text.as_str()),
                Part::Parameter(_) => None,
            });
            parts.collect()
        }
        Operand::Number(number) => Some(number.to_string()),
        Operand::Boolean(_) => None,
    }
}

/// Returns the only parameter of an operand, with the text before and behind it.
fn around(operand: &Operand) -> Option<Around> {
    let Operand::Text(parts) = operand else { return None };
    let mut found: Option<Around> = None;
    let mut before = String::new();
    for part in parts {
        match (part, &mut found) {
            (Part::Literal(text), None) => before.push_str(text),
            (Part::Literal(text), Some((.., behind))) => behind.push_str(text),
            (Part::Parameter(parameter), None) => found = Some((before.clone(), parameter.clone(), String::new())),
            (Part::Parameter(_), Some(_)) => return None,
        }
    }
    found
}

/// Whether a text is a segment that is written the same way in paths.
fn is_plain(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || byte == b'.';
    !text.bytes().all(|byte| byte == b'.') && text.bytes().all(is_unreserved)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::document::problem::SourceFile;
    use crate::policy::{ErrorStyle, PolicySet};
    use crate::policy_diff::compare;
    use crate::policy_diff::types::PathRegion;
    use crate::rehearsal::{Rehearsal, ThrowawayKeys};

    #[test]
    fn segment_that_a_condition_compares_with_a_constant_is_a_class_of_its_own() {
        let policy = |path: &str, when: &str| {
            format!(
                "version: 1\nservice: s\nprefix: /api\nupstream: {{ url: \"http://127.0.0.1:1\" }}\njwt: {{ issuers: [{{ issuer: iss-a, audience: [aud], algorithms: [HS256], keys: {{ secret: {{ env: SEC }} }} }}] }}\nroutes: [{{ path: \"{path}\", methods: [GET], auth: jwt, when: [{when}] }}]\n"
            )
        };
        for (path, old, new, within, without) in [
            (
                "/u/{id}",
                "{ claim: sub, equals: a }",
                "{ claim: sub, equals: \"{id}\" }",
                "/api/u/x",
                "/api/u/a",
            ),
            (
                "/u/{id}",
                "{ claim: g, has: \"team-{id}\" }",
                "{ claim: g, has: team-a }",
                "/api/u/x",
                "/api/u/a",
            ),
            (
                "/u/{id}/*",
                "{ header: x-u, equals: a }",
                "{ header: x-u, equals: \"{id}\" }",
                "/api/u/x/y",
                "/api/u/a/y",
            ),
            (
                "/u/{id}:run",
                "{ claim: sub, equals: a }",
                "{ claim: sub, equals: \"{id}\" }",
                "/api/u/x:run",
                "/api/u/a:run",
            ),
        ] {
            let keys = Arc::new(ThrowawayKeys::new());
            let side = |when: &str| {
                let files = [Arc::new(SourceFile::new("p.yaml", policy(path, when)))];
                let set = PolicySet::parse(&files, &*keys, ErrorStyle::default()).unwrap();
                Rehearsal::new(Arc::new(set), &keys)
            };
            for [old, new] in [[old, new], [new, old]] {
                let difference = compare(&side(old), &side(new)).unwrap();
                let is_in = |path: &str| difference.changes.iter().any(|change| change.region.has_path(path));
                let regions: Vec<&Vec<PathRegion>> =
                    difference.changes.iter().map(|change| &change.region.paths).collect();
                assert!(is_in(within) && !is_in(without), "{old} {new} {regions:?}");
            }
        }
    }
}

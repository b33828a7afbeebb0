//! Texts of segments that are a class of their own, because a condition compares with them what another one compares with the
//! segment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use http::HeaderName;

use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Operand, Parameter, Part};
use crate::policy::issuer_names::{IssuerNames, PlaceholderValues};
use crate::policy::route::Route;
use crate::policy::{Policy, PolicySet};

/// The most texts at one place of paths.
const MOST: usize = 512;

/// What is compared with values: a claim, or a header.
type Subject = (Vec<String>, Option<String>);

/// Texts of segments by their places, from 0 on.
#[derive(Debug, Clone, Default)]
pub(super) struct Constants {
    subjects: HashMap<Subject, Compared>,
    /// Claims and headers that have to be equal.
    linked: Vec<BTreeSet<Subject>>,
    texts: BTreeMap<usize, BTreeSet<String>>,
    has_more: bool,
}

/// What one claim or header is compared with.
#[derive(Debug, Clone, Default)]
struct Compared {
    fixed: BTreeSet<String>,
    /// The texts with parameters.
    filled: Vec<Vec<Part>>,
}

impl Constants {
    /// Adds the conditions of a side.
    pub(super) fn add(&mut self, policies: &PolicySet) {
        for policy in policies.policies() {
            conditions(policy).for_each(|condition| self.add_condition(condition));
            for issuer in &policy.issuers {
                self.add_names(&issuer.names);
            }
            if let Some(rule) = &policy.tenant {
                let claims = rule.claims.iter().map(|path| (path.clone(), None));
                self.link(claims.chain([of_header(&rule.header)]).collect());
            }
        }
        let linked = std::mem::take(&mut self.linked);
        let alone: Vec<Subject> = self.subjects.keys().cloned().collect();
        for subject in alone {
            let group = linked.iter().find(|group| group.contains(&subject));
            let known = |subject: &Subject| {
                self.subjects
                    .get(subject)
                    .into_iter()
                    .flat_map(|known| known.fixed.clone())
            };
            let fixed: BTreeSet<String> = match group {
                Some(group) => group.iter().flat_map(known).collect(),
                None => known(&subject).collect(),
            };
            let filled = self.subjects.get(&subject).map(|known| known.filled.clone());
            for (parts, text) in filled
                .iter()
                .flatten()
                .flat_map(|parts| fixed.iter().map(move |text| (parts, text)))
            {
                self.add_texts(parts, text);
            }
        }
        self.linked = linked;
    }

    /// Adds the segments with which a text with parameters is a fixed one.
    fn add_texts(&mut self, parts: &[Part], text: &str) {
        for (parameter, value) in fillings(parts, text).unwrap_or_default() {
            let known = self.texts.entry(parameter.segment).or_default();
            match known.len() < MOST {
                true => {
                    known.insert(format!("{value}{}", parameter.suffix));
                }
                false => self.has_more = true,
            }
        }
    }

    /// Returns how many texts there are at most at one place, if policies have more.
    pub(super) fn exceeded(&self) -> Option<usize> {
        self.has_more.then_some(MOST)
    }

    /// Adds the names of an issuer, and the values of their placeholders.
    fn add_names(&mut self, names: &IssuerNames) {
        let mut add = |claim: &str, texts: &[String]| {
            let compared = self.subjects.entry((vec![claim.to_owned()], None)).or_default();
            compared.fixed.extend(texts.iter().cloned());
        };
        match names {
            IssuerNames::Unchecked => {}
            IssuerNames::Exact(texts) => add("iss", texts.texts()),
            IssuerNames::Pattern(pattern) => {
                for (name, values) in pattern.values() {
                    if let PlaceholderValues::OneOf(texts) = values {
                        add(name, texts.texts());
                    }
                }
            }
        }
    }

    fn link(&mut self, mut group: BTreeSet<Subject>) {
        let known = std::mem::take(&mut self.linked).into_iter();
        let (joined, apart): (Vec<_>, Vec<_>) = known.partition(|known| !known.is_disjoint(&group));
        self.linked = apart;
        group.extend(joined.into_iter().flatten());
        self.linked.push(group);
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
                    HeaderTest::EqualsClaim(path) => {
                        self.link(BTreeSet::from([of_header(name), (path.clone(), None)]));
                        return;
                    }
                };
                (of_header(name), operands)
            }
            Condition::Client { .. } => return,
        };
        let compared = self.subjects.entry(subject).or_default();
        for operand in operands {
            compared.fixed.extend(fixed(operand));
            if let Operand::Text(parts) = operand
                && parts.iter().any(|part| matches!(part, Part::Parameter(_)))
                && !compared.filled.contains(parts)
            {
                compared.filled.push(parts.clone());
            }
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
    let parts = condition.operands().iter().filter_map(|operand| match operand {
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

fn of_header(name: &HeaderName) -> Subject {
    (Vec::new(), Some(name.to_string()))
}

/// Returns the values of parameters with which parts are a text, of all ways in which they can be; `None` if there is none.
fn fillings<'p>(parts: &'p [Part], text: &'p str) -> Option<Vec<(&'p Parameter, &'p str)>> {
    let Some((first, rest)) = parts.split_first() else {
        return text.is_empty().then(Vec::new);
    };
    match first {
        Part::Literal(literal) => fillings(rest, text.strip_prefix(literal.as_str())?),
        Part::Parameter(parameter) => {
            let ends = text.char_indices().map(|(at, next)| at + next.len_utf8());
            let mut found = None;
            for end in ends {
                let (value, behind) = text.split_at_checked(end)?;
                if is_plain(value)
                    && let Some(others) = fillings(rest, behind)
                {
                    let all = found.get_or_insert_with(Vec::new);
                    all.push((parameter, value));
                    all.extend(others);
                }
            }
            found
        }
    }
}

/// Whether a text is a segment that is written the same way in paths.
fn is_plain(text: &str) -> bool {
    let is_as_written = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.:@!$&'()+,=".contains(&byte);
    !text.is_empty() && !text.bytes().all(|byte| byte == b'.') && text.bytes().all(is_as_written)
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
            (
                "/u/{id}",
                "{ claim: sub, equals: a@x.com }",
                "{ claim: sub, equals: \"{id}\" }",
                "/api/u/x",
                "/api/u/a@x.com",
            ),
            (
                "/u/{id}/{of}",
                "{ claim: sub, equals: a/b }",
                "{ claim: sub, equals: \"{id}/{of}\" }",
                "/api/u/x/b",
                "/api/u/a/b",
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

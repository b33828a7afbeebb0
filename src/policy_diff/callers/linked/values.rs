//! Values of claims and headers that belong together for which the sides' rules say different things, or all hold.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::super::parts::ClaimValue;
use super::super::rules::{ClaimPath, Rules};
use super::super::solve::{Solution, Spot};
use super::outcome::Tried;
use super::{Group, in_writing};
use crate::principal::Claims;

/// The most values that rules tell apart of which all lists are tried; of more, the lists of few or of almost all.
const MOST: usize = 6;

/// Returns what several callers have in place of usual values: first one who meets the rules of both sides, then for each
/// side one who meets its rules, and those for whom the rules of one claim or header hold on one side only.
pub(in super::super) fn solutions(sides: [Option<Rules<'_>>; 2], fixed: &Claims, first: &Solution) -> Vec<Solution> {
    let Some(path) = sides.iter().flatten().map(|rules| rules.path).next() else {
        return Vec::new();
    };
    let groups = Group::all(sides);
    let groups: Vec<_> = groups.iter().filter(|group| group.is_entangled()).collect();
    let found: Vec<BTreeMap<Shape, Solution>> = groups.iter().map(|group| group.found(fixed, path)).collect();
    let mut bases = [first.clone(), first.clone(), first.clone()];
    for (base, wanted) in bases.iter_mut().zip([[true, true], [true, false], [false, true]]) {
        for (group, found) in groups.iter().zip(&found) {
            let meets = |outcome: [bool; 2]| outcome.iter().zip(wanted).all(|(is, wanted)| *is || !wanted);
            if !meets(group.outcome_of(base, fixed, path)) {
                let fitting = found.iter().filter(|(shape, _)| meets(shape.outcome));
                let best = fitting.max_by_key(|(shape, _)| shape.outcome == [true, true]);
                if let Some((_, values)) = best {
                    base.set(values);
                }
            }
        }
    }
    let mut all: Vec<Solution> = Vec::new();
    let changed = found.iter().flat_map(|found| {
        let one_sided = found.iter().filter(|(shape, _)| shape.outcome[0] != shape.outcome[1]);
        one_sided.flat_map(|(_, values)| {
            bases.iter().map(|base| {
                let mut changed = base.clone();
                changed.set(values);
                changed
            })
        })
    });
    for solution in bases.iter().cloned().chain(changed) {
        if !all.contains(&solution) {
            all.push(solution);
        }
    }
    all
}

/// What sets values apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// Whether the rules of each side hold.
    outcome: [bool; 2],
    /// The form of the values.
    form: &'static str,
}

impl Solution {
    /// Puts other values in place of those that it has.
    fn set(&mut self, other: &Self) {
        let claims = other.claims.iter().map(|(path, value)| (path.clone(), value.clone()));
        self.claims.extend(claims);
        let headers = other.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        self.headers.extend(headers);
    }
}

impl Group<'_> {
    /// Returns whether the rules of each side hold for some values.
    fn outcome_of(&self, solution: &Solution, fixed: &Claims, path: &str) -> [bool; 2] {
        self.outcome(&tried(solution, fixed, path))
    }

    /// Returns whether a claim that picks the issuer is among them.
    pub(super) fn is_fixed(&self, fixed: &Claims) -> bool {
        self.spots.iter().any(|spot| fixed_at(spot, fixed).is_some())
    }

    /// Returns on which sides the rules hold together for some values.
    pub(in super::super) fn outcomes(&self, fixed: &Claims, path: &str) -> BTreeSet<[bool; 2]> {
        self.found(fixed, path).keys().map(|shape| shape.outcome).collect()
    }

    /// Finds values for which the rules of either side hold, one of each form.
    fn found(&self, fixed: &Claims, path: &str) -> BTreeMap<Shape, Solution> {
        let mut found = BTreeMap::new();
        for (form, solution) in self.joint(fixed, path) {
            let outcome = self.outcome_of(&solution, fixed, path);
            if outcome != [false, false] {
                found.entry(Shape { outcome, form }).or_insert(solution);
            }
        }
        found
    }

    /// The values that are tried together, each with its form.
    fn joint(&self, fixed: &Claims, path: &str) -> Vec<(&'static str, Solution)> {
        let fixed_value = self.spots.iter().find_map(|spot| fixed_at(spot, fixed));
        let named = self.told_apart(fixed, path);
        let plain = match fixed_value {
            Some(value) => vec![value.clone()],
            None => named.clone(),
        };
        let listing: BTreeSet<&Spot> = self.spots.iter().filter(|spot| self.may_list(spot, fixed)).collect();
        let mut all: Vec<(&'static str, Solution)> = plain
            .iter()
            .map(|value| (form(value), self.assign(value, &|_| None, fixed)))
            .collect();
        let texts: BTreeSet<String> = named
            .iter()
            .filter(|value| !value.is_boolean())
            .map(in_writing)
            .collect();
        let texts: Vec<String> = texts.into_iter().collect();
        let is_linked = self.spots.len() > 1;
        for list in lists(&texts).iter().filter(|_| !listing.is_empty()) {
            if !is_linked {
                all.push(("list", self.assign(&Value::Null, &|_| Some(json!(list)), fixed)));
                continue;
            }
            for value in plain.iter().filter(|value| value.is_string()) {
                let mut items: BTreeSet<String> = list.iter().cloned().collect();
                items.insert(in_writing(value));
                let items = json!(items);
                let every = |spot: &Spot| listing.contains(spot).then(|| items.clone());
                all.push(("list", self.assign(value, &every, fixed)));
                if listing.len() > 1 {
                    for one in &listing {
                        let only = |spot: &Spot| (*one == spot).then(|| items.clone());
                        all.push(("one list", self.assign(value, &only, fixed)));
                    }
                }
            }
        }
        all
    }

    /// The values that rules name and tell apart, one of each kind.
    fn told_apart(&self, fixed: &Claims, path: &str) -> Vec<Value> {
        let mut known = BTreeSet::new();
        let all = self.rules.iter().flatten().flat_map(|rule| &rule.values);
        let is_new = |value: &&Value| {
            let alone = self.assign(value, &|_| None, fixed);
            let listed = self.assign(value, &|_| Some(json!([in_writing(value)])), fixed);
            let prints = [alone, listed].map(|solution| self.print(&tried(&solution, fixed, path)));
            known.insert((form(value), prints))
        };
        all.filter(is_new).cloned().collect()
    }

    fn may_list(&self, spot: &Spot, fixed: &Claims) -> bool {
        let mut rules = self.rules.iter().flatten();
        matches!(spot, Spot::Claim(_))
            && fixed_at(spot, fixed).is_none()
            && rules.any(|rule| rule.spots.contains(spot) && rule.test.takes_lists())
    }

    /// Puts a value in all places, and others in some claims.
    fn assign(&self, value: &Value, in_claim: &dyn Fn(&Spot) -> Option<Value>, fixed: &Claims) -> Solution {
        let mut solution = Solution::default();
        for spot in &self.spots {
            match spot {
                Spot::Claim(path) => {
                    let other = fixed_at(spot, fixed).cloned().or_else(|| in_claim(spot));
                    let value = other.unwrap_or_else(|| value.clone());
                    solution.claims.insert(path.clone(), ClaimValue::Plain(value));
                }
                Spot::Header(name) => {
                    solution.headers.insert(name.clone(), in_writing(value));
                }
            }
        }
        solution
    }
}

fn fixed_at<'c>(spot: &Spot, fixed: &'c Claims) -> Option<&'c Value> {
    match spot {
        Spot::Claim(path) => match path.as_slice() {
            [name] => fixed.get(name),
            _ => None,
        },
        Spot::Header(_) => None,
    }
}

const fn form(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Number(_) => "number",
        _ => "other",
    }
}

/// Lists of some texts: all, or those of few and of almost all.
fn lists(texts: &[String]) -> Vec<Vec<String>> {
    let count = texts.len();
    if count <= MOST {
        let sets = (0..1_usize << count).map(|set| picked(texts, |at| set >> at & 1 == 1));
        return sets.collect();
    }
    let mut lists = vec![Vec::new(), texts.to_vec()];
    for one in 0..count {
        for other in one..count {
            lists.push(picked(texts, |at| at == one || at == other));
            lists.push(picked(texts, |at| at != one && at != other));
        }
    }
    lists
}

fn picked(texts: &[String], is_in: impl Fn(usize) -> bool) -> Vec<String> {
    let picked = texts.iter().enumerate().filter(|(at, _)| is_in(*at));
    picked.map(|(_, text)| text.clone()).collect()
}

fn tried(solution: &Solution, fixed: &Claims, path: &str) -> Tried {
    let mut claims = fixed.clone();
    for (path, value) in &solution.claims {
        if let ClaimValue::Plain(value) = value {
            insert(&mut claims, path, value);
        }
    }
    let headers = solution.headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    Tried::new(claims, &headers.collect::<Vec<_>>(), path)
}

fn insert(claims: &mut Claims, path: &ClaimPath, value: &Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut place = claims;
    for name in parents {
        let inner = place.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        match inner {
            Value::Object(inner) => place = inner,
            _ => return,
        }
    }
    place.insert(last.clone(), value.clone());
}

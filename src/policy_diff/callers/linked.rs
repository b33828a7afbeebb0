//! The claims and headers of which one value decides about several rules: those that one rule compares with each other, and
//! those that several rules read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::operands::{COMPARED, scalars, texts};
use super::rules::{OTHER_TENANT, Rules, TENANT, TEXT_TENANT};
use super::solve::Spot;
use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Operand, Part};
use crate::principal::Claims;

mod outcome;
mod values;

pub(super) use values::solutions;

use outcome::{Test, Tried};

/// A part of a text: a segment of the path and what stands behind it there, or a text without one.
type Filled = (Option<usize>, String);

/// Claims and headers whose values are compared with each other, and the rules of both sides on them.
#[derive(Debug, Default)]
pub(super) struct Group<'p> {
    /// The claims and headers.
    pub(super) spots: BTreeSet<Spot>,
    /// The rules of each side.
    rules: [Vec<Rule<'p>>; 2],
}

/// A rule on claims and headers.
#[derive(Debug)]
struct Rule<'p> {
    /// What it reads.
    spots: BTreeSet<Spot>,
    /// The rule in writing: alike ones are written alike.
    text: String,
    /// What it holds them against.
    test: Test<'p>,
    /// The values that it names.
    values: Vec<Value>,
    /// For each of these values that is of segments of the path: the segments, with what stands around them.
    filled: BTreeSet<Vec<Filled>>,
    /// Whether another claim is usually the one that meets it.
    is_spare: bool,
}

impl<'p> Group<'p> {
    /// Returns whether the rules of each side hold.
    fn outcome(&self, tried: &Tried) -> [bool; 2] {
        let [old, new] = &self.rules;
        [old, new].map(|rules| rules.iter().all(|rule| rule.test.holds(tried)))
    }

    /// Returns what each rule says.
    fn print(&self, tried: &Tried) -> Vec<bool> {
        let rules = self.rules.iter().flatten();
        rules.map(|rule| rule.test.holds(tried)).collect()
    }

    /// Returns the groups of all claims and headers that either side reads.
    pub(super) fn all(sides: [Option<Rules<'p>>; 2]) -> Vec<Self> {
        let mut groups = Vec::new();
        for (side, rules) in sides.into_iter().enumerate() {
            for rule in rules.iter().flat_map(of_side) {
                add(&mut groups, side, rule);
            }
        }
        groups
    }

    /// The rules of each side in writing.
    fn texts(&self) -> [BTreeSet<&str>; 2] {
        let [old, new] = &self.rules;
        [old, new].map(|rules| rules.iter().map(|rule| rule.text.as_str()).collect())
    }

    /// Returns whether a side asks something here in more than one way.
    fn is_entangled(&self) -> bool {
        let is_usual = self.rules.iter().flatten().any(|rule| !rule.is_spare);
        is_usual && (self.spots.len() > 1 || self.texts().iter().any(|texts| texts.len() > 1))
    }

    /// Returns whether the sides differ in what they ask here, and one of them in more than one way. Where the path or the
    /// issuer leaves one value only, it may be one of which both sides say the same.
    pub(super) fn is_doubtful(&self, fixed: &Claims, path: &str) -> bool {
        let [old, new] = self.texts();
        let leaves_one = self.compares_one_text() || self.is_fixed(fixed);
        let differs = || self.outcomes(fixed, path).iter().any(|[old, new]| old != new);
        old != new && old.len().max(new.len()) > 1 && (!leaves_one || differs())
    }

    /// Returns whether the rules compare with one segment of the path, or with one text of several: the paths with which it is
    /// a value that a rule names are classes of their own, and all others are alike.
    pub(super) fn compares_one_text(&self) -> bool {
        let rules = self.rules.iter().flatten();
        let texts: BTreeSet<&Vec<Filled>> = rules.flat_map(|rule| &rule.filled).collect();
        let parts = texts.iter().flat_map(|text| text.iter());
        let segments: BTreeSet<usize> = parts.filter_map(|(segment, _)| *segment).collect();
        texts.len() == 1 || segments.len() == 1
    }

    /// Names the claim or header.
    pub(super) fn name(&self) -> String {
        match self.spots.first() {
            Some(Spot::Claim(path)) => path.join("."),
            Some(Spot::Header(name)) => name.clone(),
            None => String::new(),
        }
    }
}

/// Adds a rule, which joins the groups of its claims and headers.
fn add<'p>(groups: &mut Vec<Group<'p>>, side: usize, rule: Rule<'p>) {
    let known = std::mem::take(groups).into_iter();
    let (joined, apart): (Vec<_>, Vec<_>) = known.partition(|known| !known.spots.is_disjoint(&rule.spots));
    *groups = apart;
    let mut group = Group {
        spots: rule.spots.clone(),
        ..Group::default()
    };
    for known in joined {
        group.spots.extend(known.spots);
        for (all, more) in group.rules.iter_mut().zip(known.rules) {
            all.extend(more);
        }
    }
    if let Some(rules) = group.rules.get_mut(side) {
        rules.push(rule);
    }
    groups.push(group);
}

/// The rules of a side.
fn of_side<'p>(rules: &Rules<'p>) -> Vec<Rule<'p>> {
    let (issuer, requirement) = (rules.issuer, &rules.route.requirement);
    let of_claim = |path: &Vec<String>, text: String, test: Test<'p>, names: Vec<&str>| Rule {
        spots: BTreeSet::from([Spot::Claim(path.clone())]),
        text,
        test,
        values: names.into_iter().map(Value::from).collect(),
        filled: BTreeSet::new(),
        is_spare: false,
    };
    let conditions = issuer.when.iter().chain(&requirement.conditions);
    let mut all: Vec<_> = conditions
        .filter_map(|condition| of_condition(condition, rules.path, issuer.leeway))
        .collect();
    if let Some(audiences) = &issuer.audiences {
        let names: BTreeSet<&str> = audiences.iter().map(String::as_str).collect();
        let path = vec![issuer.audience_claim.clone()];
        let text = format!("audience {names:?}");
        all.push(of_claim(
            &path,
            text,
            Test::Audience(issuer),
            names.into_iter().collect(),
        ));
    }
    let wanted: BTreeSet<&str> = rules.wanted_roles().collect();
    let paths = issuer.roles_claim.paths.iter().filter(|_| !wanted.is_empty());
    for (at, path) in paths.enumerate() {
        let text = format!("roles {wanted:?} {:?}", issuer.roles_claim);
        let one_of = Test::Roles(&issuer.roles_claim, wanted.clone());
        all.push(Rule {
            is_spare: at > 0,
            ..of_claim(path, text, one_of, wanted.iter().copied().collect())
        });
    }
    for (at, path) in issuer.scopes_claim.paths.iter().enumerate() {
        for scope in &requirement.scopes {
            let text = format!("scope {scope} {:?}", issuer.scopes_claim);
            let has = Test::Roles(&issuer.scopes_claim, BTreeSet::from([scope.as_str()]));
            all.push(Rule {
                is_spare: at > 0,
                ..of_claim(path, text, has, vec![scope])
            });
        }
    }
    if let Some(rule) = &rules.policy.tenant {
        let claims = rule.claims.iter().cloned().map(Spot::Claim);
        let names: BTreeSet<_> = rule.claims.iter().collect();
        all.push(Rule {
            spots: claims.chain([Spot::Header(rule.header.to_string())]).collect(),
            text: format!(
                "tenant {names:?} {:?} {} {}",
                rule.format,
                rule.lists,
                rule.header_required || rule.lists
            ),
            test: Test::Tenant(rule),
            values: vec![json!(TENANT), json!(OTHER_TENANT), json!(TEXT_TENANT)],
            filled: BTreeSet::new(),
            is_spare: false,
        });
    }
    all
}

fn of_condition<'p>(condition: &'p Condition, path: &str, leeway: i64) -> Option<Rule<'p>> {
    let (spots, name, operands) = match condition {
        Condition::Claim { path: claim, test } => {
            let (verb, operands) = match test {
                ClaimTest::Equals(operand) => ("is", std::slice::from_ref(operand)),
                ClaimTest::In(operands) => ("is", operands.as_slice()),
                ClaimTest::Has(operand) => ("has", std::slice::from_ref(operand)),
                ClaimTest::HasAny(several) => ("has", several.written()),
                ClaimTest::Within(_) => ("within", &[][..]),
            };
            let within = match test {
                ClaimTest::Within(longest) => format!("{longest:?} {leeway}"),
                _ => String::new(),
            };
            (
                vec![Spot::Claim(claim.clone())],
                format!("{claim:?} {verb} {within}"),
                operands,
            )
        }
        Condition::Header { name, test } => {
            let header = Spot::Header(name.to_string());
            match test {
                HeaderTest::Equals(operand) => (vec![header], format!("{name} is"), std::slice::from_ref(operand)),
                HeaderTest::In(operands) => (vec![header], format!("{name} is"), operands.as_slice()),
                HeaderTest::EqualsClaim(claim) => {
                    let text = format!("{name} equals {claim:?}");
                    (vec![header, Spot::Claim(claim.clone())], text, &[][..])
                }
            }
        }
        Condition::Client { .. } => return None,
    };
    let mut values: Vec<Value> = operands.iter().filter_map(|operand| value(operand, path)).collect();
    let texts: BTreeSet<String> = values.iter().map(in_writing).collect();
    if spots.len() > 1 {
        values.push(json!(COMPARED));
    }
    Some(Rule {
        spots: spots.into_iter().collect(),
        text: format!("{name} {texts:?}"),
        test: Test::Condition(condition, leeway),
        values,
        filled: operands.iter().filter_map(filled).collect(),
        is_spare: false,
    })
}

/// The parts of a value that is of segments of the path.
fn filled(operand: &Operand) -> Option<Vec<Filled>> {
    let Operand::Text(parts) = operand else {
        return None;
    };
    let filled: Vec<Filled> = parts
        .iter()
        .map(|part| match part {
            Part::Parameter(parameter) => (Some(parameter.segment), parameter.suffix.clone()),
            Part::Literal(text) => (None, text.clone()),
        })
        .collect();
    filled.iter().any(|(segment, _)| segment.is_some()).then_some(filled)
}

/// The value that an operand equals.
fn value(operand: &Operand, path: &str) -> Option<Value> {
    match operand {
        Operand::Text(_) => texts(operand, path).into_iter().next().map(Value::from),
        Operand::Number(_) | Operand::Boolean(_) => scalars(operand, path).into_iter().next(),
    }
}

/// An integer is the same value as its digits in a text.
fn in_writing(value: &Value) -> String {
    match value {
        Value::Bool(_) => format!("{value:?}"),
        value => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

//! The claims and headers of which one value decides about several rules: those that one rule compares with each other, and
//! those that several rules read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::operands::{scalars, texts};
use super::rules::Rules;
use super::solve::Spot;
use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Operand};

/// Claims and headers whose values are compared with each other, and the rules of both sides on them.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The claims and headers.
    pub(super) spots: BTreeSet<Spot>,
    /// The rules of each side: alike ones are written alike.
    rules: [BTreeSet<String>; 2],
}

impl Group {
    /// Returns the groups of all claims and headers that either side reads.
    pub(super) fn all(sides: [Option<Rules<'_>>; 2]) -> Vec<Self> {
        let mut groups = Vec::new();
        for (side, rules) in sides.into_iter().enumerate() {
            for (spots, rule) in rules.iter().flat_map(of_side) {
                add(&mut groups, spots, side, rule);
            }
        }
        groups
    }

    /// Returns whether the sides differ in what they ask here, and one of them in more than one way.
    pub(super) fn is_doubtful(&self) -> bool {
        let [old, new] = &self.rules;
        old != new && old.len().max(new.len()) > 1
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
fn add(groups: &mut Vec<Group>, spots: BTreeSet<Spot>, side: usize, rule: String) {
    let known = std::mem::take(groups).into_iter();
    let (joined, apart): (Vec<_>, Vec<_>) = known.partition(|known| !known.spots.is_disjoint(&spots));
    *groups = apart;
    let mut group = Group {
        spots,
        ..Group::default()
    };
    for known in joined {
        group.spots.extend(known.spots);
        for (all, more) in group.rules.iter_mut().zip(known.rules) {
            all.extend(more);
        }
    }
    group.rules.get_mut(side).into_iter().for_each(|rules| {
        rules.insert(rule.clone());
    });
    groups.push(group);
}

/// The rules of a side, each with the claims and headers that it reads.
fn of_side(rules: &Rules<'_>) -> Vec<(BTreeSet<Spot>, String)> {
    let (issuer, requirement) = (rules.issuer, &rules.route.requirement);
    let claim = |path: &Vec<String>| BTreeSet::from([Spot::Claim(path.clone())]);
    let conditions = issuer.when.iter().chain(&requirement.conditions);
    let mut all: Vec<_> = conditions
        .filter_map(|condition| of_condition(condition, rules.path, issuer.leeway))
        .collect();
    if let Some(audiences) = &issuer.audiences {
        let audiences: BTreeSet<_> = audiences.iter().collect();
        all.push((
            claim(&vec![issuer.audience_claim.clone()]),
            format!("audience {audiences:?}"),
        ));
    }
    let wanted: BTreeSet<&str> = rules.wanted_roles().collect();
    for path in issuer.roles_claim.paths.iter().filter(|_| !wanted.is_empty()) {
        all.push((claim(path), format!("roles {wanted:?} {:?}", issuer.roles_claim)));
    }
    for path in &issuer.scopes_claim.paths {
        let scopes = requirement.scopes.iter();
        all.extend(scopes.map(|scope| (claim(path), format!("scope {scope} {:?}", issuer.scopes_claim))));
    }
    if let Some(rule) = &rules.policy.tenant {
        let claims = rule.claims.iter().cloned().map(Spot::Claim);
        let names: BTreeSet<_> = rule.claims.iter().collect();
        let text = format!(
            "tenant {names:?} {:?} {} {}",
            rule.format, rule.lists, rule.header_required
        );
        all.push((claims.chain([Spot::Header(rule.header.to_string())]).collect(), text));
    }
    all
}

fn of_condition(condition: &Condition, path: &str, leeway: i64) -> Option<(BTreeSet<Spot>, String)> {
    let one_of = |operands: &[Operand]| {
        let values: BTreeSet<String> = operands.iter().flat_map(|operand| value(operand, path)).collect();
        format!("{values:?}")
    };
    match condition {
        Condition::Claim { path: claim, test } => {
            let rule = match test {
                ClaimTest::Equals(operand) => format!("is {}", one_of(std::slice::from_ref(operand))),
                ClaimTest::In(operands) => format!("is {}", one_of(operands)),
                ClaimTest::Has(operand) => format!("has {}", one_of(std::slice::from_ref(operand))),
                ClaimTest::HasAny(several) => format!("has {}", one_of(several.written())),
                ClaimTest::Within(longest) => format!("within {longest:?} {leeway}"),
            };
            Some((
                BTreeSet::from([Spot::Claim(claim.clone())]),
                format!("{claim:?} {rule}"),
            ))
        }
        Condition::Header { name, test } => {
            let header = Spot::Header(name.to_string());
            Some(match test {
                HeaderTest::Equals(operand) => {
                    let rule = format!("{name} is {}", one_of(std::slice::from_ref(operand)));
                    (BTreeSet::from([header]), rule)
                }
                HeaderTest::In(operands) => (BTreeSet::from([header]), format!("{name} is {}", one_of(operands))),
                HeaderTest::EqualsClaim(claim) => {
                    let spots = BTreeSet::from([header, Spot::Claim(claim.clone())]);
                    (spots, format!("{name} equals {claim:?}"))
                }
            })
        }
        Condition::Client { .. } => None,
    }
}

/// The value that an operand equals, in writing: an integer is the same as its digits in a text.
fn value(operand: &Operand, path: &str) -> Vec<String> {
    match operand {
        Operand::Boolean(value) => vec![format!("{value:?}")],
        Operand::Number(_) => scalars(operand, path)
            .first()
            .map(Value::to_string)
            .into_iter()
            .collect(),
        Operand::Text(_) => texts(operand, path).into_iter().map(|text| text.to_string()).collect(),
    }
}

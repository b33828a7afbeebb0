//! The claims that either side reads, each with the values that it tells apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::parts::{ClaimValue, Patch};
use super::prune::Prints;
use super::rules::{ClaimPath, Rules, UNNAMED};
use super::solve::Solution;
use super::space::{Label, Variant};

mod reader;

/// A claim that either side reads.
#[derive(Debug, Default)]
pub(super) struct ReadClaim {
    /// The values, the usual one first; of those that matter more, the most important one.
    values: Vec<(u8, Option<ClaimValue>, Label)>,
    /// Whether the upstream receives it.
    is_told: bool,
    /// What each side says about it.
    rules: [BTreeSet<String>; 2],
    /// Values that matter together with those of other claims or headers.
    joint: Vec<ClaimValue>,
    /// What it names.
    kind: ClaimKind,
    /// Whether nothing but conditions reads it.
    is_compared_only: bool,
}

/// What a claim names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum ClaimKind {
    /// Roles.
    Roles,
    /// Scopes.
    Scopes,
    /// Anything else.
    #[default]
    Other,
}

/// All claims that either side reads.
#[derive(Debug, Default)]
pub(super) struct ReadClaims(BTreeMap<ClaimPath, ReadClaim>);

impl ReadClaim {
    /// Returns whether both sides say the same about it.
    pub(super) fn is_alike(&self) -> bool {
        let [old, new] = &self.rules;
        old == new
    }

    /// Returns whether nothing but conditions reads it.
    pub(super) const fn is_compared_only(&self) -> bool {
        self.is_compared_only
    }

    /// Returns whether the upstream receives it.
    pub(super) const fn is_told(&self) -> bool {
        self.is_told
    }

    /// Returns the usual value, and the others; with `all`, also those that are faults like others, before or after them.
    pub(super) fn variants(&self, path: &[String], all: bool) -> (Variant, Vec<Variant>) {
        let mut values: Vec<&(u8, Option<ClaimValue>, Label)> = Vec::new();
        for value in &self.values {
            let is_needed = all || value.0 < MINOR;
            if is_needed && !values.iter().any(|known| known.1 == value.1) {
                values.push(value);
            }
        }
        values.sort_by_key(|(rank, ..)| *rank);
        let mut variants = values
            .into_iter()
            .map(|(_, value, label)| Variant::new(Patch::Claim(path.to_vec(), value.clone()), label.clone()));
        (variants.next().unwrap_or_default(), variants.collect())
    }
}

/// Ranks of values: the usual one of a claim is the one of the lowest rank.
const SOLVED: u8 = 0;
const COMPARED: u8 = 1;
const TENANTS: u8 = 2;
const GRANTS: u8 = 3;
const AUDIENCE: u8 = 4;
const ANY: u8 = 5;
const OTHER: u8 = 9;
/// A fault of a token like many others, which matters only by what is looked at before it.
const MINOR: u8 = 10;

#[expect(clippy::unnecessary_wraps, reason = "a claim may be absent")]
fn plain(value: impl Into<Value>) -> Option<ClaimValue> {
    Some(ClaimValue::Plain(value.into()))
}

fn name(name: &str) -> ClaimPath {
    vec![name.to_owned()]
}

impl ReadClaims {
    /// Iterates over them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ClaimPath, &ReadClaim)> {
        self.0.iter()
    }

    /// Adds values that meet all rules: the first ones become the usual ones, unless they are known. Those that matter only
    /// together with others are kept whatever conditions say of them alone.
    pub(super) fn solve(&mut self, solutions: &[Solution], are_joint: bool) {
        for (at, solution) in solutions.iter().enumerate() {
            for (path, value) in &solution.claims {
                let label = self.label(path, value);
                let rank = if at == 0 { SOLVED } else { OTHER };
                let claim = self.0.entry(path.clone()).or_default();
                claim.joint.extend(are_joint.then(|| value.clone()));
                let rank = match claim.values.iter().any(|(known, ..)| *known == SOLVED) {
                    true => OTHER,
                    false => rank,
                };
                let known = claim.values.iter_mut().find(|known| known.1.as_ref() == Some(value));
                match known {
                    Some((known, ..)) => *known = rank.min(*known),
                    None => claim.values.push((rank, Some(value.clone()), label)),
                }
            }
        }
    }

    /// What to write of a value of a claim.
    fn label(&self, path: &[String], value: &ClaimValue) -> Label {
        let kind = self.0.get(path).map(|claim| claim.kind).unwrap_or_default();
        let items = match value {
            ClaimValue::Plain(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        match (kind, value) {
            (ClaimKind::Roles, ClaimValue::Plain(Value::Array(_))) if items.len() < 2 => Label::Roles(items),
            (ClaimKind::Scopes, ClaimValue::Plain(Value::Array(_))) => Label::Scopes(items),
            (_, ClaimValue::Plain(value)) => Label::Claim(path.join("."), value.clone()),
            (_, ClaimValue::FromNow(from_now)) => Label::Claim(path.join("."), json!(format!("{from_now}s from now"))),
        }
    }

    /// Leaves out values of which all conditions say the same as of another one.
    pub(super) fn prune(&mut self, prints: &Prints<'_>) {
        for (path, claim) in &mut self.0 {
            if !claim.is_compared_only {
                continue;
            }
            let mut known = BTreeSet::new();
            claim.values.sort_by_key(|(rank, ..)| *rank);
            claim.values.retain(|(_, value, _)| match value {
                Some(ClaimValue::Plain(plain)) => {
                    let is_joint = value.as_ref().is_some_and(|value| claim.joint.contains(value));
                    known.insert(prints.of(path, plain)) || is_joint
                }
                _ => true,
            });
        }
    }

    /// Takes a claim out, because it is set otherwise.
    pub(super) fn remove(&mut self, path: &[String]) {
        self.0.remove(path);
    }

    fn add(&mut self, path: &[String], rank: u8, value: Option<ClaimValue>, label: Label) {
        let claim = self.0.entry(path.to_vec()).or_default();
        claim.values.push((rank, value, label));
    }

    fn add_plain(&mut self, path: &[String], rank: u8, value: Option<ClaimValue>) {
        let label = match &value {
            Some(ClaimValue::Plain(value)) => Label::Claim(path.join("."), value.clone()),
            Some(ClaimValue::FromNow(from_now)) => Label::Claim(path.join("."), json!(format!("{from_now}s from now"))),
            None => Label::Claim(path.join("."), Value::Null),
        };
        self.add(path, rank, value, label);
    }

    /// Adds a value without anything that either side names. Another claim may still have it, unless this is the only one.
    fn add_lack(&mut self, path: &[String], value: Option<ClaimValue>, label: Label, is_only: bool) {
        match is_only {
            true => self.add(path, OTHER, value, label),
            false => self.add_plain(path, OTHER, value),
        }
    }

    /// Adds the roles and scopes that either side asks for.
    fn grants(&mut self, sides: [Option<Rules<'_>>; 2]) {
        let known = || sides.into_iter().flatten();
        let roles = distinct_roles(sides);
        let required: BTreeSet<&str> = known()
            .flat_map(|rules| rules.route.requirement.roles.iter().map(String::as_str))
            .collect();
        let scopes: Vec<BTreeSet<&str>> = known()
            .map(|rules| rules.route.requirement.scopes.iter().map(String::as_str).collect())
            .collect();
        let role_paths: BTreeSet<&ClaimPath> = known().flat_map(|rules| &rules.issuer.roles_claim.paths).collect();
        let scope_paths: BTreeSet<&ClaimPath> = known().flat_map(|rules| &rules.issuer.scopes_claim.paths).collect();
        let (is_one_role, is_one_scope) = (role_paths.len() == 1, scope_paths.len() == 1);
        for path in &role_paths {
            self.0.entry((*path).clone()).or_default().kind = ClaimKind::Roles;
        }
        for path in &scope_paths {
            self.0.entry((*path).clone()).or_default().kind = ClaimKind::Scopes;
        }
        for path in role_paths {
            // The upstream receives roles of several claims apart.
            let marked = |roles: Vec<&str>| plain(with_mark(roles, path, is_one_role));
            let usual = marked(required.iter().copied().collect());
            match roles.values().next_back() {
                None => self.add(path, GRANTS, usual, Label::None),
                Some(alike) if roles.len() == 1 || roles.contains_key(&[true; 2]) => {
                    self.add(path, GRANTS, usual, Label::Roles(owned(alike)));
                }
                Some(_) => self.add_plain(path, GRANTS, usual),
            }
            self.add_lack(path, None, Label::Roles(Vec::new()), is_one_role);
            for alike in roles.values() {
                let first = alike.iter().copied().take(1).collect();
                self.add(path, OTHER, marked(first), Label::Roles(owned(alike)));
            }
            let unnamed = Label::Roles(owned(&[UNNAMED]));
            self.add_lack(path, marked(vec![UNNAMED]), unnamed, is_one_role);
            self.add_plain(path, OTHER, plain(7));
        }
        for path in scope_paths {
            let marked = |scopes: Vec<&str>| plain(with_mark(scopes, path, is_one_scope));
            let all: BTreeSet<&str> = scopes.iter().flatten().copied().collect();
            let all: Vec<&str> = all.into_iter().collect();
            self.add(path, GRANTS, marked(all.clone()), Label::Scopes(owned(&all)));
            self.add_lack(path, None, Label::Scopes(Vec::new()), is_one_scope);
            for set in scopes.iter().filter(|set| !set.is_empty()) {
                let set: Vec<&str> = set.iter().copied().collect();
                self.add(path, OTHER, marked(set.clone()), Label::Scopes(owned(&set)));
            }
            let unnamed = Label::Scopes(owned(&[UNNAMED]));
            self.add_lack(path, marked(vec![UNNAMED]), unnamed, is_one_scope);
            self.add_plain(path, OTHER, plain(7));
        }
    }

    /// Adds the audiences of both sides.
    fn audiences(&mut self, sides: [Option<Rules<'_>>; 2]) {
        let known = || sides.into_iter().flatten().map(|rules| rules.issuer);
        let all: BTreeSet<&str> = known()
            .flat_map(|issuer| issuer.audiences.iter().flatten().map(String::as_str))
            .collect();
        let paths: BTreeSet<&str> = known()
            .map(|issuer| issuer.audience_claim.as_str())
            .chain(["aud"])
            .collect();
        for path in paths {
            let path = name(path);
            let usual: Vec<&str> = all.iter().copied().collect();
            let usual_is_none = usual.is_empty();
            if !usual_is_none {
                self.add(&path, AUDIENCE, plain(usual), Label::None);
            }
            self.add_plain(&path, OTHER, plain(UNNAMED));
            for audience in &all {
                self.add_plain(&path, MINOR, plain(*audience));
            }
            self.add_plain(&path, if usual_is_none { OTHER - 1 } else { MINOR }, None);
            self.add_plain(&path, MINOR, plain(7));
        }
    }
}

/// The roles that either side asks for, or that bring one of them, by whether they are enough on each side.
fn distinct_roles(sides: [Option<Rules<'_>>; 2]) -> BTreeMap<[bool; 2], Vec<&str>> {
    let wanted = sides.map(|rules| -> BTreeSet<&str> { rules.iter().flat_map(Rules::wanted_roles).collect() });
    let [old, new] = &wanted;
    let mut alike: BTreeMap<[bool; 2], Vec<&str>> = BTreeMap::new();
    for role in old.union(new).copied() {
        alike
            .entry([old.contains(role), new.contains(role)])
            .or_default()
            .push(role);
    }
    alike
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Adds a name of its own to the names in a claim, unless it is the only one with names.
fn with_mark(names: Vec<&str>, path: &[String], is_only: bool) -> Vec<String> {
    let mark = (!is_only).then(|| format!("in-{}", path.join("-")));
    names.into_iter().map(str::to_owned).chain(mark).collect()
}

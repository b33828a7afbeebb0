//! Values of claims and headers that meet all that both sides ask of them: rules about one claim are met by one value, and
//! what has to be equal is equal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::operands::{COMPARED, scalars, texts};
use super::parts::ClaimValue;
use super::rules::{ClaimPath, OTHER_TENANT, Rules, TENANT, TEXT_TENANT};
use crate::policy::condition::{ClaimTest, Condition, HeaderTest, Operand};
use crate::policy::document::TenantFormat;
use crate::policy::route::Route;
use crate::principal::{Claims, TenantId};

/// The most other solutions that are looked for.
const MOST: usize = 32;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    /// In a claim.
    Claim(ClaimPath),
    /// In a header, by its name.
    Header(String),
}

/// Values that meet all that is asked, as far as there are such values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Solution {
    /// The claims.
    pub(super) claims: BTreeMap<ClaimPath, ClaimValue>,
    /// The headers.
    pub(super) headers: BTreeMap<String, String>,
}

/// What is asked of the callers of both sides.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What is asked of each value.
    spots: BTreeMap<Spot, Ask>,
    /// Values that have to be equal.
    groups: Vec<BTreeSet<Spot>>,
}

/// What is asked of one value.
#[derive(Debug, Default)]
struct Ask {
    /// What asks something of it, each once.
    sources: BTreeSet<String>,
    /// For each rule that lists values: the side, and the values.
    allowed: Vec<(usize, Vec<Value>)>,
    /// Texts that a list has to have, for each side.
    musts: [BTreeSet<String>; 2],
    /// Texts of which a list has to have one: the side, those that are usually all there, and all.
    anys: Vec<(usize, Vec<String>, BTreeSet<String>)>,
    /// How long ago a time may be.
    within: Option<f64>,
    /// The form of a tenant.
    tenant: Option<TenantFormat>,
    /// The token must have it.
    is_needed: bool,
}

impl Asked {
    /// Collects what both sides ask of tokens that have some claims in any case.
    pub(super) fn of_tokens(sides: [Option<Rules<'_>>; 2], fixed: &Claims) -> Self {
        let mut asked = Self::default();
        for (name, value) in fixed {
            let ask = asked.claim(&vec![name.clone()]);
            for side in [0, 1] {
                ask.allowed.push((side, vec![value.clone()]));
            }
            ask.sources.insert("fixed".to_owned());
        }
        for (side, rules) in sides.into_iter().enumerate() {
            if let Some(rules) = rules {
                asked.token(side, &rules);
            }
        }
        asked
    }

    /// Collects what both sides ask of the headers of requests without a token.
    pub(super) fn of_headers(routes: [Option<&Route>; 2], path: &str) -> Self {
        let mut asked = Self::default();
        for (side, route) in routes.into_iter().enumerate() {
            let conditions = route.into_iter().flat_map(|route| &route.requirement.conditions);
            for condition in conditions.filter(|condition| !condition.needs_token()) {
                asked.condition(side, condition, path);
            }
        }
        asked
    }

    fn claim(&mut self, path: &ClaimPath) -> &mut Ask {
        self.spots.entry(Spot::Claim(path.clone())).or_default()
    }

    fn token(&mut self, side: usize, rules: &Rules<'_>) {
        let (issuer, requirement) = (rules.issuer, &rules.route.requirement);
        for condition in issuer.when.iter().chain(&requirement.conditions) {
            self.condition(side, condition, rules.path);
        }
        for required in &issuer.required_claims {
            self.claim(&vec![required.clone()]).is_needed = true;
        }
        if let Some(audiences) = &issuer.audiences {
            let ask = self.claim(&vec![issuer.audience_claim.clone()]);
            ask.any(side, "audience", audiences.clone(), audiences.iter().cloned().collect());
        }
        if let Some(path) = self.listing(&issuer.roles_claim.paths)
            && !requirement.roles.is_empty()
        {
            let all = rules.wanted_roles().map(str::to_owned).collect();
            self.claim(&path).any(side, "roles", requirement.roles.clone(), all);
        }
        if let Some(path) = issuer.scopes_claim.paths.first() {
            for scope in &requirement.scopes {
                self.claim(path).must(side, "scopes", scope.clone());
            }
        }
        if let Some(tenant) = &rules.policy.tenant {
            let claims = tenant.claims.iter().cloned().map(Spot::Claim);
            let group: BTreeSet<Spot> = claims.chain([Spot::Header(tenant.header.to_string())]).collect();
            for spot in &group {
                let ask = self.spots.entry(spot.clone()).or_default();
                ask.sources.insert("tenant".to_owned());
                ask.tenant = match (ask.tenant, tenant.format) {
                    (Some(TenantFormat::Uuid), _) | (_, TenantFormat::Uuid) => Some(TenantFormat::Uuid),
                    _ => Some(TenantFormat::Text),
                };
            }
            self.link(group);
        }
    }

    /// Returns the claim of several that may best be a list.
    fn listing(&self, paths: &[ClaimPath]) -> Option<ClaimPath> {
        let is_free = |path: &&ClaimPath| {
            let ask = self.spots.get(&Spot::Claim((*path).clone()));
            ask.is_none_or(|ask| ask.allowed.is_empty())
        };
        paths.iter().find(is_free).or_else(|| paths.first()).cloned()
    }

    fn condition(&mut self, side: usize, condition: &Condition, path: &str) {
        let source = format!("{condition:?}");
        match condition {
            Condition::Claim { path: claim, test } => {
                let ask = self.claim(claim);
                match test {
                    ClaimTest::Equals(operand) => ask.allow(side, source, std::slice::from_ref(operand), path),
                    ClaimTest::In(operands) => ask.allow(side, source, operands, path),
                    ClaimTest::Has(operand) => {
                        for text in texts(operand, path) {
                            ask.must(side, &source, text);
                        }
                    }
                    ClaimTest::HasAny(several) => {
                        let all: Vec<String> = several.written().iter().flat_map(|one| texts(one, path)).collect();
                        let first = all.first().cloned().into_iter().collect();
                        ask.any(side, &source, first, all.into_iter().collect());
                    }
                    ClaimTest::Within(longest) => {
                        let longest = longest.as_secs_f64();
                        ask.within = Some(ask.within.map_or(longest, |known| known.min(longest)));
                        ask.sources.insert(source);
                    }
                }
            }
            Condition::Header { name, test } => {
                let spot = Spot::Header(name.to_string());
                let ask = self.spots.entry(spot.clone()).or_default();
                match test {
                    HeaderTest::Equals(operand) => ask.allow(side, source, std::slice::from_ref(operand), path),
                    HeaderTest::In(operands) => ask.allow(side, source, operands, path),
                    HeaderTest::EqualsClaim(claim) => {
                        ask.sources.insert(source.clone());
                        self.claim(claim).sources.insert(source);
                        self.link(BTreeSet::from([spot, Spot::Claim(claim.clone())]));
                    }
                }
            }
            Condition::Client { .. } => {}
        }
    }

    /// Notes that some values are equal.
    fn link(&mut self, mut group: BTreeSet<Spot>) {
        let known = std::mem::take(&mut self.groups).into_iter();
        let (joined, apart): (Vec<_>, Vec<_>) = known.partition(|known| !known.is_disjoint(&group));
        self.groups = apart;
        group.extend(joined.into_iter().flatten());
        self.groups.push(group);
    }

    /// The values that have to be equal, and all others by themselves.
    fn all_groups(&self) -> Vec<BTreeSet<Spot>> {
        let is_alone = |spot: &&Spot| !self.groups.iter().any(|group| group.contains(*spot));
        let alone = self.spots.keys().filter(is_alone);
        let alone = alone.map(|spot| BTreeSet::from([spot.clone()]));
        self.groups.iter().cloned().chain(alone).collect()
    }

    fn asks(&self, group: &BTreeSet<Spot>) -> Vec<&Ask> {
        group.iter().filter_map(|spot| self.spots.get(spot)).collect()
    }

    /// Returns whether the usual values of single rules do not meet all that is asked of a group.
    fn is_entangled(&self, group: &BTreeSet<Spot>) -> bool {
        let sources: BTreeSet<&String> = self.asks(group).iter().flat_map(|ask| &ask.sources).collect();
        sources.len() > 1
    }

    /// Returns values that meet all that both sides ask, and others that one side takes and the other does not, each
    /// with all else as in the first ones.
    pub(super) fn solutions(&self) -> Vec<Solution> {
        let mut both = Solution::default();
        let mut others: Vec<Solution> = Vec::new();
        let groups: Vec<_> = self.all_groups();
        let groups: Vec<_> = groups.iter().filter(|group| self.is_entangled(group)).collect();
        for group in &groups {
            if let Some(value) = self.values(group).into_iter().next() {
                self.set(&mut both, group, &value);
            }
        }
        let mut alone = [both.clone(), both.clone()];
        for group in &groups {
            for (side, solution) in alone.iter_mut().enumerate() {
                if let Some(value) = self.of_side(group, side) {
                    self.set(solution, group, &value);
                }
            }
            for value in self.values(group).into_iter().skip(1) {
                let mut other = both.clone();
                self.set(&mut other, group, &value);
                others.push(other);
            }
        }
        let mut all = vec![both];
        for solution in alone.into_iter().chain(others).take(MOST) {
            if !all.contains(&solution) {
                all.push(solution);
            }
        }
        all
    }

    /// Puts a value in all places of a group. A list of it and of all else that it has to have is in claims that are lists.
    fn set(&self, solution: &mut Solution, group: &BTreeSet<Spot>, value: &ClaimValue) {
        for spot in group {
            match (spot, value) {
                (Spot::Claim(path), ClaimValue::Plain(plain)) if !plain.is_array() && self.has_musts(spot) => {
                    let ask = self.spots.get(spot);
                    let all = ask.map(|ask| [ask.of_side(0), ask.of_side(1)]).unwrap_or_default();
                    let texts = all.into_iter().flatten().chain([text(plain)]).collect();
                    solution.claims.insert(path.clone(), list(&texts));
                }
                (Spot::Claim(path), value) => {
                    solution.claims.insert(path.clone(), value.clone());
                }
                (Spot::Header(name), ClaimValue::Plain(value)) => {
                    solution.headers.insert(name.clone(), text(value));
                }
                (Spot::Header(_), ClaimValue::FromNow(_)) => {}
            }
        }
    }

    fn has_musts(&self, spot: &Spot) -> bool {
        let ask = self.spots.get(spot);
        ask.is_some_and(|ask| ask.musts.iter().any(|musts| !musts.is_empty()))
    }

    /// The values of a group that meet what one side asks of it.
    fn of_side(&self, group: &BTreeSet<Spot>, side: usize) -> Option<ClaimValue> {
        let asks = self.asks(group);
        match asks.iter().any(|ask| ask.is_list()) {
            true => asks
                .iter()
                .find(|ask| ask.is_list())
                .map(|ask| list(&ask.of_side(side))),
            false => Self::common(&asks, &[side]).into_iter().next().map(ClaimValue::Plain),
        }
    }

    /// The values of a group that rules tell apart: first one that meets all of them, if there is one.
    fn values(&self, group: &BTreeSet<Spot>) -> Vec<ClaimValue> {
        let asks = self.asks(group);
        let is_plain = asks.iter().any(|ask| !ask.allowed.is_empty() || ask.tenant.is_some()) || group.len() > 1;
        if let Some(within) = asks.iter().find_map(|ask| ask.within) {
            return vec![ClaimValue::FromNow(-within / 2.0)];
        }
        if let Some(ask) = asks.iter().find(|ask| ask.is_list())
            && !is_plain
        {
            return ask.lists().iter().map(list).collect();
        }
        let both = Self::common(&asks, &[0, 1]);
        let sides = [0, 1].map(|side| Self::common(&asks, &[side]));
        let mut values: Vec<Value> = both.first().cloned().into_iter().collect();
        for (own, other) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
            let only = own.iter().find(|value| !other.contains(value));
            values.extend(only.cloned());
        }
        values.into_iter().map(ClaimValue::Plain).collect()
    }

    /// The plain values that meet the rules of some sides, in all places of a group.
    fn common(asks: &[&Ask], sides: &[usize]) -> Vec<Value> {
        let mut lists = asks
            .iter()
            .flat_map(|ask| &ask.allowed)
            .filter(|(side, _)| sides.contains(side))
            .map(|(_, values)| values);
        let tenant = asks.iter().filter_map(|ask| ask.tenant);
        let format = tenant.fold(None, |known, format| match (known, format) {
            (Some(TenantFormat::Uuid), _) | (_, TenantFormat::Uuid) => Some(TenantFormat::Uuid),
            _ => Some(TenantFormat::Text),
        });
        let first: Vec<Value> = match (lists.next(), format) {
            (Some(values), _) => values.clone(),
            (None, Some(TenantFormat::Uuid)) => vec![json!(TENANT), json!(OTHER_TENANT)],
            (None, Some(TenantFormat::Text)) => vec![json!(TENANT), json!(TEXT_TENANT)],
            (None, None) => {
                // Of a text, an audience or a role is one of a list.
                let of_lists = asks.iter().flat_map(|ask| &ask.anys).flat_map(|(_, usual, _)| usual);
                let mut texts: Vec<Value> = of_lists.map(|text| json!(text)).collect();
                texts.push(json!(COMPARED));
                texts
            }
        };
        let is_free = asks.iter().all(|ask| ask.allowed.is_empty());
        let musts = asks
            .iter()
            .flat_map(|ask| &ask.musts)
            .flatten()
            .filter(|_| is_free)
            .map(|text| json!(text));
        let first = musts.chain(first).collect::<Vec<_>>();
        let mut common: Vec<Value> = lists.fold(first, |mut common, values| {
            common.retain(|value| values.iter().any(|other| is_same(value, other)));
            common
        });
        let is_tenant = |value: &Value| match format {
            None => true,
            Some(TenantFormat::Uuid) => value.as_str().is_some_and(|text| TenantId::parse(text).is_some()),
            Some(TenantFormat::Text) => value.as_str().is_some_and(|text| TenantId::of_text(text).is_some()),
        };
        common.retain(is_tenant);
        let anys = asks
            .iter()
            .flat_map(|ask| &ask.anys)
            .filter(|(side, ..)| sides.contains(side));
        for (_, _, all) in anys {
            common.retain(|value| value.as_str().is_some_and(|text| all.contains(text)));
        }
        common
    }
}

impl Ask {
    fn allow(&mut self, side: usize, source: String, operands: &[Operand], path: &str) {
        let values: Vec<Value> = operands.iter().flat_map(|operand| passing(operand, path)).collect();
        self.sources.insert(source);
        self.allowed.push((side, values));
    }

    fn must(&mut self, side: usize, source: &str, text: String) {
        self.sources.insert(source.to_owned());
        if let Some(musts) = self.musts.get_mut(side) {
            musts.insert(text);
        }
    }

    fn any(&mut self, side: usize, source: &str, usual: Vec<String>, all: BTreeSet<String>) {
        self.sources.insert(source.to_owned());
        self.anys.push((side, usual, all));
    }

    fn is_list(&self) -> bool {
        !self.anys.is_empty() || self.musts.iter().any(|musts| !musts.is_empty())
    }

    fn of_side(&self, side: usize) -> BTreeSet<String> {
        let anys = self.anys.iter().filter(|(of, ..)| *of == side);
        let usual = anys.flat_map(|(_, usual, _)| usual);
        usual
            .chain(self.musts.get(side).into_iter().flatten())
            .cloned()
            .collect()
    }

    /// Lists that rules tell apart, first the one that meets all of them.
    fn lists(&self) -> Vec<BTreeSet<String>> {
        let [old, new] = [0, 1].map(|side| self.of_side(side));
        let full: BTreeSet<String> = old.union(&new).cloned().collect();
        let [old_musts, new_musts] = &self.musts;
        let musts: BTreeSet<&String> = old_musts.union(new_musts).collect();
        let mut lists = vec![full.clone(), old, new];
        let without = |items: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> {
            let mut list = full.clone();
            items.for_each(|item| {
                list.remove(item);
            });
            list
        };
        // Of the texts that both sides ask for, one stands for all.
        let is_common = |item: &&&String| old_musts.contains(**item) && new_musts.contains(**item);
        let apart = musts.iter().filter(|item| !is_common(item));
        let left_out = musts.iter().filter(is_common).take(1).chain(apart).take(MOST);
        lists.extend(left_out.map(|item| without(&mut std::iter::once(*item))));
        let every: BTreeSet<&String> = self.anys.iter().flat_map(|(.., all)| all).collect();
        let mut known: BTreeSet<Vec<bool>> = BTreeSet::new();
        let is_in = |item: &String| -> Vec<bool> { self.anys.iter().map(|(.., all)| all.contains(item)).collect() };
        let kinds: Vec<&String> = every.into_iter().filter(|item| known.insert(is_in(item))).collect();
        for (.., all) in &self.anys {
            let bare = without(&mut all.iter().filter(|item| !musts.contains(item)));
            for item in kinds.iter().filter(|item| all.contains(**item)) {
                let mut list = bare.clone();
                list.insert((*item).clone());
                lists.push(list);
            }
            lists.push(bare);
        }
        let mut distinct: Vec<BTreeSet<String>> = Vec::new();
        for list in lists {
            if !distinct.contains(&list) {
                distinct.push(list);
            }
        }
        distinct
    }
}

fn list(texts: &BTreeSet<String>) -> ClaimValue {
    ClaimValue::Plain(json!(texts))
}

/// The values of claims that an operand equals, as texts where it can be.
fn passing(operand: &Operand, path: &str) -> Vec<Value> {
    scalars(operand, path).into_iter().take(1).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns whether two values are the same to conditions: an integer is the same as its digits in a text.
fn is_same(one: &Value, other: &Value) -> bool {
    one == other || (!one.is_boolean() && !other.is_boolean() && text(one) == text(other))
}

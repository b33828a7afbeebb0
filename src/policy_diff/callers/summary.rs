//! Sums up what changes for callers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::classes::Classes;
use super::pair::Pair;
use super::parts::Parts;
use super::samples::{MOST as MOST_SAMPLES, Sample};
use super::seen::{Detail, Judge, Kind, Mark};
use super::space::{Aspect, Label};
use crate::policy::Policy;
use crate::policy::tenant::TenantRule;
use crate::policy_diff::caller_class::{CallerClass, FOREIGN, TokenClass};
use crate::policy_diff::delta::{CallerChange, Delta, Told};
use crate::policy_diff::effects::Effect;
use crate::principal::claim_at;

/// The most changes of callers of one kind that are listed.
const MOST_LISTED: usize = 24;

/// A combination by its space and its place there.
type Place = (usize, usize);

/// Sums up all callers, with some of them; `None` if all of them are answered alike.
pub(super) fn delta(judge: &Judge<'_>, spaces: &[Classes]) -> Option<(Delta, Vec<Sample>)> {
    if spaces.iter().all(Classes::is_same) {
        return None;
    }
    let summary = Summary { judge, spaces };
    let details = summary.details();
    let (mut lists, mut samples, mut left_out) = (BTreeMap::new(), Vec::new(), 0);
    for kind in [Kind::Gained, Kind::Lost, Kind::Forwarded, Kind::Rejected] {
        let (list, more) = summary.list(kind, &mut samples);
        lists.insert(kind, list);
        left_out += more;
    }
    let mut list = |kind| lists.remove(&kind).unwrap_or_default();
    let delta = Delta {
        effects: summary.effects(),
        gained: list(Kind::Gained),
        lost: list(Kind::Lost),
        forwarded: list(Kind::Forwarded),
        rejected: list(Kind::Rejected),
        told: told(judge.pair(), &details),
        differs: differs(judge.pair(), &details),
        another_tenant: details.iter().any(|detail| detail.another_tenant),
        callers: spaces.iter().map(|classes| classes.seen.len()).sum(),
        left_out,
    };
    Some((delta, samples))
}

struct Summary<'s, 'r> {
    judge: &'s Judge<'r>,
    spaces: &'s [Classes],
}

impl Summary<'_, '_> {
    /// All differences, each once.
    fn details(&self) -> Vec<Detail> {
        let seen = self.spaces.iter().flat_map(|classes| &classes.seen);
        let places: BTreeSet<u32> = seen.map(|seen| seen.detail).filter(|detail| *detail > 0).collect();
        places.into_iter().map(|place| self.judge.detail(place)).collect()
    }

    fn effects(&self) -> Vec<Effect> {
        let mut effects = BTreeSet::new();
        for (space, classes) in self.spaces.iter().enumerate() {
            for (at, seen) in classes.seen.iter().enumerate() {
                let is_own = matches!(seen.now, Mark::Own(_));
                match seen.kind {
                    Kind::Same => {}
                    Kind::Gained if !is_own && !self.has_credential((space, at)) => {
                        effects.insert(Effect::OpenedToPublic);
                    }
                    Kind::Gained => {
                        effects.insert(Effect::Opened);
                    }
                    Kind::Lost => {
                        effects.insert(Effect::Closed);
                    }
                    Kind::Forwarded => effects.extend(forwarded(&self.judge.detail(seen.detail))),
                    Kind::Rejected => {
                        effects.insert(Effect::RejectedDifferently);
                    }
                }
            }
        }
        // What is open to all is open to those with a credential.
        if effects.contains(&Effect::OpenedToPublic) {
            effects.remove(&Effect::Opened);
        }
        effects.into_iter().collect()
    }

    /// Whether callers have a credential, or what looks like one.
    fn has_credential(&self, (space, at): Place) -> bool {
        let Some(classes) = self.spaces.get(space) else {
            return false;
        };
        let choice = classes.choice(at);
        let mut pairs = classes.space.dimensions.iter().zip(choice);
        classes.space.base.token.is_some()
            || pairs.any(|(dimension, at)| dimension.variants.get(at).is_some_and(|variant| variant.is_credential))
    }

    /// The changes of one kind, each for as many callers as possible, and how many are left out.
    fn list(&self, kind: Kind, samples: &mut Vec<Sample>) -> (Vec<CallerChange>, usize) {
        let mut found: Vec<(usize, CallerChange)> = Vec::new();
        let mut left_out = 0;
        for (space, classes) in self.spaces.iter().enumerate() {
            let is_kind = |at: usize| classes.seen.get(at).is_some_and(|seen| seen.kind == kind);
            let mut covered = vec![false; classes.seen.len()];
            for at in 0..classes.seen.len() {
                if !is_kind(at) || covered.get(at).copied().unwrap_or_default() {
                    continue;
                }
                if found.len() >= MOST_LISTED {
                    left_out += 1;
                    continue;
                }
                let free = widen(classes, at, &is_kind);
                for member in members(classes, at, &free) {
                    if let Some(covered) = covered.get_mut(member) {
                        *covered = true;
                    }
                }
                let parts = classes.space.parts(&classes.choice(at));
                let change = self.change((space, at), &free, &parts);
                if samples.len() < MOST_SAMPLES {
                    samples.push(Sample {
                        parts,
                        words: [change.was.clone(), change.now.clone()],
                    });
                }
                if !found.iter().any(|(_, known)| known.caller == change.caller) {
                    found.push((free.iter().filter(|free| !**free).count(), change));
                }
            }
        }
        let all = found
            .iter()
            .find(|(_, change)| change.caller == CallerClass::default())
            .cloned();
        if let Some((_, all)) = all.filter(|_| kind == Kind::Gained) {
            // What callers without a credential may do, the others may, too.
            return (vec![all], left_out + found.len() - 1);
        }
        let found: Vec<_> = found.into_iter().map(|(_, change)| change).collect();
        let (list, more) = general(&found);
        (list, left_out + more)
    }

    /// Whether tokens of several issuers are told apart.
    fn has_issuers(&self) -> bool {
        let issuers = self.spaces.iter().filter_map(|classes| classes.space.issuer.as_deref());
        issuers
            .filter(|issuer| *issuer != FOREIGN)
            .collect::<BTreeSet<_>>()
            .len()
            > 1
    }

    fn tenant_rules(&self) -> impl Iterator<Item = &TenantRule> {
        self.judge.pair().policies().filter_map(|policy| policy.tenant.as_ref())
    }

    /// Whether all claims and headers for tenants have the same tenant.
    fn is_of_one_tenant(&self, parts: &Parts) -> bool {
        let Some(token) = &parts.token else { return false };
        let claims = self.tenant_rules().flat_map(|rule| &rule.claims);
        let claims = claims.map(|path| claim_at(&token.claims, path).and_then(Value::as_str));
        let headers = self.tenant_rules().map(|rule| parts.header_text(&rule.header));
        let all: BTreeSet<Option<&str>> = claims.chain(headers).collect();
        all.len() == 1 && !all.contains(&None)
    }

    fn change(&self, (space, at): Place, free: &[bool], parts: &Parts) -> CallerChange {
        let Some(classes) = self.spaces.get(space) else {
            return CallerChange {
                caller: CallerClass::default(),
                was: String::new(),
                now: String::new(),
            };
        };
        let choice = classes.choice(at);
        let [was, now] = self.judge.words(parts);
        let passes = [&was, &now].iter().any(|words| *words == "allow");
        let mut caller = CallerClass::default();
        if classes.space.base.token.is_some() {
            let is_told = |issuer: &String| issuer == FOREIGN || self.has_issuers();
            let issuer = classes.space.issuer.clone().filter(is_told);
            caller.token = Some(TokenClass {
                issuer,
                ..TokenClass::default()
            });
        }
        for (at, dimension) in classes.space.dimensions.iter().enumerate() {
            let is_free = free.get(at).copied().unwrap_or_default();
            let chosen = choice.get(at).and_then(|chosen| dimension.variants.get(*chosen));
            if let Some(variant) = chosen.filter(|_| !is_free) {
                // A token with something unusual that passes has all else that it needs.
                let is_fault = matches!(variant.label, Label::Fault(_));
                let has_all = passes && !is_fault && dimension.aspect == Aspect::Token;
                let usual = dimension.variants.first().filter(|_| has_all);
                if let Some(usual) = usual {
                    write(&mut caller, &usual.label);
                }
                write(&mut caller, &variant.label);
            }
        }
        if let Some(token) = caller
            .token
            .as_mut()
            .filter(|token| token.roles.as_ref().is_some_and(Vec::is_empty))
        {
            let enough = self.judge.pair().met().flat_map(|(policy, route)| {
                let listed = route.requirement.roles.iter();
                listed.flat_map(|role| policy.roles.bringing(role).into_iter().chain([role.as_str()]))
            });
            let asked: BTreeSet<&str> = enough.collect();
            token.lacks = asked.into_iter().map(str::to_owned).collect();
        }
        if self.is_of_one_tenant(parts) {
            // Which one does not matter.
            let headers = self.tenant_rules().map(|rule| rule.header.as_str());
            headers.for_each(|name| _ = caller.headers.remove(name));
            if let Some(token) = &mut caller.token {
                token.tenant = None;
            }
        }
        CallerChange { caller, was, now }
    }
}

/// Leaves out changes of callers that another one is about as well, with less said of them. Returns how many.
fn general(all: &[CallerChange]) -> (Vec<CallerChange>, usize) {
    let is_about = |one: &CallerChange, other: &CallerChange| {
        one.caller != other.caller
            && (&one.was, &one.now) == (&other.was, &other.now)
            && one.caller.includes(&other.caller)
    };
    let is_general = |change: &&CallerChange| !all.iter().any(|other| is_about(other, change));
    let list: Vec<_> = all.iter().filter(is_general).cloned().collect();
    let more = all.len() - list.len();
    (list, more)
}

fn forwarded(detail: &Detail) -> Vec<Effect> {
    let mut effects = Vec::new();
    if detail.pages_gained {
        effects.push(Effect::Opened);
    }
    if detail.pages_lost {
        effects.push(Effect::Closed);
    }
    let is_of_pages = |(name, ..): &(String, bool, bool)| matches!(name.as_str(), "response" | "preflight");
    if effects.is_empty() || !detail.names.iter().all(is_of_pages) {
        effects.push(Effect::ForwardedDifferently);
    }
    effects
}

/// Finds the dimensions that do not matter to a combination: all classes of theirs change alike.
fn widen(classes: &Classes, at: usize, is_kind: &impl Fn(usize) -> bool) -> Vec<bool> {
    let mut free = vec![false; classes.kept.len()];
    // Of a dimension with variants that change nothing, the others are named.
    for dimension in (0..classes.kept.len()).rev().filter(|at| !classes.is_pruned(*at)) {
        if let Some(free) = free.get_mut(dimension) {
            *free = true;
        }
        if !members(classes, at, &free).into_iter().all(is_kind)
            && let Some(free) = free.get_mut(dimension)
        {
            *free = false;
        }
    }
    free
}

/// The combinations with the same classes as one of them, but for those of free dimensions.
fn members(classes: &Classes, at: usize, free: &[bool]) -> Vec<usize> {
    let places = classes.places(at);
    let mut members = vec![0];
    for ((kept, place), free) in classes.kept.iter().zip(places).zip(free) {
        let choices: Vec<usize> = match free {
            true => (0..kept.len()).collect(),
            false => vec![place],
        };
        members = members
            .into_iter()
            .flat_map(|member| {
                choices
                    .iter()
                    .map(move |choice| member * kept.len() + choice)
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    members
}

fn write(caller: &mut CallerClass, label: &Label) {
    let token = |caller: &mut CallerClass| -> TokenClass { caller.token.take().unwrap_or_default() };
    match label.clone() {
        Label::None => {}
        Label::Several(all) => all.iter().for_each(|label| write(caller, label)),
        Label::Key(name) => caller.key = Some(name),
        Label::Certificate(name) => caller.certificate = Some(name),
        Label::Header(name, value) => {
            caller.headers.insert(name, value);
        }
        Label::Body(text) => caller.body = Some(text),
        Label::Address(text) => caller.address = Some(text),
        Label::When(text) => caller.when.push(text),
        of_token => {
            let mut token = token(caller);
            match of_token {
                Label::Roles(names) => token.roles = Some(names),
                Label::Scopes(names) => token.scopes = Some(names),
                Label::Tenant(text) => token.tenant = Some(text.to_owned()),
                Label::Claim(name, value) => {
                    token.claims.insert(name, value);
                }
                Label::Fault(text) => token.fault = Some(text),
                Label::Signer(text) => token.signer = Some(text),
                Label::Place(text) => token.place = Some(text),
                _ => {}
            }
            caller.token = Some(token);
        }
    }
}

/// The identity headers that the upstream gets from another source, or gets on one side only.
fn told(pair: &Pair<'_>, details: &[Detail]) -> Vec<Told> {
    let mut told = Vec::new();
    for (header, [was, now]) in changed(details) {
        let source = |policy: Option<&Policy>, is_there: bool| {
            policy.filter(|_| is_there).and_then(|policy| source(policy, &header))
        };
        let (was, now) = (source(pair.old.policy, was), source(pair.new.policy, now));
        if was.is_some() || now.is_some() {
            told.push(Told { header, was, now });
        }
    }
    told
}

fn source(policy: &Policy, header: &str) -> Option<String> {
    let mut headers = policy.identity.headers().iter();
    Some(headers.find(|known| known.name == header)?.described())
}

/// What else the upstream gets differently.
fn differs(pair: &Pair<'_>, details: &[Detail]) -> Vec<String> {
    let is_identity = |name: &str| pair.policies().any(|policy| source(policy, name).is_some());
    let names = changed(details).into_keys();
    names.filter(|name| !is_identity(name)).collect()
}

/// What differs, each with whether the old and the new side have it for some callers.
fn changed(details: &[Detail]) -> BTreeMap<String, [bool; 2]> {
    let mut changed: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for (name, was, now) in details.iter().flat_map(|detail| &detail.names) {
        let known = changed.entry(name.clone()).or_default();
        *known = [known[0] | was, known[1] | now];
    }
    changed
}

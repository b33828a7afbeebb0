//! All callers of one kind as a product of dimensions, each an aspect by which they differ.

use std::collections::HashMap;

use http::HeaderName;
use serde_json::Value;

use super::parts::{Parts, Patch};
use super::rules::UNNAMED;
use super::seen::{Judge, Kind, Mark, Seen};
use super::solve::Solution;
use crate::policy_diff::types::Incomplete;

/// An aspect by which callers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aspect {
    /// What stands in the places of tokens, where there is no token of an issuer.
    Presented(Vec<HeaderName>),
    /// All that is in the token, but for the aspects of it that follow.
    Token,
    /// A member of the header of the token.
    Jose(&'static str),
    /// A claim of the token.
    Claim(Vec<String>),
    /// Who signs the token, and by which algorithm.
    Signer,
    /// The place of the token, with the other headers for tokens.
    Place(Vec<HeaderName>),
    /// A header.
    Header(HeaderName),
    /// The header of an internal key, with the time.
    Key(HeaderName),
    /// The page that the request comes from, by these headers.
    Page(Vec<HeaderName>),
    /// The client certificate.
    Certificate,
    /// The body and its type.
    Body,
    /// The address of the client.
    Client,
    /// Whether the request opens a WebSocket.
    Handshake,
    /// What is known of revoked tokens.
    Known,
}

/// What to write of a variant where it matters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Label {
    /// Nothing: it is what callers usually have.
    #[default]
    None,
    /// The token has one of these roles; none if there are none.
    Roles(Vec<String>),
    /// The token has all of these scopes; none if there are none.
    Scopes(Vec<String>),
    /// Whose tenant the token names.
    Tenant(&'static str),
    /// A claim.
    Claim(String, Value),
    /// Something wrong with the token, or with what stands in its place.
    Fault(String),
    /// Who signs.
    Signer(String),
    /// Where the token is.
    Place(String),
    /// An internal key.
    Key(String),
    /// A client certificate.
    Certificate(String),
    /// A header, or that it is not there.
    Header(String, Option<String>),
    /// A body.
    Body(String),
    /// An address.
    Address(String),
    /// Anything else.
    When(String),
    /// All of these.
    Several(Vec<Label>),
}

impl Label {
    /// Makes it the label of a class that has another variant as well.
    fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Several(all), other) => all.iter_mut().for_each(|one| one.merge(other)),
            (one, other) if one.is_absence() || !one.is_of_the_kind_of(other) => {}
            (one, other) if other.is_absence() => *one = Self::None,
            (Self::Roles(all), Self::Roles(names)) => {
                all.extend(names.iter().cloned());
                all.sort_unstable();
                all.dedup();
            }
            (Self::Scopes(all), Self::Scopes(names)) if names.len() < all.len() => all.clone_from(names),
            _ => {}
        }
    }

    /// Whether both say something about the same part of a token.
    fn is_of_the_kind_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Roles(_), Self::Roles(_)) | (Self::Scopes(_), Self::Scopes(_)) => true,
            (Self::Claim(path, _), Self::Claim(other, _)) => path == other,
            _ => false,
        }
    }

    /// Returns whether it says that the token lacks what either side names.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Roles(names) | Self::Scopes(names) => names.iter().all(|name| name == UNNAMED),
            Self::Claim(_, value) => value.is_null() || value == UNNAMED,
            _ => false,
        }
    }
}

/// One of the forms that an aspect has.
#[derive(Debug, Clone, Default)]
pub(super) struct Variant {
    /// What it changes in a request.
    pub(super) patches: Vec<Patch>,
    /// What to write of it.
    pub(super) label: Label,
    /// Whether it is a credential, or what looks like one.
    pub(super) is_credential: bool,
}

impl Variant {
    /// Makes a variant of one change.
    pub(super) fn new(patch: Patch, label: Label) -> Self {
        Self {
            patches: vec![patch],
            label,
            is_credential: false,
        }
    }

    /// Makes a variant of several changes.
    pub(super) const fn of(patches: Vec<Patch>, label: Label) -> Self {
        Self {
            patches,
            label,
            is_credential: false,
        }
    }

    /// Marks it as a credential.
    #[must_use]
    pub(super) fn credential(mut self) -> Self {
        self.is_credential = true;
        self
    }
}

/// An aspect and the forms that it has.
#[derive(Debug, Clone)]
pub(super) struct Dimension {
    /// The aspect.
    pub(super) aspect: Aspect,
    /// The forms, the usual one first.
    pub(super) variants: Vec<Variant>,
}

impl Dimension {
    /// Makes a dimension.
    pub(super) const fn new(aspect: Aspect, variants: Vec<Variant>) -> Self {
        Self { aspect, variants }
    }

    fn is_credential(&self) -> bool {
        self.variants.iter().any(|variant| variant.is_credential)
    }
}

/// All callers of one kind.
#[derive(Debug)]
pub(super) struct Space {
    /// What all of them have.
    pub(super) base: Parts,
    /// The issuer of their tokens, if they have tokens of an issuer.
    pub(super) issuer: Option<String>,
    /// Whether their tokens are in cookies.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the law of the tests asks for the space of a caller")
    )]
    pub(super) has_cookie: bool,
    /// The aspects.
    pub(super) dimensions: Vec<Dimension>,
    /// Who meets all rules, as far as there is such a caller, and others who differ from it in what the sides tell apart.
    pub(super) starts: Vec<Start>,
}

/// A caller that a search for callers begins with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Start {
    /// What it has in place of the usual forms of single aspects.
    pub(super) patches: Vec<Patch>,
    /// What else its token has.
    pub(super) token: Vec<Patch>,
}

impl Start {
    /// Makes a caller of values that meet all rules. Some claims are not aspects of their own, and have usual values.
    pub(super) fn of(solution: &Solution, base: &[Patch], is_in_token: impl Fn(&Vec<String>) -> bool) -> Self {
        let mut start = Self::default();
        for (path, value) in &solution.claims {
            let patch = Patch::Claim(path.clone(), Some(value.clone()));
            match is_in_token(path) {
                true if base.contains(&patch) => {}
                true => start.token.push(patch),
                false => start.patches.push(patch),
            }
        }
        for (name, value) in &solution.headers {
            let name = HeaderName::try_from(name.as_str()).ok();
            start.patches.extend(name.map(|name| Patch::header(&name, value)));
        }
        start
    }
}

/// The most pairs of changes that are tried where no single one leads further.
const MOST_PAIRS: usize = 20_000;

/// For each dimension, the place of a variant.
pub(super) type Choice = Vec<usize>;

/// A space whose variants are distinguished by what is seen of them.
#[derive(Debug)]
pub(super) struct Classes {
    /// The space.
    pub(super) space: Space,
    /// For each dimension, the variants that stand for their classes, but for those with which all requests are answered
    /// alike, whatever else they have.
    pub(super) kept: Vec<Vec<usize>>,
    /// What is seen of each combination of kept variants, the last dimension fastest.
    pub(super) seen: Vec<Seen>,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the law of the tests asks for the class of a caller")
    )]
    contexts: Contexts,
    prints: Vec<Vec<(Print, Option<usize>)>>,
}

/// What is seen of a variant in all contexts, as far as it makes a class.
type Print = Vec<(Kind, Mark, Mark, bool)>;

/// What a variant is tried with, besides itself.
#[derive(Debug, Default)]
struct Contexts {
    /// All other dimensions.
    bases: Vec<Choice>,
    /// As many of the bases stand for the others where another dimension is changed as well.
    first: usize,
    /// Changes of one other dimension in one of the bases: the place of the base, the dimension, its variant.
    pairs: Vec<(usize, usize, usize)>,
}

/// Choices that were tried, and what was seen of them.
#[derive(Debug, Default)]
struct Tried(HashMap<Choice, Seen>);

impl Tried {
    fn see(&mut self, space: &Space, choice: Choice, judge: &Judge<'_>) -> Result<Seen, Incomplete> {
        if let Some(seen) = self.0.get(&choice) {
            return Ok(*seen);
        }
        let seen = judge.see(&space.parts(&choice))?;
        self.0.insert(choice, seen);
        Ok(seen)
    }
}

impl Contexts {
    fn len(&self) -> usize {
        self.bases.len() + self.pairs.len()
    }

    /// Returns the choice of a context for variants of a dimension; `None` if the context changes that one itself.
    fn choice(&self, at: usize, dimension: usize) -> Option<Choice> {
        if let Some(base) = self.bases.get(at) {
            return Some(base.clone());
        }
        let (base, other, variant) = self.pairs.get(at - self.bases.len())?;
        let mut choice = self.bases.get(*base).cloned().filter(|_| *other != dimension)?;
        *choice.get_mut(*other)? = *variant;
        Some(choice)
    }
}

impl Space {
    /// Makes the request of a choice.
    pub(super) fn parts(&self, choice: &[usize]) -> Parts {
        let mut parts = self.base.clone();
        for (dimension, at) in self.dimensions.iter().zip(choice) {
            if let Some(variant) = dimension.variants.get(*at) {
                for patch in &variant.patches {
                    patch.apply(&mut parts);
                }
            }
        }
        parts
    }

    /// Makes the request of a choice with other changes in place of those of a dimension.
    #[cfg(test)]
    fn parts_with(&self, choice: &[usize], replaced: usize, patches: &[Patch]) -> Parts {
        let mut parts = self.base.clone();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let chosen = choice.get(at).and_then(|variant| dimension.variants.get(*variant));
            let patches = match at == replaced {
                true => patches,
                false => chosen.map(|variant| variant.patches.as_slice()).unwrap_or_default(),
            };
            for patch in patches {
                patch.apply(&mut parts);
            }
        }
        parts
    }

    /// Tells the variants apart, and tries all combinations of those that differ.
    pub(super) fn classes(mut self, judge: &Judge<'_>) -> Result<Classes, Incomplete> {
        let mut tried = Tried::default();
        let mut contexts = self.bases(&mut tried, judge)?;
        contexts.pairs = self.pairs(&contexts, &mut tried, judge)?;
        let (mut kept, mut prints) = (Vec::new(), Vec::new());
        for at in 0..self.dimensions.len() {
            let mut found: Vec<(Print, Option<usize>)> = Vec::new();
            let mut firsts: Vec<usize> = Vec::new();
            let mut places = Vec::new();
            for variant in 0..self.variants(at) {
                let seen = self.seen(at, variant, &contexts, &mut tried, judge)?;
                let print: Print = seen.iter().map(|seen| judge.print(seen)).collect();
                if let Some(class) = found.iter().position(|(known, _)| *known == print) {
                    self.merge(at, firsts.get(class).copied(), variant);
                    continue;
                }
                firsts.push(variant);
                let is_decisive = seen.iter().all(|seen| seen.kind == Kind::Same);
                found.push((print, (!is_decisive).then_some(places.len())));
                places.extend((!is_decisive).then_some(variant));
            }
            prints.push(found);
            kept.push(places);
        }
        let mut classes = Classes {
            space: self,
            kept,
            seen: Vec::new(),
            contexts,
            prints,
        };
        classes.try_all(&mut tried, judge)?;
        Ok(classes)
    }

    /// Notes that a variant is of the class of another one.
    fn merge(&mut self, at: usize, first: Option<usize>, variant: usize) {
        let variants = self.dimensions.get_mut(at).map(|dimension| &mut dimension.variants);
        let Some((variants, first)) = variants.zip(first) else {
            return;
        };
        let label = variants.get(variant).map(|variant| variant.label.clone());
        if let Some((first, label)) = variants.get_mut(first).zip(label) {
            first.label.merge(&label);
        }
    }

    fn variants(&self, at: usize) -> usize {
        self.dimensions.get(at).map_or(0, |dimension| dimension.variants.len())
    }

    /// Changes of one dimension that matter by themselves, in the first bases. Claims by which the upstream gets
    /// something else matter together, where each by itself makes no class.
    fn pairs(
        &self,
        contexts: &Contexts,
        tried: &mut Tried,
        judge: &Judge<'_>,
    ) -> Result<Vec<(usize, usize, usize)>, Incomplete> {
        let mut pairs = Vec::new();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let is_claim = matches!(dimension.aspect, Aspect::Claim(_));
            let mut found: Vec<Vec<Seen>> = Vec::new();
            for variant in 0..dimension.variants.len() {
                let seen = self.seen(at, variant, contexts, tried, judge)?;
                let is_alike = |one: &Vec<Seen>| match is_claim {
                    true => *one == seen,
                    false => one
                        .iter()
                        .zip(&seen)
                        .all(|(one, other)| judge.print(one) == judge.print(other)),
                };
                if found.iter().any(is_alike) {
                    continue;
                }
                found.push(seen);
                let bases = contexts.bases.iter().enumerate().take(contexts.first);
                let others = bases.filter(|(_, base)| base.get(at) != Some(&variant));
                pairs.extend(others.map(|(base, _)| (base, at, variant)));
            }
        }
        pairs.sort_unstable();
        Ok(pairs)
    }

    /// Sees a variant in all contexts.
    fn seen(
        &self,
        at: usize,
        variant: usize,
        contexts: &Contexts,
        tried: &mut Tried,
        judge: &Judge<'_>,
    ) -> Result<Vec<Seen>, Incomplete> {
        let mut seen = Vec::new();
        for context in 0..contexts.len() {
            let Some(mut choice) = contexts.choice(context, at) else {
                continue;
            };
            if let Some(place) = choice.get_mut(at) {
                *place = variant;
            }
            seen.push(tried.see(self, choice, judge)?);
        }
        Ok(seen)
    }

    /// Finds choices by which a caller gets as far as possible on each side, with and without each of its credentials.
    fn bases(&self, tried: &mut Tried, judge: &Judge<'_>) -> Result<Contexts, Incomplete> {
        let mut best: Vec<Choice> = Vec::new();
        for side in [0, 1] {
            let found = self.climb(side, tried, judge)?;
            if !best.contains(&found) {
                best.push(found);
            }
        }
        let without: Vec<Choice> = best.iter().map(|choice| self.without_claims(choice)).collect();
        for choice in without {
            if !best.contains(&choice) {
                best.push(choice);
            }
        }
        let others: Vec<Choice> = best
            .iter()
            .flat_map(|choice| self.starts.iter().map(|start| self.started(choice, start)))
            .collect();
        let all: Vec<Choice> = best.iter().map(|choice| self.with_all_credentials(choice)).collect();
        let mut bases = best.clone();
        let mut add = |choice: Choice| {
            if !bases.contains(&choice) {
                bases.push(choice);
            }
        };
        all.iter().cloned().for_each(&mut add);
        best.iter()
            .chain(&all)
            .flat_map(|choice| self.with_and_without(choice))
            .chain(others)
            .for_each(add);
        let first = best.len();
        Ok(Contexts {
            bases,
            first,
            pairs: Vec::new(),
        })
    }

    /// Replaces one variant after the other as long as the caller gets further on a side.
    fn climb(&self, side: usize, tried: &mut Tried, judge: &Judge<'_>) -> Result<Choice, Incomplete> {
        let mut far = |choice: &Choice| -> Result<u8, Incomplete> {
            let seen = tried.see(self, choice.clone(), judge)?;
            Ok(match if side == 0 { seen.was } else { seen.now } {
                Mark::Passes => u8::MAX,
                Mark::Own(_) => u8::MAX - 1,
                Mark::Shadow(step) | Mark::Rejected(step) => step,
            })
        };
        let usual: Choice = vec![0; self.dimensions.len()];
        let mut reached = far(&usual)?;
        let mut best = usual.clone();
        for start in &self.starts {
            let choice = self.started(&usual, start);
            let found = far(&choice)?;
            if found > reached {
                (best, reached) = (choice, found);
            }
        }
        let mut is_stuck = false;
        while reached < u8::MAX && !is_stuck {
            let before = reached;
            for choice in self.neighbours(&best) {
                let choice = changed(&best, choice);
                let found = far(&choice)?;
                if found > reached {
                    (best, reached) = (choice, found);
                }
            }
            is_stuck = reached == before;
            if is_stuck && let Some(choice) = self.two_changes(&best, reached, &mut far)? {
                (reached, best) = (far(&choice)?, choice);
                is_stuck = false;
            }
        }
        Ok(best)
    }

    /// Finds two changes by which a caller gets further together.
    fn two_changes(
        &self,
        best: &Choice,
        reached: u8,
        far: &mut impl FnMut(&Choice) -> Result<u8, Incomplete>,
    ) -> Result<Option<Choice>, Incomplete> {
        let all = self.neighbours(best);
        let pairs = all.iter().enumerate().flat_map(|(at, one)| {
            let others = all.iter().skip(at + 1).filter(|other| other.0 != one.0);
            others.map(|other| (*one, *other))
        });
        for (one, other) in pairs.take(MOST_PAIRS) {
            let choice = changed(&changed(best, one), other);
            if far(&choice)? > reached {
                return Ok(Some(choice));
            }
        }
        Ok(None)
    }

    /// All other variants of a choice: the dimension and the variant.
    fn neighbours(&self, choice: &Choice) -> Vec<(usize, usize)> {
        let pairs = choice.iter().enumerate();
        let others = pairs.flat_map(|(at, chosen)| {
            let all = (0..self.variants(at)).filter(move |variant| variant != chosen);
            all.map(move |variant| (at, variant))
        });
        others.collect()
    }

    /// Returns a choice with what a start has.
    fn started(&self, choice: &Choice, start: &Start) -> Choice {
        let pairs = self.dimensions.iter().zip(choice);
        let chosen = pairs.map(|(dimension, chosen)| {
            let is_of = |variant: &Variant| match dimension.aspect {
                Aspect::Token => !start.token.is_empty() && variant.patches == start.token,
                Aspect::Claim(_) | Aspect::Header(_) => {
                    !variant.patches.is_empty() && variant.patches.iter().all(|patch| start.patches.contains(patch))
                }
                _ => false,
            };
            dimension.variants.iter().position(is_of).unwrap_or(*chosen)
        });
        chosen.collect()
    }

    /// Returns a choice without all the claims that are aspects.
    fn without_claims(&self, choice: &Choice) -> Choice {
        let pairs = self.dimensions.iter().zip(choice);
        let chosen = pairs.map(|(dimension, chosen)| {
            let is_absent = |variant: &Variant| matches!(variant.patches.as_slice(), [Patch::Claim(_, None)]);
            let absent = match dimension.aspect {
                Aspect::Claim(_) => dimension.variants.iter().position(is_absent),
                _ => None,
            };
            absent.unwrap_or(*chosen)
        });
        chosen.collect()
    }

    /// Returns a choice with all credentials.
    fn with_all_credentials(&self, choice: &Choice) -> Choice {
        let pairs = self.dimensions.iter().zip(choice);
        let chosen = pairs.map(|(dimension, chosen)| match dimension.is_credential() && *chosen == 0 {
            true => 1,
            false => *chosen,
        });
        chosen.collect()
    }

    /// Returns a choice with and without each of its credentials.
    fn with_and_without(&self, choice: &Choice) -> Vec<Choice> {
        let mut choices = Vec::new();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let mut changed = choice.clone();
            if let Some(chosen) = changed.get_mut(at).filter(|_| dimension.is_credential()) {
                *chosen = usize::from(*chosen == 0);
                choices.push(changed);
            }
        }
        choices
    }
}

fn changed(choice: &Choice, (at, variant): (usize, usize)) -> Choice {
    let mut choice = choice.clone();
    if let Some(place) = choice.get_mut(at) {
        *place = variant;
    }
    choice
}

impl Classes {
    /// Whether variants of a dimension are left out, since with them all requests are answered alike.
    pub(super) fn is_pruned(&self, at: usize) -> bool {
        let prints = self.prints.get(at).map_or(&[][..], Vec::as_slice);
        prints.iter().any(|(_, place)| place.is_none())
    }

    fn try_all(&mut self, tried: &mut Tried, judge: &Judge<'_>) -> Result<(), Incomplete> {
        let size = self.kept.iter().map(Vec::len).fold(1_usize, usize::saturating_mul);
        judge.check(size)?;
        for at in 0..size {
            let choice = self.choice(at);
            self.seen.push(tried.see(&self.space, choice, judge)?);
        }
        Ok(())
    }

    /// Returns the kept variants of a combination by its place, each by its place among the kept ones.
    pub(super) fn places(&self, mut at: usize) -> Vec<usize> {
        let mut places: Vec<_> = self
            .kept
            .iter()
            .rev()
            .map(|kept| {
                let place = at % kept.len().max(1);
                at /= kept.len().max(1);
                place
            })
            .collect();
        places.reverse();
        places
    }

    /// Returns the place of a combination.
    #[cfg(test)]
    pub(super) fn at(&self, places: &[usize]) -> usize {
        let pairs = self.kept.iter().zip(places);
        pairs.fold(0, |at, (kept, place)| at * kept.len() + place)
    }

    /// Returns the variants of a combination.
    pub(super) fn choice(&self, at: usize) -> Choice {
        let places = self.places(at);
        let pairs = self.kept.iter().zip(places);
        pairs
            .map(|(kept, place)| kept.get(place).copied().unwrap_or_default())
            .collect()
    }

    /// Returns whether all callers are answered alike.
    pub(super) fn is_same(&self) -> bool {
        self.seen.iter().all(|seen| seen.kind == Kind::Same)
    }

    /// Finds the class of one aspect of a caller, by the changes that make it of the base. Contexts in which all classes
    /// that are left look alike are passed over, unless the look has to be `thorough`.
    #[cfg(test)]
    pub(super) fn place(
        &self,
        at: usize,
        patches: &[Patch],
        thorough: bool,
        judge: &Judge<'_>,
    ) -> Option<Option<usize>> {
        let mut left: Vec<&(Print, Option<usize>)> = self.prints[at].iter().collect();
        let mut place = 0;
        for context in 0..self.contexts.len() {
            let Some(choice) = self.contexts.choice(context, at) else {
                continue;
            };
            let is_needed = left.iter().any(|(print, _)| print[place] != left[0].0[place]);
            if is_needed || thorough {
                let seen = judge.see(&self.space.parts_with(&choice, at, patches)).unwrap();
                left.retain(|(print, _)| print[place] == judge.print(&seen));
                left.first()?;
            }
            place += 1;
        }
        left.first().map(|(_, place)| *place)
    }
}

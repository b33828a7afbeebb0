//! All callers of one kind as a product of dimensions, each an aspect by which they differ.

use std::collections::HashMap;

use http::HeaderName;
use serde_json::Value;

use super::parts::{Parts, Patch};
use super::seen::{Judge, Kind, Mark, Seen};
use crate::policy_diff::types::TooMany;

/// An aspect by which callers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aspect {
    /// What stands in the places of tokens, where there is no token of an issuer.
    Presented(Vec<HeaderName>),
    /// All that is in the token but these claims, and the signer if it stands there.
    Token(Vec<Vec<String>>, bool),
    /// A claim of the token.
    Claim(Vec<String>),
    /// Who signs the token, and by which algorithm.
    Signer,
    /// The place of the token, with the other headers for tokens.
    Place(Vec<HeaderName>),
    /// A header.
    Header(HeaderName),
    /// The client certificate.
    Certificate,
    /// The body and its type.
    Body,
    /// The address of the client.
    Client,
    /// The time.
    Now,
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
    /// The roles of the token.
    Roles(Vec<String>),
    /// The scopes of the token.
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
    #[cfg_attr(not(test), expect(dead_code, reason = "the law of the tests takes callers apart"))]
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
    /// The aspects.
    pub(super) dimensions: Vec<Dimension>,
}

/// For each dimension, the place of a variant.
pub(super) type Choice = Vec<usize>;

/// A space whose variants are told apart by what is seen of them.
#[derive(Debug)]
pub(super) struct Classes {
    /// The space.
    pub(super) space: Space,
    /// For each dimension, the variants that stand for their classes.
    pub(super) kept: Vec<Vec<usize>>,
    /// What is seen of each combination of kept variants, the last dimension fastest.
    pub(super) seen: Vec<Seen>,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the law of the tests asks for the class of a caller")
    )]
    contexts: Contexts,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the law of the tests asks for the class of a caller")
    )]
    prints: Vec<HashMap<Vec<Seen>, usize>>,
}

/// What a variant is tried with, besides itself.
#[derive(Debug, Default)]
struct Contexts {
    /// All other dimensions.
    bases: Vec<Choice>,
    /// Changes of one other dimension in one of the bases: the place of the base, the dimension, its variant.
    pairs: Vec<(usize, usize, usize)>,
}

impl Space {
    /// Makes the request of a choice.
    pub(super) fn parts(&self, choice: &[usize]) -> Parts {
        let mut parts = self.base.clone();
        for (dimension, at) in self.dimensions.iter().zip(choice) {
            if let Some(variant) = dimension.variants.get(*at) {
                variant.patches.iter().for_each(|patch| patch.apply(&mut parts));
            }
        }
        parts
    }

    /// Makes the request of a choice with other changes in place of those of a dimension.
    fn parts_with(&self, choice: &[usize], replaced: usize, patches: &[Patch]) -> Parts {
        let mut parts = self.base.clone();
        for (at, dimension) in self.dimensions.iter().enumerate() {
            let chosen = choice.get(at).and_then(|variant| dimension.variants.get(*variant));
            let patches = match at == replaced {
                true => patches,
                false => chosen.map(|variant| variant.patches.as_slice()).unwrap_or_default(),
            };
            patches.iter().for_each(|patch| patch.apply(&mut parts));
        }
        parts
    }

    /// Tells the variants apart, and tries all combinations of those that differ.
    pub(super) fn classes(self, judge: &Judge<'_>) -> Result<Classes, TooMany> {
        let bases = self.bases(judge)?;
        let mut contexts = Contexts {
            bases,
            pairs: Vec::new(),
        };
        let mut groups = Vec::new();
        for at in 0..self.dimensions.len() {
            groups.push(self.group(at, &contexts, judge)?);
        }
        contexts.pairs = self.pairs(&groups, &contexts.bases);
        let (mut kept, mut prints) = (Vec::new(), Vec::new());
        for at in 0..self.dimensions.len() {
            let found = self.group(at, &contexts, judge)?;
            let mut places: Vec<_> = found.iter().map(|(_, variant)| *variant).collect();
            places.sort_unstable();
            let print = found.into_iter().filter_map(|(seen, variant)| {
                let place = places.iter().position(|kept| *kept == variant)?;
                Some((seen, place))
            });
            prints.push(print.collect());
            kept.push(places);
        }
        let mut classes = Classes {
            space: self,
            kept,
            seen: Vec::new(),
            contexts,
            prints,
        };
        classes.try_all(judge)?;
        Ok(classes)
    }

    /// Changes of one dimension that matter by themselves. One base with all of its credentials is enough.
    fn pairs(&self, groups: &[HashMap<Vec<Seen>, usize>], bases: &[Choice]) -> Vec<(usize, usize, usize)> {
        let mut pairs = Vec::new();
        for (at, found) in groups.iter().enumerate() {
            if found.len() < 2 {
                continue;
            }
            for base in 0..bases.len() {
                let usual = bases.get(base).and_then(|base| base.get(at)).copied();
                let others = found.values().filter(|variant| Some(**variant) != usual);
                pairs.extend(others.map(|variant| (base, at, *variant)));
            }
        }
        pairs.sort_unstable();
        pairs
    }

    /// Groups the variants of a dimension by what is seen of them. The first of each group stands for it.
    fn group(&self, at: usize, contexts: &Contexts, judge: &Judge<'_>) -> Result<HashMap<Vec<Seen>, usize>, TooMany> {
        let mut found = HashMap::new();
        let variants = self.dimensions.get(at).map(|dimension| dimension.variants.as_slice());
        for (place, variant) in variants.unwrap_or_default().iter().enumerate() {
            let seen = self.print(at, &variant.patches, contexts, judge)?;
            found.entry(seen).or_insert(place);
        }
        Ok(found)
    }

    /// Sees what changes of a dimension do in all contexts.
    fn print(
        &self,
        at: usize,
        patches: &[Patch],
        contexts: &Contexts,
        judge: &Judge<'_>,
    ) -> Result<Vec<Seen>, TooMany> {
        let mut seen = Vec::new();
        for base in &contexts.bases {
            seen.push(judge.see(&self.parts_with(base, at, patches))?);
        }
        for (base, other, variant) in contexts.pairs.iter().filter(|(_, other, _)| *other != at) {
            let Some(mut choice) = contexts.bases.get(*base).cloned() else {
                continue;
            };
            if let Some(place) = choice.get_mut(*other) {
                *place = *variant;
            }
            seen.push(judge.see(&self.parts_with(&choice, at, patches))?);
        }
        Ok(seen)
    }

    /// Finds choices by which a caller gets as far as possible on each side, with and without each of its credentials.
    fn bases(&self, judge: &Judge<'_>) -> Result<Vec<Choice>, TooMany> {
        let mut bases: Vec<Choice> = Vec::new();
        for side in [0, 1] {
            let best = self.climb(side, judge)?;
            for base in self.with_and_without(&best) {
                if !bases.contains(&base) {
                    bases.push(base);
                }
            }
        }
        Ok(bases)
    }

    /// Replaces one variant after the other as long as the caller gets further on a side.
    fn climb(&self, side: usize, judge: &Judge<'_>) -> Result<Choice, TooMany> {
        let far = |choice: &Choice| -> Result<u8, TooMany> {
            let seen = judge.see(&self.parts(choice))?;
            Ok(match if side == 0 { seen.was } else { seen.now } {
                Mark::Passes => u8::MAX,
                Mark::Own(_) => u8::MAX - 1,
                Mark::Shadow(step) | Mark::Rejected(step) => step,
            })
        };
        let mut best: Choice = vec![0; self.dimensions.len()];
        let mut reached = far(&best)?;
        let mut rounds = 0;
        while reached < u8::MAX && rounds < 3 {
            let before = reached;
            for (at, dimension) in self.dimensions.iter().enumerate() {
                for variant in 0..dimension.variants.len() {
                    let mut choice = best.clone();
                    if let Some(place) = choice.get_mut(at) {
                        *place = variant;
                    }
                    let found = far(&choice)?;
                    if found > reached {
                        (best, reached) = (choice, found);
                    }
                }
            }
            rounds += 1;
            if reached == before {
                break;
            }
        }
        Ok(best)
    }

    /// Returns a choice with each set of its credentials.
    fn with_and_without(&self, best: &Choice) -> Vec<Choice> {
        let mut bases = vec![best.clone()];
        for (at, dimension) in self.dimensions.iter().enumerate() {
            if !dimension.is_credential() {
                continue;
            }
            let chosen = best.get(at).copied().unwrap_or_default();
            let other = match chosen {
                0 => 1,
                _ => 0,
            };
            let changed = bases.iter().cloned().filter_map(|mut base| {
                *base.get_mut(at)? = other;
                Some(base)
            });
            let changed: Vec<Choice> = changed.collect();
            bases.extend(changed);
        }
        bases
    }
}

impl Classes {
    fn try_all(&mut self, judge: &Judge<'_>) -> Result<(), TooMany> {
        let size = self.kept.iter().map(Vec::len).fold(1_usize, usize::saturating_mul);
        judge.check(size)?;
        for at in 0..size {
            let choice = self.choice(at);
            self.seen.push(judge.see(&self.space.parts(&choice))?);
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

    /// Finds what is seen of the class that a caller belongs to, by the changes that make it of the base, one list for
    /// each dimension. Returns the dimension that has no class for it otherwise.
    #[cfg(test)]
    pub(super) fn find(&self, patches: &[Vec<Patch>], judge: &Judge<'_>) -> Result<Seen, usize> {
        let mut places = Vec::new();
        for (at, patches) in patches.iter().enumerate() {
            let print = self.space.print(at, patches, &self.contexts, judge).map_err(|_| at)?;
            let place = self.prints.get(at).and_then(|prints| prints.get(&print)).ok_or(at)?;
            places.push(*place);
        }
        self.seen.get(self.at(&places)).copied().ok_or(patches.len())
    }
}

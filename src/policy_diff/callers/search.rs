//! Looks for the callers with whom variants are tried: those who get as far as possible, and others who differ from them in one
//! aspect.

use std::collections::HashMap;
use std::sync::Arc;

use super::parts::{Parts, Patch};
use super::seen::{Judge, Mark, Seen};
use super::space::{Aspect, Choice, Space, Start, Variant};
use crate::policy_diff::types::Incomplete;

/// The most pairs of changes that are tried where no single one leads further.
const MOST_PAIRS: usize = 20_000;

/// What a variant is tried with, besides itself.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    /// All other dimensions.
    pub(super) bases: Vec<Choice>,
    /// As many of the bases stand for the others where another dimension is changed as well.
    pub(super) first: usize,
    /// Changes of one other dimension in one of the bases: the place of the base, the dimension, its variant.
    pub(super) pairs: Vec<(usize, usize, usize)>,
}

/// Choices that were tried, and what was seen of them.
#[derive(Debug, Default)]
pub(super) struct Tried {
    seen: HashMap<Choice, Seen>,
    /// The signed tokens, each by the variants of the aspects that belong to it and the time.
    tokens: HashMap<(Choice, i64), Arc<str>>,
    /// What all requests have in common, without the token.
    bare: Option<Parts>,
}

impl Tried {
    pub(super) fn see(&mut self, space: &Space, choice: Choice, judge: &Judge<'_>) -> Result<Seen, Incomplete> {
        if let Some(seen) = self.seen.get(&choice) {
            return Ok(*seen);
        }
        let seen = judge.see(&self.parts(space, &choice, judge))?;
        self.seen.insert(choice, seen);
        Ok(seen)
    }

    /// Returns whether a caller passed on a side.
    pub(super) fn has_passed(&self) -> bool {
        let mut all = self.seen.values();
        all.any(|seen| [seen.was, seen.now].contains(&Mark::Passes))
    }

    /// Makes the request of a choice. Each token is signed once.
    fn parts(&mut self, space: &Space, choice: &[usize], judge: &Judge<'_>) -> Parts {
        if space.base.token.is_none() {
            return space.parts(choice);
        }
        let bare = self.bare.get_or_insert_with(|| Parts {
            token: None,
            ..space.base.clone()
        });
        let pairs = space.dimensions.iter().zip(choice);
        let of_token = pairs.filter(|(dimension, _)| dimension.is_of_token());
        let of_token: Choice = of_token.map(|(_, at)| *at).collect();
        let key = (of_token, space.now(choice));
        if let Some(text) = self.tokens.get(&key) {
            let parts = space.parts_around(choice, text, bare);
            if !parts.known.is_about_claims() {
                return parts;
            }
        }
        let mut parts = space.parts(choice);
        parts.text = parts.signed(judge.pair().old.rehearsal.keys());
        if let Some(text) = &parts.text {
            self.tokens.insert(key, Arc::clone(text));
        }
        parts
    }
}

impl Contexts {
    pub(super) fn len(&self) -> usize {
        self.bases.len() + self.pairs.len()
    }

    /// Returns the choice of a context for variants of a dimension; `None` if the context changes that one itself.
    pub(super) fn choice(&self, at: usize, dimension: usize) -> Option<Choice> {
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
    pub(super) fn variants(&self, at: usize) -> usize {
        self.dimensions.get(at).map_or(0, |dimension| dimension.variants.len())
    }

    /// Changes of one dimension that matter by themselves, in the first bases. Claims by which the upstream gets
    /// something else matter together, where each by itself makes no class.
    pub(super) fn pairs(
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
                let is_same = |one: &Seen, other: &Seen| {
                    judge.print(one) == judge.print(other) && (!is_claim || one.detail == other.detail)
                };
                let is_alike = |known: &Vec<Seen>| known.iter().zip(&seen).all(|(one, other)| is_same(one, other));
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
    pub(super) fn seen(
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
    pub(super) fn bases(&self, tried: &mut Tried, judge: &Judge<'_>) -> Result<Contexts, Incomplete> {
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

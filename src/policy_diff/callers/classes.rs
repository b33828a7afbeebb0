//! The classes of callers of one kind: variants of which the same is seen, whatever one other aspect is, and all combinations of
//! those that differ.

#[cfg(test)]
use super::parts::Patch;
use super::search::{Contexts, Tried};
use super::seen::{Judge, Kind, Mark, Print, Seen};
use super::space::{Choice, Space};
use crate::policy_diff::types::Incomplete;

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
    /// Whether a caller passed on a side.
    has_passed: bool,
    prints: Vec<Vec<(Prints, Option<usize>)>>,
}

/// What is seen of a variant in all contexts, as far as it makes a class.
type Prints = Vec<Print>;

impl Space {
    /// Tells the variants apart, and tries all combinations of those that differ.
    pub(super) fn classes(mut self, judge: &Judge<'_>) -> Result<Classes, Incomplete> {
        let mut tried = Tried::default();
        let mut contexts = self.bases(&mut tried, judge)?;
        contexts.pairs = self.pairs(&contexts, &mut tried, judge)?;
        let (mut kept, mut prints) = (Vec::new(), Vec::new());
        for at in 0..self.dimensions.len() {
            let mut found: Vec<(Prints, Option<usize>)> = Vec::new();
            let mut firsts: Vec<usize> = Vec::new();
            let mut places = Vec::new();
            for variant in 0..self.variants(at) {
                let seen = self.seen(at, variant, &contexts, &mut tried, judge)?;
                let print: Prints = seen.iter().map(|seen| judge.print(seen)).collect();
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
            has_passed: false,
        };
        classes.try_all(&mut tried, judge)?;
        classes.has_passed = tried.has_passed();
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

    /// Returns what several rules read in which the sides differ, if a caller passes.
    pub(super) fn doubt(&self) -> Option<&str> {
        let first = self.space.doubtful.first().filter(|_| self.has_passed);
        first.map(String::as_str)
    }

    /// Returns whether a caller passes on one side only.
    pub(super) fn shows_who_passes_on_one_side(&self) -> bool {
        let is_open = |mark: Mark| matches!(mark, Mark::Passes | Mark::Own(_));
        self.seen.iter().any(|seen| is_open(seen.was) != is_open(seen.now))
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
    ) -> Result<Option<usize>, String> {
        let mut left: Vec<&(Prints, Option<usize>)> = self.prints[at].iter().collect();
        let mut place = 0;
        for context in 0..self.contexts.len() {
            let Some(choice) = self.contexts.choice(context, at) else {
                continue;
            };
            let is_needed = left.iter().any(|(print, _)| print[place] != left[0].0[place]);
            if is_needed || thorough {
                let parts = self.space.parts_with(&choice, at, patches);
                let seen = judge.print(&judge.see(&parts).unwrap());
                let known: Vec<_> = left.iter().map(|(print, _)| print[place]).collect();
                left.retain(|(print, _)| print[place] == seen);
                if left.is_empty() {
                    let aspect = &self.space.dimensions[at].aspect;
                    return Err(format!(
                        "no class for {aspect:?}: {seen:?} is none of {known:?} of {parts:?}"
                    ));
                }
            }
            place += 1;
        }
        Ok(left[0].1)
    }
}

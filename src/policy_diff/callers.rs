//! Which callers of a request are answered differently: one caller of each class is tried on both sides.
//!
//! A caller is a product of aspects: its token, each claim that a side reads, its key, its certificate, each header that a
//! side reads, the body and so on. Each aspect has the variants that either side may tell apart. Variants of which the same is
//! seen, whatever one other aspect is, are one class; all combinations of classes are tried.
//!
//! What is out of the classes, and said nowhere: requests that are malformed (a header twice that may occur once, names
//! in `Connection`), claims and names with characters that no header can have, claims that happen to have the same value,
//! and limits of the process.

use std::collections::HashMap;
use std::rc::Rc;

use http::Method;

use super::constants::Constants;
use super::delta::Delta;
use super::shown::Shown;
use super::types::{Cell, Change, Incomplete};
use crate::policy::PolicySet;
use crate::rehearsal::Rehearsal;

mod asked_methods;
mod certificates;
mod claims;
mod classes;
mod headers;
mod identity_claims;
mod issuers;
mod linked;
mod operands;
mod pages;
mod pair;
mod parts;
mod places;
mod prune;
mod requests;
mod rules;
mod samples;
mod search;
mod seen;
mod side_texts;
mod solve;
mod space;
mod spaces;
mod starts;
mod summary;
mod tokens;

use pair::{MethodClass, Pair, Side};
use samples::Sample;
use seen::Judge;
use side_texts::side_text;

/// What two requests have in common that are answered alike or differently for the same callers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    old: (Option<usize>, usize),
    new: (Option<usize>, usize),
    method: MethodClass,
    /// The segments of the path that a condition tells from others, on each side.
    segments: [Vec<(usize, String)>; 2],
}

/// Compares what becomes of callers under two sets of policies.
#[derive(Debug)]
pub struct Callers<'r> {
    old: &'r Rehearsal,
    new: &'r Rehearsal,
    texts: HashMap<String, usize>,
    constants: Constants,
    equal: HashMap<(Option<usize>, Option<usize>), bool>,
    known: HashMap<Key, Option<Rc<Delta>>>,
    /// Callers for whom each delta of those matters.
    samples: HashMap<*const Delta, Vec<Sample>>,
    tried: usize,
    classes: usize,
    #[cfg(test)]
    looked: HashMap<Key, Looked<'r>>,
}

/// What was found of the callers of a pair of routes.
#[cfg(test)]
#[derive(Debug)]
struct Looked<'r> {
    judge: Judge<'r>,
    spaces: Vec<classes::Classes>,
}

impl<'r> Callers<'r> {
    /// Prepares to compare.
    pub fn new(old: &'r Rehearsal, new: &'r Rehearsal) -> Self {
        let mut constants = Constants::default();
        constants.add(old.policies());
        constants.add(new.policies());
        Self {
            old,
            new,
            texts: HashMap::new(),
            constants,
            equal: HashMap::new(),
            known: HashMap::new(),
            samples: HashMap::new(),
            tried: 0,
            classes: 0,
            #[cfg(test)]
            looked: HashMap::new(),
        }
    }

    /// Returns how many classes of callers were tried.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Returns what changes for the callers of a request; `None` if all of them are answered alike.
    pub fn compare(&mut self, cell: &Cell) -> Result<Option<Rc<Delta>>, Incomplete> {
        let pair = self.pair(cell);
        let method = MethodClass::new(&pair, &cell.method);
        let texts = pair.sides().map(|side| side_text(side, cell, method.asks));
        let [old, new] = &texts;
        if cell.method == Method::CONNECT || (old == new && self.has_equal_policies(&pair)) {
            return Ok(None);
        }
        if let Some(limit) = self.constants.exceeded() {
            let what = "values of one segment of paths";
            return Err(Incomplete::TooMany { what, limit });
        }
        let key = self.key(&pair, cell, method, texts);
        if let Some(delta) = self.known.get(&key) {
            return Ok(delta.clone());
        }
        let judge = Judge::new(pair, self.tried);
        let classes = spaces::classes(&judge, cell, method)?;
        let delta = summary::delta(&judge, &classes).map(|(delta, samples)| {
            let delta = Rc::new(delta);
            self.samples.insert(Rc::as_ptr(&delta), samples);
            delta
        });
        self.tried += judge.tried();
        self.classes += classes.iter().map(|classes| classes.seen.len()).sum::<usize>();
        #[cfg(test)]
        self.looked.insert(key.clone(), Looked { judge, spaces: classes });
        self.known.insert(key, delta.clone());
        Ok(delta)
    }

    /// Returns a caller of the example of a change for whom the change matters, if `explain` can show one.
    pub fn shown(&self, change: &Change) -> Option<Shown> {
        let samples = self.samples.get(&Rc::as_ptr(&change.delta))?;
        samples::shown(samples, [self.old, self.new], change)
    }

    fn pair(&self, cell: &Cell) -> Pair<'r> {
        Pair {
            old: Side::new(self.old, cell.old),
            new: Side::new(self.new, cell.new),
        }
    }

    /// Returns what all requests have in common whose callers are answered as those of this one.
    fn key(&mut self, pair: &Pair<'r>, cell: &Cell, method: MethodClass, texts: [String; 2]) -> Key {
        let [old, new] = texts.map(|text| self.text(text));
        let segments = pair.sides().map(|side| {
            let met = side.route.map(|route| self.constants.met(route, &cell.path));
            let met = met.into_iter().flatten();
            met.map(|(place, text)| (place, text.to_owned())).collect()
        });
        Key {
            old: (cell.old.policy, old),
            new: (cell.new.policy, new),
            method,
            segments,
        }
    }

    fn text(&mut self, text: String) -> usize {
        let next = self.texts.len();
        *self.texts.entry(text).or_insert(next)
    }

    fn has_equal_policies(&mut self, pair: &Pair<'r>) -> bool {
        let places = (pair.old.scope.policy, pair.new.scope.policy);
        let errors = |set: &PolicySet| set.default_errors().clone();
        let is_equal = || match places {
            (None, None) => errors(self.old.policies()) == errors(self.new.policies()),
            _ => pair.has_equal_policies(),
        };
        *self.equal.entry(places).or_insert_with(is_equal)
    }
}

#[cfg(test)]
mod aspects;
#[cfg(test)]
mod joint_tests;
#[cfg(test)]
mod law;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod tests;

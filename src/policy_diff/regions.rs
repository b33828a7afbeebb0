//! Sets of classes of paths, written as patterns.
//!
//! A set is described from the first segment on: by the sign of most paths, and by what differs from it. A pattern overrides
//! those before it, so that what is the same below many segments is said once.

use std::collections::{HashMap, HashSet};

use super::layers::Item;
use super::letters::{Alphabet, Fold, Letter};
use super::paths::{ALIKE, EndId, Graph, LIMIT, Letters, Next, NodeId};
use super::shapes::{Pattern, Shape, Spelling};
use super::types::Incomplete;

/// What is to be known of a graph to describe sets of its paths.
#[derive(Debug)]
pub(super) struct Describer<'g> {
    graph: &'g Graph,
    /// The nodes of each class.
    of_end: HashMap<EndId, Vec<NodeId>>,
    /// What each node is behind: a node, and the place of a letter.
    before: HashMap<NodeId, Vec<(NodeId, usize)>>,
    /// The class of paths that continue with segments that no pattern names.
    deepest: Vec<Option<EndId>>,
    /// How many nodes may be looked at.
    left: usize,
}

impl<'g> Describer<'g> {
    /// Prepares a graph.
    pub(super) fn new(graph: &'g Graph) -> Self {
        let mut of_end: HashMap<EndId, Vec<NodeId>> = HashMap::new();
        let mut before: HashMap<NodeId, Vec<(NodeId, usize)>> = HashMap::new();
        for (id, node) in graph.nodes() {
            if let Some(end) = node.end {
                of_end.entry(end).or_default().push(id);
            }
            let Next::Letters(letters) = &node.next else { continue };
            for (place, (_, next)) in letters.all.iter().enumerate().filter(|(_, (_, next))| *next != ALIKE) {
                before.entry(*next).or_default().push((id, place));
            }
        }
        Self {
            graph,
            of_end,
            before,
            deepest: graph.nodes().map(|(id, _)| deepest(graph, id)).collect(),
            left: LIMIT,
        }
    }

    /// Describes a set of classes.
    pub(super) fn describe(&mut self, ends: &[EndId]) -> Result<Vec<Item>, Incomplete> {
        let mut writer = Writer {
            graph: self.graph,
            deepest: &self.deepest,
            ends: ends.iter().copied().collect(),
            towards: self.towards(ends),
            items: Vec::new(),
            shapes: Vec::new(),
            texts: Vec::new(),
            left: self.left,
        };
        writer.write(self.graph.root, Vec::new())?;
        self.left = writer.left;
        Ok(writer.items)
    }

    /// Returns the nodes from which the paths of some classes continue, with the places of the letters.
    fn towards(&self, ends: &[EndId]) -> HashMap<NodeId, Vec<usize>> {
        let mut towards: HashMap<NodeId, Vec<usize>> = HashMap::new();
        let nodes = ends.iter().filter_map(|end| self.of_end.get(end)).flatten();
        let mut open: Vec<_> = nodes.copied().collect();
        towards.extend(open.iter().map(|id| (*id, Vec::new())));
        while let Some(id) = open.pop() {
            for (before, place) in self.before.get(&id).into_iter().flatten() {
                if !towards.contains_key(before) {
                    open.push(*before);
                }
                towards.entry(*before).or_default().push(*place);
            }
        }
        for places in towards.values_mut() {
            places.sort_unstable();
            places.dedup();
        }
        towards
    }
}

/// Returns the class of the paths that continue from a node with segments that no pattern names.
fn deepest(graph: &Graph, id: NodeId) -> Option<EndId> {
    let mut node = graph.node(id)?;
    while let Next::Letters(letters) = &node.next {
        node = graph.node(letters.all.first()?.1)?;
    }
    node.end
}

struct Writer<'w> {
    graph: &'w Graph,
    deepest: &'w [Option<EndId>],
    ends: HashSet<EndId>,
    towards: HashMap<NodeId, Vec<usize>>,
    items: Vec<Item>,
    shapes: Vec<Shape>,
    texts: Vec<String>,
    left: usize,
}

/// How what items say of the paths from a node on differs from what they should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// In nothing.
    None,
    /// In the path that ends here.
    Here,
    /// In more paths.
    Below,
}

impl Writer<'_> {
    /// Adds items until they say the right thing of all paths from a node on. `active` are the items that may fit such a
    /// path.
    fn write(&mut self, id: NodeId, mut active: Vec<usize>) -> Result<(), Incomplete> {
        self.left = self.left.checked_sub(1).ok_or(Incomplete::TooMany {
            what: "paths",
            limit: LIMIT,
        })?;
        let graph = self.graph;
        let is_in = |end: Option<EndId>| end.is_some_and(|end| self.ends.contains(&end));
        let (Some(node), true) = (graph.node(id), self.towards.contains_key(&id)) else {
            self.level(false, &active);
            return Ok(());
        };
        let (here, deepest) = (is_in(node.end), is_in(self.deepest.get(id).copied().flatten()));
        let Next::Letters(letters) = &node.next else {
            self.level(here, &active);
            return Ok(());
        };
        if self.says_deepest(&active) != deepest {
            let example = match here == deepest {
                true => self.texts.clone(),
                false => self.deep_example(letters),
            };
            active.push(self.add(deepest, true, example));
        }
        if self.says_here(&active) != here {
            active.push(self.add(here, false, self.texts.clone()));
        }
        self.write_letters(id, letters, &active)
    }

    /// Makes the items say the same of all paths from here on.
    fn level(&mut self, is_in: bool, active: &[usize]) {
        match self.fault(is_in, active) {
            Fault::None => {}
            fault @ (Fault::Here | Fault::Below) => {
                self.add(is_in, fault == Fault::Below, self.texts.clone());
            }
        }
    }

    fn fault(&self, is_in: bool, active: &[usize]) -> Fault {
        let depth = self.shapes.len();
        let (mut says_here, mut says_below, mut is_mixed) = (false, false, false);
        for item in active.iter().filter_map(|at| self.items.get(*at)) {
            if item.pattern.is_complete(depth) {
                (says_here, says_below, is_mixed) = (item.is_in, item.is_in, false);
            } else if item.pattern.shapes.len() == depth {
                says_here = item.is_in;
            } else {
                is_mixed |= item.is_in != is_in;
            }
        }
        if is_mixed || says_below != is_in {
            return Fault::Below;
        }
        match says_here == is_in {
            true => Fault::None,
            false => Fault::Here,
        }
    }

    fn says_here(&self, active: &[usize]) -> bool {
        let mut items = active.iter().rev().filter_map(|at| self.items.get(*at));
        items
            .find(|item| item.pattern.ends(self.shapes.len()))
            .is_some_and(|item| item.is_in)
    }

    /// Returns what the items say of paths that continue with segments that no pattern names.
    fn says_deepest(&self, active: &[usize]) -> bool {
        let depth = self.shapes.len();
        let mut items = active.iter().rev().filter_map(|at| self.items.get(*at));
        let goes_on = |item: &&Item| {
            let rest = item.pattern.shapes.get(depth..).unwrap_or_default();
            item.pattern.is_prefix && rest.iter().all(|shape| shape.fold == Fold::Any)
        };
        items.find(goes_on).is_some_and(|item| item.is_in)
    }

    fn deep_example(&self, letters: &Letters) -> Vec<String> {
        let mut texts = self.texts.clone();
        let mut next = Some(letters);
        while let Some((letter, id)) = next.and_then(|letters| letters.all.first()) {
            texts.push(letter.text.clone());
            next = match self.graph.node(*id).map(|node| &node.next) {
                Some(Next::Letters(letters)) => Some(letters),
                Some(Next::Same) | None => None,
            };
        }
        texts
    }

    fn add(&mut self, is_in: bool, is_prefix: bool, example: Vec<String>) -> usize {
        let shapes = self.shapes.clone();
        let pattern = Pattern { shapes, is_prefix };
        self.items.push(Item {
            is_in,
            pattern,
            example,
        });
        self.items.len() - 1
    }

    /// Continues with each letter of whose paths the items may not say the right thing.
    fn write_letters(&mut self, id: NodeId, letters: &Letters, active: &[usize]) -> Result<(), Incomplete> {
        let depth = self.shapes.len();
        let goes_on = |item: &Item| item.pattern.is_prefix || item.pattern.shapes.len() > depth;
        let goes_on = |at: &&usize| self.items.get(**at).is_some_and(goes_on);
        let mut general: Vec<usize> = active.iter().filter(goes_on).copied().collect();
        let extended = self.extended(letters, &general);
        let (alphabet, all) = match &extended {
            Some((alphabet, letters)) => (alphabet, letters.as_slice()),
            None => (&letters.alphabet, letters.all.as_slice()),
        };
        let is_literal = |(letter, _): &(Letter, NodeId)| matches!(letter.fold, Fold::Is(_));
        let first = all.partition_point(|letter| !is_literal(letter));
        let (wildcards, literals) = all.split_at_checked(first).unwrap_or_default();
        for alike in wildcards.chunk_by(Letters::is_alike) {
            let start = self.items.len();
            self.write_spellings(alike, alphabet, &general)?;
            // Paths of the letters behind may be of these items, too.
            general.extend(start..self.items.len());
        }
        // Of many literals, only a few need be looked at where no item may fit what follows the others.
        match self.towards.get(&id).filter(|_| general.is_empty()).cloned() {
            Some(places) => {
                for alike in letters.alike(&places) {
                    self.write_spellings(alike, alphabet, &general)?;
                }
            }
            None => {
                for alike in literals.chunk_by(Letters::is_alike) {
                    self.write_spellings(alike, alphabet, &general)?;
                }
            }
        }
        Ok(())
    }

    /// Returns more letters, if items have segments here that are not letters.
    fn extended(&self, letters: &Letters, active: &[usize]) -> Option<(Alphabet, Vec<(Letter, NodeId)>)> {
        let items = active.iter().filter_map(|at| self.items.get(*at));
        let shapes = items.filter_map(|item| item.pattern.shapes.get(self.shapes.len()));
        let unknown: Vec<_> = shapes.filter(|shape| !shape.is_known_in(&letters.alphabet)).collect();
        if unknown.is_empty() {
            return None;
        }
        let mut alphabet = letters.alphabet.clone();
        for shape in &unknown {
            shape.add_to(&mut alphabet);
        }
        let all = alphabet.letters("").into_iter();
        let all = all.filter_map(|letter| Some((letters.behind(&letter.text)?, letter)));
        let all = all.map(|(node, letter)| (letter, node)).collect();
        Some((alphabet, all))
    }

    /// Continues with letters that are the same where case does not matter.
    fn write_spellings(
        &mut self,
        alike: &[(Letter, NodeId)],
        alphabet: &Alphabet,
        general: &[usize],
    ) -> Result<(), Incomplete> {
        if let Some((letter, node)) = self.only(alike, general) {
            // In whichever case: what follows is looked at once, not once for each spelling.
            let mut shape = Shape::of(letter, alphabet);
            shape.case = Spelling::Any;
            shape.text = alphabet.written(&letter.fold);
            return self.write_letter((shape, letter), node, general);
        }
        let start = self.items.len();
        let written = alphabet.is_simple(alike.first().map(|(letter, _)| &letter.fold));
        let mut starts = Vec::new();
        for (letter, node) in alike {
            starts.push(self.items.len());
            let mut shape = Shape::of(letter, alphabet);
            if let (Some(written), Spelling::Any) = (&written, &shape.case) {
                shape.case = Spelling::Not(written.clone());
            }
            let candidates = general.iter().copied().chain(start..self.items.len());
            self.write_letter((shape, letter), *node, &candidates.collect::<Vec<_>>())?;
        }
        if let ([first, second], Some(_)) = (starts.as_slice(), &written) {
            self.merge(*first, *second);
        }
        Ok(())
    }

    /// Returns one of some letters, if the same follows all of them and no item tells them apart.
    fn only<'l>(&self, alike: &'l [(Letter, NodeId)], general: &[usize]) -> Option<(&'l Letter, NodeId)> {
        let ((last, node), others) = alike.split_last()?;
        let depth = self.shapes.len();
        let is_apart = |item: &Item, other: &Letter| {
            let shape = item.pattern.shapes.get(depth);
            shape.is_some_and(|shape| shape.has(&other.text) != shape.has(&last.text))
        };
        let items = || general.iter().filter_map(|at| self.items.get(*at));
        let is_same = |(letter, other): &(Letter, NodeId)| other == node && !items().any(|item| is_apart(item, letter));
        (!others.is_empty() && others.iter().all(is_same)).then_some((last, *node))
    }

    fn write_letter(
        &mut self,
        (shape, letter): (Shape, &Letter),
        node: NodeId,
        candidates: &[usize],
    ) -> Result<(), Incomplete> {
        let depth = self.shapes.len();
        let fits = |item: &Item| {
            item.pattern
                .shapes
                .get(depth)
                .is_none_or(|shape| shape.has(&letter.text))
        };
        let active = candidates
            .iter()
            .copied()
            .filter(|at| self.items.get(*at).is_some_and(fits));
        let active: Vec<_> = active.collect();
        if active.is_empty() && !self.towards.contains_key(&node) {
            return Ok(());
        }
        self.shapes.push(shape);
        self.texts.push(letter.text.clone());
        let result = self.write(node, active);
        self.shapes.pop();
        self.texts.pop();
        result
    }

    /// Makes the items of a literal in another case and those of the literal as it is written the same items, if they say the
    /// same.
    fn merge(&mut self, first: usize, second: usize) {
        let depth = self.shapes.len();
        let (Some(others), Some(written)) = (self.items.get(first..second), self.items.get(second..)) else {
            return;
        };
        let rest = |item: &Item| -> Option<(Vec<Shape>, bool, bool)> {
            let shapes = item.pattern.shapes.get(depth + 1..)?.to_vec();
            Some((shapes, item.pattern.is_prefix, item.is_in))
        };
        if !others.iter().map(rest).eq(written.iter().map(rest)) {
            return;
        }
        self.items.drain(first..second);
        for item in self.items.iter_mut().skip(first) {
            if let Some(shape) = item.pattern.shapes.get_mut(depth) {
                shape.case = Spelling::Any;
            }
        }
    }
}

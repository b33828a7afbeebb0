//! Classes of paths, for hosts for which the same policies decide.

use std::collections::HashMap;

use super::letters::{Alphabet, Fold, Letter};
use super::states::{Key, Meets, Plan, State, Stepper};
use super::types::Incomplete;
use crate::request::path::encoded;

/// How many classes of paths are looked at, at most.
pub(super) const LIMIT: usize = 1_000_000;

/// The place of a class of ends of paths in a graph.
pub(super) type EndId = usize;
/// The place of a node in a graph.
pub(super) type NodeId = usize;

/// All paths, by their segments.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// For each class of paths that end alike, a path of it as a client sends it.
    pub ends: Vec<String>,
    /// Where the paths begin.
    pub root: NodeId,
}

/// What the paths with the same first segments have in common.
#[derive(Debug)]
pub(super) struct Node {
    /// The class of the path that ends here, unless both sides answer it alike.
    pub end: Option<EndId>,
    /// What follows.
    pub next: Next,
}

/// What follows some segments.
#[derive(Debug)]
pub(super) enum Next {
    /// Paths that are all as the one that ends here.
    Same,
    /// A class for each letter.
    Letters(Letters),
}

/// What may follow some segments.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// What patterns have here.
    pub alphabet: Alphabet,
    /// The more general ones first.
    pub all: Vec<(Letter, NodeId)>,
    places: HashMap<(Fold, String), usize>,
}

impl Letters {
    /// Returns what follows a segment with this text.
    pub(super) fn behind(&self, text: &str) -> Option<NodeId> {
        let place = self.places.get(&self.alphabet.classify(text))?;
        self.all.get(*place).map(|(_, node)| *node)
    }

    /// Returns the literals at some places, each with those that are the same where case does not matter.
    pub(super) fn alike(&self, places: &[usize]) -> Vec<&[(Letter, NodeId)]> {
        let mut found: Vec<&[(Letter, NodeId)]> = Vec::new();
        let mut next = 0;
        for place in places.iter().copied().filter(|place| self.is_literal(*place)) {
            if place < next {
                continue;
            }
            let is_alike = |other: &usize| self.fold(*other) == self.fold(place);
            let start = (0..place).rev().take_while(is_alike).last().unwrap_or(place);
            next = (place..self.all.len()).take_while(is_alike).last().unwrap_or(place) + 1;
            found.extend(self.all.get(start..next));
        }
        found
    }

    fn fold(&self, place: usize) -> Option<&Fold> {
        self.all.get(place).map(|(letter, _)| &letter.fold)
    }

    fn is_literal(&self, place: usize) -> bool {
        matches!(self.fold(place), Some(Fold::Is(_)))
    }

    /// Whether two letters are the same where case does not matter.
    pub(super) fn is_alike((a, _): &(Letter, NodeId), (b, _): &(Letter, NodeId)) -> bool {
        a.fold == b.fold
    }
}

/// The node of paths that both sides answer alike, whatever follows.
pub(super) const ALIKE: NodeId = 0;

impl Graph {
    /// Returns a node.
    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Returns all nodes by their places.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate()
    }

    /// Returns how many classes of paths are not answered alike.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Reads all classes of paths of two sides. `known` is how many there are for other hosts.
    pub(super) fn read(plans: &[Plan<'_, '_>; 2], known: usize) -> Result<Self, Incomplete> {
        let mut reader = Reader {
            plans,
            graph: Self {
                nodes: vec![Node {
                    end: None,
                    next: Next::Same,
                }],
                ends: Vec::new(),
                root: ALIKE,
            },
            places: HashMap::new(),
            ends: HashMap::new(),
            open: Vec::new(),
            letters: 0,
        };
        let start = plans.each_ref().map(Plan::start);
        reader.graph.root = reader.place(start, Trail::default());
        while let Some((id, states, trail)) = reader.open.pop() {
            let next = reader.next(&states, &trail);
            if reader.letters.max(known + reader.graph.nodes.len()) > LIMIT {
                return Err(Incomplete::TooMany {
                    what: "paths",
                    limit: LIMIT,
                });
            }
            if let Some(node) = reader.graph.nodes.get_mut(id) {
                node.next = next;
            }
        }
        Ok(reader.graph)
    }
}

struct Reader<'r, 't, 'p> {
    plans: &'r [Plan<'t, 'p>; 2],
    graph: Graph,
    places: HashMap<[Key; 2], NodeId>,
    ends: HashMap<[Meets; 2], EndId>,
    open: Vec<(NodeId, [State; 2], Trail)>,
    /// How many letters follow some node, those included that both sides answer alike.
    letters: usize,
}

/// A path that leads to a node, decoded.
#[derive(Debug, Clone, Default)]
struct Trail {
    path: String,
    /// The first characters of the values of wildcards.
    heads: String,
}

impl Trail {
    fn with(&self, letter: &Letter) -> Self {
        let mut longer = self.clone();
        longer.path.push('/');
        longer.path.push_str(&letter.text);
        if !matches!(letter.fold, Fold::Is(_)) {
            longer.heads.extend(letter.text.chars().next());
        }
        longer
    }
}

impl Reader<'_, '_, '_> {
    /// Returns the node of a pair of states.
    fn place(&mut self, states: [State; 2], trail: Trail) -> NodeId {
        let key = |side: usize| Some(self.plans.get(side)?.key(states.get(side)?));
        let (Some(old), Some(new)) = (key(0), key(1)) else {
            return ALIKE;
        };
        if old == new {
            return ALIKE;
        }
        let keys = [old, new];
        if let Some(id) = self.places.get(&keys) {
            return *id;
        }
        let end = self.end(&states, &trail.path);
        let is_settled = states.iter().all(State::is_settled);
        if is_settled && end.is_none() {
            return ALIKE;
        }
        let id = self.graph.nodes.len();
        self.graph.nodes.push(Node { end, next: Next::Same });
        self.places.insert(keys, id);
        if !is_settled {
            self.open.push((id, states, trail));
        }
        id
    }

    /// Returns the class of a path that ends in a pair of states, unless both sides answer it alike.
    fn end(&mut self, [old, new]: &[State; 2], path: &str) -> Option<EndId> {
        let [of_old, of_new] = self.plans;
        let meets = [of_old.meets(old), of_new.meets(new)];
        let [was, now] = &meets;
        if was == now {
            return None;
        }
        let ends = &mut self.graph.ends;
        let id = self.ends.entry(meets).or_insert_with(|| {
            ends.push(match path.is_empty() {
                true => "/".to_owned(),
                false => encoded(path),
            });
            ends.len() - 1
        });
        Some(*id)
    }

    /// Returns what follows a pair of states.
    fn next(&mut self, [old, new]: &[State; 2], trail: &Trail) -> Next {
        let [of_old, of_new] = self.plans;
        let mut alphabet = Alphabet::default();
        of_old.spell(old, &mut alphabet);
        of_new.spell(new, &mut alphabet);
        let steppers = (Stepper::new(of_old, old), Stepper::new(of_new, new));
        let mut letters = Letters::default();
        for letter in alphabet.letters(&trail.heads) {
            let states = [steppers.0.step(&letter.text), steppers.1.step(&letter.text)];
            let node = self.place(states, trail.with(&letter));
            let place = letters.all.len();
            letters.places.insert((letter.fold.clone(), letter.end.clone()), place);
            letters.all.push((letter, node));
        }
        letters.alphabet = alphabet;
        self.letters += letters.all.len();
        Next::Letters(letters)
    }
}

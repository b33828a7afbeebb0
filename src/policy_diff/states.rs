//! What the segments of a path have met of the patterns of one side so far.

use std::collections::HashMap;

use super::letters::Alphabet;
use super::trees::{Entry, NodeId, PolicyId, RouteId, Trees};
use crate::policy::PathCase;

/// What the requests for some hosts may meet on one side.
#[derive(Debug)]
pub(super) struct Plan<'t, 'p> {
    /// All trees.
    pub trees: &'t Trees<'p>,
    /// The policies for the hosts, those that decide first in front.
    pub entries: Vec<&'t Entry>,
    /// The metadata documents for the hosts: the segments of their paths, and their policies.
    pub documents: Vec<(Vec<String>, PolicyId)>,
    /// How rejections are written where no policy says it: equal on both sides if they are the same.
    pub style: usize,
}

/// What a path has met so far.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The policies whose prefix continues, by their places, with the count of their segments that were met and whether these
    /// were as they are written. All of them decide before the one that is selected.
    prefixes: Vec<(usize, usize, bool)>,
    /// The policy that is selected.
    selected: Option<usize>,
    /// The policy that would be selected in another case.
    in_any_case: Option<usize>,
    /// Parts of the tree of the policy that is selected, and whether they were met as they are written.
    nodes: Vec<(NodeId, bool)>,
    /// Routes that take all that follows, and whether they were met as they are written.
    routes: Vec<(RouteId, bool)>,
    /// The documents whose path continues, by their places.
    documents: Vec<usize>,
    /// The segments that conditions tell from others, with their places.
    marks: Vec<(usize, String)>,
    depth: usize,
}

/// What decides of all that may follow: equal on both sides if the same follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    selected: Target,
    other: Option<Other>,
    /// The value and tree of each policy whose prefix continues, and what was met of it.
    prefixes: Vec<(PolicyId, NodeId, usize, bool)>,
    /// How many of them decide before the policy that would be selected in another case.
    before: usize,
    nodes: Vec<(NodeId, bool)>,
    routes: Vec<(RouteId, bool)>,
    /// What is left of the paths of documents.
    documents: Vec<(Vec<String>, PolicyId)>,
    marks: Vec<(usize, String)>,
}

/// What says how rejections are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Policy(PolicyId),
    /// No policy.
    Nothing(usize),
}

/// The policy that would be selected in another case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Other {
    Same,
    /// Another one, and whether that tells cases apart.
    Another {
        is_exact: bool,
    },
}

/// What a path meets that ends: equal on both sides if all requests with it are answered alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Meets {
    Document(PolicyId),
    /// A path that is for another policy in another case.
    Ambiguous(PolicyId),
    Routes(Target, Vec<(RouteId, bool)>, Vec<(usize, String)>),
}

/// Takes steps from one state.
#[derive(Debug)]
pub(super) struct Stepper<'s, 't, 'p> {
    plan: &'s Plan<'t, 'p>,
    state: &'s State,
    /// The prefixes that continue, by their next segments in lower case.
    prefixes: HashMap<String, Vec<usize>>,
}

impl Plan<'_, '_> {
    /// Returns the state before the first segment.
    pub(super) fn start(&self) -> State {
        let mut state = State {
            documents: (0..self.documents.len()).collect(),
            prefixes: (0..self.entries.len()).map(|at| (at, 0, true)).collect(),
            ..State::default()
        };
        self.accept(&mut state);
        state
    }

    /// Selects the first one of the policies whose prefix is complete.
    fn accept(&self, state: &mut State) {
        let (mut selected, mut in_any_case) = (state.selected, state.in_any_case);
        let is_before = |at: usize, known: Option<usize>| known.is_none_or(|known| at < known);
        state.prefixes.retain(|&(at, met, is_written)| {
            let Some(entry) = self.entries.get(at).filter(|entry| entry.prefix.len() == met) else {
                return true;
            };
            if is_before(at, in_any_case) {
                in_any_case = Some(at);
            }
            if (is_written || entry.case == PathCase::Insensitive) && is_before(at, selected) {
                selected = Some(at);
            }
            false
        });
        if selected != state.selected {
            state.nodes.clear();
            state.routes.clear();
            if let Some(entry) = selected.and_then(|at| self.entries.get(at)) {
                self.enter(state, entry, (entry.root, true));
            }
        }
        (state.selected, state.in_any_case) = (selected, in_any_case);
        state.prefixes.retain(|(at, ..)| is_before(*at, selected));
        if self.is_ambiguous(state) {
            state.nodes.clear();
            state.routes.clear();
        }
    }

    /// Whether a path is for another policy in another case, unless both tell cases apart.
    fn is_ambiguous(&self, state: &State) -> bool {
        let is_exact = |at: Option<usize>| self.entry(at).is_some_and(|entry| entry.case == PathCase::Exact);
        let (selected, other) = (state.selected, state.in_any_case);
        selected.is_some() && selected != other && !(is_exact(selected) && is_exact(other))
    }

    fn entry(&self, at: Option<usize>) -> Option<&Entry> {
        self.entries.get(at?).copied()
    }

    /// Adds a part of the tree of a policy, unless it does not count in this case.
    fn enter(&self, state: &mut State, entry: &Entry, (id, is_written): (NodeId, bool)) {
        let Some(node) = self
            .trees
            .node_at(id)
            .filter(|_| is_written || entry.case != PathCase::Exact)
        else {
            return;
        };
        // Guarded routes of a policy that ignores case match in any case.
        let ignores = entry.case == PathCase::Insensitive;
        let routes = node
            .below
            .iter()
            .map(|route| (*route, is_written || (ignores && !self.trees.is_open(*route))));
        state.routes.extend(routes);
        state.nodes.push((id, is_written || (ignores && !node.has_open)));
    }

    /// Returns what a path meets that ends in a state.
    pub(super) fn meets(&self, state: &State) -> Meets {
        let mut documents = state.documents.iter().filter_map(|at| self.documents.get(*at));
        if let Some((_, policy)) = documents.find(|(segments, _)| segments.len() == state.depth) {
            return Meets::Document(*policy);
        }
        let Some(entry) = self.entry(state.selected) else {
            return Meets::Routes(Target::Nothing(self.style), Vec::new(), Vec::new());
        };
        if self.is_ambiguous(state) {
            return Meets::Ambiguous(entry.policy);
        }
        let ignores = entry.case == PathCase::Insensitive;
        let mut routes = state.routes.clone();
        for (id, is_written) in &state.nodes {
            let exact = self
                .trees
                .node_at(*id)
                .map(|node| node.exact.as_slice())
                .unwrap_or_default();
            routes.extend(
                exact
                    .iter()
                    .map(|route| (*route, *is_written || (ignores && !self.trees.is_open(*route)))),
            );
        }
        Meets::Routes(Target::Policy(entry.policy), routes, state.marks.clone())
    }

    /// Returns what decides of all that may follow a state.
    pub(super) fn key(&self, state: &State) -> Key {
        let is_before = |at: usize| state.in_any_case.is_none_or(|other| at < other);
        let other = self
            .entry(state.in_any_case)
            .map(|other| match state.in_any_case == state.selected {
                true => Other::Same,
                false => Other::Another {
                    is_exact: other.case == PathCase::Exact,
                },
            });
        let prefixes = state.prefixes.iter().filter_map(|&(at, met, is_written)| {
            let entry = self.entries.get(at)?;
            Some((entry.policy, entry.root, met, is_written))
        });
        let documents = state.documents.iter().filter_map(|at| self.documents.get(*at));
        let documents = documents.map(|(segments, policy)| {
            let rest = segments.get(state.depth..).unwrap_or_default();
            (rest.to_vec(), *policy)
        });
        Key {
            selected: match self.entry(state.selected) {
                Some(entry) => Target::Policy(entry.policy),
                None => Target::Nothing(self.style),
            },
            other,
            prefixes: prefixes.collect(),
            before: state.prefixes.iter().filter(|(at, ..)| is_before(*at)).count(),
            nodes: state.nodes.clone(),
            routes: state.routes.clone(),
            documents: documents.collect(),
            marks: state.marks.clone(),
        }
    }

    /// Adds the segments that patterns have next.
    pub(super) fn spell(&self, state: &State, alphabet: &mut Alphabet) {
        for (at, met, _) in &state.prefixes {
            let entry = self.entries.get(*at);
            entry
                .and_then(|entry| entry.prefix.get(*met))
                .into_iter()
                .for_each(|text| alphabet.add_literal(text));
        }
        for node in state.nodes.iter().filter_map(|(id, _)| self.trees.node_at(*id)) {
            let literals = node.literals.values().flatten();
            literals.for_each(|(text, _)| alphabet.add_literal(text));
            node.wildcards
                .iter()
                .for_each(|(suffix, ..)| alphabet.add_suffix(suffix));
            if !node.wildcards.is_empty() {
                let constants = self.trees.constants.at(state.depth);
                constants.for_each(|text| alphabet.add_literal(text));
            }
        }
        for (segments, _) in state.documents.iter().filter_map(|at| self.documents.get(*at)) {
            segments
                .get(state.depth)
                .into_iter()
                .for_each(|text| alphabet.add_literal(text));
        }
    }
}

impl State {
    /// Whether what follows makes no difference.
    pub(super) fn is_settled(&self) -> bool {
        self.prefixes.is_empty() && self.nodes.is_empty() && self.documents.is_empty()
    }
}

impl<'s, 't, 'p> Stepper<'s, 't, 'p> {
    /// Prepares steps from a state.
    pub(super) fn new(plan: &'s Plan<'t, 'p>, state: &'s State) -> Self {
        let mut prefixes: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, (at, met, _)) in state.prefixes.iter().enumerate() {
            let next = plan.entries.get(*at).and_then(|entry| entry.prefix.get(*met));
            if let Some(text) = next {
                prefixes.entry(text.to_ascii_lowercase()).or_default().push(place);
            }
        }
        Self { plan, state, prefixes }
    }

    /// Returns the state behind a segment.
    pub(super) fn step(&self, text: &str) -> State {
        let (plan, before) = (self.plan, self.state);
        let folded = text.to_ascii_lowercase();
        let mut state = State {
            selected: before.selected,
            in_any_case: before.in_any_case,
            routes: before.routes.clone(),
            depth: before.depth + 1,
            marks: self.marks(text),
            ..State::default()
        };
        for place in self.prefixes.get(&folded).into_iter().flatten() {
            if let Some((at, met, is_written)) = before.prefixes.get(*place) {
                state.prefixes.extend(plan.entries.get(*at).map(|entry| {
                    let is_same = entry.prefix.get(*met).is_some_and(|segment| segment == text);
                    (
                        *at,
                        met + 1,
                        entry.case == PathCase::Insensitive || (*is_written && is_same),
                    )
                }));
            }
        }
        let goes_on = |at: &&usize| {
            let document = plan.documents.get(**at);
            document.is_some_and(|(segments, _)| segments.get(before.depth).is_some_and(|segment| segment == text))
        };
        state.documents = before.documents.iter().filter(goes_on).copied().collect();
        if let Some(entry) = plan.entry(before.selected) {
            for (id, is_written) in &before.nodes {
                for (next, is_same) in self.next(*id, text, &folded) {
                    plan.enter(&mut state, entry, (next, *is_written && is_same));
                }
            }
            state.nodes.sort_unstable();
            state.nodes.dedup();
        }
        plan.accept(&mut state);
        state
    }

    /// Returns the segments that conditions tell from others, with one more.
    fn marks(&self, text: &str) -> Vec<(usize, String)> {
        let (trees, before) = (self.plan.trees, self.state);
        let mut marks = before.marks.clone();
        let mut nodes = before.nodes.iter().filter_map(|(id, _)| trees.node_at(*id));
        if trees.constants.has(before.depth, text) && nodes.any(|node| !node.wildcards.is_empty()) {
            marks.push((before.depth, text.to_owned()));
        }
        marks
    }

    /// Returns the parts of a tree behind a segment, and whether the segment is as it is written.
    fn next(&self, id: NodeId, text: &str, folded: &str) -> Vec<(NodeId, bool)> {
        let Some(node) = self.plan.trees.node_at(id) else {
            return Vec::new();
        };
        let literals = node.literals.get(folded).into_iter().flatten();
        let literals = literals.map(|(literal, next)| (*next, literal == text));
        let wildcards = node
            .wildcards
            .iter()
            .filter(|(_, suffix, _)| folded.len() > suffix.len() && folded.ends_with(suffix.as_str()));
        let wildcards = wildcards.map(|(suffix, _, next)| (*next, text.ends_with(suffix.as_str())));
        literals.chain(wildcards).collect()
    }
}

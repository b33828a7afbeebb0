//! The patterns of both sides as trees of segments, in which equal parts are one.

use std::collections::{BTreeMap, HashMap};

use super::constants::Constants;
use crate::policy::route::{PathPattern, Route, Segment};
use crate::policy::{PathCase, Policy, PolicySet};

/// A policy, apart from its routes and hosts: equal ones of both sides have the same.
pub(super) type PolicyId = usize;
/// A route by its value: equal ones of both sides have the same.
pub(super) type RouteId = usize;
/// A part of a tree: equal ones have the same.
pub(super) type NodeId = usize;

/// All trees of both sides.
#[derive(Debug, Default)]
pub(super) struct Trees<'p> {
    policies: HashMap<(&'p str, &'p str), Vec<(Policy, PolicyId)>>,
    routes: HashMap<&'p str, Vec<(&'p Route, RouteId)>>,
    is_open: Vec<bool>,
    nodes: Vec<Node>,
    known: HashMap<Draft, NodeId>,
    policy_count: usize,
    /// Texts of segments that conditions tell from others.
    pub constants: Constants,
}

/// A policy with its tree.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its value.
    pub policy: PolicyId,
    /// How it reads the case of paths.
    pub case: PathCase,
    /// The segments of its prefix.
    pub prefix: Vec<String>,
    /// What follows the prefix.
    pub root: NodeId,
}

/// What may follow the same segments.
#[derive(Debug)]
pub(super) struct Node {
    /// Literals by their texts in lower case, with the texts as they are written.
    pub literals: HashMap<String, Vec<(String, NodeId)>>,
    /// Wildcards by what follows them, as it is written and in lower case.
    pub wildcards: Vec<(String, String, NodeId)>,
    /// The routes that end here.
    pub exact: Vec<RouteId>,
    /// The routes that end here in `/*`.
    pub below: Vec<RouteId>,
    /// Whether one of the routes here and below is public.
    pub has_open: bool,
}

/// A part of a tree that may be a known one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Draft {
    literals: Vec<(String, NodeId)>,
    wildcards: Vec<(String, NodeId)>,
    exact: Vec<RouteId>,
    below: Vec<RouteId>,
}

/// A tree that grows.
#[derive(Default)]
struct Growing {
    literals: BTreeMap<String, Growing>,
    wildcards: BTreeMap<String, Growing>,
    exact: Vec<RouteId>,
    below: Vec<RouteId>,
}

impl Growing {
    fn insert(&mut self, pattern: &PathPattern, route: RouteId) {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Wildcard(suffix) => node.wildcards.entry(suffix.clone()).or_default(),
            };
        }
        match pattern.is_prefix {
            true => node.below.push(route),
            false => node.exact.push(route),
        }
    }
}

impl<'p> Trees<'p> {
    /// Adds the policies of a side, in the order of the set.
    pub(super) fn add(&mut self, policies: &'p PolicySet) -> Vec<Entry> {
        self.constants.add(policies);
        let policies = policies.policies().iter();
        policies.map(|policy| self.entry(policy)).collect()
    }

    fn entry(&mut self, policy: &'p Policy) -> Entry {
        let mut tree = Growing::default();
        for route in &policy.routes {
            let id = self.route(route);
            tree.insert(&route.path, id);
        }
        let segments = policy.prefix.split('/').filter(|segment| !segment.is_empty());
        Entry {
            policy: self.policy(policy),
            case: policy.case,
            prefix: segments.map(str::to_owned).collect(),
            root: self.grown(tree),
        }
    }

    /// Returns the id of a policy without its routes and hosts.
    fn policy(&mut self, policy: &'p Policy) -> PolicyId {
        let mut bare = policy.without_routes();
        bare.hosts.clear();
        let alike = self.policies.entry((&policy.service, &policy.prefix)).or_default();
        if let Some((_, id)) = alike.iter().find(|(known, _)| *known == bare) {
            return *id;
        }
        let id = self.policy_count;
        self.policy_count += 1;
        alike.push((bare, id));
        id
    }

    fn route(&mut self, route: &'p Route) -> RouteId {
        let alike = self.routes.entry(&route.pattern).or_default();
        if let Some((_, id)) = alike.iter().find(|(known, _)| *known == route) {
            return *id;
        }
        let id = self.is_open.len();
        self.is_open.push(route.is_open());
        alike.push((route, id));
        id
    }

    fn grown(&mut self, tree: Growing) -> NodeId {
        let mut grow = |parts: BTreeMap<String, Growing>| -> Vec<(String, NodeId)> {
            parts.into_iter().map(|(text, part)| (text, self.grown(part))).collect()
        };
        let draft = Draft {
            literals: grow(tree.literals),
            wildcards: grow(tree.wildcards),
            exact: tree.exact,
            below: tree.below,
        };
        if let Some(id) = self.known.get(&draft) {
            return *id;
        }
        let node = self.node(&draft);
        let id = self.nodes.len();
        self.nodes.push(node);
        self.known.insert(draft, id);
        id
    }

    fn node(&self, draft: &Draft) -> Node {
        let mut literals: HashMap<String, Vec<(String, NodeId)>> = HashMap::new();
        for (text, id) in &draft.literals {
            let alike = literals.entry(text.to_ascii_lowercase()).or_default();
            alike.push((text.clone(), *id));
        }
        let wildcards = draft.wildcards.iter();
        let wildcards = wildcards.map(|(suffix, id)| (suffix.clone(), suffix.to_ascii_lowercase(), *id));
        let mut routes = draft.exact.iter().chain(&draft.below);
        let mut parts = draft.literals.iter().chain(&draft.wildcards);
        Node {
            literals,
            wildcards: wildcards.collect(),
            exact: draft.exact.clone(),
            below: draft.below.clone(),
            has_open: routes.any(|route| self.is_open(*route))
                || parts.any(|(_, id)| self.node_at(*id).is_some_and(|node| node.has_open)),
        }
    }

    /// Returns a part of a tree.
    pub(super) fn node_at(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// Returns whether a route is public.
    pub(super) fn is_open(&self, route: RouteId) -> bool {
        self.is_open.get(route).copied().unwrap_or_default()
    }
}

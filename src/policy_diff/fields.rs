//! Which fields of policy files are behind a change: those that differ between the policies and routes that met.

use std::collections::HashMap;

use super::delta::Delta;
use super::effects::Effect;
use super::types::{Case, Change, PathRegion};
use crate::policy::route::Route;
use crate::policy::{RouteIndex, Scope};
use crate::request::path::{Allowance, NormalizedPath};

pub mod counterparts;
pub mod differences;
pub mod document;
mod field_change;
mod relevance;

pub use field_change::{Documents, FieldChange, Side, field_change};

use counterparts::Pairs;
use differences::{Difference, differences};
use document::{Document, Step, flow, kind_text, path_text};
use relevance::{Aspects, behind, decides, looked_at};

/// Finds the fields behind changes.
#[derive(Debug)]
pub struct Causes<'s> {
    was: Side<'s>,
    now: Side<'s>,
    policies: Pairs,
    routes: HashMap<(usize, usize), Pairs>,
    /// The differences of pairs of policies outside of their routes.
    outside: HashMap<(usize, usize), Vec<Cause>>,
}

/// A field that differs, and what it decides.
#[derive(Debug, Clone)]
struct Cause {
    change: FieldChange,
    decides: Aspects,
}

/// The fields that say which requests a policy is for.
const POLICY_PLACE: [&str; 3] = ["prefix", "hosts", "paths"];

/// The fields that say which requests a route is for.
const ROUTE_PLACE: [&str; 2] = ["path", "methods"];

impl<'s> Causes<'s> {
    /// Pairs the policies of two sides.
    pub fn new(was: Side<'s>, now: Side<'s>) -> Self {
        Self {
            policies: counterparts::policies(was.policies, now.policies),
            was,
            now,
            routes: HashMap::new(),
            outside: HashMap::new(),
        }
    }

    /// Finds the fields behind a change.
    pub fn of(&mut self, change: &Change) -> Vec<FieldChange> {
        let (was, now) = (change.was, change.now);
        let (places, rest) = self.candidates(was, now);
        let route = |side: Side<'s>, scope: Scope| scope.route.and_then(|index| Some(side.policies.route(index)?.1));
        let looked_at = looked_at(route(self.was, was), route(self.now, now));
        let changed = changed(&change.delta);
        let fits = |cause: &Cause| {
            let decides = cause.decides;
            decides == Aspects::ALL || (decides.meets(changed) && decides.meets(looked_at))
        };
        let mut found: Vec<_> = places.into_iter().map(|cause| cause.change).collect();
        let open = |cause: &&Cause| cause.decides.meets(Aspects::ALL);
        let relevant: Vec<_> = rest.iter().filter(|cause| fits(cause)).collect();
        match relevant.is_empty() && found.is_empty() {
            true => found.extend(rest.iter().filter(open).map(|cause| cause.change.clone())),
            false => found.extend(relevant.into_iter().map(|cause| cause.change.clone())),
        }
        match found.is_empty() {
            true => self.beside(change),
            false => found,
        }
    }

    /// Finds what else takes the paths of a change, in any case or with other methods: the policies and routes that are new,
    /// gone or for other requests than before.
    fn beside(&mut self, change: &Change) -> Vec<FieldChange> {
        let path = decoded_path(&change.example.path);
        let host = Some(change.example.host.as_str());
        let mut found = Vec::new();
        for (side, is_there) in [(self.now, true), (self.was, false)] {
            let exact = side.policies.select(host, &path);
            let any = side.policies.select_in_any_case(host, &path);
            for policy in exact.into_iter().chain(any.filter(|any| exact != Some(*any))) {
                found.extend(self.policy_beside(policy, is_there));
                found.extend(self.routes_beside(policy, &path, is_there));
            }
        }
        let mut known: Vec<FieldChange> = Vec::new();
        for Cause { change, .. } in found {
            if !known.contains(&change) {
                known.push(change);
            }
        }
        known
    }

    fn policy_beside(&self, policy: usize, is_there: bool) -> Vec<Cause> {
        let (other, side) = match is_there {
            true => (self.policies.was(policy), self.now),
            false => (self.policies.now(policy), self.was),
        };
        match other {
            None => Self::whole_policy(side, policy, is_there).into_iter().collect(),
            Some(other) if is_there => self.between_places(other, policy),
            Some(other) => self.between_places(policy, other),
        }
    }

    fn routes_beside(&mut self, policy: usize, path: &str, is_there: bool) -> Vec<Cause> {
        let (side, pair) = match is_there {
            true => (self.now, self.policies.was(policy).map(|was| (was, policy))),
            false => (self.was, self.policies.now(policy).map(|now| (policy, now))),
        };
        let Some(((old, new), routes)) = pair.zip(side.policies.get(policy).map(|policy| &policy.routes)) else {
            return Vec::new();
        };
        let takes = |route: &Route| {
            let region = PathRegion {
                pattern: route.pattern.clone(),
                case: Case::Any,
            };
            region.has(path)
        };
        let taking: Vec<_> = routes.iter().enumerate().filter(|(_, route)| takes(route)).collect();
        let mut found = Vec::new();
        for (index, _) in taking {
            let (from, to) = if is_there {
                (None, Some(index))
            } else {
                (Some(index), None)
            };
            found.extend(self.route_places((old, new), from, to));
        }
        found
    }

    /// Finds what differs: first what makes these policies and routes meet, then what they say.
    fn candidates(&mut self, was: Scope, now: Scope) -> (Vec<Cause>, Vec<Cause>) {
        let (old, new) = (was.policy, now.policy);
        let (Some(old), Some(new)) = (old, new) else {
            return (self.policy_places(old, new), Vec::new());
        };
        if self.policies.now(old) != Some(new) {
            return (self.policy_places(Some(old), Some(new)), Vec::new());
        }
        let mut rest = self.outside_of_routes(old, new);
        let pairs = self.routes_of(old, new);
        let (from, to) = (was.route.map(|index| index.route), now.route.map(|index| index.route));
        let is_same = match (from, to) {
            (Some(from), Some(to)) => pairs.now(from) == Some(to),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            let places = self.route_places((old, new), from, to);
            // With other routes, what the policy says counts less than that they are others.
            return match places.is_empty() {
                true => (places, rest),
                false => (places, Vec::new()),
            };
        }
        if let (Some(from), Some(to)) = (from, to) {
            rest.extend(self.in_route((old, from), (new, to)));
        }
        (Vec::new(), rest)
    }

    fn routes_of(&mut self, old: usize, new: usize) -> &Pairs {
        let (was, now) = (self.was.policies.get(old), self.now.policies.get(new));
        self.routes.entry((old, new)).or_insert_with(|| match (was, now) {
            (Some(was), Some(now)) => counterparts::routes(was, now),
            _ => Pairs::default(),
        })
    }

    /// Returns the fields by which another policy takes requests.
    fn policy_places(&self, old: Option<usize>, new: Option<usize>) -> Vec<Cause> {
        let mut found = Vec::new();
        if let Some(new) = new {
            match self.policies.was(new) {
                None => found.extend(Self::whole_policy(self.now, new, true)),
                Some(was) => found.extend(self.between_places(was, new)),
            }
        }
        if let Some(old) = old {
            match self.policies.now(old) {
                None => found.extend(Self::whole_policy(self.was, old, false)),
                Some(now) if Some(now) != new => found.extend(self.between_places(old, now)),
                Some(_) => {}
            }
        }
        found
    }

    fn between_places(&self, old: usize, new: usize) -> Vec<Cause> {
        let is_place = |cause: &Cause| {
            let field = cause.change.field.as_str();
            POLICY_PLACE.iter().any(|place| field.starts_with(place))
        };
        self.find_outside(old, new).into_iter().filter(is_place).collect()
    }

    /// Returns the field that says which requests a policy takes that only one side has.
    fn whole_policy(side: Side<'s>, index: usize, is_there: bool) -> Option<Cause> {
        let (_, document) = side.policy(index)?;
        let named = ["hosts", "prefix", "service"].map(|name| vec![Step::Key(name.to_owned())]);
        let path = named.into_iter().find(|path| document.at(path).is_some())?;
        let node = document.at(&path)?;
        let text = Some(flow(node));
        let (was, now) = if is_there { (None, text) } else { (text, None) };
        Some(Cause {
            change: FieldChange {
                field: path_text(&path),
                was,
                now,
                location: document.location(node),
                is_there,
            },
            decides: Aspects::ALL,
        })
    }

    /// Returns the routes and their fields by which another route of a policy takes requests.
    fn route_places(&mut self, (old, new): (usize, usize), from: Option<usize>, to: Option<usize>) -> Vec<Cause> {
        let mut found = Vec::new();
        if let Some(to) = to {
            match self.routes_of(old, new).was(to) {
                None => found.extend(Self::whole_route(self.now, RouteIndex { policy: new, route: to }, true)),
                Some(was) => found.extend(self.between_route_places((old, was), (new, to))),
            }
        }
        if let Some(from) = from {
            match self.routes_of(old, new).now(from) {
                None => found.extend(Self::whole_route(
                    self.was,
                    RouteIndex {
                        policy: old,
                        route: from,
                    },
                    false,
                )),
                Some(now) => found.extend(self.between_route_places((old, from), (new, now))),
            }
        }
        found
    }

    fn between_route_places(&self, old: (usize, usize), new: (usize, usize)) -> Vec<Cause> {
        let is_place = |cause: &Cause| {
            let name = cause.change.field.rsplit('.').next().unwrap_or_default();
            ROUTE_PLACE.contains(&name)
        };
        self.in_route(old, new).into_iter().filter(is_place).collect()
    }

    fn whole_route(side: Side<'s>, index: RouteIndex, is_there: bool) -> Option<Cause> {
        let (_, document) = side.policy(index.policy)?;
        let path = route_path(index.route);
        let text = Some(flow(document.at(&path)?));
        let (was, now) = if is_there { (None, text) } else { (text, None) };
        let (_, route) = side.policies.route(index)?;
        Some(Cause {
            change: FieldChange {
                field: path_text(&path),
                was,
                now,
                location: route.location.0.clone(),
                is_there,
            },
            decides: Aspects::ALL,
        })
    }

    fn outside_of_routes(&mut self, old: usize, new: usize) -> Vec<Cause> {
        if let Some(found) = self.outside.get(&(old, new)) {
            return found.clone();
        }
        let found = self.find_outside(old, new);
        self.outside.insert((old, new), found.clone());
        found
    }

    fn find_outside(&self, old: usize, new: usize) -> Vec<Cause> {
        let (Some(was), Some(now)) = (self.was.documents.get(old), self.now.documents.get(new)) else {
            return Vec::new();
        };
        let mut names: Vec<&str> = Vec::new();
        for document in [was, now] {
            for name in document::keys(document.root()).filter(|name| *name != "routes") {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        let of_field = |name: &&str| {
            let path = [Step::Key((*name).to_owned())];
            differences(&path, was.at(&path), now.at(&path))
        };
        let found = names.iter().flat_map(of_field);
        found.map(|difference| cause(&difference, was, now)).collect()
    }

    fn in_route(&self, old: (usize, usize), new: (usize, usize)) -> Vec<Cause> {
        let (Some(was), Some(now)) = (self.was.documents.get(old.0), self.now.documents.get(new.0)) else {
            return Vec::new();
        };
        let path = route_path(new.1);
        let found = differences(&path, was.at(&route_path(old.1)), now.at(&path));
        found.iter().map(|difference| cause(difference, was, now)).collect()
    }
}

/// Returns a path as policies compare it.
fn decoded_path(path: &str) -> String {
    let parsed = NormalizedPath::parse(path.as_bytes(), Allowance::default());
    parsed.map_or_else(|_| path.to_owned(), |path| path.decoded().to_owned())
}

fn route_path(route: usize) -> Vec<Step> {
    vec![Step::Key("routes".to_owned()), Step::Item(route)]
}

fn cause(difference: &Difference<'_>, was: &Document, now: &Document) -> Cause {
    Cause {
        decides: decides(&kind_text(&difference.path)),
        change: field_change(difference, was, now),
    }
}

/// Returns what of decisions a change concerns.
fn changed(delta: &Delta) -> Aspects {
    let outcomes = delta.gained.iter().chain(&delta.lost).chain(&delta.rejected);
    let mut found = Aspects::default();
    for change in outcomes {
        found = found | behind(&change.was) | behind(&change.now);
    }
    if delta.effects.contains(&Effect::ForwardedDifferently) || !delta.told.is_empty() {
        found = found | Aspects::FORWARDED;
    }
    match delta.effects.contains(&Effect::RejectedDifferently) {
        true => found | Aspects::RESPONSE,
        false => found,
    }
}

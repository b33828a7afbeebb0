//! Which fields of policy files are behind a change: those that differ between the policies and routes that met.

use std::collections::HashMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::delta::Delta;
use super::effects::Effect;
use crate::document::problem::{Location, SourceFile};
use crate::document::yaml::Node;
use crate::policy::{Policy, PolicySet, RouteIndex, Scope};

pub mod counterparts;
pub mod differences;
pub mod document;
mod relevance;

use counterparts::Pairs;
use differences::{Difference, differences};
use document::{Document, Step, flow, kind_text, path_text};
use relevance::{Aspects, behind, decides, looked_at};

/// A field of a file that does not say what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Its path, as in `routes[3].auth`: in the new file, or in the old one if it is gone.
    pub field: String,
    /// What it said, as YAML in one line; `None` if it was not there.
    pub was: Option<String>,
    /// What it says; `None` if it is gone.
    pub now: Option<String>,
    /// Where it stands in the new file, or where it stood in the old one.
    pub location: Location,
    /// Whether the location is in the new file.
    pub is_there: bool,
}

impl Serialize for FieldChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("FieldChange", 4)?;
        fields.serialize_field("field", &self.field)?;
        fields.serialize_field("was", &self.was)?;
        fields.serialize_field("now", &self.now)?;
        fields.serialize_field("place", &self.location.to_string())?;
        fields.end()
    }
}

/// The files of the policies of a set, by the places of the policies.
#[derive(Debug)]
pub struct Documents(Vec<Option<Document>>);

impl Documents {
    /// Reads the files that policies were read from once more.
    pub fn of(policies: &PolicySet) -> Self {
        let source = |policy: &Policy| Arc::<SourceFile>::clone(policy.upstream_location.source());
        Self(
            policies
                .policies()
                .iter()
                .map(|policy| Document::new(&source(policy)))
                .collect(),
        )
    }

    /// Returns the file of a policy.
    pub fn get(&self, policy: usize) -> Option<&Document> {
        self.0.get(policy)?.as_ref()
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Side<'s> {
    /// The policies.
    pub policies: &'s PolicySet,
    /// Their files.
    pub documents: &'s Documents,
}

impl<'s> Side<'s> {
    fn policy(self, index: usize) -> Option<(&'s Policy, &'s Document)> {
        Some((self.policies.get(index)?, self.documents.get(index)?))
    }
}

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

    /// Finds the fields behind a change of the requests that meet one scope of each side.
    pub fn of(&mut self, was: Scope, now: Scope, delta: &Delta) -> Vec<FieldChange> {
        let (places, rest) = self.candidates(was, now);
        let route = |side: Side<'s>, scope: Scope| scope.route.and_then(|index| Some(side.policies.route(index)?.1));
        let looked_at = looked_at(route(self.was, was), route(self.now, now));
        let changed = changed(delta);
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
                None => found.extend(self.whole_policy(self.now, new, true)),
                Some(was) => found.extend(self.between_places(was, new)),
            }
        }
        if let Some(old) = old {
            match self.policies.now(old) {
                None => found.extend(self.whole_policy(self.was, old, false)),
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

    /// Returns the field that says which requests a policy takes that is there on one side only.
    fn whole_policy(&self, side: Side<'s>, index: usize, is_there: bool) -> Option<Cause> {
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
                None => found.extend(self.whole_route(self.now, RouteIndex { policy: new, route: to }, true)),
                Some(was) => found.extend(self.between_route_places((old, was), (new, to))),
            }
        }
        if let Some(from) = from {
            match self.routes_of(old, new).now(from) {
                None => found.extend(self.whole_route(
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

    fn whole_route(&self, side: Side<'s>, index: RouteIndex, is_there: bool) -> Option<Cause> {
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

fn route_path(route: usize) -> Vec<Step> {
    vec![Step::Key("routes".to_owned()), Step::Item(route)]
}

fn cause(difference: &Difference<'_>, was: &Document, now: &Document) -> Cause {
    Cause {
        decides: decides(&kind_text(&difference.path)),
        change: field_change(difference, was, now),
    }
}

/// Makes a difference of two files a change of a field.
pub fn field_change(difference: &Difference<'_>, was: &Document, now: &Document) -> FieldChange {
    let location = match (difference.now, difference.was) {
        (Some(node), _) => now.location(node),
        (None, Some(node)) => was.location(node),
        (None, None) => now.location(now.root()),
    };
    let text = |node: Option<&Node>| node.map(flow);
    FieldChange {
        field: path_text(&difference.path),
        was: text(difference.was),
        now: text(difference.now),
        location,
        is_there: difference.now.is_some(),
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

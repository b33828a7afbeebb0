//! The steps that are found for one policy.

use crate::document::field_places::FieldPlaces;
use crate::document::problem::Location;
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy_coverage::names::route_name;
use crate::policy_coverage::weakening::{Change, Kind, Weakening};
use crate::principal::AuthMethod;

/// The steps that are found for one policy.
pub(super) struct Drafts<'p> {
    /// The policy as it is.
    pub(super) policy: &'p Policy,
    /// Where its fields stand.
    pub(super) fields: FieldPlaces,
    index: usize,
    found: Vec<Weakening>,
}

impl<'p> Drafts<'p> {
    pub(super) fn of(index: usize, policy: &'p Policy) -> Self {
        Self {
            policy,
            fields: FieldPlaces::of(policy.source()),
            index,
            found: Vec::new(),
        }
    }

    /// Tells whether a route takes a credential.
    pub(super) fn uses(&self, method: AuthMethod) -> bool {
        let mut routes = self.policy.routes.iter();
        routes.any(|route| route.authentication.methods().contains(&method))
    }

    /// Adds a policy that differs in something else than one route.
    pub(super) fn add(&mut self, kind: Kind, (subject, words): (&str, &str), field: &str, weaker: Policy) {
        if weaker != *self.policy {
            let location = self.fields.place(field);
            self.push(
                kind,
                (subject, words),
                location,
                (None, Change::Policy(Box::new(weaker))),
            );
        }
    }

    /// Adds a policy that differs in one route.
    pub(super) fn add_route(&mut self, kind: Kind, at: usize, words: &str, weaker: Route) {
        if let Some(route) = self.policy.routes.get(at).filter(|route| **route != weaker) {
            let location = Location::clone(&route.location);
            let change = Change::Route(Box::new(weaker));
            self.push(
                kind,
                (&route_name(self.policy, at), words),
                location,
                (Some(at), change),
            );
        }
    }

    /// Adds the policy without a route.
    pub(super) fn delete_route(&mut self, kind: Kind, at: usize, words: &str) {
        if let Some(route) = self.policy.routes.get(at) {
            let location = Location::clone(&route.location);
            let name = route_name(self.policy, at);
            self.push(kind, (&name, words), location, (Some(at), Change::Deleted));
        }
    }

    fn push(
        &mut self,
        kind: Kind,
        (subject, words): (&str, &str),
        location: Location,
        change: (Option<usize>, Change),
    ) {
        let (route, change) = change;
        self.found.push(Weakening {
            kind,
            subject: subject.to_owned(),
            words: words.to_owned(),
            location,
            policy: self.index,
            route,
            change,
        });
    }

    /// Returns the steps in the order in which they were added.
    pub(super) fn into_found(self) -> Vec<Weakening> {
        self.found
    }
}

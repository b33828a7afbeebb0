//! What clients meet on both sides, class by class, and what changes for them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::delta::Delta;
use super::methods::Methods;
use super::paths::{EndId, Graph};
use super::types::{Cell, Incomplete};
use crate::policy::{RouteIndex, Scope};
use crate::rehearsal::{Rehearsal, Request};
use crate::revocation::Revocations;

/// Classes of requests for which the same thing changes.
#[derive(Debug)]
pub(super) struct Group {
    /// What they meet in the old policies.
    pub was: Scope,
    /// What they meet in the new policies.
    pub now: Scope,
    /// What changes for their callers.
    pub delta: Rc<Delta>,
    /// The methods, by their places.
    pub methods: Vec<usize>,
    /// The classes of paths.
    pub ends: Vec<EndId>,
}

/// A time at which requests are decided that have no token.
pub(super) const NOW: i64 = 1_800_000_000;

/// Compares each class of paths with each method, for a host. `compare` says what changes for the callers of a class.
pub(super) fn groups(
    [old, new]: [&Rehearsal; 2],
    host: &str,
    (graph, methods): (&Graph, &Methods),
    compare: &mut impl FnMut(&Cell) -> Result<Option<Rc<Delta>>, Incomplete>,
) -> Result<Vec<Group>, Incomplete> {
    let mut found = Found::default();
    for (end, path) in graph.ends.iter().enumerate() {
        for (place, method) in methods.all().enumerate() {
            let request = Request::new(method.clone(), path.clone(), host, NOW);
            let meets = |side: &Rehearsal| {
                side.decide(&request.facts(), Revocations::Unasked, &mut ())
                    .matched
                    .scope()
            };
            let cell = Cell {
                host: host.to_owned(),
                path: path.clone(),
                method: method.clone(),
                old: meets(old),
                new: meets(new),
            };
            if let Some(delta) = compare(&cell)? {
                found.add(cell.old, cell.new, delta, (place, end));
            }
        }
    }
    Ok(found.groups())
}

#[derive(Default)]
struct Found {
    kinds: Vec<(Scope, Scope, Rc<Delta>)>,
    of_scopes: HashMap<[Place; 2], Vec<usize>>,
    /// The classes of paths of each kind, by the methods.
    classes: BTreeMap<usize, BTreeMap<usize, Vec<EndId>>>,
}

/// The parts of a scope, which has an order.
pub(super) type Place = (Option<usize>, Option<(usize, usize)>);

/// Returns the parts of a scope.
pub(super) fn place(scope: Scope) -> Place {
    let route = |route: RouteIndex| (route.policy, route.route);
    (scope.policy, scope.route.map(route))
}

impl Found {
    fn add(&mut self, was: Scope, now: Scope, delta: Rc<Delta>, (method, end): (usize, EndId)) {
        let alike = self.of_scopes.entry([place(was), place(now)]).or_default();
        let is_same = |kind: &&usize| {
            let known = self.kinds.get(**kind);
            known.is_some_and(|(.., known)| Rc::ptr_eq(known, &delta) || *known == delta)
        };
        let known = alike.iter().find(is_same).copied();
        let kind = known.unwrap_or_else(|| {
            alike.push(self.kinds.len());
            self.kinds.push((was, now, delta));
            self.kinds.len() - 1
        });
        let of_kind = self.classes.entry(kind).or_default();
        of_kind.entry(method).or_default().push(end);
    }

    /// Brings methods of a kind together that have the same paths.
    fn groups(self) -> Vec<Group> {
        let mut groups = Vec::new();
        for ((was, now, delta), of_method) in self.kinds.into_iter().zip(self.classes.into_values()) {
            let mut alike: BTreeMap<Vec<EndId>, Vec<usize>> = BTreeMap::new();
            for (method, ends) in of_method {
                alike.entry(ends).or_default().push(method);
            }
            groups.extend(alike.into_iter().map(|(ends, methods)| Group {
                was,
                now,
                delta: Rc::clone(&delta),
                methods,
                ends,
            }));
        }
        groups
    }
}

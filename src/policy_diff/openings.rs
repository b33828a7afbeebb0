//! Whether callers get in who did not: the first such requests, without the rest of a comparison.

use std::rc::Rc;

use http::Method;

use super::assembly::plans;
use super::caller_class::CallerClass;
use super::callers::Callers;
use super::cells;
use super::delta::{CallerChange, Delta};
use super::hosts;
use super::methods::Methods;
use super::paths::Graph;
use super::trees::Trees;
use super::types::{Cell, Example, Incomplete};
use crate::policy::Mode;
use crate::principal::AuthMethod;
use crate::rehearsal::{Rehearsal, Request};
use crate::revocation::Revocations;

/// Callers who get in and did not, and a request of theirs.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The callers, and what became and becomes of them.
    pub gained: Vec<CallerChange>,
    /// The request.
    pub request: Example,
}

/// Finds callers who get in by the new policies, and do not by the old ones: those of the first requests where there are any.
pub fn opening(old: &Rehearsal, new: &Rehearsal) -> Result<Option<Opening>, Incomplete> {
    let sets = [old.policies(), new.policies()];
    let mut trees = Trees::default();
    let entries = sets.map(|set| trees.add(set));
    let [old_set, new_set] = sets;
    let methods = Methods::of(old_set, new_set);
    let mut callers = Callers::new(old, new);
    let mut found = None;
    let mut count = 0;
    for hosts in &hosts::classes(old_set, new_set) {
        let plans = plans(sets, (&trees, &entries), hosts);
        let graph = Graph::read(&plans, count)?;
        count += graph.len();
        let mut look = |cell: &Cell| -> Result<Option<Rc<Delta>>, Incomplete> {
            if found.is_none() {
                found = look([old, new], &mut callers, cell)?;
            }
            Ok(None)
        };
        cells::groups([old, new], &hosts.example, (&graph, &methods), &mut look)?;
        if found.is_some() {
            break;
        }
    }
    match found {
        Some(opening) => common(opening, [old, new], &mut callers).map(Some),
        None => Ok(None),
    }
}

/// Compares what becomes of the callers of a request. Without a route, none gets in.
fn look(sides: [&Rehearsal; 2], callers: &mut Callers<'_>, cell: &Cell) -> Result<Option<Opening>, Incomplete> {
    if cell.new.route.is_none() || is_as_strict(sides, cell) {
        return Ok(None);
    }
    let gained = if let Some(change) = without_credential(sides, cell) {
        vec![change]
    } else {
        let delta = match callers.compare(cell) {
            // No caller was found here who gets in; others may at another place.
            Err(Incomplete::Undecided { .. }) => None,
            delta => delta?,
        };
        delta.map(|delta| delta.gained.clone()).unwrap_or_default()
    };
    Ok((!gained.is_empty()).then(|| Opening {
        gained,
        request: Example {
            host: cell.host.clone(),
            method: cell.method.clone(),
            path: cell.path.clone(),
        },
    }))
}

/// Tries a caller without a credential, who needs no comparison of all others.
fn without_credential([old, new]: [&Rehearsal; 2], cell: &Cell) -> Option<CallerChange> {
    let request = Request::new(cell.method.clone(), cell.path.clone(), &cell.host, cells::NOW);
    let outcome = |side: &Rehearsal| side.decide(&request.facts(), Revocations::Unasked, &mut ()).outcome;
    let (was, now) = (outcome(old), outcome(new));
    let was = was.rejection().filter(|_| was.permit().is_none())?;
    let now = match (now.permit(), now.rejection()) {
        (Some(_), None) => "allow".to_owned(),
        (Some(_), Some(rejection)) => format!("shadow {}", rejection.reason().code()),
        (None, _) => return None,
    };
    Some(CallerChange {
        caller: CallerClass::default(),
        was: format!("{} {}", was.reason().status(), was.reason().code()),
        now,
    })
}

/// Whether it is plain that a route lets in no caller whom the old one rejects: it belongs to the same policy, and asks for
/// the same or more.
fn is_as_strict([old, new]: [&Rehearsal; 2], cell: &Cell) -> bool {
    let places = cell.old.route.zip(cell.new.route);
    let routes = places.and_then(|(was, now)| old.policies().route(was).zip(new.policies().route(now)));
    routes.is_some_and(|((policy, was), (other, now))| {
        let (asked, asks) = (&was.requirement, &now.requirement);
        let covers = |role: &String| asked.roles.iter().any(|known| policy.roles.covers(role, known));
        let roles = asked.roles.is_empty() || (!asks.roles.is_empty() && asks.roles.iter().all(covers));
        let scopes = asked.scopes.iter().all(|scope| asks.scopes.contains(scope));
        let conditions = asked
            .conditions
            .iter()
            .all(|condition| asks.conditions.contains(condition));
        let types = was.content_types.is_empty()
            || (!now.content_types.is_empty() && now.content_types.iter().all(|one| was.content_types.contains(one)));
        let is_public = was.authentication.methods() == [AuthMethod::Public];
        (is_public || was.authentication == now.authentication)
            && (roles && scopes && conditions && types)
            && now.mode == Mode::Enforce
            && (was.idempotency.is_none() || was.idempotency == now.idempotency)
            && policy.without_routes() == other.without_routes()
    })
}

/// Returns the same opening with a more common method, if callers get in by one.
fn common(opening: Opening, sides: [&Rehearsal; 2], callers: &mut Callers<'_>) -> Result<Opening, Incomplete> {
    for method in [Method::GET, Method::POST] {
        let Example { host, path, .. } = &opening.request;
        let request = Request::new(method.clone(), path.clone(), host, cells::NOW);
        let meets = |side: &Rehearsal| {
            side.decide(&request.facts(), Revocations::Unasked, &mut ())
                .matched
                .scope()
        };
        let [old, new] = sides.map(meets);
        let (host, path) = (host.clone(), path.clone());
        let cell = Cell {
            host,
            path,
            method,
            old,
            new,
        };
        if let Some(common) = look(sides, callers, &cell)? {
            return Ok(common);
        }
    }
    Ok(opening)
}

#[cfg(test)]
mod tests;

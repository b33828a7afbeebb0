//! Settings of a route: its own, or those of its policy where it has none.

use super::change::{Pair, Place, Written};
use super::values::{Said, idempotency, in_one_line, on_or_off, period, quota, size};
use crate::document::yaml::Value;
use crate::policy::route::Route;
use crate::policy::store_rules::Quota;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::fields::document::{Document, Step, field};

/// The places of two routes that meet, in their policies.
pub(super) type Indices = (usize, usize);

/// Compares two routes.
pub(super) fn compare(pair: &Pair<'_>, routes: Indices) -> Vec<FieldChange> {
    let (Some(was), Some(now)) = (
        pair.was.policy.routes.get(routes.0),
        pair.now.policy.routes.get(routes.1),
    ) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let timeout =
        |side: Written<'_>, route: &Route| Some(period(route.timeout.unwrap_or(side.policy.upstream.timeout)));
    let place = |own: &str, of_policy: &str| place(pair, routes, own, of_policy);
    found.extend(pair.change(
        &place("timeout", "upstream.timeout"),
        timeout(pair.was, was),
        timeout(pair.now, now),
    ));
    let body = |side: Written<'_>, route: &Route| route.body_bytes.filter(|own| *own != side.body_bytes).map(size);
    if [was, now].map(|route| route.body_bytes) != [None, None] {
        let (old, new) = (body(pair.was, was), body(pair.now, now));
        found.extend(pair.change(&place("body_bytes", ""), old, new));
    }
    let log = |route: &Route| Some(on_or_off(route.access_log).to_owned());
    found.extend(pair.change(&place("log", ""), log(was), log(now)));
    if !was.quotas.is_empty() && !now.quotas.is_empty() {
        let sandbox = |route: &Route| Some(route.sandbox.to_string());
        found.extend(pair.change(&place("sandbox", "sandbox"), sandbox(was), sandbox(now)));
    }
    let stored = |route: &Route| route.idempotency.as_ref().map(|rule| idempotency(rule));
    found.extend(rule(
        pair,
        &place("idempotency", "idempotency"),
        stored(was),
        stored(now),
    ));
    found.extend(quotas(pair, &place("quotas", "quotas"), was, now));
    found
}

/// Returns where a setting of two routes stands: in the route if it has the field, or has it on the other side alone.
fn place(pair: &Pair<'_>, routes: Indices, own: &str, of_policy: &str) -> Place {
    let in_route = |index| {
        let route = [
            Step::Key("routes".to_owned()),
            Step::Item(index),
            Step::Key(own.to_owned()),
        ];
        route.to_vec()
    };
    let (was, now) = (in_route(routes.0), in_route(routes.1));
    let of_policy: Vec<_> = of_policy.split('.').map(|key| Step::Key(key.to_owned())).collect();
    let is_own = |document: &Document, own: &[Step]| document.at(own).is_some() || document.at(&of_policy).is_none();
    let either = |document, own| {
        if is_own(document, own) {
            own.to_vec()
        } else {
            of_policy.clone()
        }
    };
    let neither_is_own = pair.was.document.at(&was).is_none() && pair.now.document.at(&now).is_none();
    match neither_is_own && of_policy != [Step::Key(String::new())] {
        true => Place {
            was: of_policy.clone(),
            now: of_policy,
        },
        false => Place {
            was: either(pair.was.document, &was),
            now: either(pair.now.document, &now),
        },
    }
}

/// Compares a rule field by field, or as a whole if only one side has it.
fn rule(pair: &Pair<'_>, place: &Place, was: Option<Vec<Said>>, now: Option<Vec<Said>>) -> Vec<FieldChange> {
    let (Some(was), Some(now)) = (&was, &now) else {
        let text = |said: Option<Vec<Said>>| said.map(|said| in_one_line(&said));
        return pair.change(place, text(was), text(now)).into_iter().collect();
    };
    let fields = was.iter().zip(now);
    let changes = fields
        .filter_map(|((name, was), (_, now))| pair.change(&place.with(name), Some(was.clone()), Some(now.clone())));
    changes.collect()
}

/// Compares the quotas of two routes by their names.
fn quotas(pair: &Pair<'_>, place: &Place, was: &Route, now: &Route) -> Vec<FieldChange> {
    let find = |route: &Route, name: &str| {
        let found = route.quotas.iter().find(|one| one.name == name);
        found.map(|one| quota(one))
    };
    let mut names: Vec<&str> = Vec::new();
    for Quota { name, .. } in was.quotas.iter().chain(&now.quotas).map(AsRef::as_ref) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let of_name = |name: &&str| {
        let place = Place {
            was: named(pair.was.document, &place.was, name),
            now: named(pair.now.document, &place.now, name),
        };
        rule(pair, &place, find(was, name), find(now, name))
    };
    names.iter().flat_map(of_name).collect()
}

/// Returns the path of the item of a list that has a name, or that of the list.
fn named(document: &Document, list: &[Step], name: &str) -> Vec<Step> {
    let items = match document.at(list).map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.as_slice(),
        _ => &[],
    };
    let has_name = |item| field(item, "name").is_some_and(|found| found.value == Value::Text(name.to_owned()));
    let found = items.iter().position(has_name);
    list.iter().cloned().chain(found.map(Step::Item)).collect()
}

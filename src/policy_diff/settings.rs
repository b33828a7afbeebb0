//! What no decision shows: limits, times, quotas, files of TLS, logging, and the configuration of the process. Two policies are
//! compared where their requests meet, by what they mean: a default that is written does not count.

use std::collections::BTreeSet;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::fields::{FieldChange, Side};
use crate::policy::{PathCase, Policy};

mod change;
mod config;
mod met;
mod policy;
mod route;
mod values;

use change::{Pair, Written};
use met::met;

pub use config::{Configuration, compare as configurations};

/// A setting that is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// The field.
    pub change: FieldChange,
    /// The service whose policy it is of; `None` for a setting of the process.
    pub service: Option<String>,
    /// The patterns of the routes that it is for; empty for all of the policy, and of the process.
    pub routes: BTreeSet<String>,
}

impl SettingChange {
    /// Makes a change one of a setting of the process.
    pub const fn of_process(change: FieldChange) -> Self {
        Self {
            change,
            service: None,
            routes: BTreeSet::new(),
        }
    }
}

impl Serialize for SettingChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "settings")?;
        map.serialize_entry("field", &self.change.field)?;
        map.serialize_entry("was", &self.change.was)?;
        map.serialize_entry("now", &self.change.now)?;
        map.serialize_entry("place", &self.change.location.to_string())?;
        map.serialize_entry("service", &self.service)?;
        map.serialize_entry("routes", &self.routes)?;
        map.end()
    }
}

/// Compares the settings of all policies and routes whose requests meet.
pub fn compare(was: Side<'_>, now: Side<'_>) -> Vec<SettingChange> {
    let mut found: Vec<SettingChange> = Vec::new();
    let mut seen: Option<(usize, usize)> = None;
    for (old, new) in met(was.policies, now.policies) {
        let (Some(old_side), Some(new_side)) = (written(was, old.policy), written(now, new.policy)) else {
            continue;
        };
        let pair = Pair {
            was: old_side,
            now: new_side,
        };
        if seen.replace((old.policy, new.policy)) != Some((old.policy, new.policy)) {
            let service = Some(new_side.policy.service.clone());
            for change in policy::compare(&pair) {
                add(&mut found, change, service.as_ref(), None);
            }
        }
        let pattern = new_side.policy.routes.get(new.route).map(|route| route.pattern.clone());
        let service = Some(new_side.policy.service.clone());
        for change in route::compare(&pair, (old.route, new.route)) {
            add(&mut found, change, service.as_ref(), pattern.clone());
        }
    }
    found.extend(folding_letters(was, now));
    found
}

fn written(side: Side<'_>, index: usize) -> Option<Written<'_>> {
    Some(Written {
        policy: side.policies.get(index)?,
        document: side.documents.get(index)?,
        body_bytes: side.body_bytes,
    })
}

/// Adds a change, or its route to the same change of another route.
fn add(found: &mut Vec<SettingChange>, change: FieldChange, service: Option<&String>, route: Option<String>) {
    match found.iter_mut().find(|other| other.change == change) {
        Some(same) => same.routes.extend(route),
        None => found.push(SettingChange {
            change,
            service: service.cloned(),
            routes: route.into_iter().collect(),
        }),
    }
}

/// One policy that ignores case has paths rejected for all policies: those with a letter that is an ASCII one in another
/// case, such as the sign of Kelvin.
fn folding_letters(was: Side<'_>, now: Side<'_>) -> Option<SettingChange> {
    let ignores = |policy: &Policy| policy.case == PathCase::Insensitive;
    let first = |side: Side<'_>| side.policies.policies().iter().position(ignores);
    let (side, index, is_there) = match (first(was), first(now)) {
        (None, Some(index)) => (now, index, true),
        (Some(index), None) => (was, index, false),
        _ => return None,
    };
    if side.policies.policies().iter().all(ignores) {
        // The decisions of this policy show it.
        return None;
    }
    let document = side.documents.get(index)?;
    let path = change::Place::plain("paths.case_insensitive").now;
    let rule = |on: bool| {
        let rule = if on { "rejected" } else { "read as they are" };
        Some(format!("letters such as the sign of Kelvin are {rule} in all policies"))
    };
    Some(SettingChange::of_process(FieldChange {
        field: "paths.case_insensitive".to_owned(),
        was: rule(!is_there),
        now: rule(is_there),
        location: document.nearest(&path),
        is_there,
    }))
}

//! All that a comparison says: the changes with their causes, and the settings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::effects::Effect;
use super::fields::{Causes, Documents, Side};
use super::settings::{self, Configuration, SettingChange};
use super::types::{Change, ClassCounts, Difference};
use crate::policy::PolicySet;
use crate::request::RequestLimits;

mod asks;
mod entry;
mod explained;
mod told;

pub use entry::Entry;
pub use explained::{Explained, Met, Named};

/// All that a comparison says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The changes of requests, danger first.
    pub changes: Vec<Explained>,
    /// What no request shows.
    pub settings: Vec<SettingChange>,
    /// How many routes of the new policies answer as before: their requests, and those of the route that each was.
    pub unchanged_routes: usize,
    /// How many routes the new policies have.
    pub routes: usize,
    /// What was looked at.
    pub classes: ClassCounts,
    /// All classes of hosts.
    #[serde(skip)]
    pub hosts: Vec<String>,
}

impl Report {
    /// Explains a difference of two sets of policies, and compares the settings of both.
    pub fn new(
        (was, now): (&PolicySet, &PolicySet),
        difference: Difference,
        configurations: Option<(&Configuration, &Configuration)>,
    ) -> Self {
        let documents = (Documents::of(was), Documents::of(now));
        let side = |policies, documents, configuration: Option<&Configuration>| {
            let usual = RequestLimits::default().body_bytes;
            let body_bytes = configuration.map_or(usual, Configuration::body_bytes);
            Side {
                policies,
                documents,
                body_bytes,
            }
        };
        let (old, new) = (
            side(was, &documents.0, configurations.map(|(was, _)| was)),
            side(now, &documents.1, configurations.map(|(_, now)| now)),
        );
        let mut causes = Causes::new(old, new);
        let explain = |mut change: Change| {
            told::complete(&mut change.delta, (was, change.was), (now, change.now));
            Explained {
                because: causes.of(&change),
                was: Met::of(was, change.was),
                now: Met::of(now, change.now),
                named: None,
                change,
            }
        };
        let mut settings: Vec<_> = configurations
            .into_iter()
            .flat_map(|(was, now)| settings::configurations(was, now))
            .map(SettingChange::of_process)
            .collect();
        settings.extend(settings::compare(old, new));
        Self {
            changes: difference.changes.into_iter().map(explain).collect(),
            settings,
            unchanged_routes: difference.unchanged_routes,
            routes: difference.routes,
            classes: difference.classes,
            hosts: difference.hosts,
        }
    }

    /// Whether no request is answered differently.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.settings.is_empty()
    }

    /// Returns the entries of a kind: changes with the same causes are one.
    pub fn entries(&self, kind: Effect) -> Vec<Entry<'_>> {
        let mut found: Vec<Entry<'_>> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for one in self.changes.iter().filter(|one| one.kind() == kind) {
            let key = one.cause_key();
            let at = key.as_ref().and_then(|key| places.get(key));
            if let Some(entry) = at.and_then(|at| found.get_mut(*at)) {
                entry.members.push(one);
                continue;
            }
            places.extend(key.map(|key| (key, found.len())));
            found.push(Entry { members: vec![one] });
        }
        for entry in &mut found {
            entry.members.sort_by_key(|one| !one.change.region.is_plain());
        }
        found
    }
}

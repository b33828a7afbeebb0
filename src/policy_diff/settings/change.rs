//! Settings of two policies: what they mean on both sides, and where they stand.

use crate::policy::Policy;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::fields::document::{Document, Step, flow, path_text};

/// A policy and its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'s> {
    /// The policy.
    pub(super) policy: &'s Policy,
    /// Its file.
    pub(super) document: &'s Document,
    /// The longest body where a route has no limit of its own, in bytes.
    pub(super) body_bytes: u64,
}

/// Two policies whose requests meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'s> {
    /// The old one.
    pub(super) was: Written<'s>,
    /// The new one.
    pub(super) now: Written<'s>,
}

/// Where a setting stands in both files.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its path in the old file.
    pub(super) was: Vec<Step>,
    /// Its path in the new file.
    pub(super) now: Vec<Step>,
}

impl Place {
    /// A field at the same path in both files, with dots between the keys.
    pub(super) fn plain(field: &str) -> Self {
        let path: Vec<_> = field.split('.').map(|key| Step::Key(key.to_owned())).collect();
        Self {
            was: path.clone(),
            now: path,
        }
    }

    /// Returns a field within both.
    #[must_use]
    pub(super) fn with(&self, field: &str) -> Self {
        let joined = |path: &[Step]| path.iter().cloned().chain([Step::Key(field.to_owned())]).collect();
        Self {
            was: joined(&self.was),
            now: joined(&self.now),
        }
    }
}

impl Pair<'_> {
    /// Returns the change of a setting, unless it means the same.
    pub(super) fn change(&self, place: &Place, was: Option<String>, now: Option<String>) -> Option<FieldChange> {
        if was == now {
            return None;
        }
        let (old, new) = (self.was.document, self.now.document);
        let is_gone = new.at(&place.now).is_none() && old.at(&place.was).is_some();
        Some(FieldChange {
            field: path_text(if is_gone { &place.was } else { &place.now }),
            was,
            now,
            location: match is_gone {
                true => old.nearest(&place.was),
                false => new.nearest(&place.now),
            },
            is_there: !is_gone,
        })
    }

    /// Returns the change of a setting that is compared as it is written.
    pub(super) fn written(&self, place: &Place) -> Option<FieldChange> {
        let was = self.was.document.at(&place.was).map(flow);
        self.change(place, was, self.now.document.at(&place.now).map(flow))
    }
}

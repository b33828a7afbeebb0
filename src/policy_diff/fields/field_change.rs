//! A field that differs, and the files that it stands in.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::differences::Difference;
use super::document::{Document, flow, path_text};
use crate::document::problem::{Location, SourceFile};
use crate::document::yaml::Node;
use crate::policy::{Policy, PolicySet};

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
    /// The longest body where a route has no limit of its own, in bytes.
    pub body_bytes: u64,
}

impl<'s> Side<'s> {
    pub(super) fn policy(self, index: usize) -> Option<(&'s Policy, &'s Document)> {
        Some((self.policies.get(index)?, self.documents.get(index)?))
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

//! No field is forgotten by `diff`: each field, word and item of the JSON Schemas is changed in a small document that has it, and
//! if the changed document means something else, `diff` says something. This asks the library, for there are hundreds of changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use serde_json::Value;
use sidegate::{
    config::ServerConfig,
    document::problem::SourceFile,
    policy::{ErrorStyle, PolicySet},
    policy_diff::{
        compare,
        report::Report,
        settings::{Configuration, configurations},
    },
    rehearsal::{Rehearsal, ThrowawayKeys},
};

use crate::schema::format::Format;

mod changes;
mod small;

use changes::{Changed, Key, changes};
use small::around;

/// Fields whose changes mean nothing, by the definition and the field, with the reason.
const MEAN_NOTHING: [(&str, &str); 2] = [
    ("Sidegate policy/version", "there is one version"),
    ("sidegate.yaml/version", "there is one version"),
];

/// Fields of `sidegate.yaml` that `diff` does not compare as they are written.
const NOT_COMPARED: [(&str, &str); 2] = [
    ("sidegate.yaml/policies", "the policies at the path are compared"),
    ("Store options/redis", "its fields are compared"),
];

/// Lists whose order says nothing. That of other lists is a change.
const IN_ANY_ORDER: [&str; 6] = [
    "Sidegate policy/hosts",
    "Sidegate policy/routes",
    "Route/methods",
    "Route/content_types",
    "sidegate.yaml/listeners",
    "sidegate.yaml/trusted_proxies",
];

#[test]
fn each_change_of_a_policy_that_means_something_else_is_said() {
    let keys = Arc::new(ThrowawayKeys::new());
    let read = |document: &Value| {
        let source = Arc::new(SourceFile::new("policy.yaml", format!("{document:#}")));
        PolicySet::parse(&[source], &*keys, ErrorStyle::default()).ok()
    };
    let is_accepted = |document: &Value| read(document).is_some();
    let format = Format::policy();
    let mut walk = Walk::default();
    for document in format.complete() {
        for (pointer, wanted) in places(&format.schema, &document) {
            let mut small = around(&document, &pointer, &is_accepted);
            while wanted.iter().any(|key| walk.wants(key))
                && let Some(small) = small.next()
            {
                let old = read(&small.document).unwrap();
                let here = |change: &Changed| change.pointer == small.pointer;
                for change in changes(&format.schema, &small.document).into_iter().filter(here) {
                    if walk.wants(&change.key())
                        && let Some(new) = read(&change.document).filter(|new| *new != old)
                    {
                        walk.note(&change, says_something(&old, &new, &keys));
                    }
                }
            }
        }
    }
    walk.end(&format, &[]);
}

/// All places of changes in a document, each with the fields that change there and what to.
fn places(schema: &Value, document: &Value) -> BTreeMap<String, BTreeSet<Key>> {
    let mut found: BTreeMap<String, BTreeSet<Key>> = BTreeMap::new();
    for change in changes(schema, document) {
        let key = change.key();
        found.entry(change.pointer).or_default().insert(key);
    }
    found
}

/// Whether a comparison of two sets says anything. Settings are cheaper to compare than answers. A comparison that cannot be
/// made says nothing.
fn says_something(old: &PolicySet, new: &PolicySet, keys: &Arc<ThrowawayKeys>) -> bool {
    let report = |difference| Report::new((old, new), difference, None);
    if !report(sidegate::policy_diff::Difference::default()).is_empty() {
        return true;
    }
    let rehearsal = |policies: &PolicySet| Rehearsal::new(Arc::new(policies.clone()), keys);
    compare(&rehearsal(old), &rehearsal(new)).is_ok_and(|difference| !report(difference).is_empty())
}

#[test]
fn each_change_of_a_configuration_that_means_something_else_is_said() {
    let keys = ThrowawayKeys::new();
    let read = |document: &Value| {
        let source = Arc::new(SourceFile::new("sidegate.yaml", format!("{document:#}")));
        let config = ServerConfig::parse_with(&source, Path::new(""), &keys).ok()?;
        Some(Configuration { config, source })
    };
    let format = Format::config();
    let mut walk = Walk::default();
    for document in format.complete() {
        let old = read(&document).unwrap();
        for change in changes(&format.schema, &document) {
            if !walk.wants(&change.key()) {
                continue;
            }
            let Some(new) = read(&change.document) else { continue };
            let is_said = !configurations(&old, &new).is_empty();
            // What a variable would say is not asked, but the name of another one is another.
            if is_said || format.read(&document).ok() != format.read(&change.document).ok() {
                walk.note(&change, is_said);
            }
        }
    }
    walk.end(&format, &NOT_COMPARED);
}

/// What was tried, and what was said of it.
#[derive(Default)]
struct Walk {
    said: BTreeSet<Key>,
    /// Changes that mean something else and were said nowhere.
    unsaid: BTreeMap<Key, String>,
}

impl Walk {
    fn wants(&self, key: &Key) -> bool {
        !self.said.contains(key)
    }

    fn note(&mut self, change: &Changed, is_said: bool) {
        let key = change.key();
        if is_said {
            self.unsaid.remove(&key);
            self.said.insert(key);
            return;
        }
        let is_order = change.to == "reversed" && IN_ANY_ORDER.contains(&change.field.as_str());
        if !is_order && self.wants(&key) {
            let line = format!("{} {}: {}", change.field, change.pointer, change.to);
            self.unsaid.insert(key, line);
        }
    }

    /// Every change was said, and every field and word had one.
    #[track_caller]
    fn end(self, format: &Format, not_compared: &[(&str, &str)]) {
        let is_compared = |line: &&String| !not_compared.iter().any(|(field, _)| line.starts_with(field));
        let unsaid: Vec<_> = self.unsaid.values().filter(is_compared).collect();
        let said: BTreeSet<&str> = self.said.iter().map(|(field, _)| field.as_str()).collect();
        let excepted = MEAN_NOTHING.iter().chain(not_compared);
        let excepted: BTreeSet<&str> = excepted.map(|(field, _)| *field).collect();
        let all = fields(&format.schema);
        let without: Vec<_> = all
            .iter()
            .filter(|field| !said.contains(field.as_str()) && !excepted.contains(field.as_str()))
            .collect();
        assert!(
            unsaid.is_empty() && without.is_empty(),
            "{} changes were said; not said: {unsaid:#?}\nwithout a change: {without:#?}",
            self.said.len()
        );
        assert!(self.said.len() > 80, "{}", self.said.len());
    }
}

/// All fields of a schema, by their definition and name.
fn fields(schema: &Value) -> BTreeSet<String> {
    let definitions = schema["$defs"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, definition)| definition);
    let mut found = BTreeSet::new();
    for definition in definitions.chain([schema]) {
        let title = definition["title"].as_str().unwrap();
        let properties = definition["properties"].as_object().into_iter().flatten();
        found.extend(properties.map(|(name, _)| format!("{title}/{name}")));
    }
    found
}

//! No field is forgotten by `diff`: each field, word and item of the JSON Schemas is changed in a complete document, and if the
//! changed document means something else, `diff` says something. This asks the library, for there are thousands of changes.

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
        TooMany, compare,
        report::Report,
        settings::{Configuration, configurations},
    },
    rehearsal::{Rehearsal, ThrowawayKeys},
};

use crate::schema::format::Format;

mod changes;

use changes::{Changed, changes};

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

/// How many changes of one field to one kind of value are tried.
const TRIED: usize = 3;

#[test]
fn each_change_of_a_policy_that_means_something_else_is_said() {
    let keys = Arc::new(ThrowawayKeys::new());
    let read = |document: &Value| {
        let source = Arc::new(SourceFile::new("policy.yaml", format!("{document:#}")));
        PolicySet::parse(&[source], &*keys, ErrorStyle::default()).ok()
    };
    let format = Format::policy();
    let mut walk = Walk::default();
    for document in format.complete().iter().flat_map(with_few_conditions) {
        let old = read(&document).unwrap();
        for change in changes(&format.schema, &document) {
            if !walk.wants(&change) {
                continue;
            }
            let Some(new) = read(&change.document).filter(|new| *new != old) else {
                continue;
            };
            match says_something(&old, &new, &keys) {
                Ok(is_said) => walk.note(&change, is_said),
                // This is said, too, and nothing else is.
                Err(TooMany { .. }) => walk.too_many.push(format!("{} {}: {}", change.field, change.pointer, change.to)),
            }
        }
    }
    walk.end(&format, &[]);
}

/// Splits the conditions of a document, of which each makes callers differ, into several documents.
fn with_few_conditions(document: &Value) -> Vec<Value> {
    const MOST: usize = 2;
    let lists = ["/routes/0/when", "/jwt/issuers/0/when"];
    let lengths = lists.map(|list| document.pointer(list).and_then(Value::as_array).map_or(0, Vec::len));
    let parts = lengths
        .iter()
        .map(|length| length.div_ceil(MOST))
        .max()
        .unwrap_or(0)
        .max(1);
    let part = |part: usize| {
        let mut document = document.clone();
        for list in lists {
            if let Some(Value::Array(conditions)) = document.pointer_mut(list) {
                let kept = conditions.chunks(MOST).nth(part).or(conditions.chunks(MOST).last());
                *conditions = kept.unwrap().to_vec();
            }
        }
        document
    };
    (0..parts).map(part).collect()
}

/// Whether a comparison of two sets says anything. Settings are cheaper to compare than answers.
fn says_something(old: &PolicySet, new: &PolicySet, keys: &Arc<ThrowawayKeys>) -> Result<bool, TooMany> {
    let report = |difference| Report::new((old, new), difference, None);
    if !report(sidegate::policy_diff::Difference::default()).is_empty() {
        return Ok(true);
    }
    let rehearsal = |policies: &PolicySet| Rehearsal::new(Arc::new(policies.clone()), keys);
    let difference = compare(&rehearsal(old), &rehearsal(new))?;
    Ok(!report(difference).is_empty())
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
            if !walk.wants(&change) {
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
    /// How many changes were said, by the field and what it was changed to.
    said: BTreeMap<(String, String), usize>,
    unsaid: Vec<String>,
    /// Changes of policies that tell too many callers apart.
    too_many: Vec<String>,
}

impl Walk {
    fn wants(&self, change: &Changed) -> bool {
        let key = (change.field.clone(), change.to.clone());
        self.said.get(&key).is_none_or(|said| *said < TRIED)
    }

    fn note(&mut self, change: &Changed, is_said: bool) {
        if is_said {
            *self.said.entry((change.field.clone(), change.to.clone())).or_default() += 1;
        } else {
            let is_order = change.to == "reversed" && IN_ANY_ORDER.contains(&change.field.as_str());
            let line = format!("{} {}: {}", change.field, change.pointer, change.to);
            self.unsaid.extend((!is_order).then_some(line));
        }
    }

    /// Every change was said, and every field and word had one.
    #[track_caller]
    fn end(self, format: &Format, not_compared: &[(&str, &str)]) {
        let is_compared = |line: &&String| !not_compared.iter().any(|(field, _)| line.starts_with(field));
        let unsaid: Vec<_> = self.unsaid.iter().filter(is_compared).collect();
        let said: BTreeSet<&str> = self.said.keys().map(|(field, _)| field.as_str()).collect();
        let excepted = MEAN_NOTHING.iter().chain(not_compared);
        let excepted: BTreeSet<&str> = excepted.map(|(field, _)| *field).collect();
        let all = fields(&format.schema);
        let without: Vec<_> = all
            .iter()
            .filter(|field| !said.contains(field.as_str()) && !excepted.contains(field.as_str()))
            .collect();
        let said: usize = self.said.values().sum();
        assert!(
            unsaid.is_empty() && without.is_empty(),
            "{said} changes were said; not said: {unsaid:#?}\nwithout a change: {without:#?}\ntoo many: {:#?}",
            self.too_many
        );
        assert!(said > 80, "{said}");
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

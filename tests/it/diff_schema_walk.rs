//! No field is forgotten by `diff`: each field, word and item of the JSON Schemas is changed in a small document that has it, and
//! if the changed document means something else, `diff` says something. This asks the library, for there are hundreds of changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
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

use crate::schema::format::{Format, ROOT, as_json};

mod changes;
mod small;

use changes::{Changed, Key, changes};
use small::around;

/// Fields whose changes mean nothing, by the definition and the field, with the reason.
const MEAN_NOTHING: [(&str, &str); 5] = [
    ("Sidegate policy/version", "there is one version"),
    (
        "Sidegate policy/jwt",
        "it can be left out where no route asks for a token",
    ),
    (
        "Sidegate policy/mtls",
        "it can be left out where no route asks for a certificate",
    ),
    (
        "Oidc options/issuer",
        "it is the name of the issuer, which changes with it",
    ),
    ("sidegate.yaml/version", "there is one version"),
];

/// Fields of `sidegate.yaml` that `diff` does not compare as they are written.
const NOT_COMPARED: [(&str, &str); 2] = [
    ("sidegate.yaml/policies", "the policies at the path are compared"),
    ("Store options/redis", "its fields are compared"),
];

/// How many threads make changes.
const WALKERS: usize = 2;

/// Lists whose order says nothing. That of other lists is a change.
const IN_ANY_ORDER: [&str; 24] = [
    "Claim condition/has_any",
    "Claim condition/in",
    "Client condition/in",
    "Condition/has_any",
    "Condition/in",
    "Cors/origins",
    "Idempotency/methods",
    "Internal key/keys",
    "Issuer/algorithms",
    "Issuer/audience",
    "Issuer/ignore_headers",
    "Issuer/issuer",
    "Issuer/issuer_values",
    "Issuer/required_claims",
    "Issuer/types",
    "Issuer/when",
    "Jwt/issuers",
    "Route/methods",
    "Route/content_types",
    "Route/when",
    "Sidegate policy/hosts",
    "Sidegate policy/routes",
    "sidegate.yaml/listeners",
    "sidegate.yaml/trusted_proxies",
];

#[test]
fn each_change_of_a_policy_that_means_something_else_is_said() {
    let format = Format::policy();
    let documents: Vec<_> = policies().into_iter().chain(format.complete()).collect();
    let places: Vec<_> = documents
        .iter()
        .flat_map(|document| {
            places(&format.schema, document)
                .into_iter()
                .map(move |place| (document, place))
        })
        .collect();
    let (next, walk, reader) = (AtomicUsize::new(0), Mutex::new(Walk::default()), Reader::default());
    thread::scope(|scope| {
        for _ in 0..WALKERS {
            scope.spawn(|| {
                while let Some((document, (pointer, wanted))) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    change_at(&format.schema, (document, pointer), wanted, &reader, &walk);
                }
            });
        }
    });
    walk.into_inner().unwrap().end(&format, &[]);
}

/// Reads policies, those that several places have in common once.
struct Reader {
    keys: Arc<ThrowawayKeys>,
    known: Mutex<HashMap<String, Option<PolicySet>>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            keys: Arc::new(ThrowawayKeys::new()),
            known: Mutex::default(),
        }
    }
}

impl Reader {
    fn read(&self, document: &Value) -> Option<PolicySet> {
        let source = Arc::new(SourceFile::new("policy.yaml", document.to_string()));
        PolicySet::parse(&[source], &*self.keys, ErrorStyle::default()).ok()
    }

    fn read_once(&self, document: &Value) -> Option<PolicySet> {
        let text = document.to_string();
        if let Some(known) = self.known.lock().unwrap().get(&text) {
            return known.clone();
        }
        let read = self.read(document);
        self.known.lock().unwrap().insert(text, read.clone());
        read
    }
}

/// Changes what is at a place of a policy, in small documents, until all that is wanted was said.
fn change_at(
    schema: &Value,
    (document, pointer): (&Value, &str),
    wanted: &BTreeSet<Key>,
    reader: &Reader,
    walk: &Mutex<Walk>,
) {
    let wants = |key: &Key| walk.lock().unwrap().wants(key);
    let is_accepted = |document: &Value| reader.read_once(document).is_some();
    let mut small = around(document, pointer, &is_accepted);
    while wanted.iter().any(wants)
        && let Some(small) = small.next()
    {
        let old = reader.read_once(&small.document).unwrap();
        for change in changes(schema, &small.document, Some(&small.pointer)) {
            if wants(&change.key())
                && let Some(new) = reader.read(&change.document).filter(|new| *new != old)
            {
                let is_said = says_something(&old, &new, &reader.keys);
                walk.lock().unwrap().note(&change, is_said);
            }
        }
    }
}

/// Policies in which fields matter that do not where all fields stand together.
fn policies() -> Vec<Value> {
    let folder = Path::new(ROOT).join("tests/it/diff_schema_walk/policies");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| as_json(file)).collect()
}

/// All places of changes in a document, each with the fields that change there and what to.
fn places(schema: &Value, document: &Value) -> BTreeMap<String, BTreeSet<Key>> {
    let mut found: BTreeMap<String, BTreeSet<Key>> = BTreeMap::new();
    for change in changes(schema, document, None) {
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
        for change in changes(&format.schema, &document, None) {
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
        let is_order = key.1 == "reversed" && IN_ANY_ORDER.contains(&key.0.as_str());
        let means_nothing = MEAN_NOTHING.iter().any(|(field, _)| *field == key.0);
        !is_order && !means_nothing && !self.said.contains(key)
    }

    fn note(&mut self, change: &Changed, is_said: bool) {
        let key = change.key();
        if is_said {
            self.unsaid.remove(&key);
            self.said.insert(key);
            return;
        }
        if self.wants(&key) {
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

/// All fields of a schema, by their definition and name, but for those whose value has fields of its own.
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
        let plain = properties.filter(|(_, property)| property.get("$ref").is_none());
        found.extend(plain.map(|(name, _)| format!("{title}/{name}")));
    }
    found
}

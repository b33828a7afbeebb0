//! Settings of a `sidegate.yaml`: every field that means something else, by the defaults of its JSON Schema.

use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value as Json;

use crate::config::ServerConfig;
use crate::config::document::ConfigDocument;
use crate::document::problem::SourceFile;
use crate::document::scalars::{HumanDuration, Size};
use crate::document::schema::schema_of;
use crate::document::yaml::{Node, Value};
use crate::policy::{ErrorFormat, ErrorStyle};
use crate::policy_diff::fields::differences::{Difference, differences};
use crate::policy_diff::fields::document::{Document, Step, flow, kind_text, path_text};
use crate::policy_diff::fields::{FieldChange, field_change};

/// A configuration, and the file that it was read from.
#[derive(Debug)]
pub struct Configuration {
    /// What it means.
    pub config: ServerConfig,
    /// The file.
    pub source: Arc<SourceFile>,
}

impl Configuration {
    /// Returns the longest body of requests whose route has no limit of its own, in bytes.
    pub const fn body_bytes(&self) -> u64 {
        self.config.limits.request.body_bytes
    }
}

/// Fields that are not settings: the format, and the path of the policies, which are compared themselves.
const NOT_COMPARED: [&str; 2] = ["version", "policies"];

/// Compares two configurations.
pub fn compare(was: &Configuration, now: &Configuration) -> Vec<FieldChange> {
    let (Some(old), Some(new)) = (Document::new(&was.source), Document::new(&now.source)) else {
        return Vec::new();
    };
    let schema = schema_of::<ConfigDocument>("", "");
    let found = differences(&[], Some(old.root()), Some(new.root()));
    let found = found.into_iter().flat_map(|difference| parts(difference, &schema));
    let counts = |difference: &Difference<'_>| {
        let kind = kind_text(&difference.path);
        match kind.as_str() {
            "listeners" => was.config.listeners != now.config.listeners,
            "store" => was.config.store != now.config.store,
            "trusted_proxies" => trusted(&was.config) != trusted(&now.config),
            kind if kind.starts_with("defaults") => false,
            kind => !NOT_COMPARED.contains(&kind) && means_something_else(difference, &schema),
        }
    };
    let found = found.filter(counts);
    let mut found: Vec<_> = found.map(|difference| field_change(&difference, &old, &new)).collect();
    found.extend(default_errors((&was.config, &old), (&now.config, &new)));
    found
}

/// Networks without those that lie in others.
fn trusted(config: &ServerConfig) -> Vec<IpNet> {
    IpNet::aggregate(&config.trusted_proxies)
}

const fn format_word(format: ErrorFormat) -> &'static str {
    match format {
        ErrorFormat::Flat => "flat",
        ErrorFormat::Envelope => "envelope",
        ErrorFormat::Problem => "problem",
    }
}

/// Compares how errors are written where no policy says it, by what it means: defaults depend on each other.
fn default_errors((was, old): (&ServerConfig, &Document), (now, new): (&ServerConfig, &Document)) -> Vec<FieldChange> {
    type Field = (&'static str, fn(&ErrorStyle) -> Option<String>);
    const FIELDS: [Field; 5] = [
        ("format", |style| Some(format_word(style.format).to_owned())),
        ("code_prefix", |style| Some(style.code_prefix.clone())),
        ("scope_challenge", |style| Some(style.scope_challenge.to_string())),
        ("reason_header", |style| Some(style.reason_header.to_string())),
        ("type_base", |style| style.type_base.clone()),
    ];
    let changes = FIELDS.iter().filter_map(|(name, value)| {
        let (was, now) = (value(&was.default_errors), value(&now.default_errors));
        let path = ["defaults", "errors", name].map(|key| Step::Key(key.to_owned()));
        let is_gone = new.at(&path).is_none() && old.at(&path).is_some();
        (was != now).then(|| FieldChange {
            field: path_text(&path),
            was,
            now,
            location: if is_gone {
                old.nearest(&path)
            } else {
                new.nearest(&path)
            },
            is_there: !is_gone,
        })
    });
    changes.collect()
}

/// Splits a block that only one side has into its fields, if each has a default.
fn parts<'n>(difference: Difference<'n>, schema: &Json) -> Vec<Difference<'n>> {
    let one = difference.now.or(difference.was);
    let is_alone = difference.now.is_none() || difference.was.is_none();
    let Some(Value::Mapping(entries)) = one.filter(|_| is_alone).map(|node| &node.value) else {
        return vec![difference];
    };
    let block = find(schema, &difference.path).map(|found| resolved(schema, found));
    let is_optional = block.is_some_and(|block| block.get("required").is_none() && block.get("properties").is_some());
    if !is_optional || entries.is_empty() {
        return vec![difference];
    }
    let part = |((key, _), node): &'n ((String, _), Node)| {
        let path = difference
            .path
            .iter()
            .cloned()
            .chain([Step::Key(key.clone())])
            .collect();
        let side = |there: Option<&'n Node>| there.map(|_| node);
        let part = Difference {
            path,
            was: side(difference.was),
            now: side(difference.now),
        };
        parts(part, schema)
    };
    entries.iter().flat_map(part).collect()
}

/// Tells whether a field means something else, with its default where it is not written.
fn means_something_else(difference: &Difference<'_>, schema: &Json) -> bool {
    let Some(field) = find(schema, &difference.path) else {
        return true;
    };
    let default = field.get("default");
    let meaning = |node: Option<&Node>| match node {
        Some(node) => Some(meaning(node, field)),
        None => default.map(|default| meaning_of_default(default, field)),
    };
    meaning(difference.was) != meaning(difference.now)
}

/// Returns a value as it is compared: lengths of time in milliseconds, sizes in bytes, lists of texts in any order.
fn meaning(node: &Node, schema: &Json) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) | Value::Text(text) => measured(text, schema),
        Value::Sequence(items) => {
            let mut items: Vec<_> = items.iter().map(|item| meaning(item, schema)).collect();
            items.sort_unstable();
            items.join("\n")
        }
        Value::Mapping(_) => flow(node),
    }
}

fn meaning_of_default(default: &Json, schema: &Json) -> String {
    match default {
        Json::String(text) => measured(text, schema),
        Json::Array(items) => {
            let mut items: Vec<_> = items.iter().map(|item| meaning_of_default(item, schema)).collect();
            items.sort_unstable();
            items.join("\n")
        }
        Json::Number(number) => measured(&number.to_string(), schema),
        other => other.to_string(),
    }
}

fn measured(text: &str, schema: &Json) -> String {
    let about = schema
        .get("patternErrorMessage")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let period = || text.parse::<HumanDuration>().ok();
    let size = || text.parse::<Size>().ok();
    let measured = match about {
        about if about.contains("length of time") => period().map(|period| period.0.as_millis().to_string()),
        about if about.contains("number of bytes") => size().map(|size| size.0.to_string()),
        _ => None,
    };
    measured.unwrap_or_else(|| text.to_owned())
}

/// Finds the schema of the value at the end of a path, as the field has it.
fn find<'s>(root: &'s Json, path: &[Step]) -> Option<&'s Json> {
    path.iter().try_fold(root, |schema, step| {
        forms(root, schema).into_iter().find_map(|form| match step {
            Step::Key(key) => form.get("properties")?.get(key),
            Step::Item(_) => form.get("items"),
        })
    })
}

/// Returns the forms that a value can have.
fn forms<'s>(root: &'s Json, schema: &'s Json) -> Vec<&'s Json> {
    let schema = resolved(root, schema);
    let others = schema.get("anyOf").and_then(Json::as_array).into_iter().flatten();
    std::iter::once(schema)
        .chain(others.map(|other| resolved(root, other)))
        .collect()
}

fn resolved<'s>(root: &'s Json, schema: &'s Json) -> &'s Json {
    let reference = schema.get("$ref").and_then(Json::as_str);
    let found = reference.and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    found.unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(was: &str, now: &str) -> Vec<String> {
        let configuration = |name: &str, text: &str| {
            let text = format!("version: 1\n{text}");
            let config = ServerConfig::parse(SourceFile::new(name, &text), Path::new("")).unwrap();
            Configuration {
                config,
                source: Arc::new(SourceFile::new(name, text)),
            }
        };
        let found = compare(&configuration("old", was), &configuration("new", now));
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let line = |one: FieldChange| format!("{} {} {} {}", one.field, text(one.was), text(one.now), one.location);
        found.into_iter().map(line).collect()
    }

    #[test]
    fn settings_are_compared_by_what_they_mean() {
        for (was, now, want) in [
            ("", "limits: { body_bytes: 10MiB, headers: 100 }", &[][..]),
            ("", "limits: { body_bytes: 10485760, header_timeout: 10000ms }", &[]),
            ("", "trusted_proxies: []", &[]),
            ("", "listeners: [{ address: '0.0.0.0:8080' }]", &[]),
            ("", "store: memory", &[]),
            ("store: memory", "store: { memory: { size: 256MiB } }", &[]),
            ("", "log: { level: info }", &[]),
            ("", "policies: policies.d", &[]),
            (
                "trusted_proxies: [10.0.0.0/8, 192.168.0.1]",
                "trusted_proxies: [192.168.0.1, 10.0.0.0/8]",
                &[],
            ),
            (
                "",
                "limits: { body_bytes: 1MiB, headers: 100 }",
                &["limits.body_bytes - 1MiB new:2:23"],
            ),
            ("shutdown: { grace: 1m }", "", &["shutdown.grace 1m - old:2:20"]),
            (
                "trusted_proxies: [10.0.0.0/8]",
                "trusted_proxies: [10.0.0.0/7]",
                &["trusted_proxies [10.0.0.0/8] [10.0.0.0/7] new:2:18"],
            ),
            (
                "listeners: [{ address: '0.0.0.0:8080' }]",
                "listeners: [{ address: '0.0.0.0:8080', connections: 7 }]",
                &["listeners[0].connections - 7 new:2:53"],
            ),
            ("", "threads: 2", &["threads - 2 new:2:10"]),
            ("", "threads: 1", &[]),
            ("threads: auto", "threads: auto", &[]),
            // By what is written, not by the processors of the machine that compares.
            ("", "threads: auto", &["threads - auto new:2:10"]),
            ("threads: auto", "threads: 2", &["threads auto 2 new:2:10"]),
            ("threads: auto", "threads: 1", &["threads auto 1 new:2:10"]),
            (
                "",
                "defaults: { errors: { format: problem } }",
                &["defaults.errors.format flat problem new:2:31"],
            ),
            ("", "defaults: { errors: { format: flat, reason_header: true } }", &[]),
            (
                "defaults: { errors: { format: envelope, code_prefix: ERR_X } }",
                "defaults: { errors: { format: envelope } }",
                &["defaults.errors.code_prefix ERR_X ERR_SIDEGATE old:2:54"],
            ),
            (
                "trusted_proxies: [10.0.0.0/8, 10.1.0.0/16, '::ffff:10.2.0.1']",
                "trusted_proxies: [10.0.0.0/9, 10.128.0.0/9]",
                &[],
            ),
            ("", "control: 'off'", &["control - \"off\" new:2:10"]),
        ] {
            assert_eq!(found(was, now), want, "{was} | {now}");
        }
    }
}

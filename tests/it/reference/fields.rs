//! The fields of a file format, as its JSON Schema describes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{code, table};
use crate::harness::{Setup, gateway::text};

/// The schema of a format, as the program prints it.
fn schema(format: &str) -> Value {
    let output = Setup::new().run(&["schema", format]);
    serde_json::from_str(&text(&output)).unwrap()
}

/// A table for each mapping of the format: required fields first.
pub(super) fn render(format: &str) -> String {
    let schema = schema(format);
    let mut page = String::new();
    for Section { path, about, rows } in Walk::through(&schema) {
        let title = if path.is_empty() {
            "The file".to_owned()
        } else {
            code(&path)
        };
        let _infallible = write!(page, "### {title}\n\n");
        if !path.is_empty() && !about.is_empty() {
            let _infallible = write!(page, "{about}\n\n");
        }
        page += &table(&["field", "value", "default", "meaning"], rows);
        page.push('\n');
    }
    page
}

/// A mapping of the format.
struct Section {
    /// Where it stands, as in `jwt.issuers[]`.
    path: String,
    about: String,
    rows: Vec<Vec<String>>,
}

struct Walk<'s> {
    schema: &'s Value,
    /// The mappings to describe, by where they are found first: the ones of the file before those within them.
    found: Vec<(String, &'s Value)>,
}

impl<'s> Walk<'s> {
    /// Describes all mappings; those within a field of the file stand together.
    fn through(schema: &'s Value) -> Vec<Section> {
        let mut walk = Self {
            schema,
            found: vec![(String::new(), schema)],
        };
        let mut sections = Vec::new();
        while let Some((path, object)) = walk.found.get(sections.len()).cloned() {
            sections.push(walk.section(path, object));
        }
        let first = |path: &str| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        let fields: Vec<_> = sections[0]
            .rows
            .iter()
            .map(|row| row[0].trim_matches('`').to_owned())
            .collect();
        let place = |section: &Section| fields.iter().position(|field| *field == first(&section.path));
        sections.sort_by_key(place);
        sections
    }

    fn section(&mut self, path: String, object: &'s Value) -> Section {
        let properties = object["properties"].as_object().unwrap();
        let required: Vec<_> = object["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let is_required = |name: &String| required.contains(&name.as_str());
        let (first, rest): (Vec<_>, Vec<_>) = properties.iter().partition(|(name, _)| is_required(name));
        let fields = first.into_iter().chain(rest);
        Section {
            about: described(object),
            rows: fields
                .map(|(name, field)| self.row(&path, name, field, is_required(name)))
                .collect(),
            path,
        }
    }

    fn row(&mut self, path: &str, name: &str, property: &'s Value, required: bool) -> Vec<String> {
        let inner = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        let resolved = self.resolved(property);
        let default = match (required, property.get("default").or(resolved.get("default"))) {
            (true, _) => "required".to_owned(),
            (false, Some(value)) => code(&flow(value)),
            (false, None) => String::new(),
        };
        let about = [property, resolved]
            .into_iter()
            .map(described)
            .find(|about| !about.is_empty());
        let mut about = about.unwrap_or_default();
        about += &self.words(property);
        about += &examples(property, resolved);
        let links: BTreeSet<_> = self
            .mappings(property)
            .map(|(suffix, object)| self.link(&(inner.clone() + &suffix), object))
            .collect();
        if !links.is_empty() {
            let _infallible = write!(about, " See {}.", links.into_iter().collect::<Vec<_>>().join(", "));
        }
        vec![code(name), self.kind(property), default, about]
    }

    /// A link to the section of a mapping, which is found at a path now or was found before.
    fn link(&mut self, path: &str, object: &'s Value) -> String {
        let known = self.found.iter().find(|(_, known)| std::ptr::eq(*known, object));
        let path = known.map_or(path.to_owned(), |(path, _)| path.clone());
        let link = format!("[`{path}`](#{})", anchor(&path));
        if !self.found.iter().any(|(known, _)| *known == path) {
            self.found.push((path, object));
        }
        link
    }

    /// What a node refers to.
    fn resolved(&self, node: &'s Value) -> &'s Value {
        match node.get("$ref").and_then(Value::as_str) {
            Some(name) => self.resolved(&self.schema["$defs"][name.trim_start_matches("#/$defs/")]),
            None => node,
        }
    }

    /// The choices of a node: itself, or those of `anyOf` and `oneOf`.
    fn choices(&self, node: &'s Value) -> Vec<&'s Value> {
        let resolved = self.resolved(node);
        let choices = ["anyOf", "oneOf"]
            .into_iter()
            .find_map(|key| resolved.get(key)?.as_array());
        match choices {
            // Beside a type, the choices say which fields and items go together.
            Some(choices) if resolved.get("type").is_none() => {
                choices.iter().flat_map(|choice| self.choices(choice)).collect()
            }
            _ => vec![node],
        }
    }

    /// The mappings with fields of their own within a value, with what their path ends in.
    fn mappings(&self, node: &'s Value) -> std::vec::IntoIter<(String, &'s Value)> {
        let mut found = Vec::new();
        for choice in self.choices(node) {
            let resolved = self.resolved(choice);
            if resolved.get("properties").is_some() && source(resolved).is_none() {
                found.push((String::new(), resolved));
            }
            let values = resolved.get("additionalProperties").filter(|values| values.is_object());
            for (inner, suffix) in [(items(resolved), "[]"), (Vec::from_iter(values), ".NAME")] {
                found.extend(
                    inner
                        .into_iter()
                        .flat_map(|inner| self.mappings(inner))
                        .map(|(rest, object)| (format!("{suffix}{rest}"), object)),
                );
            }
        }
        found.into_iter()
    }

    /// The words of a closed set, with what each means.
    fn words(&self, property: &'s Value) -> String {
        let mut text = String::new();
        for choice in self.choices(property) {
            let resolved = self.resolved(choice);
            let each = |key| resolved[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            for (word, about) in each("enum").zip(each("enumDescriptions")) {
                let _infallible = write!(text, " `{word}`: {about}");
            }
            if let Some(word) = resolved["const"].as_str().filter(|_| !described(choice).is_empty()) {
                let _infallible = write!(text, " `{word}`: {}", described(choice));
            }
        }
        text
    }

    /// The form of a value in a few words.
    fn kind(&self, node: &'s Value) -> String {
        let mut kinds = Vec::new();
        for choice in self.choices(node) {
            let kind = self.kind_of_choice(choice);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.join(", ")
    }

    fn kind_of_choice(&self, choice: &'s Value) -> String {
        let resolved = self.resolved(choice);
        if let Some(form) = source(resolved) {
            return form;
        }
        if let Some(word) = resolved.get("const") {
            return code(word.as_str().map_or_else(|| word.to_string(), str::to_owned).as_str());
        }
        if let Some(Value::Array(words)) = resolved.get("enum") {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).map(code).collect();
            return words.join(", ");
        }
        match resolved.get("type").and_then(Value::as_str) {
            Some("array") => {
                let kinds: BTreeSet<_> = items(resolved).into_iter().map(|item| self.kind(item)).collect();
                format!("list of {}", kinds.into_iter().collect::<Vec<_>>().join(", "))
            }
            Some("object") => "mapping".to_owned(),
            Some("integer" | "number") => "number".to_owned(),
            Some("boolean") => "`true`, `false`".to_owned(),
            _ => "text".to_owned(),
        }
    }
}

/// The forms of the items of a list: its own, or one for each choice.
fn items(list: &Value) -> Vec<&Value> {
    let choices = list.get("anyOf").and_then(Value::as_array);
    match list.get("items") {
        Some(items) => vec![items],
        None => choices
            .into_iter()
            .flatten()
            .filter_map(|choice| choice.get("items"))
            .collect(),
    }
}

/// The form of a mapping that only says where a value comes from: a variable or a file.
fn source(object: &Value) -> Option<String> {
    let fields = object.get("properties")?.as_object()?;
    let known = [("env", "env: NAME"), ("default", "default: …"), ("file", "file: PATH")];
    if !fields.keys().all(|field| known.iter().any(|(name, _)| name == field)) {
        return None;
    }
    let is_present = |name: &str| fields.contains_key(name);
    if is_present("env") && is_present("file") {
        // One or the other.
        return Some("`{ env: NAME }`, `{ file: PATH }`".to_owned());
    }
    let parts = known.iter().filter(|(name, _)| is_present(name));
    let parts: Vec<_> = parts.map(|(_, form)| *form).collect();
    Some(code(&format!("{{ {} }}", parts.join(", "))))
}

fn described(node: &Value) -> String {
    let text = node.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn examples(property: &Value, resolved: &Value) -> String {
    let examples = property
        .get("examples")
        .or(resolved.get("examples"))
        .and_then(Value::as_array);
    let examples: Vec<_> = examples
        .into_iter()
        .flatten()
        .take(3)
        .map(|value| code(&flow(value)))
        .collect();
    match examples.as_slice() {
        [] => String::new(),
        [one] => format!(" Example: {one}."),
        several => format!(" Examples: {}.", several.join(", ")),
    }
}

/// A value as YAML writes it on one line.
fn flow(value: &Value) -> String {
    let entries = |map: &Map<String, Value>| {
        let entries: Vec<_> = map
            .iter()
            .map(|(name, value)| format!("{name}: {}", flow(value)))
            .collect();
        entries.join(", ")
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => format!("{{ {} }}", entries(map)),
        other => other.to_string(),
    }
}

/// The anchor of a heading: lower case, without punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    kept.flat_map(char::to_lowercase).collect()
}

#[test]
fn every_mapping_of_a_schema_has_a_table_with_all_its_fields() {
    for format in ["policy", "config", "test"] {
        let (schema, page) = (schema(format), render(format));
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            let Some(fields) = definition["properties"]
                .as_object()
                .filter(|_| source(definition).is_none())
            else {
                continue;
            };
            let has_all = |section: &&str| {
                fields
                    .keys()
                    .all(|field| section.contains(&format!("\n| `{field}` | ")))
            };
            assert!(
                page.split("\n### ").any(|section| has_all(&section)),
                "{format}: no table for {name}"
            );
        }
    }
}

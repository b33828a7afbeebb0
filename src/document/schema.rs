//! The JSON Schema of a document, for editors and other programs: made from the declarations of the documents, whose
//! comments are its descriptions.

use std::borrow::Cow;
use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::patterns;

/// What the names of documents end in, which readers of a schema need not see.
const DOCUMENT: &str = "Document";

/// The JSON Schema of a document (draft 2020-12), with an `$id` and a title.
pub fn schema_of<T: JsonSchema>(id: &str, title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    let Value::Object(mut root) = schema.to_value() else {
        return Value::Null;
    };
    for (name, definition) in definitions(&mut root) {
        if let Value::Object(definition) = definition {
            definition.insert("title".into(), words(plain(name)).into());
        }
    }
    root.insert("title".into(), title.into());
    let mut schema = Value::Object(root);
    finish(&mut schema);
    if let Value::Object(root) = &mut schema {
        let renamed = definitions(root)
            .map(|(name, value)| (plain(name).to_owned(), value.take()))
            .collect();
        root.insert("$defs".into(), Value::Object(renamed));
        root.insert("$id".into(), id.into());
    }
    schema
}

fn definitions(root: &mut Map<String, Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    root.get_mut("$defs")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
}

/// The name of a document without what the names of all documents have.
fn plain(name: &str) -> &str {
    name.strip_suffix(DOCUMENT).unwrap_or(name)
}

/// `CertificateName` as `Certificate name`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for (at, letter) in name.char_indices() {
        match letter.is_ascii_uppercase() && at > 0 {
            true => _ = write!(words, " {}", letter.to_ascii_lowercase()),
            false => words.push(letter),
        }
    }
    words
}

/// Finishes a schema and all schemas in it.
fn finish(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(finish),
        Value::Object(fields) => {
            without_null(fields);
            let text = |fields: &Map<String, Value>, name: &str| fields.get(name)?.as_str().map(str::to_owned);
            if let Some(reference) = text(fields, "$ref") {
                fields.insert("$ref".into(), plain(&reference).into());
            }
            if let Some(description) = text(fields, "description") {
                fields.insert("description".into(), in_one_line(&description).into());
            }
            examples_to_snippets(fields);
            if fields.get("format").is_some_and(|format| format == "uint32") {
                fields.remove("format");
                fields.entry("maximum").or_insert(u32::MAX.into());
            }
            let is_open = ["pattern", "enum", "const"]
                .iter()
                .all(|name| !fields.contains_key(*name));
            if is_open && fields.get("type").is_some_and(|kind| kind == "string") {
                fields.insert("pattern".into(), patterns::text().into());
                let message = "expected text that is not empty, without white space at its ends";
                fields.insert("patternErrorMessage".into(), message.into());
            }
            for (name, value) in fields {
                match name.as_str() {
                    // Values of users, not schemas.
                    "default" | "examples" | "defaultSnippets" => {}
                    "properties" | "$defs" | "dependentSchemas" => {
                        value
                            .as_object_mut()
                            .into_iter()
                            .flatten()
                            .for_each(|(_, schema)| finish(schema));
                    }
                    _ => finish(value),
                }
            }
        }
        _ => {}
    }
}

/// Offers examples with mappings as snippets: editors complete them as text only if they have a label.
fn examples_to_snippets(schema: &mut Map<String, Value>) {
    let has_mapping = |example: &Value| match example {
        Value::Array(items) => items.iter().any(Value::is_object),
        other => other.is_object(),
    };
    let Some(Value::Array(examples)) = schema.get_mut("examples") else {
        return;
    };
    let (snippets, texts): (Vec<_>, Vec<_>) = examples.drain(..).partition(has_mapping);
    *examples = texts;
    if examples.is_empty() {
        schema.remove("examples");
    }
    if !snippets.is_empty() {
        let snippets = snippets
            .into_iter()
            .map(|body| json!({ "label": flow(&body), "body": body }));
        schema.insert("defaultSnippets".into(), snippets.collect());
    }
}

/// A value as YAML in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", flow(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) if text.starts_with('@') => format!("\"{text}\""),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Joins the lines of each paragraph.
fn in_one_line(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// What may be left out may not be `null`: a key without a value is a problem.
fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    for words in ["enum", "enumDescriptions"] {
        if let Some(Value::Array(words)) = schema.get_mut(words) {
            words.retain(|word| !word.is_null());
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice["type"] != "null");
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (name, value) in only {
            schema.entry(name).or_insert(value);
        }
    }
}

/// The schema of a closed set of words, each with its meaning, and of all of them where that is not said elsewhere.
pub fn words_schema(about: &str, words: &[(&str, &str)]) -> Schema {
    let names: Vec<_> = words.iter().map(|(word, _)| word).collect();
    let meanings: Vec<_> = words
        .iter()
        .map(|(_, meaning)| in_one_line(&trimmed(meaning)))
        .collect();
    let mut schema = json_schema!({ "type": "string", "enum": names, "enumDescriptions": meanings });
    if !about.is_empty() {
        schema.insert("description".into(), trimmed(about).into());
    }
    schema
}

/// The schema of one form of a field, whose description is that of the field.
pub fn form_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<T>();
    schema.remove("description");
    schema
}

/// The lines of a comment without the space that each begins with.
pub fn trimmed(comment: &str) -> String {
    let lines = comment
        .trim()
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The version of a file format.
#[derive(Debug)]
pub enum Version {}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "const": 1 })
    }
}

/// Declares forms of text for schemas: what a text is, the pattern that it matches, what an editor says where it does
/// not, and examples. Nothing is read with them: the checks of a document decide.
macro_rules! text_forms {
    ($($(#[doc = $about:literal])* $name:ident { pattern: $pattern:expr, expected: $expected:literal, examples: $examples:tt, })*) => {$(
        $(#[doc = $about])*
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": $crate::document::schema::trimmed(concat!($($about, "\n"),*)),
                    "type": "string",
                    "pattern": $pattern,
                    "patternErrorMessage": concat!("expected ", $expected),
                    "examples": $examples,
                })
            }
        }
    )*};
}

pub(crate) use text_forms;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_documents_become_words() {
        for (name, want) in [
            ("PolicyDocument", "Policy"),
            ("CertificateNameDocument", "Certificate name"),
            ("Text", "Text"),
        ] {
            assert_eq!(words(plain(name)), want);
        }
    }

    #[test]
    fn lines_of_a_paragraph_are_joined() {
        assert_eq!(in_one_line("one\ntwo\n\nthree"), "one two\n\nthree");
    }
}

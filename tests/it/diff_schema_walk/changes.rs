//! Documents with one change, made from the schema: another word, number, length, size or text; a field or item removed or added.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// A document with one change.
pub(crate) struct Changed {
    /// The definition and the field that it is in.
    pub(crate) field: String,
    /// Where it is.
    pub(crate) pointer: String,
    /// What the value was changed to: a word, or a kind of change.
    pub(crate) to: String,
    /// The document.
    pub(crate) document: Value,
}

/// A definition with a field, and what the field is changed to: a change is like others with the same key.
pub(crate) type Key = (String, String);

impl Changed {
    pub(crate) fn key(&self) -> Key {
        (self.field.clone(), self.to.clone())
    }
}

/// Makes all changes of a document, or those of one place in it.
pub(crate) fn changes<'s>(schema: &'s Value, document: &'s Value, only: Option<&'s str>) -> Vec<Changed> {
    let mut walk = Walk {
        root: schema,
        document,
        only,
        found: Vec::new(),
    };
    walk.value(&[schema], document, "", "");
    let mut known = BTreeSet::from([document.to_string()]);
    walk.found.retain(|change| known.insert(change.document.to_string()));
    walk.found
}

struct Walk<'s> {
    root: &'s Value,
    document: &'s Value,
    only: Option<&'s str>,
    found: Vec<Changed>,
}

impl<'s> Walk<'s> {
    /// Changes a value that has one of some schemas, and all in it.
    fn value(&mut self, schemas: &[&'s Value], value: &Value, pointer: &str, field: &str) {
        let forms = self.forms(schemas);
        if !field.is_empty() && self.is_wanted(pointer) {
            for (to, other) in others(&forms, value) {
                self.add(field, pointer, to, Some(other));
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, below) in fields {
                    let (title, schemas) = property(&forms, name);
                    let field = match title {
                        Some(title) => format!("{title}/{name}"),
                        None => field.to_owned(),
                    };
                    let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    self.add(&field, &pointer, "removed".to_owned(), None);
                    self.value(&schemas, below, &pointer, &field);
                }
                self.absent(&forms, fields, pointer);
            }
            Value::Array(items) => {
                let schemas: Vec<_> = forms.iter().filter_map(|form| form.get("items")).collect();
                for (index, item) in items.iter().enumerate() {
                    let pointer = format!("{pointer}/{index}");
                    self.add(field, &pointer, "item removed".to_owned(), None);
                    self.value(&schemas, item, &pointer, field);
                }
            }
            _ => {}
        }
    }

    /// Adds each field that an object does not have.
    fn absent(&mut self, forms: &[&'s Value], fields: &serde_json::Map<String, Value>, pointer: &str) {
        for form in forms {
            let title = form["title"].as_str().unwrap_or_default();
            let absent = form["properties"].as_object().into_iter().flatten();
            for (name, schema) in absent.filter(|(name, _)| !fields.contains_key(*name)) {
                if !self.is_wanted(&format!("{pointer}/{name}")) {
                    continue;
                }
                for value in examples(&self.forms(&[schema])) {
                    let mut document = self.document.clone();
                    document.pointer_mut(pointer).unwrap()[name] = value;
                    self.found.push(Changed {
                        field: format!("{title}/{name}"),
                        pointer: format!("{pointer}/{name}"),
                        to: "added".to_owned(),
                        document,
                    });
                }
            }
        }
    }

    fn is_wanted(&self, pointer: &str) -> bool {
        self.only.is_none_or(|only| only == pointer)
    }

    fn add(&mut self, field: &str, pointer: &str, to: String, value: Option<Value>) {
        if !self.is_wanted(pointer) {
            return;
        }
        let mut document = self.document.clone();
        if let Some(value) = value {
            *document.pointer_mut(pointer).unwrap() = value;
        } else {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            match document.pointer_mut(parent).unwrap() {
                Value::Object(fields) => _ = fields.remove(&name.replace("~1", "/").replace("~0", "~")),
                Value::Array(items) => _ = items.remove(name.parse().unwrap()),
                _ => unreachable!("only mappings and lists have values"),
            }
        }
        self.found.push(Changed {
            field: field.to_owned(),
            pointer: pointer.to_owned(),
            to,
            document,
        });
    }

    /// All forms that a value of some schemas can have.
    fn forms(&self, schemas: &[&'s Value]) -> Vec<&'s Value> {
        let mut found = Vec::new();
        let mut open = schemas.to_vec();
        while let Some(schema) = open.pop() {
            if let Some(reference) = schema["$ref"].as_str() {
                open.push(self.root.pointer(&reference[1..]).unwrap());
            }
            for list in ["anyOf", "allOf"] {
                open.extend(schema[list].as_array().into_iter().flatten());
            }
            found.push(schema);
        }
        found
    }
}

/// The title of the definition that has a field, and the schemas of the field.
fn property<'s>(forms: &[&'s Value], name: &str) -> (Option<&'s str>, Vec<&'s Value>) {
    let mut title = None;
    let mut schemas = Vec::new();
    for form in forms {
        if let Some(schema) = form.get("properties").and_then(|properties| properties.get(name)) {
            title = title.or(form["title"].as_str());
            schemas.push(schema);
        } else if let Some(schema) = form.get("additionalProperties").filter(|schema| schema.is_object()) {
            schemas.push(schema);
        }
    }
    (title, schemas)
}

/// The words that a value can be.
fn words<'s>(forms: &[&'s Value]) -> impl Iterator<Item = &'s Value> {
    let words: Vec<_> = forms
        .iter()
        .flat_map(|form| form["enum"].as_array().into_iter().flatten())
        .collect();
    words.into_iter()
}

fn examples(forms: &[&Value]) -> Vec<Value> {
    let of_schema = forms
        .iter()
        .flat_map(|form| form["examples"].as_array().into_iter().flatten())
        .cloned();
    let snippets = forms
        .iter()
        .flat_map(|form| form["defaultSnippets"].as_array().into_iter().flatten());
    let snippets = snippets.map(|snippet| snippet["body"].clone());
    let booleans = forms
        .iter()
        .filter(|form| form["type"] == "boolean")
        .flat_map(|_| [json!(true), json!(false)]);
    let measures = forms.iter().flat_map(|form| measures(form));
    let words = words(forms).cloned();
    of_schema
        .chain(snippets)
        .chain(booleans)
        .chain(measures)
        .chain(words)
        .collect()
}

/// Lengths of time or sizes, where a schema wants them.
fn measures(form: &Value) -> Vec<Value> {
    let about = form["patternErrorMessage"].as_str().unwrap_or_default();
    let texts: &[&str] = match about {
        about if about.contains("length of time") => &["700ms", "3s", "13s", "7m", "5h", "3d"],
        about if about.contains("number of bytes") => &["7", "5KiB", "3MiB"],
        _ => &[],
    };
    texts.iter().map(|text| json!(text)).collect()
}

/// Other values in place of one, each with what it was changed to.
fn others(forms: &[&Value], value: &Value) -> Vec<(String, Value)> {
    let named = |value: Value| (format!("= {value}"), value);
    let some = |kind: &str| {
        let kind = kind.to_owned();
        move |value: Value| (kind.clone(), value)
    };
    let mut found: Vec<_> = words(forms).filter(|word| *word != value).cloned().map(named).collect();
    found.extend(
        examples(forms)
            .into_iter()
            .filter(|other| other != value)
            .map(some("another")),
    );
    match value {
        Value::Bool(on) => found.push(named(json!(!on))),
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            found.extend([number + 1, number.saturating_sub(1), number * 2].map(|other| some("another")(json!(other))));
        }
        Value::String(text) => found.extend(texts(text).into_iter().map(|text| some("another")(json!(text)))),
        Value::Array(items) => {
            let added = items.last().into_iter().flat_map(|last| others(&[], last));
            found.extend(added.map(|(_, item)| {
                let items: Vec<_> = items.iter().cloned().chain([item]).collect();
                some("item added")(Value::Array(items))
            }));
            let reversed: Vec<_> = items.iter().rev().cloned().collect();
            found.push(some("reversed")(Value::Array(reversed)));
        }
        _ => {}
    }
    found
}

/// Texts that are nearly another one.
fn texts(text: &str) -> Vec<String> {
    let mut shorter = text.to_owned();
    let last = shorter.pop();
    let next = match last {
        Some('0'..='8') => last.and_then(|digit| char::from_u32(digit as u32 + 1)),
        Some('9') => Some('8'),
        _ => Some('q'),
    };
    let before = match last {
        Some('1'..='9') => last.and_then(|digit| char::from_u32(digit as u32 - 1)),
        _ => None,
    };
    let behind_scheme = text
        .split_once("://")
        .map(|(scheme, rest)| format!("{scheme}://x{rest}"));
    let mut texts = vec![
        format!("{shorter}{}", next.unwrap_or('q')),
        format!("{text}x"),
        format!("x{text}"),
        format!("/x{text}"),
        text.replacen("10.", "11.", 1),
        text.replacen("2099", "2098", 1),
        text.replacen("/*", "/x/*", 1),
        text.replacen("*.", "*.x", 1),
        text.replacen('9', "8", 1),
    ];
    texts.extend(behind_scheme);
    texts.extend(before.map(|before| format!("{shorter}{before}")));
    texts.retain(|other| other != text);
    texts
}

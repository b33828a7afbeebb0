//! Files as they are written: what the JSON Schema rejects, `check` rejects, and says where.
//!
//! All cases are made from the schemas and from policies that are shipped, so a new field is tested as soon as
//! it exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use jsonschema::Validator;
use serde_json::{Value, json};
use sidegate::{
    config::ServerConfig,
    document::{
        environment::Environment,
        problem::{Problem, Problems, SourceFile},
        yaml::{Node, Value as Yaml},
    },
    policy::compile,
};

use crate::harness::SECRET;

/// One of the two formats, with its schema and its reader.
struct Format {
    schema: Value,
    validator: Validator,
    check: fn(SourceFile) -> Vec<Problem>,
}

impl Format {
    fn policy() -> Self {
        Self::new("policy", |source| {
            compile::parse(&Arc::new(source), &Everything).err().unwrap_or_default()
        })
    }

    fn config() -> Self {
        Self::new("config", |source| {
            ServerConfig::parse(source, Path::new("/etc/sidegate"))
                .err()
                .unwrap_or_default()
        })
    }

    fn new(name: &str, check: fn(SourceFile) -> Vec<Problem>) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_sidegate"))
            .args(["schema", name])
            .output()
            .unwrap();
        let schema = serde_json::from_slice(&program.stdout).unwrap();
        Self {
            validator: jsonschema::validator_for(&schema).unwrap(),
            schema,
            check,
        }
    }

    fn check(&self, text: String) -> Vec<Problem> {
        (self.check)(SourceFile::new("file.yaml", text))
    }

    /// Documents that are valid by the schema and, together, have every field in each of its forms.
    fn examples(&self) -> Vec<Value> {
        let examples = self.examples_of(&self.schema);
        for example in &examples {
            assert!(self.validator.is_valid(example), "{example}");
        }
        examples
    }

    fn examples_of(&self, schema: &Value) -> Vec<Value> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.examples_of(self.schema.pointer(&reference[1..]).unwrap());
        }
        if let Some(word) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return vec![word.clone()];
        }
        if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return choices.iter().flat_map(|choice| self.examples_of(choice)).collect();
        }
        match schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap() {
            "string" => vec![text_for(schema)],
            "boolean" => vec![json!(true)],
            "integer" => vec![json!(1)],
            "array" => self
                .examples_of(&schema["items"])
                .into_iter()
                .map(|item| json!([item]))
                .collect(),
            "object" => self.objects_of(schema),
            other => panic!("{other}"),
        }
    }

    /// An object with all of its fields, and one more for each further form of a field.
    fn objects_of(&self, schema: &Value) -> Vec<Value> {
        if schema["additionalProperties"].is_object() {
            let values = self.examples_of(&schema["additionalProperties"]);
            return values.into_iter().map(|value| json!({ "name": value })).collect();
        }
        let properties = schema["properties"].as_object().unwrap();
        let forms: BTreeMap<&String, Vec<Value>> = properties
            .iter()
            .map(|(name, schema)| (name, self.examples_of(schema)))
            .collect();
        let first: Value = forms
            .iter()
            .map(|(name, forms)| ((*name).clone(), forms[0].clone()))
            .collect();
        let mut objects = vec![first.clone()];
        for (name, forms) in &forms {
            for form in &forms[1..] {
                let mut object = first.clone();
                object[name.as_str()] = form.clone();
                objects.push(object);
            }
        }
        objects
    }
}

/// A text that a schema takes.
fn text_for(schema: &Value) -> Value {
    let validator = jsonschema::validator_for(schema).unwrap();
    let texts = ["text", "1s", "1KiB"].map(Value::from);
    texts.into_iter().find(|text| validator.is_valid(text)).unwrap()
}

/// Files and variables of every name: all that a policy names exists.
struct Everything;

impl Environment for Everything {
    fn variable(&self, name: &str) -> Option<String> {
        let is_secret = ["SECRET", "KEY", "S"].iter().any(|end| name.ends_with(end));
        is_secret.then(|| SECRET.to_owned())
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.extension() {
            None => Ok(SECRET.into()),
            Some(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The pointers of all values within one, itself left out.
fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (name, value) in children {
        found.push(format!("/{name}"));
        found.extend(pointers(value).into_iter().map(|below| format!("/{name}{below}")));
    }
    found
}

/// A place with what stands there: in most examples, most places look as in the one before.
fn form(example: &Value, pointer: &str) -> String {
    format!("{pointer} {}", example.pointer(pointer).unwrap())
}

/// A document without one of its fields.
fn without(document: &Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut document = document.clone();
    document
        .pointer_mut(parent)
        .unwrap()
        .as_object_mut()?
        .remove(&name.replace("~1", "/"))?;
    Some(document)
}

/// A document with a key that is not the one it was.
fn with_other_key(document: &Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut changed = without(document, pointer)?;
    changed.pointer_mut(parent).unwrap()[format!("{name}-of-old")] = document.pointer(pointer)?.clone();
    Some(changed)
}

/// Values of every kind.
fn kinds() -> [Value; 9] {
    [
        Value::Null,
        json!(true),
        json!(7),
        json!("?!"),
        json!([]),
        json!([[]]),
        json!([null]),
        json!({}),
        json!({ "?": 1 }),
    ]
}

/// A document with another value at a place, and the bytes where that value stands.
fn with_other_value(document: &Value, pointer: &str, value: &Value) -> (Value, String, std::ops::Range<usize>) {
    const MARK: &str = "\"\u{2020}\"";
    let mut changed = document.clone();
    *changed.pointer_mut(pointer).unwrap() = json!("\u{2020}");
    let text = changed.to_string();
    let start = text.find(MARK).unwrap();
    let written = value.to_string();
    *changed.pointer_mut(pointer).unwrap() = value.clone();
    (changed, text.replace(MARK, &written), start..start + written.len())
}

/// The messages of all errors.
fn messages(problems: &[Problem]) -> Vec<&str> {
    problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(Problem::message)
        .collect()
}

/// Whether there are errors that were not there before.
fn has_more(before: &[Problem], after: &[Problem]) -> bool {
    let mut earlier = messages(before);
    messages(after)
        .into_iter()
        .any(|message| match earlier.iter().position(|known| *known == message) {
            Some(at) => {
                earlier.swap_remove(at);
                false
            }
            None => true,
        })
}

#[test]
fn required_field_that_is_removed_is_a_problem_in_every_document() {
    for format in [Format::policy(), Format::config()] {
        let (mut removed, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for example in format.examples() {
            let before = format.check(example.to_string());
            for pointer in pointers(&example)
                .into_iter()
                .filter(|pointer| seen.insert(form(&example, pointer)))
            {
                let Some(document) =
                    without(&example, &pointer).filter(|document| !format.validator.is_valid(document))
                else {
                    continue;
                };
                let after = format.check(document.to_string());
                assert!(
                    has_more(&before, &after),
                    "{pointer}: {:?}\n{document}",
                    messages(&after)
                );
                removed.insert(pointer);
            }
        }
        assert!(removed.contains("/version") && removed.len() > 3, "{removed:?}");
    }
}

#[test]
fn required_field_of_a_route_that_is_removed_is_named() {
    let format = Format::policy();
    let example = format.examples().remove(0);
    for (pointer, name) in [
        ("/routes/0/auth", "auth"),
        ("/routes/0/path", "path"),
        ("/routes", "routes"),
        ("/upstream/url", "url"),
        ("/jwt/issuers/0/audience", "audience"),
    ] {
        let problems = format.check(without(&example, pointer).unwrap().to_string());
        let want = format!("`{name}` is missing here");
        assert!(
            messages(&problems).contains(&want.as_str()),
            "{pointer}: {:?}",
            messages(&problems)
        );
    }
    let format = Format::config();
    let tls = format
        .examples()
        .into_iter()
        .find(|example| example["listeners"][0]["tls"].is_object())
        .unwrap();
    for name in ["certificate", "key"] {
        let document = without(&tls, &format!("/listeners/0/tls/{name}")).unwrap();
        let want = format!("`{name}` is missing here");
        assert!(
            messages(&format.check(document.to_string())).contains(&want.as_str()),
            "{name}"
        );
    }
}

#[test]
fn value_of_a_wrong_type_is_a_problem_at_its_place() {
    for format in [Format::policy(), Format::config()] {
        let (mut tried, mut seen) = (0, BTreeSet::new());
        for example in format.examples() {
            let before = format.check(example.to_string());
            for pointer in pointers(&example)
                .into_iter()
                .filter(|pointer| seen.insert(form(&example, pointer)))
            {
                for kind in kinds() {
                    let (document, text, place) = with_other_value(&example, &pointer, &kind);
                    if format.validator.is_valid(&document) {
                        continue;
                    }
                    let problems = format.check(text.clone());
                    let there =
                        |problem: &Problem| problem.is_error() && place.contains(&problem.location().span().start);
                    assert!(
                        has_more(&before, &problems) && problems.iter().any(there),
                        "{pointer}: {:?}\n{text}",
                        messages(&problems)
                    );
                    tried += 1;
                }
            }
        }
        assert!(tried > 100, "{tried}");
    }
}

#[test]
fn whatever_the_schema_rejects_in_a_shipped_file_check_rejects() {
    let (mut tried, root) = (0, Path::new(env!("CARGO_MANIFEST_DIR")));
    for (format, files) in [
        (Format::policy(), policy_texts(root)),
        (Format::config(), config_texts(root)),
    ] {
        for text in files {
            let document = read(&text);
            assert!(format.validator.is_valid(&document), "{text}");
            let before = format.check(document.to_string());
            for pointer in pointers(&document) {
                let keys = [without(&document, &pointer), with_other_key(&document, &pointer)];
                let values = kinds().map(|kind| Some(with_other_value(&document, &pointer, &kind).0));
                for changed in keys.into_iter().chain(values).flatten() {
                    if format.validator.is_valid(&changed) {
                        continue;
                    }
                    let after = format.check(changed.to_string());
                    assert!(
                        has_more(&before, &after),
                        "{pointer}: {:?}\n{changed}",
                        messages(&after)
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 2000, "{tried}");
}

/// The policies that are shipped, those that fuzzing begins with, and one with every field.
fn policy_texts(root: &Path) -> Vec<String> {
    let folders = ["policies", "deploy/compose/policies"].map(|folder| root.join(folder));
    let kubernetes = fs::read_dir(root.join("deploy/kubernetes")).unwrap();
    let kubernetes = kubernetes
        .map(|entry| entry.unwrap().path().join("policies"))
        .filter(|folder| folder.is_dir());
    let files = folders
        .into_iter()
        .chain(kubernetes)
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let shipped = files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    shipped.chain(seeds(root, false)).collect()
}

fn config_texts(root: &Path) -> Vec<String> {
    let places = ["compose", "systemd", "kubernetes/integration-hub", "kubernetes/wallet"];
    let files = places.map(|place| root.join("deploy").join(place).join("sidegate.yaml"));
    files
        .into_iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .chain(seeds(root, true))
        .collect()
}

/// Well-formed texts that fuzzing begins with: their first byte says of which format they are.
fn seeds(root: &Path, of_config: bool) -> Vec<String> {
    let files = fs::read_dir(root.join("tests/fuzz/seeds/policy")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let inputs = files.into_iter().map(|file| fs::read(file).unwrap());
    let texts = inputs
        .filter(|input| (input[0] % 4 == 3) == of_config)
        .flat_map(|input| {
            let text = String::from_utf8(input[1..].to_vec()).unwrap();
            text.split('\u{1e}').map(str::to_owned).collect::<Vec<_>>()
        });
    let format = if of_config { Format::config() } else { Format::policy() };
    texts.filter(|text| format.validator.is_valid(&read(text))).collect()
}

/// A YAML file as JSON.
fn read(text: &str) -> Value {
    let source = SourceFile::new("file.yaml", text);
    let mut problems = Problems::of(Arc::new(source));
    let node = sidegate::document::read(&mut problems);
    node.as_ref().map_or(Value::Null, as_json)
}

fn as_json(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Yaml::Text(text) => json!(text),
        Yaml::Sequence(items) => items.iter().map(as_json).collect(),
        Yaml::Mapping(entries) => entries
            .iter()
            .map(|((key, _), value)| (key.clone(), as_json(value)))
            .collect(),
    }
}

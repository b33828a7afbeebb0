//! The JSON Schemas: complete for editors, and of one mind with `check`.
//!
//! A schema sees one file, and no further than a block: what it cannot say is listed in `schema/agreement.rs`.

use std::{collections::BTreeSet, env, fs, path::Path};

use serde_json::{Value, json};
use sidegate::document::problem::{Problem, ProblemCode};

mod agreement;
pub(crate) mod format;
mod mutants;

use format::{Format, ROOT, as_json, parsed, printed};
use mutants::{kind_of, pointers, without};

#[test]
fn schemas_of_the_repository_are_those_that_the_program_prints() {
    for name in ["policy", "config", "test"] {
        let path = Path::new(ROOT).join(format!("docs/schema/{name}.json"));
        let now = printed(name);
        if env::var_os("SIDEGATE_WRITE_DOCS").is_some() {
            fs::write(&path, &now).unwrap();
        }
        let help = format!("{} is stale: run this test with SIDEGATE_WRITE_DOCS=1", path.display());
        assert!(fs::read_to_string(&path).unwrap() == now, "{help}");
    }
}

#[test]
fn shipped_files_lead_editors_to_their_schema_and_match_it() {
    for format in Format::all() {
        let schema = Path::new(ROOT).join(format!("docs/schema/{}.json", format.name));
        for path in format.shipped() {
            let text = fs::read_to_string(&path).unwrap();
            let line = text.lines().next().unwrap();
            let relative = line
                .strip_prefix("# yaml-language-server: $schema=")
                .unwrap_or_else(|| panic!("{path:?}"));
            let named = path.parent().unwrap().join(relative).canonicalize().unwrap();
            assert_eq!(named, schema.canonicalize().unwrap(), "{}", path.display());
            assert_valid(&format, &as_json(&path));
        }
    }
}

fn assert_valid(format: &Format, document: &Value) {
    let errors: Vec<_> = format
        .validator
        .iter_errors(document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?} in {document}");
}

/// Calls a function with each schema of a format, and where it is.
fn each_schema(schema: &Value, path: &str, call: &mut impl FnMut(&str, &Value)) {
    match schema {
        Value::Object(fields) => {
            call(path, schema);
            let values = ["default", "examples", "defaultSnippets", "const", "enum"];
            let schemas = fields.iter().filter(|(name, _)| !values.contains(&name.as_str()));
            schemas.for_each(|(name, schema)| each_schema(schema, &format!("{path}/{name}"), call));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                each_schema(item, &format!("{path}/{at}"), call);
            }
        }
        _ => {}
    }
}

/// A schema with the definitions that it refers to.
fn alone(format: &Format, schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["$defs"] = format.schema["$defs"].clone();
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn every_field_and_every_word_has_a_description_without_names_of_the_program() {
    for format in Format::all() {
        assert!(jsonschema::meta::is_valid(&format.schema));
        assert_eq!(format.schema["$id"], format!("urn:sidegate:schema:{}:1", format.name));
        let (mut fields, mut words) = (0, 0);
        each_schema(&format.schema, "", &mut |path, schema| {
            let is_rule = ["/if/", "/then/", "/dependentSchemas/", "/not/"]
                .iter()
                .any(|rule| path.contains(rule));
            let properties = schema["properties"]
                .as_object()
                .filter(|_| !is_rule && schema["type"] == "object");
            for (name, property) in properties.into_iter().flatten() {
                let description = property["description"].as_str().unwrap_or_default();
                assert!(
                    description.ends_with('.') && description.len() > 15,
                    "{path} {name}: {description:?}"
                );
                fields += 1;
            }
            if let Some(names) = schema["enum"].as_array().filter(|_| !is_rule) {
                let meanings = schema["enumDescriptions"]
                    .as_array()
                    .unwrap_or_else(|| panic!("{path}"));
                assert_eq!(names.len(), meanings.len(), "{path}");
                assert!(
                    meanings.iter().all(|meaning| meaning.as_str().unwrap().ends_with('.')),
                    "{path}"
                );
                words += names.len();
            }
        });
        assert!(fields > 40 && words > 8, "{} {fields} {words}", format.name);
        let definitions = format.schema["$defs"].as_object().unwrap();
        assert!(definitions.values().all(|definition| definition["title"].is_string()));
        let text = format.schema.to_string();
        // What a caller inherits is taken away by `null`.
        let null = (format.name != "test").then_some("null");
        for name in ["Document", "Spanned", "EnvString", "uint32"].into_iter().chain(null) {
            assert!(!text.contains(name), "{name} in the schema of {}", format.name);
        }
    }
}

#[test]
fn defaults_and_examples_match_their_own_schema() {
    let mut tried = 0;
    for format in Format::all() {
        each_schema(&format.schema, "", &mut |path, schema| {
            let snippets = schema["defaultSnippets"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|snippet| &snippet["body"]);
            let examples = schema["examples"].as_array().into_iter().flatten();
            for value in schema.get("default").into_iter().chain(examples).chain(snippets) {
                assert!(alone(&format, schema).is_valid(value), "{path}: {value}");
                tried += 1;
            }
        });
    }
    assert!(tried > 100, "{tried}");
}

/// The definition of the values of a field, through a reference.
fn resolved<'f>(format: &'f Format, schema: &'f Value) -> &'f Value {
    match schema["$ref"].as_str() {
        Some(reference) => format.schema.pointer(&reference[1..]).unwrap(),
        None => schema,
    }
}

/// The schemas of all objects in a document, with the pointers of the objects.
fn objects<'f>(format: &'f Format, schema: &'f Value, value: &Value, at: &str, found: &mut Vec<(String, &'f Value)>) {
    let schema = resolved(format, schema);
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let choices = choices.filter(|choice| choice["type"].is_string() || choice["$ref"].is_string());
    for choice in choices.filter(|choice| alone(format, choice).is_valid(value)) {
        objects(format, choice, value, at, found);
    }
    match value {
        Value::Object(fields) => {
            if schema["properties"].is_object() {
                found.push((at.to_owned(), schema));
            }
            for (name, value) in fields {
                let below = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                let name = name.replace('~', "~0").replace('/', "~1");
                objects(format, below, value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(format, &schema["items"], item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn objects_of<'f>(format: &'f Format, document: &Value) -> Vec<(String, &'f Value)> {
    let mut found = Vec::new();
    objects(format, &format.schema, document, "", &mut found);
    found
}

#[test]
fn complete_documents_are_accepted_and_have_every_field() {
    for format in Format::all() {
        let mut missing: BTreeSet<String> = BTreeSet::new();
        let mut definitions = vec![("", &format.schema)];
        definitions.extend(
            format.schema["$defs"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        );
        for (name, definition) in &definitions {
            let fields = definition["properties"].as_object().into_iter().flatten();
            missing.extend(fields.map(|(field, _)| format!("{name}/{field}")));
        }
        for document in format.complete() {
            assert_valid(&format, &document);
            assert!(format.read(&document).is_ok(), "{:?}", format.read(&document));
            for (pointer, schema) in objects_of(&format, &document) {
                let (name, _) = definitions
                    .iter()
                    .find(|(_, definition)| std::ptr::eq(*definition, schema))
                    .unwrap();
                for (field, _) in document.pointer(&pointer).unwrap().as_object().unwrap() {
                    missing.remove(&format!("{name}/{field}"));
                }
            }
        }
        assert_eq!(missing, BTreeSet::new(), "{}", format.name);
    }
}

#[test]
fn a_field_with_its_default_means_the_same_as_without_it() {
    let mut compared = BTreeSet::new();
    for format in Format::both() {
        for document in format.complete() {
            for (pointer, schema) in objects_of(&format, &document) {
                for (field, property) in schema["properties"].as_object().unwrap() {
                    let Some(default) = property.get("default") else {
                        continue;
                    };
                    let (mut with, mut without) = (document.clone(), document.clone());
                    with.pointer_mut(&pointer).unwrap()[field] = default.clone();
                    without
                        .pointer_mut(&pointer)
                        .unwrap()
                        .as_object_mut()
                        .unwrap()
                        .remove(field);
                    if let (Ok(with), Ok(without)) = (format.read(&with), format.read(&without)) {
                        assert_eq!(with, without, "{pointer}/{field}");
                        compared.insert((schema["title"].clone().to_string(), field.clone()));
                    }
                }
            }
        }
        let mut with_default = BTreeSet::new();
        each_schema(&format.schema, "", &mut |_, schema| {
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                if property.get("default").is_some() {
                    with_default.insert((schema["title"].clone().to_string(), field.clone()));
                }
            }
        });
        let missed: Vec<_> = with_default.difference(&compared).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}

#[test]
fn required_field_that_is_removed_is_named() {
    let [policy, config] = Format::both();
    let read = |name: &str| as_json(&Path::new(ROOT).join("tests/it/schema").join(name));
    let (issuers, state, sidegate) = (
        read("policies/issuers.yaml"),
        read("policies/shared-state.yaml"),
        read("configs/sidegate.yaml"),
    );
    for (format, document, pointer) in [
        (&policy, &issuers, "/routes/0/auth"),
        (&policy, &issuers, "/routes/0/path"),
        (&policy, &issuers, "/routes"),
        (&policy, &issuers, "/upstream/url"),
        (&policy, &issuers, "/jwt/issuers/0/audience"),
        (&policy, &state, "/quotas/0/window"),
        (&config, &sidegate, "/listeners/1/tls/key"),
        (&config, &sidegate, "/admin/probe/path"),
        (&config, &sidegate, "/store/redis/url"),
    ] {
        let problems = format.errors(without(document, pointer).to_string());
        let name = format!("`{}`", pointer.rsplit_once('/').unwrap().1);
        let named =
            |problem: &Problem| problem.code() == ProblemCode::MissingField && problem.message().contains(&name);
        assert!(problems.iter().any(named), "{pointer}: {problems:?}");
    }
}

#[test]
fn value_of_a_wrong_type_is_a_problem_at_its_place() {
    const MARK: &str = "\"\u{2020}\"";
    let kinds = [json!(7), json!([null]), json!({ "?": 1 })];
    let (mut tried, mut seen) = (0, BTreeSet::new());
    for format in Format::all() {
        for document in format.complete() {
            for pointer in pointers(&document)
                .into_iter()
                .filter(|pointer| seen.insert(kind_of(pointer)))
            {
                let mut changed = document.clone();
                *changed.pointer_mut(&pointer).unwrap() = json!("\u{2020}");
                let marked = format!("{changed:#}");
                let start = marked.find(MARK).unwrap();
                for kind in &kinds {
                    let written = kind.to_string();
                    let text = marked.replace(MARK, &written);
                    if format.validator.is_valid(&parsed(&text).unwrap()) {
                        continue;
                    }
                    let problems = format.errors(text);
                    let place = start..start + written.len();
                    let is_there = |problem: &Problem| place.contains(&problem.location().span().start);
                    assert!(problems.iter().any(is_there), "{pointer} = {written}: {problems:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 400, "{tried}");
}

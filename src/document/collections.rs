//! Lists and maps of a document, and `off`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{FromNode, Spanned, expected, twice};
use super::problem::{ProblemCode, Problems, Reported};
use super::schema::{form_of, words_schema};
use super::shapes;
use super::yaml::{Node, Value};

/// A list. After an item that cannot be read and was reported, the others are still read, to report
/// their problems too. An empty list is a problem: it reads as "all" to some and as "none" to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromNode> FromNode for List<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Sequence(items) = &node.value else {
            return expected(node, "a list", shapes::list(&node.value, problems.field()), problems);
        };
        if items.is_empty() {
            let help = shapes::empty_list(problems.field());
            problems.add(&node.span, ProblemCode::EmptyValue, "the list is empty", help);
        }
        let read = items.iter().filter_map(|item| T::from_node(item, problems).ok());
        Ok(Self(read.collect()))
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items, "minItems": 1 })
    }
}

/// A list that may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOrEmpty<T>(pub Vec<T>);

impl<T: FromNode> FromNode for ListOrEmpty<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Sequence(items) if items.is_empty() => Ok(Self(Vec::new())),
            _ => List::from_node(node, problems).map(|List(items)| Self(items)),
        }
    }
}

impl<T: JsonSchema> JsonSchema for ListOrEmpty<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ArrayOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items })
    }
}

/// Something that can be switched off where it would hold otherwise: `off`, or the thing itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffOr<T> {
    /// `off`
    Off,
    /// The thing.
    On(T),
}

impl<T: FromNode> FromNode for OffOr<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) if text == "off" => Ok(Self::Off),
            Value::Text(text) if text.eq_ignore_ascii_case("off") => {
                let message = format!("unknown word `{text}`");
                Err(problems.add(&node.span, ProblemCode::UnknownWord, message, "write `off`"))
            }
            _ => T::from_node(node, problems).map(Self::On),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OffOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OffOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let thing = form_of::<T>(generator);
        json_schema!({ "anyOf": [words_schema("", &[("off", "Disables what applies otherwise.")]), thing] })
    }
}

/// A mapping with keys of the user's choice, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<T>(pub Vec<(Spanned<String>, T)>);

impl<T: FromNode> FromNode for Map<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Mapping(entries) = &node.value else {
            return expected(node, "a mapping", shapes::map(problems.field()), problems);
        };
        let (mut read, mut names) = (Vec::new(), BTreeSet::new());
        for ((name, span), value) in entries {
            if names.contains(name) {
                problems.add(span, ProblemCode::DuplicateField, twice(name), "leave one of them out");
            }
            let key = Spanned {
                value: name.clone(),
                span: span.clone(),
            };
            if let Ok(value) = T::from_node(value, problems) {
                names.insert(name);
                read.push((key, value));
            }
        }
        Ok(Self(read))
    }
}

impl<T: JsonSchema> JsonSchema for Map<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": values })
    }
}

//! The `iss` of an issuer's tokens as written: a name, a list of names, or a pattern and the values of its placeholders.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::forms::{IssuerName, IssuerText, PlaceholderValue};
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, expected};
use crate::document::problem::{Problems, Reported};
use crate::document::schema::{form_of, words_schema};
use crate::document::yaml::{Node, Value};

/// One text, or several that stand for issuers with the same keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerNamesDocument {
    /// A name, a pattern, or `unchecked`.
    One(Spanned<String>),
    /// Several names.
    Several(Vec<Spanned<String>>),
}

impl IssuerNamesDocument {
    /// All of the texts.
    pub fn texts(&self) -> &[Spanned<String>] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl FromNode for IssuerNamesDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Sequence(_) => List::from_node(node, problems).map(|List(names)| Self::Several(names)),
            Value::Text(_) => Spanned::from_node(node, problems).map(Self::One),
            _ => {
                let help = "write it as the `iss` of the tokens has it, such as `https://idp.example.com`";
                expected(node, "the name of an issuer, or a list of names", help, problems)
            }
        }
    }
}

impl JsonSchema for IssuerNamesDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IssuerNames".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, name) = (
            form_of::<IssuerText>(generator),
            generator.subschema_for::<IssuerName>(),
        );
        json_schema!({
            "anyOf": [one, { "type": "array", "items": name, "minItems": 1 }]
        })
    }
}

/// The values of one placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceholderDocument {
    /// Said aloud: any value.
    Any,
    /// One of these.
    OneOf(Vec<Spanned<String>>),
}

impl FromNode for PlaceholderDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) if text == "any" => Ok(Self::Any),
            Value::Sequence(_) => List::from_node(node, problems).map(|List(values)| Self::OneOf(values)),
            _ => {
                let help = "write `[ID, ID]`, or `any` to accept tokens with every value";
                let _: Result<(), _> = expected(node, "a list of values, or `any`", help, problems);
                // That has been reported, so the placeholder is not missing.
                Ok(Self::OneOf(Vec::new()))
            }
        }
    }
}

impl JsonSchema for PlaceholderDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Placeholder".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = words_schema(
            "",
            &[(
                "any",
                "Every value is accepted, such as every organization in the world.",
            )],
        );
        let list = generator.subschema_for::<List<PlaceholderValue>>();
        json_schema!({ "description": "The accepted values of this placeholder.", "anyOf": [word, list] })
    }
}

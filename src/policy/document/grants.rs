//! Fields of an issuer that have more than one form: the claims with roles and scopes, and parameters of the header.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::values::ClaimPath;
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, expected};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::schema::words_schema;
use crate::document::yaml::{Node, Value};

/// The claims that grant roles or scopes: one, by its name or by the names that lead to it, or a list of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantsDocument(pub Vec<Spanned<ClaimPath>>);

impl FromNode for GrantsDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let is_list = |item: &Node| matches!(item.value, Value::Sequence(_));
        let paths = match &node.value {
            Value::Sequence(items) if items.iter().any(is_list) => items,
            _ => return Spanned::from_node(node, problems).map(|path| Self(vec![path])),
        };
        let mut read: Vec<Spanned<ClaimPath>> = Vec::new();
        for path in paths {
            if !is_list(path) {
                let help = "write each claim as a list, as in `[[scp], [realm_access, scopes]]`";
                let _: Result<(), _> = expected(path, "a list of names that leads to a claim", help, problems);
                continue;
            }
            let Ok(path) = Spanned::<ClaimPath>::from_node(path, problems) else {
                continue;
            };
            if read.iter().any(|other| other.value == path.value) {
                let message = format!("the claim `[{}]` is written twice", path.value.0.join(", "));
                problems.add(&path.span, ProblemCode::DuplicateItem, message, "leave one of them out");
            }
            read.push(path);
        }
        Ok(Self(read))
    }
}

impl JsonSchema for GrantsDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Grants".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let path = generator.subschema_for::<List<String>>();
        json_schema!({
            "anyOf": [
                { "type": "string" },
                path,
                { "type": "array", "items": path, "minItems": 1, "uniqueItems": true },
            ]
        })
    }
}

/// A parameter of a token's header that brings a key or points to one, and that Sidegate may pass over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkHeader {
    /// The URL of a key set (RFC 7515, 4.1.2).
    Jku,
    /// The URL of a certificate chain (RFC 7515, 4.1.5).
    X5u,
    /// A certificate chain (RFC 7515, 4.1.6).
    X5c,
}

impl LinkHeader {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jku, Self::X5u, Self::X5c];

    /// The name of the parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jku => "jku",
            Self::X5u => "x5u",
            Self::X5c => "x5c",
        }
    }
}

impl FromNode for LinkHeader {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Text(text) = &node.value else {
            return expected(node, "the name of a parameter", "write `jku`, `x5u` or `x5c`", problems);
        };
        let known = Self::ALL.into_iter().find(|parameter| parameter.name() == text);
        known.ok_or_else(|| {
            // No suggestion: a parameter with a similar name changes what the token means.
            let message = format!("the parameter `{text}` cannot be ignored");
            let help = "only `jku`, `x5u` and `x5c` can be: without them, `kid` still selects a configured key";
            problems.add(&node.span, ProblemCode::UnknownWord, message, help)
        })
    }
}

impl JsonSchema for LinkHeader {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LinkHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = [
            "The URL of a key set (RFC 7515, 4.1.2), as UAA and SAP XSUAA write it.",
            "The URL of a certificate chain (RFC 7515, 4.1.5).",
            "A certificate chain (RFC 7515, 4.1.6).",
        ];
        let words: Vec<_> = Self::ALL.into_iter().map(Self::name).zip(about).collect();
        words_schema("", &words)
    }
}

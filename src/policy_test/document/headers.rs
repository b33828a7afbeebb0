//! Header fields of requests and callers as written.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::document::decode::{FromNode, Spanned, expected, twice};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::yaml::{Node, Value};

/// Header fields by their names. A name without values is taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadersDocument(pub Vec<(Spanned<HeaderName>, Vec<HeaderValue>)>);

impl HeadersDocument {
    /// Merges fields with those of another caller, by their names.
    #[must_use]
    pub fn over(self, inherited: Self) -> Self {
        let mut merged = inherited.0;
        for (name, values) in self.0 {
            merged.retain(|(one, _)| one.value != name.value);
            merged.push((name, values));
        }
        Self(merged)
    }
}

/// Reads the name of a header.
pub(super) fn header_name(
    (name, span): &(String, std::ops::Range<usize>),
    problems: &mut Problems,
) -> Result<Spanned<HeaderName>, Reported> {
    let value = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        let message = format!("`{name}` cannot be the name of a header");
        problems.add(
            span,
            ProblemCode::InvalidName,
            message,
            "use letters, digits, `-` and `_`",
        )
    })?;
    let span = span.clone();
    Ok(Spanned { value, span })
}

/// Returns a text or a number as it is written.
pub(super) fn written(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

fn value(node: &Node, problems: &mut Problems) -> Result<HeaderValue, Reported> {
    let Some(text) = written(node) else {
        return expected(
            node,
            "the value of a header",
            "write a text, a list of texts, or `null`",
            problems,
        );
    };
    // As HTTP reads a field (RFC 9110, 5.5): white space around a value does not belong to it.
    HeaderValue::from_bytes(text.trim_matches([' ', '\t']).as_bytes()).map_err(|_| {
        let message = "the value of a header has no control characters";
        problems.add(
            &node.span,
            ProblemCode::InvisibleCharacter,
            message,
            "write one line of text",
        )
    })
}

impl FromNode for HeadersDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Mapping(entries) = &node.value else {
            return expected(node, "a mapping of headers", "write `{ x-name: value }`", problems);
        };
        let mut fields: Vec<(Spanned<HeaderName>, _)> = Vec::new();
        for (key, node) in entries {
            let name = header_name(key, problems)?;
            if fields.iter().any(|(one, _)| one.value == name.value) {
                let help = "write both values in one list";
                problems.add(&name.span, ProblemCode::DuplicateField, twice(&key.0), help);
            }
            let values = match &node.value {
                Value::Null => Vec::new(),
                Value::Sequence(items) => items
                    .iter()
                    .map(|item| value(item, problems))
                    .collect::<Result<_, _>>()?,
                _ => vec![value(node, problems)?],
            };
            fields.push((name, values));
        }
        Ok(Self(fields))
    }
}

impl JsonSchema for HeadersDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value =
            json_schema!({ "type": ["string", "number", "boolean"], "pattern": "^[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$" });
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
            "additionalProperties": { "anyOf": [value, { "type": "array", "items": value }, { "const": null }] },
        })
    }
}

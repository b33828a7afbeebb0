//! The claims of a caller's token as written: any JSON, in which `null` takes a claim away.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Number, Value as Json};

use crate::document::decode::{FromNode, expected, twice};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::yaml::{Node, Value};

/// A claim and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimDocument {
    /// The name.
    pub name: String,
    /// The value; `null` for one that is taken away.
    pub value: Json,
    /// The bytes of the name.
    pub name_span: Range<usize>,
    /// The bytes of the value.
    pub span: Range<usize>,
}

/// The claims of a token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClaimsDocument {
    /// The claims, in the order of the file.
    pub claims: Vec<ClaimDocument>,
    /// The bytes of the mapping.
    pub span: Range<usize>,
}

impl ClaimsDocument {
    /// Returns a claim.
    pub fn get(&self, name: &str) -> Option<&ClaimDocument> {
        self.claims.iter().find(|claim| claim.name == name)
    }

    /// Merges claims with those of another caller: mappings field by field, anything else as a whole.
    #[must_use]
    pub fn over(self, inherited: Self) -> Self {
        let mut merged = inherited;
        merged.span = self.span;
        for claim in self.claims {
            match merged.claims.iter_mut().find(|one| one.name == claim.name) {
                Some(one) => {
                    let below = std::mem::take(&mut one.value);
                    *one = ClaimDocument {
                        value: merge(below, claim.value.clone()),
                        ..claim
                    };
                }
                None => merged.claims.push(claim),
            }
        }
        merged
    }
}

/// Lays a value over another. A `null` within a mapping takes the field away, and stays if the mapping does not have the field.
fn merge(below: Json, above: Json) -> Json {
    match (below, above) {
        (Json::Object(mut below), Json::Object(above)) => {
            for (name, value) in above {
                let merged = merge(below.remove(&name).unwrap_or_default(), value);
                below.insert(name, merged);
            }
            Json::Object(below)
        }
        (_, above) => above,
    }
}

/// Takes the fields away that are `null`, at any depth of mappings.
#[must_use]
pub fn without_null(fields: Map<String, Json>) -> Map<String, Json> {
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    let inner = |value| match value {
        Json::Object(fields) => Json::Object(without_null(fields)),
        other => other,
    };
    kept.map(|(name, value)| (name, inner(value))).collect()
}

impl FromNode for ClaimsDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Mapping(entries) = &node.value else {
            let help = "write `{ sub: user-7, roles: [user] }`, or `{}` for a token without claims of your own";
            return expected(node, "a mapping of claims", help, problems);
        };
        let mut claims: Vec<ClaimDocument> = Vec::new();
        for ((name, name_span), value) in entries {
            if claims.iter().any(|claim| claim.name == *name) {
                problems.add(
                    name_span,
                    ProblemCode::DuplicateField,
                    twice(name),
                    "leave one of them out",
                );
                continue;
            }
            claims.push(ClaimDocument {
                name: name.clone(),
                value: json(value, problems)?,
                name_span: name_span.clone(),
                span: value.span.clone(),
            });
        }
        let span = node.span.clone();
        Ok(Self { claims, span })
    }
}

/// Reads a YAML value as JSON.
pub(super) fn json(node: &Node, problems: &mut Problems) -> Result<Json, Reported> {
    Ok(match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Text(text) => Json::String(text.clone()),
        Value::Number(written) => Json::Number(serde_json::from_str::<Number>(written).map_err(|_| {
            let message = format!("programs do not agree which number `{written}` is");
            let help = format!("write it in decimal digits, or in quotes: `\"{written}\"`");
            problems.add(&node.span, ProblemCode::WrongType, message, help)
        })?),
        Value::Sequence(items) => Json::Array(
            items
                .iter()
                .map(|item| json(item, problems))
                .collect::<Result<_, _>>()?,
        ),
        Value::Mapping(entries) => {
            let mut fields = Map::new();
            for ((name, span), value) in entries {
                if fields.contains_key(name) {
                    problems.add(span, ProblemCode::DuplicateField, twice(name), "leave one of them out");
                }
                fields.insert(name.clone(), json(value, problems)?);
            }
            Json::Object(fields)
        }
    })
}

impl JsonSchema for ClaimsDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Claims".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_merged_field_by_field() {
        for (below, above, want) in [
            (json!({ "a": 1, "b": 2 }), json!({ "b": 3 }), json!({ "a": 1, "b": 3 })),
            (json!({ "a": [1] }), json!({ "a": [2] }), json!({ "a": [2] })),
            (
                json!({ "a": { "b": 1, "c": 2 } }),
                json!({ "a": { "b": null } }),
                json!({ "a": { "c": 2 } }),
            ),
            (
                json!({ "a": 1 }),
                json!({ "a": { "b": 1 } }),
                json!({ "a": { "b": 1 } }),
            ),
            (json!({ "a": 1 }), json!({ "a": null }), json!({})),
            (
                json!({}),
                json!({ "a": { "b": null, "c": [null] } }),
                json!({ "a": { "c": [null] } }),
            ),
        ] {
            let Json::Object(merged) = merge(below.clone(), above.clone()) else {
                panic!("{below} {above}")
            };
            assert_eq!(Json::Object(without_null(merged)), want, "{below} {above}");
        }
    }
}

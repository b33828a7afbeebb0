//! Fields of callers that are like other callers: inherited, taken away, or set.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use crate::document::decode::FromNode;
use crate::document::problem::{Problems, Reported};
use crate::document::yaml::{Node, Value};

/// A field that may be that of another caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Merged<T> {
    /// It is absent: that of the other caller holds.
    #[default]
    Inherited,
    /// `null`: that of the other caller is taken away.
    Removed,
    /// This holds.
    Set(T),
}

impl<T> Merged<T> {
    /// Returns what holds, given what the other caller has.
    pub fn or(self, inherited: Option<T>) -> Option<T> {
        match self {
            Self::Inherited => inherited,
            Self::Removed => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<T: FromNode> FromNode for Merged<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match node.value {
            Value::Null => Ok(Self::Removed),
            _ => T::from_node(node, problems).map(Self::Set),
        }
    }

    fn missing() -> Option<Self> {
        Some(Self::Inherited)
    }
}

impl<T: JsonSchema> JsonSchema for Merged<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Merged{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let nothing = json_schema!({ "const": null }).to_value();
        let mut value = generator.subschema_for::<T>();
        match value.get_mut("anyOf").and_then(Json::as_array_mut) {
            Some(forms) => {
                forms.push(nothing);
                value
            }
            None => json_schema!({ "anyOf": [value, nothing] }),
        }
    }
}

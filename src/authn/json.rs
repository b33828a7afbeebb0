//! JSON objects without duplicate names. RFC 8259, 4 leaves open what a duplicate means, so two
//! programs may read two different claims (RFC 7519, 4: reject, or take the last).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most values of an object, at any depth. Each may take a hundred times the memory of its text.
pub const MAX_VALUES: usize = 16_384;

/// Why a text is not an object that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not an object with unique names, or is nested too deeply.
    NotAnObject,
    /// It has more than [`MAX_VALUES`].
    TooManyValues,
}

/// Reads an object whose names are unique, at any depth. `None` if it is anything else.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    bounded_object(bytes).ok()
}

/// Reads an object whose names are unique, at any depth, or says why it cannot be read. `serde_json` bounds the depth.
pub fn bounded_object(bytes: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = UniqueVisitor { left: &left }.deserialize(&mut deserializer);
    match value.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        Err(_) if left.get() == 0 => Err(Unreadable::TooManyValues),
        Ok(_) | Err(_) => Err(Unreadable::NotAnObject),
    }
}

#[derive(Clone, Copy)]
struct UniqueVisitor<'l> {
    /// How many values there may still be.
    left: &'l Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for UniqueVisitor<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        if left == 0 {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueVisitor<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a name comes twice"));
            }
            object.insert(name, access.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_names_are_rejected_at_any_depth() {
        for (text, fine) in [
            (r#"{"a":1,"b":[{"a":1}],"c":{"a":null}}"#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"tenantId":"x","tenant\u0049d":"y"}"#, false),
            (r#"{"a":{"b":1,"b":2}}"#, false),
            (r#"{"a":[{"b":1,"b":2}]}"#, false),
            ("[]", false),
            ("1", false),
            (r#"{"a":1} x"#, false),
            (r#"{"a":1e999}"#, false),
            ("", false),
        ] {
            assert_eq!(object(text.as_bytes()).is_some(), fine, "{text}");
        }
    }

    #[test]
    fn object_with_too_many_values_or_levels_is_rejected() {
        let list = |items: usize| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(items - 1));
        let deep = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let wide = |members: usize| {
            let members: Vec<_> = (0..members).map(|at| format!(r#"{{"{at}":0}}"#)).collect();
            format!(r#"{{"a":[{}]}}"#, members.join(","))
        };
        for (text, want) in [
            (list(MAX_VALUES - 3), Ok(())),
            (list(MAX_VALUES - 2), Err(Unreadable::TooManyValues)),
            (list(1_000_000), Err(Unreadable::TooManyValues)),
            (wide(8000), Ok(())),
            (wide(9000), Err(Unreadable::TooManyValues)),
            (deep(100), Ok(())),
            (deep(200), Err(Unreadable::NotAnObject)),
            (deep(100_000), Err(Unreadable::NotAnObject)),
        ] {
            let start = text.get(..40).unwrap_or(&text);
            assert_eq!(bounded_object(text.as_bytes()).map(drop), want, "{start}…");
        }
    }
}

//! Scalars of a document: text, numbers, lengths of time, sizes.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::characters::unseen;
use super::decode::{FromNode, expected};
use super::measures;
use super::patterns::{self, PERIOD_UNITS, SIZE_UNITS};
use super::problem::{Field, ProblemCode, Problems, Reported};
use super::shapes;
use super::yaml::{Node, Value};

impl FromNode for String {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) => {
                if text.trim().is_empty() {
                    let help = match problems.field() {
                        Some(Field { is_required: true, .. }) => "write a text",
                        _ => "write a text, or leave the field out",
                    };
                    problems.add(&node.span, ProblemCode::EmptyValue, "the text is empty", help);
                } else if let Some(fault) = unseen(text) {
                    problems.add_fault(&node.span, &fault);
                }
                Ok(text.clone())
            }
            Value::Number(number) => {
                let help = format!("write it in quotes: `\"{number}\"`");
                Err(problems.add(
                    &node.span,
                    ProblemCode::WrongType,
                    "expected text, found a number",
                    help,
                ))
            }
            _ => expected(node, "text", shapes::text(&node.value), problems),
        }
    }
}

const TRUE_OR_FALSE: &str = "write `true` or `false`, without quotes";

impl FromNode for bool {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let text = match &node.value {
            Value::Bool(value) => return Ok(*value),
            Value::Text(text) => text.to_ascii_lowercase(),
            _ => return expected(node, "`true` or `false`", TRUE_OR_FALSE, problems),
        };
        // What YAML 1.1 and other programs read as such.
        let help = match text.as_str() {
            "true" | "yes" | "on" | "y" => "write `true`",
            "false" | "no" | "off" | "n" => "write `false`",
            _ => return expected(node, "`true` or `false`", TRUE_OR_FALSE, problems),
        };
        Err(problems.add(
            &node.span,
            ProblemCode::WrongType,
            "expected `true` or `false`, found text",
            help,
        ))
    }
}

impl FromNode for u32 {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            // Programs differ in what `0571` and `1_000` are.
            Value::Number(text) if text == "0" || !text.starts_with(['0', '+']) => {
                text.parse().map_err(|_| not_a_number(node, text, problems))
            }
            Value::Number(text) => Err(not_a_number(node, text, problems)),
            _ => expected(node, "a whole number", shapes::number(&node.value), problems),
        }
    }
}

fn not_a_number(node: &Node, text: &str, problems: &mut Problems) -> Reported {
    let message = format!("expected a whole number, found `{text}`");
    problems.add(&node.span, ProblemCode::WrongType, message, shapes::number(&node.value))
}

/// A length of time, as in `500ms`, `30s`, `5m`, `24h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl FromNode for HumanDuration {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if let Some(period) = scalar(node).and_then(|text| text.parse().ok()) {
            return Ok(period);
        }
        let (message, help) = measures::not_a_duration(&node.value);
        Err(problems.add(&node.span, ProblemCode::InvalidDuration, message, help))
    }
}

impl FromStr for HumanDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let millis = measure(text, &PERIOD_UNITS).ok_or(InvalidDuration)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

/// The schema of periods in a range.
pub fn period_schema(range: RangeInclusive<Duration>) -> Schema {
    json_schema!({
        "description": "A length of time: a whole number with `ms`, `s`, `m`, `h` or `d`.",
        "type": "string",
        "pattern": patterns::periods(range),
        "patternErrorMessage": "expected a length of time within the limits of this field, such as 500ms, 30s or 5m"
    })
}

/// The text is not a length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidDuration;

impl JsonSchema for HumanDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        period_schema(Duration::ZERO..=Duration::MAX)
    }
}

/// A length of time after which something is given up; never zero, for that reads as "at once" to
/// some and as "never" to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl FromNode for Timeout {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let HumanDuration(period) = HumanDuration::from_node(node, problems)?;
        if period.is_zero() {
            let message = "a timeout of zero would end everything at once";
            let help = "write a longer time, such as `1s`";
            problems.add(&node.span, ProblemCode::OutOfRange, message, help);
        }
        Ok(Self(period))
    }
}

impl JsonSchema for Timeout {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timeout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        period_schema(Duration::from_millis(1)..=Duration::MAX)
    }
}

/// A number of bytes, as in `8KiB`, `10MiB` or `512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromNode for Size {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if let Some(size) = scalar(node).and_then(|text| text.parse().ok()) {
            return Ok(size);
        }
        let (message, help) = measures::not_a_size(&node.value);
        Err(problems.add(&node.span, ProblemCode::InvalidSize, message, help))
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        measure(text, &SIZE_UNITS).map(Self).ok_or(InvalidSize)
    }
}

/// The text is not a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSize;

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        size_schema(&(0..=u64::MAX))
    }
}

/// The schema of sizes in a range.
pub fn size_schema(range: &RangeInclusive<u64>) -> Schema {
    json_schema!({
        "description": "A number of bytes: a whole number, alone or with `B`, `KiB`, `MiB` or `GiB`.",
        "type": ["string", "integer"],
        "minimum": range.start(),
        "maximum": range.end(),
        "pattern": patterns::sizes(range),
        "patternErrorMessage": "expected a number of bytes within the limits of this field, such as 512, 32KiB or 10MiB"
    })
}

/// A text or a number, as it stands in the file.
fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}

/// Reads a whole number followed by a unit.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::problem::SourceFile;
    use super::super::read;
    use super::*;

    #[test]
    fn a_word_that_others_read_as_true_or_false_gets_the_right_word() {
        for (word, help) in [
            ("yes", Some("write `true`")),
            ("ON", Some("write `true`")),
            ("'true'", Some("write `true`")),
            ("no", Some("write `false`")),
            ("Off", Some("write `false`")),
            ("maybe", None),
            ("1", None),
            ("[true]", None),
        ] {
            let source = SourceFile::new("t", format!("a: {word}"));
            let mut problems = Problems::of(Arc::new(source));
            let Value::Mapping(entries) = read(&mut problems).unwrap().value else {
                panic!("{word}")
            };
            assert!(bool::from_node(&entries[0].1, &mut problems).is_err(), "{word}");
            let problems = problems.into_sorted();
            assert_eq!(problems.len(), 1, "{word}");
            assert!(problems[0].message().starts_with("expected `true` or `false`, found "));
            assert_eq!(problems[0].fix(), help.unwrap_or(TRUE_OR_FALSE), "{word}");
        }
    }
}

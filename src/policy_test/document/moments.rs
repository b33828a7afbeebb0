//! Points in time: of requests, of claims and of certificates.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Number, Value as Json};

use crate::document::decode::FromNode;
use crate::document::patterns::PERIOD_UNITS;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::HumanDuration;
use crate::document::yaml::{Node, Value};

/// A point in time, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MomentDocument(pub i64);

/// A point in time, or the distance from the time of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativeMoment(pub String);

/// Reads a point in time as it is written.
fn absolute(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(seconds) => Timestamp::from_second(seconds).ok().map(|_| seconds),
        Err(_) => text.parse::<Timestamp>().ok().map(Timestamp::as_second),
    }
}

/// Reads a distance from a time, as in `-1s` and `+5m`, or a point in time with its zone: the seconds since the epoch.
pub fn relative(text: &str, at: i64) -> Option<Json> {
    let (sign, period) = match text.split_at_checked(1)? {
        ("+", period) => (1, period),
        ("-", period) => (-1, period),
        _ => return text.parse::<Timestamp>().ok().map(|time| Json::from(time.as_second())),
    };
    let HumanDuration(period) = period.parse().ok()?;
    let millis = sign * i64::try_from(period.as_millis()).ok()?;
    let millis = at.checked_mul(1000)?.checked_add(millis)?;
    match millis % 1000 {
        0 => Some(Json::from(millis / 1000)),
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since the epoch are far below 2^53"
        )]
        _ => Number::from_f64(millis as f64 / 1000.0).map(Json::Number),
    }
}

impl RelativeMoment {
    /// Returns the whole seconds since the epoch.
    pub fn seconds(&self, at: i64) -> i64 {
        let seconds = relative(&self.0, at).and_then(|value| value.as_f64());
        #[expect(clippy::cast_possible_truncation, reason = "the text was read, so it is a time")]
        seconds.map_or_else(|| absolute(&self.0).unwrap_or(at), |seconds| seconds.floor() as i64)
    }
}

impl FromNode for MomentDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let written = match &node.value {
            Value::Text(text) | Value::Number(text) => absolute(text),
            _ => None,
        };
        written.map(Self).ok_or_else(|| {
            let help = "write `2026-03-01T12:00:00Z`, or seconds since the epoch";
            problems.add(&node.span, ProblemCode::InvalidTime, "expected a point in time", help)
        })
    }
}

impl FromNode for RelativeMoment {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let written = match &node.value {
            Value::Text(text) | Value::Number(text)
                if absolute(text).or_else(|| relative(text, 0).map(|_| 0)).is_some() =>
            {
                Some(text.clone())
            }
            _ => None,
        };
        written.map(Self).ok_or_else(|| {
            let help = "write `-1s` or `+5m` from the time of the requests, `2026-03-01T12:00:00Z`, or seconds since the epoch";
            problems.add(&node.span, ProblemCode::InvalidTime, "expected a point in time", help)
        })
    }
}

const RFC_3339: &str =
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}(:[0-9]{2}){1,2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)";

impl JsonSchema for MomentDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": format!("^({RFC_3339}|-?[0-9]{{1,11}})$"),
            "patternErrorMessage": "expected a time such as 2026-03-01T12:00:00Z, or seconds since the epoch",
        })
    }
}

impl JsonSchema for RelativeMoment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RelativeMoment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let units = PERIOD_UNITS.map(|(unit, _)| unit).join("|");
        json_schema!({
            "type": ["string", "integer"],
            "pattern": format!("^({RFC_3339}|-?[0-9]{{1,11}}|[+-][0-9]{{1,15}}({units}))$"),
            "patternErrorMessage": "expected a time such as -1s, +5m or 2026-03-01T12:00:00Z, or seconds since the epoch",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn time_is_relative_with_a_sign_and_absolute_with_a_zone() {
        for (text, want) in [
            ("-1s", Some(json!(999))),
            ("+5m", Some(json!(1300))),
            ("+1500ms", Some(json!(1001.5))),
            ("1970-01-01T00:00:10Z", Some(json!(10))),
            ("5m", None),
            ("+5", None),
            ("soon", None),
            ("", None),
            ("+", None),
            ("2026-03-01", None),
        ] {
            assert_eq!(relative(text, 1000), want, "{text}");
        }
    }

    #[test]
    fn time_of_a_certificate_is_in_whole_seconds() {
        for (text, want) in [
            ("-1s", 999),
            ("+1500ms", 1001),
            ("77", 77),
            ("1970-01-01T00:00:10Z", 10),
        ] {
            assert_eq!(RelativeMoment(text.to_owned()).seconds(1000), want, "{text}");
        }
    }
}

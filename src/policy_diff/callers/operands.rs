//! The values that conditions compare, for one path.

use serde_json::{Value, json};

use super::parts::ClaimValue;
use crate::policy::condition::{ClaimTest, HeaderTest, Operand, Part};
use crate::policy::route::without_suffix;

/// Returns values of a claim that a test tells apart: first one that passes, if there is one.
pub(super) fn claim_values(test: &ClaimTest, leeway: i64, path: &str) -> Vec<ClaimValue> {
    let plain = ClaimValue::Plain;
    let mut values: Vec<ClaimValue> = match test {
        ClaimTest::Equals(operand) => scalars(operand, path).into_iter().map(plain).collect(),
        ClaimTest::In(operands) => all_scalars(operands, path).into_iter().map(plain).collect(),
        ClaimTest::Has(operand) => lists(std::slice::from_ref(operand), path),
        ClaimTest::HasAny(texts) => lists(texts.written(), path),
        #[expect(clippy::cast_precision_loss, reason = "a leeway is minutes")]
        ClaimTest::Within(longest) => {
            let (longest, leeway) = (longest.as_secs_f64(), leeway as f64);
            let times = [-longest / 2.0, -longest, -longest - 1.0, leeway, leeway + 1.0];
            times.into_iter().map(ClaimValue::FromNow).collect()
        }
    };
    values.extend([
        plain(json!({})),
        plain(json!("another value")),
        plain(json!(["another value"])),
    ]);
    values
}

/// Returns values of a header that a test tells apart, besides another one and none.
pub(super) fn header_values(test: &HeaderTest, path: &str) -> Vec<String> {
    match test {
        HeaderTest::Equals(operand) => texts(operand, path),
        HeaderTest::In(operands) => operands.iter().flat_map(|operand| texts(operand, path)).collect(),
        HeaderTest::EqualsClaim(_) => vec![COMPARED.to_owned(), "1".to_owned()],
    }
}

/// A value of a claim that a header is compared with.
pub(super) const COMPARED: &str = "v";

fn all_scalars(operands: &[Operand], path: &str) -> Vec<Value> {
    operands.iter().flat_map(|operand| scalars(operand, path)).collect()
}

/// Returns the values that an operand equals, and a number for a text of digits.
pub(super) fn scalars(operand: &Operand, path: &str) -> Vec<Value> {
    let mut values = match operand {
        Operand::Number(number) => vec![Value::Number(number.clone())],
        Operand::Boolean(value) => vec![Value::Bool(*value), Value::Bool(!*value)],
        Operand::Text(_) => Vec::new(),
    };
    for text in texts(operand, path) {
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        values.push(Value::String(text));
        values.extend(number.map(Value::from));
    }
    values
}

fn lists(operands: &[Operand], path: &str) -> Vec<ClaimValue> {
    let texts: Vec<String> = operands.iter().flat_map(|operand| texts(operand, path)).collect();
    let mut values = vec![ClaimValue::Plain(json!(texts))];
    values.extend(texts.iter().map(|text| ClaimValue::Plain(json!([text]))));
    values.extend(texts.first().map(|text| ClaimValue::Plain(json!(text))));
    values
}

/// Returns the texts that an operand equals.
pub(super) fn texts(operand: &Operand, path: &str) -> Vec<String> {
    match operand {
        Operand::Text(parts) => {
            let parts = parts.iter().map(|part| match part {
                Part::Literal(text) => Some(text.as_str()),
                Part::Parameter(parameter) => {
                    without_suffix(path.split('/').nth(parameter.segment + 1)?, &parameter.suffix)
                }
            });
            parts.collect::<Option<String>>().into_iter().collect()
        }
        Operand::Number(number) => vec![number.to_string()],
        Operand::Boolean(_) => Vec::new(),
    }
}

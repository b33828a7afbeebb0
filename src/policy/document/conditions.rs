//! `when` of routes and issuers as written.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Number;

use super::forms::{ConditionText, PlainConditionText};
use super::rules::{claim_condition_rules, condition_rules};
use super::values::ClaimPath;
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, document, expected};
use crate::document::networks::Network;
use crate::document::patterns::periods;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::HumanDuration;
use crate::document::yaml::{Node, Value};

/// The most conditions of a route or an issuer.
pub const MAX_CONDITIONS: usize = 32;

document! {
    /// A condition of a route: one of `claim`, `header` and `client`, and one way to compare it.
    #[schemars(extend("anyOf" = condition_rules()))]
    pub struct ConditionDocument [whole] {
        /// A claim of the token: its name, or the list of names that leads to it. A dot in a name is a part of the name.
        /// A claim that is missing meets no condition. An error if the route can be reached without a token.
        #[schemars(extend("examples" = ["sub", ["organization", "id"]]))]
        claim: Option<Spanned<ClaimPath>>,
        /// A header, which must occur exactly once. On routes that do not compare it, Sidegate removes a client's own,
        /// as it removes identity headers. An error for headers that Sidegate reads or sets.
        #[schemars(with = "Option<super::forms::HeaderField>", extend("examples" = ["x-region"]))]
        header: Option<Spanned<String>>,
        /// The address of the client: that of the connection, or the one that `trusted_proxies` forward. A client on a
        /// unix socket has none, and does not meet the condition.
        #[schemars(extend("examples" = [{ "in": ["10.0.0.0/8"] }]))]
        client: Option<ClientConditionDocument>,
        /// The value: a text, a number or a boolean. In a text, `{name}` is a parameter of the path of this route. An
        /// integer equals its digits as text; texts are compared byte for byte.
        #[schemars(extend("examples" = ["access", "{userId}", "team-{team}", true]))]
        equals: Option<Spanned<OperandDocument>>,
        /// The values, one of which the claim or header must equal.
        #[schemars(extend("maxItems" = 256, "examples" = [["pro", "enterprise"]]))]
        r#in: Option<List<Spanned<OperandDocument>>>,
        /// A text that the claim, a list of texts, must have.
        #[schemars(extend("examples" = ["team-{team}"]))]
        has: Option<Spanned<OperandDocument>>,
        /// Texts, one of which the claim, a list of texts, must have. At most 16 of them may have a parameter.
        #[schemars(extend("maxItems" = 256, "examples" = [["mfa", "hwk"]]))]
        has_any: Option<List<Spanned<OperandDocument>>>,
        /// How long ago the time in the claim may be, at least `1s`. The claim is a number of seconds since the epoch. It
        /// may be in the future only by the `leeway` of the issuer.
        #[schemars(extend("pattern" = periods(Duration::from_secs(1)..=Duration::MAX), "examples" = ["15m"]))]
        within: Option<Spanned<HumanDuration>>,
        /// A claim of the token, which the header must equal: text, or an integer in digits.
        #[schemars(extend("examples" = ["region"]))]
        equals_claim: Option<Spanned<ClaimPath>>,
    }

    /// A condition of an issuer: a claim, and one way to compare it.
    #[schemars(extend("allOf" = claim_condition_rules()))]
    pub struct ClaimConditionDocument [whole] {
        /// A claim of the token: its name, or the list of names that leads to it. A dot in a name is a part of the name.
        /// A claim that is missing meets no condition.
        #[schemars(extend("examples" = ["token_use", ["organization", "id"]]))]
        claim: Spanned<ClaimPath>,
        /// The value: a text, a number or a boolean. An integer equals its digits as text; texts are compared byte for
        /// byte.
        #[schemars(with = "Option<PlainOperand>", extend("examples" = ["access", true]))]
        equals: Option<Spanned<OperandDocument>>,
        /// The values, one of which the claim must equal.
        #[schemars(with = "Option<List<PlainOperand>>", extend("maxItems" = 256, "examples" = [["app-1", "app-2"]]))]
        r#in: Option<List<Spanned<OperandDocument>>>,
        /// A text that the claim, a list of texts, must have.
        #[schemars(with = "Option<PlainOperand>", extend("examples" = ["staff"]))]
        has: Option<Spanned<OperandDocument>>,
        /// Texts, one of which the claim, a list of texts, must have.
        #[schemars(with = "Option<List<PlainOperand>>", extend("maxItems" = 256, "examples" = [["mfa", "hwk"]]))]
        has_any: Option<List<Spanned<OperandDocument>>>,
        /// How long ago the time in the claim may be, at least `1s`. The claim is a number of seconds since the epoch. It
        /// may be in the future only by `leeway`. Sidegate checks it on every request.
        #[schemars(extend("pattern" = periods(Duration::from_secs(1)..=Duration::MAX), "examples" = ["15m"]))]
        within: Option<Spanned<HumanDuration>>,
    }

    /// How the address of the client is compared.
    pub struct ClientConditionDocument [whole] {
        /// The networks, one of which the address must be in: CIDR, or an address alone.
        #[schemars(with = "List<Network>", extend("maxItems" = 256, "examples" = [["10.0.0.0/8", "fd00::/8"]]))]
        r#in: List<Spanned<String>>,
    }
}

/// A value that a claim or header is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperandDocument {
    /// A text, perhaps with parameters.
    Text(String),
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Boolean(bool),
}

impl FromNode for OperandDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(_) => String::from_node(node, problems).map(Self::Text),
            Value::Bool(value) => Ok(Self::Boolean(*value)),
            Value::Number(written) => number(written).map(Self::Number).ok_or_else(|| {
                let message = format!("programs do not agree which number `{written}` is");
                let help = format!("write it in decimal digits, or in quotes: `\"{written}\"`");
                problems.add(&node.span, ProblemCode::WrongType, message, help)
            }),
            _ => expected(node, "a text, a number, `true` or `false`", "write one value", problems),
        }
    }
}

/// Reads a number as JSON has it. One that is too long for an integer would be rounded.
fn number(written: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(written).ok()?;
    let has_point = written.contains(['.', 'e', 'E']);
    (number.is_i64() || number.is_u64() || has_point).then_some(number)
}

fn operand_schema(text: &Schema) -> Schema {
    json_schema!({ "anyOf": [text, { "type": "number" }, { "type": "boolean" }] })
}

impl JsonSchema for OperandDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Operand".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        operand_schema(&ConditionText::json_schema(generator))
    }
}

/// The schema of a value without parameters.
#[derive(Debug)]
pub(super) enum PlainOperand {}

impl JsonSchema for PlainOperand {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PlainOperand".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        operand_schema(&PlainConditionText::json_schema(generator))
    }
}

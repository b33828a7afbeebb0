//! What a test expects, as written: an outcome, its details, or an outcome for each caller.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value as Json;

use super::claims::json;
use super::headers::{header_name, written};
use crate::document::collections::Map;
use crate::document::decode::{FromNode, Spanned, document, expected, twice};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::yaml::{Node, Value};
use crate::policy_test::outcome::Expectation;
use http::HeaderName;

/// The fields of the details. No caller can have such a name.
pub const DETAILS: [&str; 5] = ["outcome", "route", "service", "headers", "response"];

/// The word for any value of a header or in a body.
const PRESENT: &str = "present";

/// What a test expects.
#[derive(Debug, Clone)]
pub enum ExpectDocument {
    /// Of the caller that the test names.
    OfCaller(Box<ExpectedDocument>),
    /// Of each caller by its name, or by `*`.
    OfEach(Vec<(Spanned<String>, ExpectedDocument)>),
}

/// An outcome, perhaps with details.
#[derive(Debug, Clone)]
pub struct ExpectedDocument {
    /// The outcome.
    pub outcome: Spanned<Expectation>,
    /// The route, by its pattern.
    pub route: Option<Spanned<String>>,
    /// The service.
    pub service: Option<Spanned<String>>,
    /// The headers that the service gets.
    pub headers: Option<Spanned<ExpectedHeaders>>,
    /// The response of Sidegate.
    pub response: Option<Spanned<ResponseDocument>>,
}

document! {
    /// An outcome with its details.
    pub struct DetailsDocument [whole] {
        /// What becomes of the request: `allow` (forwarded with the identity of the caller; quotas and repeated idempotency keys
        /// may still reject it), `shadow` and a reason (forwarded without an identity, since shadow mode does not enforce that
        /// rejection), `deny` (401 or 403 of a route), a status, a reason, or both; `preflight`, `metadata` or `options`
        /// where Sidegate itself answers.
        outcome: Spanned<Expectation>,
        /// The route, by its pattern with the prefix of the policy, as in metrics.
        #[schemars(extend("examples" = ["/wallet/v1/*"]))]
        route: Option<Spanned<String>>,
        /// The name of the service.
        #[schemars(extend("examples" = ["wallet-svc"]))]
        service: Option<Spanned<String>>,
        /// Headers that the service gets: the value, a list of values, `present`, or `null` for one that it must not get.
        #[schemars(extend("examples" = [{ "x-user-id": "user-7", "authorization": "present", "x-client-id": null }]))]
        headers: Option<Spanned<ExpectedHeaders>>,
        /// The response of Sidegate to a request that it does not forward.
        response: Option<Spanned<ResponseDocument>>,
    }

    /// A response of Sidegate.
    #[schemars(extend("minProperties" = 1))]
    pub struct ResponseDocument [whole] {
        /// The status of the response.
        #[schemars(extend("examples" = [401]))]
        status: Option<Spanned<u32>>,
        /// Header fields: the value, a list of values, `present`, or `null` for one that it must not have.
        #[schemars(extend("examples" = [{ "www-authenticate": "present" }]))]
        headers: Option<ExpectedHeaders>,
        /// Values in a JSON body, by their names from the outside in, with dots between them: the value, `present`, or `null`
        /// for one that it must not have.
        #[schemars(extend("examples" = [{ "error.code": "ERR_WALLET_UNAUTHORIZED" }]))]
        body: Option<Map<BodyExpectation>>,
    }
}

/// What is expected of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderExpectation {
    /// It is absent.
    Absent,
    /// It is present, with any value.
    Present,
    /// It has these values, in this order.
    Values(Vec<String>),
}

/// What is expected of some headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedHeaders(pub Vec<(Spanned<HeaderName>, HeaderExpectation)>);

/// What is expected of a value in a body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyExpectation {
    /// It is absent.
    Absent,
    /// It is present, with any value.
    Present,
    /// It is this.
    Value(Json),
}

impl FromNode for ExpectedDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(node.value, Value::Mapping(_)) {
            return Ok(Self {
                outcome: Spanned::from_node(node, problems)?,
                route: None,
                service: None,
                headers: None,
                response: None,
            });
        }
        let details = DetailsDocument::from_node(node, problems)?;
        let outcome = details.outcome.value;
        if let Some(headers) = details.headers.as_ref().filter(|_| !outcome.is_forwarded()) {
            let message = format!("the service gets no headers of a request with the outcome `{outcome}`");
            let help = "write headers of the response below `response`, or expect `allow`";
            return Err(problems.add(&headers.span, ProblemCode::NothingToProve, message, help));
        }
        if let Some(response) = details.response.as_ref().filter(|_| !outcome.has_own_response()) {
            let message =
                format!("the response to a request with the outcome `{outcome}` is not decided by the policy");
            let help = "leave `response` out, or expect a rejection";
            return Err(problems.add(&response.span, ProblemCode::NothingToProve, message, help));
        }
        let nothing = |response: &&Spanned<ResponseDocument>| {
            let ResponseDocument { status, headers, body } = &response.value;
            status.is_none() && headers.is_none() && body.as_ref().is_none_or(|body| body.0.is_empty())
        };
        if let Some(response) = details.response.as_ref().filter(nothing) {
            let help = "write `status`, `headers` or `body`, or leave `response` out";
            let message = "nothing is expected of the response";
            return Err(problems.add(&response.span, ProblemCode::EmptyValue, message, help));
        }
        Ok(Self {
            outcome: details.outcome,
            route: details.route,
            service: details.service,
            headers: details.headers,
            response: details.response,
        })
    }
}

impl FromNode for ExpectDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let is_detail =
            |entries: &[((String, _), _)]| entries.iter().any(|((key, _), _)| DETAILS.contains(&key.as_str()));
        match &node.value {
            Value::Mapping(entries) if entries.is_empty() => {
                let help = "write an outcome for each caller, as in `{ member: allow, \"*\": deny }`";
                Err(problems.add(&node.span, ProblemCode::EmptyValue, "nothing is expected", help))
            }
            Value::Mapping(entries) if !is_detail(entries) => {
                let Map(each) = Map::<ExpectedDocument>::from_node(node, problems)?;
                Ok(Self::OfEach(each))
            }
            _ => ExpectedDocument::from_node(node, problems).map(|one| Self::OfCaller(Box::new(one))),
        }
    }
}

impl FromNode for HeaderExpectation {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let help = "write the value, a list of values, `present`, or `null` for a header that must be absent";
        let values = match &node.value {
            Value::Null => return Ok(Self::Absent),
            Value::Text(text) if text == PRESENT => return Ok(Self::Present),
            Value::Sequence(items) => items.iter().map(written).collect(),
            _ => written(node).map(|text| vec![text]),
        };
        match values {
            Some(values) => Ok(Self::Values(values)),
            None => expected(node, "the value of a header", help, problems),
        }
    }
}

impl FromNode for ExpectedHeaders {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Mapping(entries) = &node.value else {
            return expected(node, "a mapping of headers", "write `{ x-user-id: user-7 }`", problems);
        };
        if entries.is_empty() {
            let help = "write `{ x-user-id: user-7 }`, or leave `headers` out";
            return Err(problems.add(&node.span, ProblemCode::EmptyValue, "no header is named", help));
        }
        let mut headers: Vec<(Spanned<HeaderName>, _)> = Vec::new();
        for (key, value) in entries {
            let name = header_name(key, problems)?;
            if headers.iter().any(|(one, _)| one.value == name.value) {
                problems.add(
                    &name.span,
                    ProblemCode::DuplicateField,
                    twice(&key.0),
                    "leave one of them out",
                );
            }
            headers.push((name, HeaderExpectation::from_node(value, problems)?));
        }
        Ok(Self(headers))
    }
}

impl FromNode for BodyExpectation {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        Ok(match &node.value {
            Value::Null => Self::Absent,
            Value::Text(text) if text == PRESENT => Self::Present,
            _ => Self::Value(json(node, problems)?),
        })
    }
}

impl JsonSchema for ExpectedDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expected".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let outcome = generator.subschema_for::<Expectation>();
        let details = generator.subschema_for::<DetailsDocument>();
        json_schema!({ "anyOf": [outcome, details] })
    }
}

impl JsonSchema for ExpectDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Expect".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let outcome = generator.subschema_for::<Expectation>();
        let details = generator.subschema_for::<DetailsDocument>();
        let one = generator.subschema_for::<ExpectedDocument>();
        let callers = json_schema!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": format!("^(?!({})$)", DETAILS.join("|")) },
            "additionalProperties": one,
        });
        json_schema!({ "anyOf": [outcome, details, callers] })
    }
}

impl JsonSchema for ExpectedHeaders {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ExpectedHeaders".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json_schema!({ "type": ["string", "number", "boolean"] });
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
            "additionalProperties": { "anyOf": [value, { "type": "array", "items": value }, { "const": null }] },
        })
    }
}

impl JsonSchema for BodyExpectation {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "BodyExpectation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

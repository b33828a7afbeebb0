//! Conditions in words, for operators.

use std::fmt;

use http::HeaderName;
use serde_json::Value;

use super::{ClaimTest, Condition, Failure, HeaderTest, Operand, Part, Subject};
use crate::principal::{claim_at, written};
use crate::rejection::{kind, list, shown, span};

impl Condition {
    /// Describes what the condition asks for and what it was held against, as in ``the claim `sub` must equal
    /// `{id}`: it is a text with another value``. The text has the kind of the value alone, unless values are shown.
    pub fn describe(&self, subject: &Subject<'_>, outcome: Result<(), Failure>, shows_values: bool) -> String {
        let found = match (outcome, shows_values.then(|| self.value(subject)).flatten()) {
            (Err(Failure::Missing), _) => self.missing(subject).to_owned(),
            (Err(Failure::Repeated), _) => "it occurs more than once".to_owned(),
            (Err(Failure::NoParameter), _) => "the segment of the path is empty or has an escape".to_owned(),
            (Err(Failure::WrongType), _) if self.header().is_some() => {
                "the claim is neither text nor an integer".to_owned()
            }
            (_, Some(value)) => format!("it is `{}`", shown(&value)),
            (Ok(()), None) => format!("it is {}", self.kind(subject)),
            (Err(Failure::WrongType), None) => format!("it is {}, which is not compared", self.kind(subject)),
            (Err(Failure::Differs), None) => format!("it is {} with another value", self.kind(subject)),
            (Err(Failure::TooOld), None) => "it is longer ago".to_owned(),
            (Err(Failure::InFuture), None) => "it is in the future".to_owned(),
        };
        format!("{self}: {found}")
    }

    /// What the condition is held against is absent: the claim that a header is compared with, or the thing itself.
    fn missing(&self, subject: &Subject<'_>) -> &'static str {
        match self {
            Self::Header {
                name,
                test: HeaderTest::EqualsClaim(_),
            } if has_header(subject, name) => "the claim is missing",
            Self::Client { .. } => "the connection has no address",
            Self::Claim { .. } | Self::Header { .. } => "it is missing",
        }
    }

    /// The kind of the value that decided.
    fn kind(&self, subject: &Subject<'_>) -> &'static str {
        match self {
            Self::Claim { path, .. } => {
                let value = subject.claims.and_then(|claims| claim_at(claims, path));
                value.map_or("missing", kind)
            }
            Self::Header { .. } => "a text",
            Self::Client { .. } => "an address",
        }
    }

    /// The value that decided.
    fn value(&self, subject: &Subject<'_>) -> Option<String> {
        let request = subject.request.map(|(request, _)| request);
        match self {
            Self::Claim { path, .. } => match claim_at(subject.claims?, path)? {
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            },
            Self::Header { name, .. } => {
                let value = request?.headers.get(name)?;
                Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
            Self::Client { .. } => Some(request?.known_client_address()?.to_string()),
        }
    }
}

fn has_header(subject: &Subject<'_>, name: &HeaderName) -> bool {
    let request = subject.request.map(|(request, _)| request);
    request.is_some_and(|request| request.headers.get(name).is_some_and(|value| !value.is_empty()))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { path, test } => write!(f, "the claim `{}` must {test}", written(path)),
            Self::Header { name, test } => write!(f, "the header `{name}` must {test}"),
            Self::Client { networks } => {
                let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
                let networks = list(networks.iter().map(String::as_str));
                write!(f, "the address of the client must be in {networks}")
            }
        }
    }
}

impl fmt::Display for ClaimTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(operand) => write!(f, "equal `{operand}`"),
            Self::In(operands) => write!(f, "be one of {}", several(operands)),
            Self::Has(operand) => write!(f, "have `{operand}`"),
            Self::HasAny(texts) => write!(f, "have one of {}", several(&texts.written)),
            Self::Within(longest) => {
                let seconds = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
                write!(f, "be at most {} ago", span(seconds))
            }
        }
    }
}

impl fmt::Display for HeaderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(operand) => write!(f, "equal `{operand}`"),
            Self::In(operands) => write!(f, "be one of {}", several(operands)),
            Self::EqualsClaim(path) => write!(f, "equal the claim `{}`", written(path)),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(parts) => parts.iter().try_for_each(|part| match part {
                Part::Literal(text) => f.write_str(&shown(text)),
                Part::Parameter(parameter) => write!(f, "{{{}}}", shown(&parameter.name)),
            }),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
        }
    }
}

fn several(operands: &[Operand]) -> String {
    let texts: Vec<_> = operands.iter().map(ToString::to_string).collect();
    list(texts.iter().map(String::as_str))
}

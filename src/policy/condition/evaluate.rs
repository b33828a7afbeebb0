//! Holds conditions against a request, on borrowed values: nothing is allocated.

use std::cmp::Ordering;
use std::io::Write as _;

use http::{HeaderName, HeaderValue};
use serde_json::{Number, Value};

use super::{ClaimTest, Condition, HeaderTest, Operand, Parameter, Part, Texts};
use crate::policy::route::without_suffix;
use crate::principal::{Claims, claim_at, numeric_date};
use crate::request::RequestFacts;
use crate::request::path::NormalizedPath;

/// The length of the longest integer.
const DIGITS: usize = 20;

/// The largest integer up to which a number with a fraction is exact.
const EXACT: u64 = 1 << 53;

#[cfg(test)]
thread_local! {
    /// How many texts were compared one by one.
    pub(super) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What conditions are held against.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'s> {
    /// The claims of the verified token.
    pub claims: Option<&'s Claims>,
    /// The request and the one reading of its path. An issuer sees neither.
    pub request: Option<(&'s RequestFacts<'s>, &'s NormalizedPath<'s>)>,
    /// Seconds since the epoch.
    pub now: i64,
    /// How far the clock of the issuer may be ahead, in seconds.
    pub leeway: i64,
}

/// Why a condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request has no such claim, header or address.
    Missing,
    /// The claim has a type that the condition does not compare.
    WrongType,
    /// The value is another one.
    Differs,
    /// The header occurs more than once.
    Repeated,
    /// The parameter of the path has no single value: its segment is empty or has an escape.
    NoParameter,
    /// The time is longer ago.
    TooOld,
    /// The time is in the future.
    InFuture,
}

impl Condition {
    /// Checks that the condition holds.
    pub fn check(&self, subject: &Subject<'_>) -> Result<(), Failure> {
        match self {
            Self::Claim { path, test } => test.check(subject.claim(path).ok_or(Failure::Missing)?, subject),
            Self::Header { name, test } => test.check(subject.header(name)?, subject),
            Self::Client { networks } => {
                let (request, _) = subject.request.ok_or(Failure::Missing)?;
                let address = request.known_client_address().ok_or(Failure::Missing)?;
                let is_in = networks.iter().any(|network| network.contains(&address));
                held(is_in)
            }
        }
    }
}

impl ClaimTest {
    fn check(&self, value: &Value, subject: &Subject<'_>) -> Result<(), Failure> {
        match self {
            Self::Equals(operand) => operand.equals(value, subject),
            Self::In(operands) => any(operands, |operand| operand.equals(value, subject)),
            Self::Has(operand) => operand.is_among(texts(value)?, subject),
            Self::HasAny(several) => {
                let items = texts(value)?;
                let mut texts = items.iter().filter_map(Value::as_str);
                match texts.any(|text| several.has_fixed(text)) {
                    true => Ok(()),
                    false => any(&several.others, |operand| operand.is_among(items, subject)),
                }
            }
            Self::Within(longest) => {
                let time = numeric_date(value).ok_or(Failure::WrongType)?;
                #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
                let (now, latest) = (subject.now as f64, (subject.now + subject.leeway) as f64);
                match () {
                    () if time > latest => Err(Failure::InFuture),
                    () if now - time > longest.as_secs_f64() => Err(Failure::TooOld),
                    () => Ok(()),
                }
            }
        }
    }
}

impl HeaderTest {
    fn check(&self, value: &HeaderValue, subject: &Subject<'_>) -> Result<(), Failure> {
        match self {
            Self::Equals(operand) => operand.equals_text(value.as_bytes(), subject),
            Self::In(operands) => any(operands, |operand| operand.equals_text(value.as_bytes(), subject)),
            Self::EqualsClaim(path) => match subject.claim(path).ok_or(Failure::Missing)? {
                Value::String(text) => held(text.as_bytes() == value.as_bytes()),
                Value::Number(number) => {
                    let digits = Digits::of(number).ok_or(Failure::WrongType)?;
                    held(digits.as_bytes() == value.as_bytes())
                }
                _ => Err(Failure::WrongType),
            },
        }
    }
}

impl Operand {
    /// Compares with a claim. An integer is the same value as its digits in a text; nothing else is converted.
    fn equals(&self, value: &Value, subject: &Subject<'_>) -> Result<(), Failure> {
        match (self, value) {
            (Self::Boolean(wanted), Value::Bool(found)) => held(wanted == found),
            (Self::Number(wanted), Value::Number(found)) => held(is_same(wanted, found)),
            (Self::Text(_), Value::Number(found)) => {
                let digits = Digits::of(found).ok_or(Failure::WrongType)?;
                self.equals_text(digits.as_bytes(), subject)
            }
            (Self::Text(_) | Self::Number(_), Value::String(found)) => self.equals_text(found.as_bytes(), subject),
            _ => Err(Failure::WrongType),
        }
    }

    /// Compares with a text, byte for byte.
    fn equals_text(&self, text: &[u8], subject: &Subject<'_>) -> Result<(), Failure> {
        #[cfg(test)]
        COMPARISONS.with(|count| count.set(count.get() + 1));
        match self {
            Self::Text(parts) => {
                let mut rest = text;
                for part in parts {
                    let start = match part {
                        Part::Literal(literal) => literal,
                        Part::Parameter(parameter) => subject.parameter(parameter).ok_or(Failure::NoParameter)?,
                    };
                    rest = rest.strip_prefix(start.as_bytes()).ok_or(Failure::Differs)?;
                }
                held(rest.is_empty() && !text.is_empty())
            }
            Self::Number(number) => {
                let digits = Digits::of(number).ok_or(Failure::WrongType)?;
                held(digits.as_bytes() == text)
            }
            Self::Boolean(_) => Err(Failure::WrongType),
        }
    }

    /// The text that this is on every request. An empty text equals none.
    fn fixed_text(&self) -> Option<String> {
        match self {
            Self::Text(parts) => {
                let texts = parts.iter().map(|part| match part {
                    Part::Literal(text) => Some(text.as_str()),
                    Part::Parameter(_) => None,
                });
                texts.collect::<Option<String>>().filter(|text| !text.is_empty())
            }
            Self::Number(number) => Some(String::from_utf8_lossy(Digits::of(number)?.as_bytes()).into_owned()),
            Self::Boolean(_) => None,
        }
    }

    /// Looks for the value in a list of texts.
    fn is_among(&self, items: &[Value], subject: &Subject<'_>) -> Result<(), Failure> {
        any(items, |item| match item {
            Value::String(text) => self.equals_text(text.as_bytes(), subject),
            _ => Err(Failure::WrongType),
        })
    }
}

impl<'s> Subject<'s> {
    fn claim(&self, path: &[String]) -> Option<&'s Value> {
        claim_at(self.claims?, path)
    }

    /// The value of a header that occurs once and is not empty.
    fn header(&self, name: &HeaderName) -> Result<&'s HeaderValue, Failure> {
        let (request, _) = self.request.ok_or(Failure::Missing)?;
        let mut values = request.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value),
            (_, None) => Err(Failure::Missing),
            (_, Some(_)) => Err(Failure::Repeated),
        }
    }

    /// The value of a parameter as it is forwarded. There is none where a service could read another value: the
    /// segment has an escape or `;`, or it stands elsewhere in another reading of the path.
    fn parameter(&self, parameter: &Parameter) -> Option<&'s str> {
        let (_, path) = self.request?;
        let value =
            segment(path.as_str(), parameter).filter(|value| !value.is_empty() && !value.contains(['%', ';']))?;
        let is_same = |reading| segment(reading, parameter) == Some(value);
        path.lenient().all(is_same).then_some(value)
    }
}

/// The segment of a parameter in a path, which begins with a slash, without the literal behind the parameter.
fn segment<'p>(path: &'p str, parameter: &Parameter) -> Option<&'p str> {
    without_suffix(path.split('/').nth(parameter.segment + 1)?, &parameter.suffix)
}

fn held(holds: bool) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Differs) }
}

/// Passes if one of several passes. It fails for the type if none of them can compare it.
fn any<T>(several: &[T], mut check: impl FnMut(&T) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut failure = None;
    for one in several {
        match check(one) {
            Ok(()) => return Ok(()),
            Err(Failure::WrongType) => failure = failure.or(Some(Failure::WrongType)),
            Err(other) => failure = Some(other),
        }
    }
    Err(failure.unwrap_or(Failure::Differs))
}

/// The items of a claim that is a list of texts.
fn texts(value: &Value) -> Result<&[Value], Failure> {
    let items = value.as_array().filter(|items| items.iter().all(Value::is_string));
    items.map(Vec::as_slice).ok_or(Failure::WrongType)
}

impl Texts {
    /// Sorts what is written.
    pub fn of(written: Vec<Operand>) -> Self {
        let mut fixed: Vec<_> = written.iter().filter_map(Operand::fixed_text).collect();
        fixed.sort_unstable();
        let others = written.iter().filter(|operand| operand.fixed_text().is_none());
        Self {
            others: others.cloned().collect(),
            fixed,
            written,
        }
    }

    /// Returns them as they are written.
    pub fn written(&self) -> &[Operand] {
        &self.written
    }

    /// Returns whether a text is one of those without a parameter.
    fn has_fixed(&self, text: &str) -> bool {
        self.fixed.binary_search_by(|fixed| fixed.as_str().cmp(text)).is_ok()
    }
}

/// An integer in digits.
#[derive(Debug)]
struct Digits {
    bytes: [u8; DIGITS],
    length: usize,
}

impl Digits {
    /// Writes a number; `None` for one with a fraction or an exponent.
    fn of(number: &Number) -> Option<Self> {
        let integer = integer(number)?;
        let mut bytes = [0; DIGITS];
        let mut rest = &mut bytes[..];
        write!(rest, "{integer}").ok()?;
        let length = DIGITS - rest.len();
        Some(Self { bytes, length })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn integer(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

/// Compares numbers exactly. An integer that has no exact counterpart with a fraction equals no such number.
fn is_same(a: &Number, b: &Number) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        (Some(whole), None) | (None, Some(whole)) if whole.unsigned_abs() > u128::from(EXACT) => false,
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.partial_cmp(&b) == Some(Ordering::Equal),
            _ => false,
        },
    }
}

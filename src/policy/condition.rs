//! What a route or an issuer asks of a request beyond roles and scopes: plain data, which can be compared and listed.
//! A condition can reject a request, and there is no negation: what cannot be read never holds.

use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde_json::Number;

mod describe;
mod evaluate;

pub use evaluate::{Failure, Subject};

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A claim of the token passes a test.
    Claim {
        /// The names that lead to the claim.
        path: Vec<String>,
        /// The test.
        test: ClaimTest,
    },
    /// A header that occurs exactly once passes a test.
    Header {
        /// The name of the header.
        name: HeaderName,
        /// The test.
        test: HeaderTest,
    },
    /// The address of the client is in one of these networks.
    Client {
        /// The networks.
        networks: Vec<IpNet>,
    },
}

/// How a claim is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimTest {
    /// It is this value.
    Equals(Operand),
    /// It is one of these values.
    In(Vec<Operand>),
    /// It is a list with this text.
    Has(Operand),
    /// It is a list with one of these texts.
    HasAny(Texts),
    /// It is a time that is not longer ago, and not in the future.
    Within(Duration),
}

/// Texts one of which has to be among the items of a list. Those without a parameter are in order, so that an item is
/// not compared with each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// All of them as they are written.
    written: Vec<Operand>,
    /// Those that are the same on every request, in order.
    fixed: Vec<String>,
    /// Those that need the request.
    others: Vec<Operand>,
}

/// How a header is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderTest {
    /// It is this value.
    Equals(Operand),
    /// It is one of these values.
    In(Vec<Operand>),
    /// It is the value of a claim, by the names that lead to it.
    EqualsClaim(Vec<String>),
}

/// A value that a claim or a header is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// A text, perhaps with parameters of the path.
    Text(Vec<Part>),
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Boolean(bool),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These characters.
    Literal(String),
    /// A parameter of the path.
    Parameter(Parameter),
}

/// A parameter of the path of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name, without braces.
    pub name: String,
    /// The position of its segment in the whole path, from 0 on.
    pub segment: usize,
    /// The literal behind it in the segment, which is not a part of its value.
    pub suffix: String,
}

impl Condition {
    /// Returns the values that the condition compares with; none where it compares with a claim, a time or networks.
    pub fn operands(&self) -> &[Operand] {
        match self {
            Self::Claim { test, .. } => match test {
                ClaimTest::Equals(operand) | ClaimTest::Has(operand) => std::slice::from_ref(operand),
                ClaimTest::In(operands) => operands,
                ClaimTest::HasAny(several) => several.written(),
                ClaimTest::Within(_) => &[],
            },
            Self::Header { test, .. } => match test {
                HeaderTest::Equals(operand) => std::slice::from_ref(operand),
                HeaderTest::In(operands) => operands,
                HeaderTest::EqualsClaim(_) => &[],
            },
            Self::Client { .. } => &[],
        }
    }

    /// Returns whether the condition is about a claim of a token.
    pub const fn needs_token(&self) -> bool {
        matches!(
            self,
            Self::Claim { .. }
                | Self::Header {
                    test: HeaderTest::EqualsClaim(_),
                    ..
                }
        )
    }

    /// Returns whether the same token may meet the condition now and not later.
    pub const fn depends_on_time(&self) -> bool {
        matches!(
            self,
            Self::Claim {
                test: ClaimTest::Within(_),
                ..
            }
        )
    }

    /// Returns the header that the condition compares.
    pub const fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Claim { .. } | Self::Client { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;

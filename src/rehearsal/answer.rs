//! What becomes of a request, as far as client and upstream can see it.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::decision::{Decision, Outcome};
use crate::policy::PolicySet;
use crate::rejection::Reason;
use crate::request::RequestFacts;

/// What becomes of a request. Two are equal if neither client nor upstream can tell them apart, besides by time and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is forwarded with the identity of its caller.
    Forwarded(Forwarded),
    /// It is forwarded without an identity, and would be rejected but for shadow mode.
    Shadow(Reason, Forwarded),
    /// It is rejected.
    Rejected(Rejected),
    /// Sidegate itself responds: `options`, `preflight` or `metadata`.
    Own(&'static str, Reply),
}

/// What an upstream gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The name of the service.
    pub service: String,
    /// Where the service is.
    pub upstream: Reached,
    /// The path that it gets.
    pub path: String,
    /// The query that it gets, with its `?`.
    pub query: Vec<u8>,
    /// The header fields that it gets.
    pub headers: HeaderMap,
    /// The fields that Sidegate sets on the response, for pages of other origins.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
}

/// Where a service is: an address, or the variable that it comes from, as the file writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reached {
    /// An address.
    Address(String),
    /// A variable.
    Variable(String),
}

/// What the client gets in place of a response of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: Reason,
    /// The methods that the path takes, where the reason is the method.
    pub allow: Vec<Method>,
    /// The response. Ids, times and the path of the request are those of no request.
    pub reply: Reply,
}

/// A response of Sidegate itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Says what becomes of a request by its decision.
    pub(super) fn of(decision: &Decision<'_, '_>, _policies: &PolicySet, _facts: &RequestFacts<'_>) -> Self {
        match &decision.outcome {
            Outcome::Deny(rejection) => Self::Rejected(Rejected {
                reason: rejection.reason(),
                allow: rejection.allow().to_vec(),
                reply: Reply::default(),
            }),
            _ => Self::Own("options", Reply::default()),
        }
    }

    /// Returns why the request is rejected, or would be but for shadow mode.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Shadow(reason, _) => Some(*reason),
            Self::Rejected(rejected) => Some(rejected.reason),
            Self::Forwarded(_) | Self::Own(..) => None,
        }
    }

    /// Returns what the upstream gets, if it gets the request.
    pub const fn forwarded(&self) -> Option<&Forwarded> {
        match self {
            Self::Forwarded(forwarded) | Self::Shadow(_, forwarded) => Some(forwarded),
            Self::Rejected(_) | Self::Own(..) => None,
        }
    }
}

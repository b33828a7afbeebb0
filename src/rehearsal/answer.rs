//! What becomes of a request, as far as client and upstream can see it.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;

use crate::admission::forwarding::forwarded;
use crate::admission::local_response::LocalResponse;
use crate::admission::own_response::{Said, own_response};
use crate::admission::trace_context::RequestIds;
use crate::decision::{Decision, Outcome};
use crate::policy::{PolicySet, Upstream};
use crate::rejection::Reason;
use crate::request::{RequestFacts, query};

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
    pub(super) fn of(decision: &Decision<'_, '_>, policies: &PolicySet, facts: &RequestFacts<'_>) -> Self {
        if let Some(forwarded) = Forwarded::by(decision, facts) {
            return match decision.outcome.rejection() {
                Some(rejection) => Self::Shadow(rejection.reason(), forwarded),
                None => Self::Forwarded(forwarded),
            };
        }
        let reply = Reply::to(decision, policies, facts, "/");
        match decision.outcome.rejection() {
            Some(rejection) => Self::Rejected(Rejected {
                reason: rejection.reason(),
                allow: rejection.allow().to_vec(),
                reply,
            }),
            None => Self::Own(own_word(&decision.outcome), reply),
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

const fn own_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::ServerOptions => "options",
        outcome => outcome.label(),
    }
}

impl Forwarded {
    /// Says what the upstream gets, if the request is forwarded.
    fn by(decision: &Decision<'_, '_>, facts: &RequestFacts<'_>) -> Option<Self> {
        let permit = decision.outcome.permit()?;
        let (policy, route) = decision.matched.policy().zip(decision.matched.route())?;
        let path = decision.path.as_ref()?;
        let query = query::without(facts.query, |name| policy.sources.removed.is_query(name));
        let cors = policy.cors.as_ref();
        let allowed_origin = cors.and_then(|cors| cors.origin_allowed_in(facts.headers));
        let fields = cors
            .into_iter()
            .flat_map(|cors| cors.response_fields(allowed_origin.as_ref()));
        Some(Self {
            service: policy.service.clone(),
            upstream: Reached::of(&policy.upstream),
            path: policy.forwarded_path(path.as_str()).to_owned(),
            query: query.unwrap_or_else(|| facts.query.to_vec()),
            headers: forwarded(facts, policy, route, permit),
            response_headers: fields.collect(),
        })
    }
}

impl Reached {
    /// Says where an upstream is.
    pub fn of(upstream: &Upstream) -> Self {
        match &*upstream.variable {
            Some(variable) => Self::Variable(variable.clone()),
            None => Self::Address(upstream.address.to_string()),
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) | Self::Variable(text) => f.write_str(text),
        }
    }
}

impl Reply {
    /// Makes the response of Sidegate, which says that the request has this path. Ids and times are those of no request.
    pub(super) fn to(decision: &Decision<'_, '_>, policies: &PolicySet, facts: &RequestFacts<'_>, path: &str) -> Self {
        let said = Said {
            ids: &RequestIds::shown(&HeaderMap::new(), false),
            path,
            now: Timestamp::UNIX_EPOCH,
        };
        let response = own_response(decision, policies, facts, &said);
        response.map_or_else(Self::options, Self::from)
    }

    /// The response to `OPTIONS *`.
    fn options() -> Self {
        Self {
            status: StatusCode::NO_CONTENT.as_u16(),
            ..Self::default()
        }
    }
}

impl From<LocalResponse> for Reply {
    fn from(response: LocalResponse) -> Self {
        Self {
            status: response.status,
            headers: response.headers,
            body: response.body.to_vec(),
        }
    }
}

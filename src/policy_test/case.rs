//! One case of a test file: a request of one caller, ready to be decided, and what is expected of it.

use std::sync::Arc;

use http::HeaderName;

use super::document::{BodyExpectation, HeaderExpectation};
use super::outcome::Expectation;
use super::served::Process;
use crate::document::problem::Location;
use crate::rehearsal::Request;
use crate::request::{Downstream, RequestFacts};
use crate::revocation::RevocationList;

/// A request of a caller, and what is expected of it.
#[derive(Debug)]
pub struct Case {
    /// The test that it belongs to.
    pub test: Arc<TestName>,
    /// The name of the caller.
    pub caller: Arc<str>,
    /// The method and the path as they are sent, without what the caller adds.
    pub line: Arc<str>,
    /// Where the expected outcome stands.
    pub location: Location,
    /// What is expected.
    pub expected: Arc<Expected>,
    /// The request with all that the caller adds.
    pub request: Request,
    /// What decides besides policies.
    pub process: Arc<Process>,
    /// What is so while it arrives.
    pub given: Arc<Given>,
    /// What is revoked.
    pub revoked: Arc<RevocationList>,
}

/// The name of a test, and where it stands.
#[derive(Debug)]
pub struct TestName {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub location: Location,
}

/// What is so while a request arrives.
#[derive(Debug, Default)]
pub struct Given {
    /// The names of issuers without keys.
    pub no_keys: Vec<String>,
    /// Whether the store cannot be reached.
    pub store_is_down: bool,
}

/// What is expected of a request.
#[derive(Debug)]
pub struct Expected {
    /// The outcome.
    pub outcome: Expectation,
    /// The pattern of the route.
    pub route: Option<String>,
    /// The name of the service.
    pub service: Option<String>,
    /// The headers that the service gets.
    pub headers: Vec<(HeaderName, HeaderExpectation)>,
    /// The response of Sidegate.
    pub response: Option<ExpectedResponse>,
}

/// What is expected of a response of Sidegate.
#[derive(Debug)]
pub struct ExpectedResponse {
    /// The status.
    pub status: Option<u16>,
    /// The header fields.
    pub headers: Vec<(HeaderName, HeaderExpectation)>,
    /// Values of the body, by their names with dots between them.
    pub body: Vec<(String, BodyExpectation)>,
}

impl Case {
    /// Returns what a decision may read.
    pub fn facts(&self) -> RequestFacts<'_> {
        let Process {
            trusted_proxies,
            limits,
            ..
        } = &*self.process;
        let facts = self.request.facts();
        let is_trusted = |peer| trusted_proxies.iter().any(|network| network.contains(&peer));
        RequestFacts {
            downstream: Downstream {
                trusted: facts.downstream.peer.is_some_and(is_trusted),
                ..facts.downstream
            },
            trusted_proxies,
            limits: *limits,
            ..facts
        }
    }

    /// Returns what the case is called: the caller and the request.
    pub fn title(&self) -> String {
        format!("{}: {}", self.caller, self.line)
    }
}

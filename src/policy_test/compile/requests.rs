//! The requests of a test file, with the policy that each is for.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method};

use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::policy_test::document::{
    BodyDocument, PolicyTestDocument, RequestDocument, RequestLine, RequestOptionsDocument, Scheme,
};
use crate::policy_test::paths::PathWords;
use crate::rehearsal::{Rehearsal, Request};
use crate::request::Body;
use crate::revocation::Revocations;

/// A request of a file by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RequestIndex {
    /// That of a row of the matrix.
    Row(usize),
    /// One of a test.
    Test(usize, usize),
}

/// All requests of a file.
#[derive(Debug)]
pub(super) struct Requests {
    rows: Vec<Prepared>,
    tests: Vec<Vec<Prepared>>,
}

/// A request without its caller.
#[derive(Debug)]
struct Prepared {
    request: Request,
    line: Arc<str>,
    policy: Option<usize>,
    headers: Vec<(HeaderName, Vec<HeaderValue>)>,
}

impl Requests {
    /// Builds them, with placeholders filled.
    pub(super) fn of(
        document: &PolicyTestDocument,
        (host, at): (&str, i64),
        rehearsal: &Rehearsal,
        problems: &mut Problems,
    ) -> Result<Self, Reported> {
        let builder = Builder {
            words: PathWords::of(rehearsal.policies()),
            host,
            at,
            rehearsal,
        };
        let rows = document.matrix.iter().flat_map(|matrix| &matrix.rows);
        let rows = rows.map(|row| builder.prepared(&row.line, None, problems));
        let rows = rows.collect::<Result<_, _>>();
        let tests = document.tests.iter().flat_map(|tests| &tests.0);
        let tests = tests.map(|test| {
            let several = test.requests.iter().flat_map(|requests| &requests.0);
            let each = test.request.iter().chain(several);
            each.map(|RequestDocument { line, options, .. }| builder.prepared(line, Some(options), problems))
                .collect::<Result<Vec<_>, _>>()
        });
        let tests = tests.collect::<Result<_, _>>();
        Ok(Self {
            rows: rows?,
            tests: tests?,
        })
    }

    fn get(&self, index: RequestIndex) -> Option<&Prepared> {
        match index {
            RequestIndex::Row(row) => self.rows.get(row),
            RequestIndex::Test(test, request) => self.tests.get(test)?.get(request),
        }
    }

    /// Returns the policy that a request is for.
    pub(super) fn policy(&self, index: RequestIndex) -> Option<usize> {
        self.get(index)?.policy
    }

    /// Returns the policies that the requests of a test are for; `None` for a request without one.
    pub(super) fn policies_of(&self, test: usize) -> impl Iterator<Item = Option<usize>> {
        self.tests
            .get(test)
            .into_iter()
            .flatten()
            .map(|prepared| prepared.policy)
    }

    /// Returns a request without its caller.
    pub(super) fn bare(&self, index: RequestIndex) -> Request {
        let nothing = || Request::new(Method::GET, "/", "", 0);
        self.get(index)
            .map_or_else(nothing, |prepared| prepared.request.clone())
    }

    /// Returns the address that a request comes from.
    pub(super) fn client(&self, index: RequestIndex) -> Option<IpAddr> {
        self.get(index)?.request.client
    }

    /// Returns the header fields of a request that stand in place of those of its caller.
    pub(super) fn headers(&self, index: RequestIndex) -> &[(HeaderName, Vec<HeaderValue>)] {
        self.get(index).map_or(&[], |prepared| &prepared.headers)
    }

    /// Returns the method and the path as they are sent.
    pub(super) fn line(&self, index: RequestIndex) -> Arc<str> {
        self.get(index)
            .map_or_else(|| "".into(), |prepared| Arc::clone(&prepared.line))
    }
}

struct Builder<'b> {
    words: PathWords,
    host: &'b str,
    at: i64,
    rehearsal: &'b Rehearsal,
}

impl Builder<'_> {
    fn prepared(
        &self,
        line: &RequestLine,
        options: Option<&RequestOptionsDocument>,
        problems: &mut Problems,
    ) -> Result<Prepared, Reported> {
        let target = self.words.fill(&line.target);
        let host = options.and_then(|options| options.host.as_ref());
        if let Some(host) = host.filter(|host| HeaderValue::from_str(&host.value).is_err()) {
            let message = format!("`{}` cannot be a host", host.value);
            return Err(problems.add(&host.span, ProblemCode::InvalidHost, message, "write `api.example.com`"));
        }
        let shown = format!("{} {target}", line.method);
        let host = host.map_or(self.host, |host| &host.value);
        let mut request = Request::new(line.method.clone(), target, host, self.at);
        let mut headers = Vec::new();
        if let Some(options) = options {
            request.client = options.client.map(|client| client.0);
            request.tls = options.scheme == Some(Scheme::Https);
            let fields = options.headers.iter().flat_map(|headers| &headers.0);
            headers = fields
                .map(|(name, values)| (name.value.clone(), values.clone()))
                .collect();
        }
        for (name, values) in headers.iter().filter(|(name, _)| *name == HOST) {
            request.headers.remove(name);
            request.headers.extend(values.iter().map(|value| (HOST, value.clone())));
        }
        let facts = request.facts();
        let decision = self.rehearsal.decide(&facts, Revocations::Unasked, &mut ());
        let policy = decision.matched.scope().policy;
        if let Some((media_type, bytes)) = body(options) {
            request.body = if bytes == 0 { Body::None } else { Body::Sized(bytes) };
            request.headers.insert(CONTENT_LENGTH, bytes.into());
            if let Some(media_type) = media_type {
                request.headers.insert(CONTENT_TYPE, media_type);
            }
        }
        Ok(Prepared {
            request,
            line: shown.into(),
            policy,
            headers,
        })
    }
}

/// Returns the type and the length of a body, if the request has one.
fn body(options: Option<&RequestOptionsDocument>) -> Option<(Option<HeaderValue>, u64)> {
    let BodyDocument::Some(media_type, bytes) = options?.body.as_ref()? else {
        return None;
    };
    let media_type = media_type.as_ref().and_then(|text| HeaderValue::from_str(text).ok());
    Some((media_type, *bytes))
}

//! The requests of a test file, with the policy that each is for.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, HeaderValue};

use super::cell::{Cell, RequestIndex};
use crate::document::decode::Spanned;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::policy::Scope;
use crate::policy_test::callers::CallerPlan;
use crate::policy_test::document::{
    BodyDocument, PolicyTestDocument, RequestDocument, RequestLine, RequestOptionsDocument, Scheme,
};
use crate::policy_test::paths::PathWords;
use crate::rehearsal::{Caller, Rehearsal, Request, ThrowawayKeys};
use crate::request::{self, Body};
use crate::revocation::Revocations;

/// All requests of a file. The host of a caller may lead to another policy than that of the file.
#[derive(Debug)]
pub(super) struct Requests {
    /// All requests for each host that those have which name none: that of the file first.
    of_hosts: Vec<OfHost>,
    /// The place of each caller's host among them.
    hosts: Vec<usize>,
}

/// All requests of a file, with a host for those that name none.
#[derive(Debug)]
struct OfHost {
    rows: Vec<Prepared>,
    tests: Vec<Vec<Prepared>>,
}

/// A request without its caller.
#[derive(Debug)]
struct Prepared {
    request: Request,
    line: Arc<str>,
    scope: Scope,
    /// Whether it names its host.
    has_host: bool,
    headers: Vec<(Spanned<HeaderName>, Vec<HeaderValue>)>,
}

impl Requests {
    /// Builds them, with placeholders filled.
    pub(super) fn of(
        document: &PolicyTestDocument,
        plans: &[CallerPlan],
        (host, at): (&str, i64),
        rehearsal: &Rehearsal,
        problems: &mut Problems,
    ) -> Result<Self, Reported> {
        let mut names = vec![host.to_owned()];
        let mut hosts = Vec::new();
        for plan in plans {
            let own = plan.headers.0.iter().find(|(name, _)| name.value == HOST);
            let own = own.and_then(|(_, values)| values.first()?.to_str().ok());
            let known = own.map_or(Some(0), |own| names.iter().position(|name| name == own));
            hosts.push(known.unwrap_or(names.len()));
            if known.is_none() {
                names.extend(own.map(str::to_owned));
            }
        }
        let words = PathWords::of(rehearsal.policies());
        let of_host = |host: &String| {
            let builder = Builder {
                words: &words,
                host,
                at,
                rehearsal,
            };
            builder.all(document, problems)
        };
        let of_hosts = names.iter().map(of_host).collect::<Result<_, _>>()?;
        Ok(Self { of_hosts, hosts })
    }

    fn get(&self, caller: usize, index: RequestIndex) -> Option<&Prepared> {
        let of_host = self.of_hosts.get(*self.hosts.get(caller)?)?;
        match index {
            RequestIndex::Row(row) => of_host.rows.get(row),
            RequestIndex::Test(test, request) => of_host.tests.get(test)?.get(request),
        }
    }

    /// Returns the policy that a request of a caller is for.
    pub(super) fn policy(&self, cell: &Cell) -> Option<usize> {
        self.scope(cell).policy
    }

    /// Returns the policy and the route that a request of a caller is for.
    pub(super) fn scope(&self, cell: &Cell) -> Scope {
        self.get(cell.caller, cell.request)
            .map_or_else(Scope::default, |prepared| prepared.scope)
    }

    /// Returns the header fields of a request that stand in place of those of its caller.
    pub(super) fn headers(&self, cell: &Cell) -> &[(Spanned<HeaderName>, Vec<HeaderValue>)] {
        self.get(cell.caller, cell.request)
            .map_or(&[], |prepared| &prepared.headers)
    }

    /// Returns the method and the path as they are sent.
    pub(super) fn line(&self, cell: &Cell) -> Arc<str> {
        self.get(cell.caller, cell.request)
            .map_or_else(|| "".into(), |prepared| Arc::clone(&prepared.line))
    }

    /// Returns a request with all that its caller adds.
    pub(super) fn whole(
        &self,
        cell: &Cell,
        plan: &CallerPlan,
        caller: Caller,
        keys: &ThrowawayKeys,
    ) -> Option<Request> {
        let prepared = self.get(cell.caller, cell.request)?;
        let mut request = prepared.request.clone();
        request.client = request.client.or_else(|| plan.client.map(|client| client.0));
        let (joined, others): (Vec<_>, Vec<_>) = prepared.headers.iter().partition(|(name, values)| {
            // A token in such a field stands beside what else the field has.
            [COOKIE, SEC_WEBSOCKET_PROTOCOL].contains(&name.value) && !values.is_empty()
        });
        let mut caller = caller;
        caller.headers.retain(|(name, _)| {
            let is_replaced = joined.iter().any(|(joined, _)| joined.value == *name);
            !is_replaced && (*name != HOST || !prepared.has_host)
        });
        for (name, values) in joined {
            caller
                .headers
                .extend(values.iter().map(|value| (name.value.clone(), value.clone())));
        }
        caller.apply(&mut request, keys);
        for (name, values) in others {
            request.headers.remove(&name.value);
            let fields = values.iter().map(|value| (name.value.clone(), value.clone()));
            request.headers.extend(fields);
        }
        request.body = request::body(&request.headers).unwrap_or(Body::None);
        Some(request)
    }
}

struct Builder<'b> {
    words: &'b PathWords,
    host: &'b str,
    at: i64,
    rehearsal: &'b Rehearsal,
}

impl Builder<'_> {
    fn all(&self, document: &PolicyTestDocument, problems: &mut Problems) -> Result<OfHost, Reported> {
        let rows = document.matrix.iter().flat_map(|matrix| &matrix.rows);
        let rows = rows.map(|row| self.prepared(&row.line, None, problems));
        let rows = rows.collect::<Result<_, _>>();
        let tests = document.tests.iter().flat_map(|tests| &tests.0);
        let tests = tests.map(|test| {
            let several = test.requests.iter().flat_map(|requests| &requests.0);
            let each = test.request.iter().chain(several);
            each.map(|RequestDocument { line, options, .. }| self.prepared(line, Some(options), problems))
                .collect::<Result<Vec<_>, _>>()
        });
        let tests = tests.collect::<Result<_, _>>();
        Ok(OfHost {
            rows: rows?,
            tests: tests?,
        })
    }

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
        let mut has_host = host.is_some();
        let host = host.map_or(self.host, |host| &host.value);
        let mut request = Request::new(line.method.clone(), target, host, self.at);
        let mut headers = Vec::new();
        if let Some(options) = options {
            request.client = options.client.map(|client| client.0);
            request.tls = options.scheme == Some(Scheme::Https);
            headers.extend(options.headers.iter().flat_map(|headers| headers.0.clone()));
        }
        for (_, values) in headers.iter().filter(|(name, _)| name.value == HOST) {
            has_host = true;
            request.headers.remove(HOST);
            request.headers.extend(values.iter().map(|value| (HOST, value.clone())));
        }
        let facts = request.facts();
        let decision = self.rehearsal.decide(&facts, Revocations::Unasked, &mut ());
        let scope = decision.matched.scope();
        if let Some((media_type, bytes)) = body(options) {
            request.headers.insert(CONTENT_LENGTH, bytes.into());
            if let Some(media_type) = media_type {
                request.headers.insert(CONTENT_TYPE, media_type);
            }
        }
        Ok(Prepared {
            request,
            line: shown.into(),
            scope,
            has_host,
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

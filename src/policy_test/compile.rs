//! A test file to its cases: names resolved, requests and tokens built. Every problem is noted; no cases come out beside a
//! problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::callers::{self, CallerPlan};
use super::case::Case;
use super::credentials::{Credentials, Setting};
use super::document::{DETAILS, MomentDocument, PolicyTestDocument};
use super::read_claims::read_claims;
use crate::document::decode::{FromNode, not_one_of};
use crate::document::problem::{Location, Problem, ProblemCode, Problems, Reported, SourceFile};
use crate::rehearsal::Rehearsal;
use crate::rejection::Reason;
use crate::revocation::Target;

mod cells;
mod given;
mod lookup;
mod requests;
mod revocations;

use cells::{Cell, cells};
use given::givens;
use requests::Requests;
use revocations::{all_tokens, list};

/// The time of requests where a file says none: 2026-03-01T12:00:00Z.
const DEFAULT_TIME: i64 = 1_772_366_400;

/// The host of requests where neither they nor the file say one.
const DEFAULT_HOST: &str = "localhost";

/// Reads a test file as written.
pub fn read(source: &Arc<SourceFile>) -> Result<PolicyTestDocument, Vec<Problem>> {
    let mut problems = Problems::of(Arc::clone(source));
    let document = crate::document::read(&mut problems).and_then(|node| {
        let document = PolicyTestDocument::from_node(&node, &mut problems).ok()?;
        if document.version.value != 1 {
            let message = format!("version {} of the format is unknown here", document.version.value);
            problems.add(
                &document.version.span,
                ProblemCode::UnsupportedVersion,
                message,
                "write `version: 1`",
            );
        }
        if document.matrix.is_none() && document.tests.is_none() && !problems.has_errors() {
            let help = "write a `matrix`, or `tests`";
            problems.add(&(0..0), ProblemCode::NoTests, "the file has no test", help);
        }
        let is_read = !problems.has_errors();
        for test in document.tests.iter().flat_map(|tests| &tests.0).filter(|_| is_read) {
            let found = usize::from(test.request.is_some()) + usize::from(test.requests.is_some());
            if found != 1 {
                let help = "write `request: GET /path`, or `requests: [GET /path, POST /path]`";
                not_one_of(&test.name.span, &["request", "requests"], found, help, &mut problems);
            }
        }
        Some(document)
    });
    match document {
        Some(document) if !problems.has_errors() => Ok(document),
        _ => Err(problems.into_sorted()),
    }
}

/// The cases of a file, and what it is not rejected for.
pub type Compiled = (Vec<Case>, Vec<Problem>);

/// Resolves what a document says against policies.
pub fn compile(
    document: &PolicyTestDocument,
    source: &Arc<SourceFile>,
    rehearsal: &Rehearsal,
) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Problems::of(Arc::clone(source));
    let cases = Compiler {
        document,
        source,
        rehearsal,
        setting: Setting {
            policies: rehearsal.policies(),
            at: document.at.as_ref().map_or(DEFAULT_TIME, |at| {
                let MomentDocument(at) = at.value;
                at
            }),
        },
        problems: &mut problems,
    }
    .cases();
    match cases {
        Ok(cases) if !problems.has_errors() => Ok((cases, problems.into_sorted())),
        _ => Err(problems.into_sorted()),
    }
}

struct Compiler<'c> {
    document: &'c PolicyTestDocument,
    source: &'c Arc<SourceFile>,
    rehearsal: &'c Rehearsal,
    setting: Setting<'c>,
    problems: &'c mut Problems,
}

/// What callers show to policies: by the caller and by the policy.
type Shown = BTreeMap<(usize, Option<usize>), Result<Credentials, Reported>>;

impl Compiler<'_> {
    fn cases(&mut self) -> Result<Vec<Case>, Reported> {
        let plans = callers::plans(&self.document.callers, &DETAILS, self.problems)?;
        let host = self
            .document
            .host
            .as_ref()
            .map_or(DEFAULT_HOST, |host| host.value.as_str());
        let requests = Requests::of(self.document, (host, self.setting.at), self.rehearsal, self.problems);
        let cells = cells(
            self.document,
            (self.source, self.setting.policies),
            &plans,
            self.problems,
        );
        let (requests, cells) = (requests?, cells?);
        let givens = givens(self.document, &requests, self.setting.policies, self.problems)?;
        self.unused(&plans, &cells);
        self.unread(&plans, &cells, &requests);
        self.tokens_for_nothing(&plans, &cells, &requests);
        let shown = self.shown(&plans, &cells, &requests);
        let cases = cells.into_iter().map(|cell| {
            let policy = requests.policy(cell.request);
            let credentials = match shown.get(&(cell.caller, policy)) {
                Some(Ok(credentials)) => credentials.clone(),
                Some(Err(reported)) => return Err(*reported),
                None => Credentials::default(),
            };
            let plan = plans.get(cell.caller);
            let mut request = requests.bare(cell.request);
            request.client = requests
                .client(cell.request)
                .or_else(|| plan?.client.map(|client| client.0));
            credentials.caller.apply(&mut request, self.rehearsal.keys());
            replace(&mut request.headers, requests.headers(cell.request));
            let given = cell.test.and_then(|test| givens.get(test)?.as_ref());
            let mut revoked = given.map(|given| given.revoked.clone()).unwrap_or_default();
            revoked.extend(credentials.revoked.map(|jti| all_tokens(Target::Jti(jti), None)));
            Ok(Case {
                test: cell.name,
                caller: plan.map_or("", |plan| plan.name.as_str()).into(),
                line: requests.line(cell.request),
                location: Location::new(self.source, &cell.span),
                expected: cell.expected,
                request,
                given: given.map(|given| Arc::clone(&given.state)).unwrap_or_default(),
                revoked: Arc::new(list(&revoked)),
            })
        });
        cases.collect()
    }

    /// Makes what each caller shows to the policies of its requests.
    fn shown(&mut self, plans: &[CallerPlan], cells: &[Cell], requests: &Requests) -> Shown {
        let foreign = |cell: &&Cell| cell.expected.outcome.names(Reason::TokenIssuerMismatch);
        let foreign: BTreeSet<_> = cells.iter().filter(foreign).map(|cell| cell.caller).collect();
        let mut shown = Shown::new();
        for cell in cells {
            let key = (cell.caller, requests.policy(cell.request));
            let Some(plan) = plans.get(cell.caller).filter(|_| !shown.contains_key(&key)) else {
                continue;
            };
            let is_foreign = foreign.contains(&cell.caller);
            let credentials = self.setting.credentials(plan, (key.1, is_foreign), self.problems);
            shown.insert(key, credentials);
        }
        shown
    }

    /// Reports callers that no test uses.
    fn unused(&mut self, plans: &[CallerPlan], cells: &[Cell]) {
        let used: BTreeSet<_> = cells.iter().map(|cell| cell.caller).collect();
        let is_model = |name: &str| {
            let likes = self
                .document
                .callers
                .0
                .iter()
                .filter_map(|(_, caller)| caller.like.as_ref());
            likes.into_iter().any(|like| like.value == name)
        };
        let unused = plans.iter().enumerate().filter(|(index, _)| !used.contains(index));
        let unused: Vec<_> = unused.filter(|(_, plan)| !is_model(&plan.name)).collect();
        for (_, plan) in unused {
            let message = format!("no test uses the caller `{}`", plan.name);
            let help = "use it in `expect`, in `caller` or in the matrix, or remove it";
            self.problems.add(&plan.span, ProblemCode::UnusedCaller, message, help);
        }
    }

    /// Warns of claims that none of the policies reads.
    fn unread(&mut self, plans: &[CallerPlan], cells: &[Cell], requests: &Requests) {
        let met: BTreeSet<_> = cells.iter().filter_map(|cell| requests.policy(cell.request)).collect();
        let policies = met.iter().filter_map(|index| self.setting.policies.get(*index));
        let read: BTreeSet<&str> = policies
            .filter(|policy| !policy.issuers.is_empty())
            .flat_map(read_claims)
            .collect();
        if read.is_empty() {
            return;
        }
        let claims = plans
            .iter()
            .filter_map(|plan| plan.token.as_ref())
            .flat_map(|token| &token.claims);
        let unread = claims.filter(|claim| !claim.value.is_null() && !read.contains(claim.name.as_str()));
        let unread: BTreeMap<_, _> = unread.map(|claim| (claim.name_span.start, claim)).collect();
        for claim in unread.values() {
            let message = format!("no policy of these tests reads the claim `{}`", claim.name);
            let help = "leave it out, or correct its name";
            self.problems
                .warn(&claim.name_span, ProblemCode::UnreadClaim, message, help);
        }
    }

    /// Reports tokens of callers that only meet policies without issuers.
    fn tokens_for_nothing(&mut self, plans: &[CallerPlan], cells: &[Cell], requests: &Requests) {
        for (index, plan) in plans.iter().enumerate() {
            let Some(token) = &plan.token else { continue };
            let met = cells.iter().filter(|cell| cell.caller == index);
            let met = met.filter_map(|cell| self.setting.policies.get(requests.policy(cell.request)?));
            let met: Vec<_> = met.collect();
            let Some(first) = met
                .first()
                .filter(|_| met.iter().all(|policy| policy.issuers.is_empty()))
            else {
                continue;
            };
            let roles = token.get("roles").filter(|claim| !claim.value.is_null());
            let span = roles.map_or(&token.span, |claim| &claim.name_span);
            let what = if roles.is_some() { "roles" } else { "a token" };
            let message = format!(
                "`{}` has {what}, and `{}` has no `jwt` and reads no token",
                plan.name, first.service
            );
            let help = "leave the token out, or add `jwt` to the policy";
            self.problems.add(span, ProblemCode::NothingToProve, message, help);
        }
    }
}

/// Puts header fields in place of those with the same name. One without values is taken away.
fn replace(headers: &mut HeaderMap, fields: &[(HeaderName, Vec<HeaderValue>)]) {
    for (name, values) in fields {
        headers.remove(name);
        for value in values {
            headers.append(name.clone(), value.clone());
        }
    }
}

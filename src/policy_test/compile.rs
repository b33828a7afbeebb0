//! A test file to its cases: names resolved, requests and tokens built. Every problem is noted; no cases come out beside a
//! problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::HeaderValue;

use super::callers::{self, CallerPlan};
use super::case::Case;
use super::credentials::{Credentials, Purpose, Setting};
use super::document::{DETAILS, MomentDocument, PolicyTestDocument};
use super::served::Process;
use crate::document::decode::{FromNode, not_one_of};
use crate::document::problem::{Location, Problem, ProblemCode, Problems, Reported, SourceFile};
use crate::document::yaml::{Node, Value};
use crate::rehearsal::Rehearsal;
use crate::rejection::Reason;

mod amount;
mod cell;
mod cells;
mod checks;
mod given;
mod lookup;
mod proofs;
mod requests;
pub mod revocations;
mod unnamed_roles;

use amount::too_many;
use cell::Cell;
use cells::cells;
use checks::Checks;
use given::{GivenOfTest, givens, revokes_nothing};
use proofs::{never_there, replaced_credentials};
use requests::Requests;
use revocations::list;

/// The time of requests where a file says none: 2026-03-01T12:00:00Z.
const DEFAULT_TIME: i64 = 1_772_366_400;

/// The host of requests where neither they nor the file say one.
const DEFAULT_HOST: &str = "localhost";

/// Reads a test file as written.
pub fn read(source: &Arc<SourceFile>) -> Result<PolicyTestDocument, Vec<Problem>> {
    let mut problems = Problems::of(Arc::clone(source));
    let document = crate::document::read(&mut problems).and_then(|node| {
        if is_policy(&node) {
            let message = "the file is a policy, and not a test of one";
            let help =
                "name its test file, `*.test.yaml`, or write one that says `policies:` and the name of this file";
            problems.add(&(0..0), ProblemCode::NoTests, message, help);
            return None;
        }
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
            if let Some(given) = test.given.as_ref().filter(|given| given.value.is_empty()) {
                let help = "write `no_keys`, `revoked` or `store`, or leave `given` out";
                problems.add(&given.span, ProblemCode::EmptyValue, "nothing is given", help);
            }
        }
        Some(document)
    });
    match document {
        Some(document) if !problems.has_errors() => Ok(document),
        _ => Err(problems.into_sorted()),
    }
}

/// Whether a document has fields that only policies need, and none that only tests have.
fn is_policy(node: &Node) -> bool {
    let Value::Mapping(entries) = &node.value else {
        return false;
    };
    let has = |names: &[&str]| entries.iter().any(|((key, _), _)| names.contains(&key.as_str()));
    has(&["routes", "service", "upstream"]) && !has(&["callers", "matrix", "tests"])
}

/// Returns the time of all requests of a file.
pub fn time(document: &PolicyTestDocument) -> i64 {
    document.at.as_ref().map_or(DEFAULT_TIME, |at| {
        let MomentDocument(at) = at.value;
        at
    })
}

/// The cases of a file, and what it is not rejected for.
pub type Compiled = (Vec<Case>, Vec<Problem>);

/// Resolves what a document says against policies, which a process serves.
pub fn compile(
    document: &PolicyTestDocument,
    source: &Arc<SourceFile>,
    (rehearsal, process): (&Rehearsal, &Arc<Process>),
) -> Result<Compiled, Vec<Problem>> {
    let mut problems = Problems::of(Arc::clone(source));
    let cases = Compiler {
        document,
        source,
        rehearsal,
        process,
        setting: Setting {
            policies: rehearsal.policies(),
            at: time(document),
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
    process: &'c Arc<Process>,
    setting: Setting<'c>,
    problems: &'c mut Problems,
}

/// What callers show to policies: by the caller and by the policy.
type Shown = BTreeMap<(usize, Option<usize>), Result<Credentials, Reported>>;

impl<'c> Compiler<'c> {
    fn cases(&mut self) -> Result<Vec<Case>, Reported> {
        if let Some(reported) = too_many(self.document, self.problems) {
            return Err(reported);
        }
        let plans = callers::plans(&self.document.callers, &DETAILS, self.problems)?;
        let host = self.host()?;
        let requests = Requests::of(
            self.document,
            &plans,
            (host, self.setting.at),
            self.rehearsal,
            self.problems,
        );
        let cells = cells(
            self.document,
            (self.source, self.setting.policies),
            &plans,
            self.problems,
        );
        let (requests, cells) = (requests?, cells?);
        let givens = givens(
            self.document,
            (&plans, &cells, &requests),
            self.setting.policies,
            self.problems,
        )?;
        Checks {
            document: self.document,
            plans: &plans,
            policies: self.setting.policies,
            process: self.process,
            problems: self.problems,
        }
        .all(&cells, &requests);
        let shown = self.shown(&plans, &cells, &requests);
        let given = |cell: &Cell| givens.get(cell.test?)?.as_ref();
        let cases = cells.iter().map(|cell| {
            let credentials = match shown.get(&(cell.caller, requests.policy(cell))) {
                Some(Ok(credentials)) => credentials.clone(),
                Some(Err(reported)) => return Err(*reported),
                None => Credentials::default(),
            };
            replaced_credentials(&credentials.caller, requests.headers(cell), self.problems)?;
            Ok(self.case(cell, credentials, given(cell), (&plans, &requests)))
        });
        let cases: Vec<_> = cases.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        revokes_nothing(&givens, (&cells, &cases), self.rehearsal, self.problems);
        never_there((&cells, &cases), self.setting.policies, self.problems);
        Ok(cases)
    }

    /// The host of requests that name none.
    fn host(&mut self) -> Result<&'c str, Reported> {
        let Some(host) = &self.document.host else {
            return Ok(DEFAULT_HOST);
        };
        if HeaderValue::from_str(&host.value).is_err() {
            let message = format!("`{}` cannot be a host", host.value);
            let help = "write `api.example.com`";
            return Err(self.problems.add(&host.span, ProblemCode::InvalidHost, message, help));
        }
        Ok(&host.value)
    }

    fn case(
        &self,
        cell: &Cell,
        credentials: Credentials,
        given: Option<&GivenOfTest>,
        (plans, requests): (&[CallerPlan], &Requests),
    ) -> Option<Case> {
        let plan = plans.get(cell.caller)?;
        let revoked = given.map(GivenOfTest::revocations).unwrap_or_default();
        let own = credentials.revocation();
        let request = requests.whole(cell, plan, credentials.caller, self.rehearsal.keys())?;
        Some(Case {
            caller: plan.name.as_str().into(),
            line: requests.line(cell),
            test: Arc::clone(&cell.name),
            location: Location::new(self.source, &cell.span),
            expected: Arc::clone(&cell.expected),
            request,
            process: Arc::clone(self.process),
            given: given.map(|given| Arc::clone(&given.state)).unwrap_or_default(),
            revoked: Arc::new(list(revoked.iter().chain(&own))),
        })
    }

    /// Makes what each caller shows to the policies of its requests.
    fn shown(&mut self, plans: &[CallerPlan], cells: &[Cell], requests: &Requests) -> Shown {
        let foreign = |cell: &&Cell| cell.expected.outcome.names(Reason::TokenIssuerMismatch);
        let foreign: BTreeSet<_> = cells.iter().filter(foreign).map(|cell| cell.caller).collect();
        let mut shown = Shown::new();
        for cell in cells {
            let key = (cell.caller, requests.policy(cell));
            let Some(plan) = plans.get(cell.caller).filter(|_| !shown.contains_key(&key)) else {
                continue;
            };
            let purpose = match foreign.contains(&cell.caller) {
                true => Purpose::TestedAsForeign,
                false => Purpose::Tested,
            };
            let credentials = self.setting.credentials(plan, (key.1, purpose), self.problems);
            shown.insert(key, credentials);
        }
        shown
    }
}

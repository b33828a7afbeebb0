//! The cells of a test file: each caller with each of its requests, and what is expected.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use http::HeaderName;

use super::cell::{Cell, RequestIndex};
use super::lookup;
use super::proofs::never_in_response;
use crate::document::decode::{Spanned, twice};
use crate::document::problem::{Location, ProblemCode, Problems, Reported, SourceFile};
use crate::policy::PolicySet;
use crate::policy_test::callers::{CallerPlan, OTHERS, unknown};
use crate::policy_test::case::{Expected, ExpectedResponse, TestName};
use crate::policy_test::document::{
    ExpectDocument, ExpectedDocument, HeaderExpectation, MatrixDocument, PolicyTestDocument, ResponseDocument,
    TestDocument,
};
use crate::policy_test::outcome::Expectation;

/// The fields of a response whose values depend on its ids and times.
const VARYING: [&str; 3] = ["content-length", "date", "x-request-id"];

/// A caller of a test by its place in the file, what is expected of it, and the bytes that say it.
type Wanted = (usize, Arc<Expected>, Range<usize>);

/// What cells are made from.
struct Maker<'m> {
    source: &'m Arc<SourceFile>,
    policies: &'m PolicySet,
    plans: &'m [CallerPlan],
    problems: &'m mut Problems,
}

/// Makes the cells of a file: those of the matrix, row by row, and those of the tests.
pub(super) fn cells(
    document: &PolicyTestDocument,
    (source, policies): (&Arc<SourceFile>, &PolicySet),
    plans: &[CallerPlan],
    problems: &mut Problems,
) -> Result<Vec<Cell>, Reported> {
    let mut maker = Maker {
        source,
        policies,
        plans,
        problems,
    };
    let matrix = document
        .matrix
        .as_ref()
        .map_or(Ok(Vec::new()), |matrix| maker.matrix(matrix));
    let mut names = BTreeSet::new();
    let tests = document.tests.iter().flat_map(|tests| &tests.0).enumerate();
    let tests: Vec<_> = tests
        .map(|(index, test)| {
            if !names.insert(test.name.value.as_str()) {
                let help = "give each test a name of its own";
                let message = twice(&test.name.value);
                return Err(maker
                    .problems
                    .add(&test.name.span, ProblemCode::DuplicateItem, message, help));
            }
            maker.test(index, test)
        })
        .collect();
    let mut cells = matrix?;
    for test in tests {
        cells.extend(test?);
    }
    Ok(cells)
}

impl Maker<'_> {
    fn caller(&mut self, name: &Spanned<String>) -> Result<usize, Reported> {
        let position = self.plans.iter().position(|plan| plan.name == name.value);
        position.ok_or_else(|| unknown(name, self.plans.iter().map(|plan| plan.name.as_str()), self.problems))
    }

    fn name(&self, name: String, span: &Range<usize>) -> Arc<TestName> {
        let location = Location::new(self.source, span);
        Arc::new(TestName { name, location })
    }

    fn matrix(&mut self, matrix: &MatrixDocument) -> Result<Vec<Cell>, Reported> {
        let mut callers = Ok(Vec::new());
        for name in &matrix.callers {
            let caller = self.caller(name).and_then(|caller| match &callers {
                Ok(known) if known.contains(&caller) => {
                    let help = "leave one of them out";
                    Err(self
                        .problems
                        .add(&name.span, ProblemCode::DuplicateItem, twice(&name.value), help))
                }
                _ => Ok(caller),
            });
            callers = callers.and_then(|mut known| {
                known.push(caller?);
                Ok(known)
            });
        }
        let mut incomplete = None;
        for row in matrix.rows.iter().filter(|row| row.cells.len() != matrix.callers.len()) {
            let (cells, columns) = (row.cells.len(), matrix.callers.len());
            let plural = if cells == 1 { "" } else { "s" };
            let message = format!("the row has {cells} outcome{plural} for {columns} callers");
            let help = match matrix.callers.get(cells) {
                Some(missing) => format!(
                    "write the outcome for `{}`, too: every caller sends every request",
                    missing.value
                ),
                None => "write one outcome for each of `callers`".to_owned(),
            };
            incomplete = Some(
                self.problems
                    .add(&row.span, ProblemCode::IncompleteMatrix, message, help),
            );
        }
        let callers = callers?;
        if let Some(reported) = incomplete {
            return Err(reported);
        }
        let mut made = Vec::new();
        for (index, row) in matrix.rows.iter().enumerate() {
            let name = self.name("matrix".to_owned(), &row.line_span);
            for (caller, cell) in callers.iter().zip(&row.cells) {
                made.push(Cell {
                    name: Arc::clone(&name),
                    test: None,
                    caller: *caller,
                    request: RequestIndex::Row(index),
                    expected: Arc::new(plain(cell.value)),
                    span: cell.span.clone(),
                });
            }
        }
        Ok(made)
    }

    fn test(&mut self, index: usize, test: &TestDocument) -> Result<Vec<Cell>, Reported> {
        let requests = test.requests.as_ref().map_or(1, |requests| requests.0.len());
        let expected = self.expected(test)?;
        let name = self.name(test.name.value.clone(), &test.name.span);
        let mut made = Vec::new();
        for request in 0..requests {
            made.extend(expected.iter().map(|(caller, expected, span)| Cell {
                name: Arc::clone(&name),
                test: Some(index),
                caller: *caller,
                request: RequestIndex::Test(index, request),
                expected: Arc::clone(expected),
                span: span.clone(),
            }));
        }
        Ok(made)
    }

    /// What a test expects of each caller.
    fn expected(&mut self, test: &TestDocument) -> Result<Vec<Wanted>, Reported> {
        match (&test.expect, &test.caller) {
            (ExpectDocument::OfCaller(one), Some(names)) => {
                let expected = Arc::new(self.details(one)?);
                let mut made: Vec<Wanted> = Vec::new();
                for name in &names.0 {
                    let caller = self.caller(name)?;
                    if made.iter().any(|(known, ..)| *known == caller) {
                        let message = twice(&name.value);
                        let help = "leave one of them out";
                        return Err(self.problems.add(&name.span, ProblemCode::DuplicateItem, message, help));
                    }
                    made.push((caller, Arc::clone(&expected), one.outcome.span.clone()));
                }
                Ok(made)
            }
            (ExpectDocument::OfCaller(one), None) => {
                let message = "an outcome is expected, and no caller is named";
                let help = "write `caller: NAME`, or an outcome for each caller, as in `expect: { member: allow, \"*\": deny }`";
                Err(self
                    .problems
                    .add(&one.outcome.span, ProblemCode::MissingField, message, help))
            }
            (ExpectDocument::OfEach(each), None) => self.of_each(each),
            (ExpectDocument::OfEach(each), Some(names)) => {
                let span = names.0.first().map_or(&test.name.span, |name| &name.span);
                let callers: Vec<_> = each.iter().map(|(name, _)| name.value.as_str()).collect();
                let message = format!("`expect` names callers of its own: {}", callers.join(", "));
                let help = "leave `caller` out, or expect one outcome";
                Err(self.problems.add(span, ProblemCode::OneOfFields, message, help))
            }
        }
    }

    fn of_each(&mut self, each: &[(Spanned<String>, ExpectedDocument)]) -> Result<Vec<Wanted>, Reported> {
        let mut made = Vec::new();
        let mut failed = None;
        let mut others = None;
        for (name, document) in each {
            if name.value == OTHERS {
                others = Some((name, document));
                continue;
            }
            match self.caller(name) {
                Ok(caller) => made.push((caller, Arc::new(self.details(document)?), document.outcome.span.clone())),
                Err(reported) => failed = Some(reported),
            }
        }
        if let Some(reported) = failed {
            return Err(reported);
        }
        let Some((name, document)) = others else {
            return Ok(made);
        };
        let expected = Arc::new(self.details(document)?);
        let is_named = |caller: &usize| made.iter().any(|(named, ..)| named == caller);
        let rest: Vec<_> = (0..self.plans.len()).filter(|caller| !is_named(caller)).collect();
        if rest.is_empty() {
            let message = "`*` stands for no caller, since all are named";
            return Err(self
                .problems
                .add(&name.span, ProblemCode::NothingToProve, message, "leave it out"));
        }
        let span = &document.outcome.span;
        made.extend(
            rest.into_iter()
                .map(|caller| (caller, Arc::clone(&expected), span.clone())),
        );
        Ok(made)
    }

    fn details(&mut self, document: &ExpectedDocument) -> Result<Expected, Reported> {
        let route = document
            .route
            .as_ref()
            .map(|name| lookup::route(name, self.policies, self.problems));
        let service = document
            .service
            .as_ref()
            .map(|name| lookup::service(name, self.policies, self.problems));
        let headers = document.headers.iter().flat_map(|headers| &headers.value.0);
        let response = document
            .response
            .as_ref()
            .map(|response| self.response(&response.value, document.outcome.value));
        Ok(Expected {
            route: route.transpose()?,
            service: service.transpose()?,
            headers: headers
                .map(|(name, value)| (name.value.clone(), value.clone()))
                .collect(),
            response: response.transpose()?,
            ..plain(document.outcome.value)
        })
    }

    fn response(&mut self, document: &ResponseDocument, outcome: Expectation) -> Result<ExpectedResponse, Reported> {
        never_in_response(document, outcome, self.policies, self.problems)?;
        let status = document.status.as_ref().map(|status| {
            let known = u16::try_from(status.value)
                .ok()
                .filter(|status| (200..600).contains(status));
            known.ok_or_else(|| {
                let message = format!("`{}` is not a status", status.value);
                self.problems.add(
                    &status.span,
                    ProblemCode::OutOfRange,
                    message,
                    "write a status such as `401`",
                )
            })
        });
        let headers = document.headers.iter().flat_map(|headers| &headers.0);
        let varies = |(name, wanted): &&(Spanned<HeaderName>, HeaderExpectation)| {
            VARYING.contains(&name.value.as_str()) && matches!(wanted, HeaderExpectation::Values(_))
        };
        if let Some((name, _)) = headers.clone().find(varies) {
            let message = format!("`{}` is another one in each response", name.value);
            let help = "expect `present`";
            return Err(self
                .problems
                .add(&name.span, ProblemCode::NothingToProve, message, help));
        }
        let body = document.body.iter().flat_map(|body| &body.0);
        Ok(ExpectedResponse {
            status: status.transpose()?,
            headers: headers
                .map(|(name, value)| (name.value.clone(), value.clone()))
                .collect(),
            body: body.map(|(name, value)| (name.value.clone(), value.clone())).collect(),
        })
    }
}

fn plain(outcome: Expectation) -> Expected {
    Expected {
        outcome,
        route: None,
        service: None,
        headers: Vec::new(),
        response: None,
    }
}

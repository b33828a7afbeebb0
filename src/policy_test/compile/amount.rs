//! How many cases a test file has, before any of them is made.

use http::header::HOST;

use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::policy_test::callers::OTHERS;
use crate::policy_test::document::{ExpectDocument, Merged, PolicyTestDocument, TestDocument};

/// The most cases of a file.
const MOST: usize = 100_000;

/// Reports a file with more cases than Sidegate decides.
pub(super) fn too_many(document: &PolicyTestDocument, problems: &mut Problems) -> Option<Reported> {
    let callers = document.callers.0.len();
    let matrix = document.matrix.iter();
    let matrix = matrix.map(|matrix| {
        (
            matrix.rows.len(),
            matrix.rows.len().saturating_mul(matrix.callers.len()),
        )
    });
    let tests = document.tests.iter().flat_map(|tests| &tests.0);
    let tests = tests.map(|test| {
        let requests = test.requests.as_ref().map_or(1, |requests| requests.0.len());
        (requests, requests.saturating_mul(callers_of(test, callers)))
    });
    let sum = |(requests, cases): (usize, usize), (more, other): (usize, usize)| {
        (requests.saturating_add(more), cases.saturating_add(other))
    };
    let (requests, cases) = matrix.chain(tests).fold((0, 0), sum);
    // Each host of a caller may lead to other policies.
    let with_host = document.callers.0.iter().filter(|(_, caller)| match &caller.headers {
        Merged::Set(headers) => headers.0.iter().any(|(name, _)| name.value == HOST),
        Merged::Inherited | Merged::Removed => false,
    });
    let looked_at = requests.saturating_mul(with_host.count() + 1).max(cases);
    (looked_at > MOST).then(|| {
        let message =
            format!("the file has {looked_at} cases, each a caller with a request, and at most {MOST} are decided");
        let help = "split it into several files";
        problems.add(&document.version.span, ProblemCode::TooLarge, message, help)
    })
}

/// How many callers send the requests of a test.
fn callers_of(test: &TestDocument, all: usize) -> usize {
    match (&test.expect, &test.caller) {
        (ExpectDocument::OfCaller(_), Some(names)) => names.0.len(),
        (ExpectDocument::OfCaller(_), None) => 0,
        (ExpectDocument::OfEach(each), _) => match each.iter().any(|(name, _)| name.value == OTHERS) {
            true => all,
            false => each.len(),
        },
    }
}

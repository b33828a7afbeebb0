//! The report as JSON: every case, as expected or not.

use serde::Serialize;

use super::results::{CaseResult, Results};
use crate::cli::check;
use crate::document::problem::Problem;
use crate::policy_coverage::{Coverage, CoverageReport};
use crate::policy_test::{Miss, StepLine};

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report<'s> {
    passed: usize,
    failed: usize,
    milliseconds: u128,
    cases: Vec<Entry<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<CoverageReport<'s>>,
    /// Why nothing was run, or what may be wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<check::Entry<'s>>,
}

/// One case.
#[derive(Debug, Serialize)]
struct Entry<'s> {
    test: &'s str,
    caller: &'s str,
    request: &'s str,
    /// Where the expected outcome stands.
    file: &'s str,
    line: usize,
    column: usize,
    passed: bool,
    /// The outcomes. Where they fit, and the case is not as expected, `misses` has the details.
    wanted: String,
    got: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    misses: Vec<Difference<'s>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    steps: &'s [StepLine],
    /// What the route asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<&'s str>,
    /// What was likely meant, where no route takes the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'s str>,
}

#[derive(Debug, Serialize)]
struct Difference<'s> {
    wanted: &'s str,
    got: &'s str,
}

impl<'s> Report<'s> {
    /// Collects the results.
    pub(super) fn of(results: &'s Results<'_>, coverages: Option<&'s [Coverage]>, warnings: &[&'s Problem]) -> Self {
        let cases = results.files.iter().flat_map(|file| &file.cases);
        Self {
            passed: results.passed(),
            failed: results.failed(),
            milliseconds: results.elapsed.as_millis(),
            cases: cases.map(entry).collect(),
            coverage: coverages.map(CoverageReport::of),
            problems: warnings.iter().copied().map(check::entry).collect(),
        }
    }

    /// The report of a run that did not begin.
    pub(super) fn of_problems(problems: &'s [Problem]) -> Self {
        Self {
            passed: 0,
            failed: 0,
            milliseconds: 0,
            cases: Vec::new(),
            coverage: None,
            problems: problems.iter().map(check::entry).collect(),
        }
    }
}

fn entry<'s>(result: &'s CaseResult<'_>) -> Entry<'s> {
    let CaseResult {
        case,
        verdict,
        steps,
        asks,
        hint,
    } = result;
    let difference = |miss: &'s Miss| Difference {
        wanted: &miss.wanted,
        got: &miss.got,
    };
    Entry {
        test: &case.test.name,
        caller: &case.caller,
        request: &case.line,
        file: case.location.file(),
        line: case.location.line(),
        column: case.location.column(),
        passed: verdict.passed(),
        wanted: case.expected.outcome.to_string(),
        got: verdict.found.to_string(),
        misses: verdict.misses.iter().map(difference).collect(),
        steps,
        asks: asks.as_deref(),
        hint: hint.as_deref(),
    }
}

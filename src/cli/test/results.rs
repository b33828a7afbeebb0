//! The results of tests, for all forms of the report.

use std::time::Duration;

use crate::policy_test::{Case, Judge, StepLine, Suite, Verdict, asks, hint};

/// The results of all files.
#[derive(Debug)]
pub(super) struct Results<'s> {
    /// The files, in the order in which they were named.
    pub(super) files: Vec<FileResults<'s>>,
    /// How long it took.
    pub(super) elapsed: Duration,
}

/// The results of one file.
#[derive(Debug)]
pub(super) struct FileResults<'s> {
    /// Its name.
    pub(super) file: &'s str,
    /// Its cases.
    pub(super) cases: Vec<CaseResult<'s>>,
}

/// The result of one case.
#[derive(Debug)]
pub(super) struct CaseResult<'s> {
    /// The case.
    pub(super) case: &'s Case,
    /// What became of it.
    pub(super) verdict: Verdict,
    /// The steps of the decision, where it is not as expected.
    pub(super) steps: Vec<StepLine>,
    /// What the route asks, where it is not as expected and a route was met.
    pub(super) asks: Option<String>,
    /// What was likely meant, where no route takes the request.
    pub(super) hint: Option<String>,
}

impl Results<'_> {
    /// Returns the number of all cases that are as expected.
    pub(super) fn passed(&self) -> usize {
        self.files.iter().map(FileResults::passed).sum()
    }

    /// Returns the number of all cases that are not as expected.
    pub(super) fn failed(&self) -> usize {
        let cases: usize = self.files.iter().map(|file| file.cases.len()).sum();
        cases - self.passed()
    }
}

impl FileResults<'_> {
    /// Returns the number of cases that are as expected.
    pub(super) fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.verdict.passed()).count()
    }
}

impl<'s> CaseResult<'s> {
    /// Judges a case. The steps are made only if it is not as expected.
    pub(super) fn of(case: &'s Case, suite: &Suite, judge: &mut Judge<'_>) -> Self {
        let verdict = judge.verdict(case);
        if verdict.passed() {
            return Self {
                case,
                verdict,
                steps: Vec::new(),
                asks: None,
                hint: None,
            };
        }
        let (verdict, steps) = judge.explained(case);
        let policies = suite.rehearsal.policies();
        Self {
            case,
            steps,
            asks: policies.matched(verdict.scope).route().map(asks),
            hint: hint(case, &verdict, policies),
            verdict,
        }
    }

    /// Returns what is not as expected, in one line.
    pub(super) fn difference(&self) -> String {
        let misses = self.verdict.misses.iter();
        let misses: Vec<_> = misses
            .map(|miss| format!("wanted {}, got {}", miss.wanted, miss.got))
            .collect();
        misses.join("; ")
    }

    /// Returns the steps, what the route asks and what was likely meant, a line each.
    pub(super) fn evidence(&self) -> Vec<String> {
        let steps = self.steps.iter().map(|line| {
            let mark = if line.passed { "ok" } else { "no" };
            format!("  {:<12} {mark}  {}", line.step, line.detail)
        });
        let asks = self.asks.iter().map(|asks| format!("in the policy: {asks}"));
        steps.chain(asks).chain(self.hint.clone()).collect()
    }
}

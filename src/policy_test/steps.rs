//! The steps of a decision, for a case that is not as expected.

use serde::Serialize;

use crate::decision::{Observer, Step};
use crate::policy::route::Requirement;
use crate::rejection::Rejection;

/// The steps of one decision, as they come.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<(Step, StepLine)>);

/// A step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepLine {
    /// The step.
    pub step: &'static str,
    /// Whether it was passed.
    pub passed: bool,
    /// How, or why not.
    pub detail: String,
}

impl Steps {
    /// Returns the steps that the policy decides, from the route on; all of them where no route was found.
    pub(super) fn into_lines(self, requirement: Option<&Requirement>) -> Vec<StepLine> {
        let route = self
            .0
            .iter()
            .position(|(step, line)| *step == Step::Route && line.passed);
        let lines = self.0.into_iter().skip(route.unwrap_or(0));
        let asks = |step| match step {
            Step::Roles => requirement.is_some_and(|requirement| !requirement.roles.is_empty()),
            Step::Scopes => requirement.is_some_and(|requirement| !requirement.scopes.is_empty()),
            Step::Binding | Step::Content | Step::Idempotency | Step::Quota => false,
            _ => true,
        };
        let matters = lines.filter(|(step, line)| !line.passed || asks(*step));
        matters.map(|(_, line)| line).collect()
    }

    fn add(&mut self, step: Step, passed: bool, detail: String) {
        let line = StepLine {
            step: step.as_str(),
            passed,
            detail,
        };
        self.0.push((step, line));
    }
}

impl Observer for Steps {
    fn passed(&mut self, step: Step, how: impl FnOnce() -> String) {
        self.add(step, true, how());
    }

    fn blocked(&mut self, step: Step, how: impl FnOnce() -> String) {
        self.add(step, false, how());
    }

    fn failed(&mut self, step: Step, rejection: &Rejection) {
        self.add(
            step,
            false,
            format!("{}: {}", rejection.reason().code(), rejection.cause()),
        );
    }

    /// All values are those of the test file.
    fn shows_values(&self) -> bool {
        true
    }
}

//! What all parts of the compiler share.

use std::path::Path;
use std::time::Duration;

use super::lints::Declared;
use crate::document::decode::Spanned;
use crate::document::environment::Environment;
use crate::document::problem::{ProblemCode, Problems};
use crate::document::references::References;
use crate::document::scalars::HumanDuration;
use crate::policy::lint::Lint;

/// The word of what is said aloud to be unchecked.
pub(super) const UNCHECKED: &str = "unchecked";

/// What is wrong with a path whose case cannot be ignored.
pub(super) const NOT_FOLDED: &str =
    "with `case_insensitive` a path has ASCII letters only: of others, services differ in the case";

/// What would fix that.
pub(super) const ASCII_OR_EXACT: &str = "write ASCII letters only, or leave out `case_insensitive: true`";

/// Compiles one document: what all parts share.
pub(super) struct Compiler<'c> {
    pub(super) problems: &'c mut Problems,
    pub(super) environment: &'c dyn Environment,
    /// The keys that the file has, read well or not, so that one fault is reported once.
    pub(super) declared: &'c Declared,
    /// Warnings of `check` that are found while the policy is compiled.
    pub(super) lints: Vec<Lint>,
}

impl Compiler<'_> {
    /// Reads what the policy refers to. A relative path starts at the folder of the policy.
    pub(super) fn references(&mut self) -> References<'_> {
        let folder = Path::new(&self.problems.source().name).parent();
        References {
            folder: folder.unwrap_or(Path::new("")).to_owned(),
            environment: self.environment,
            problems: self.problems,
        }
    }

    /// Notes the first item of a list beyond the most that it may have.
    pub(super) fn at_most<T>(&mut self, most: usize, what: &str, next: Option<&Spanned<T>>) {
        if let Some(next) = next {
            let message = format!("there are at most {most} {what}, and this is one more");
            let help = "leave out what you do not need";
            self.problems.add(&next.span, ProblemCode::TooLarge, message, help);
        }
    }
}

/// A length of time that may be absent.
pub(super) fn period(period: Option<HumanDuration>, default: Duration) -> Duration {
    period.map_or(default, |period| period.0)
}

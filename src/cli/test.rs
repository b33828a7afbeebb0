//! `sidegate test`: policies do what their tests say.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::Exit;
use super::annotations::{Annotation, annotate};
use super::output::{could_not_run, is_styled, print, print_error, print_json};
use crate::document::characters::in_one_line;
use crate::document::problem::Problem;
use crate::policy_coverage::{Coverage, describe};
use crate::policy_test::{Judge, Loader, Suite, find, skipped};

mod coverage;
mod github;
mod json;
mod junit;
mod results;
mod text;

use coverage::CoverageArgs;
use results::{FileResults, Results};

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Test files, or folders with `*.test.yaml`. Folders within them are not read
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Run only those with this text in `TEST / CALLER: METHOD PATH`
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    #[command(flatten)]
    coverage: CoverageArgs,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// The form of the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
    /// JUnit XML, for the reports of CI
    Junit,
    /// Text, and annotations for GitHub Actions
    Github,
}

impl Test {
    pub(super) fn execute(self) -> Exit {
        let begun = Instant::now();
        let suites = match self.suites() {
            Ok(suites) => suites,
            Err(problems) => return self.unable(&problems),
        };
        for line in skipped(&self.paths) {
            print_error(format!("not run: {}", in_one_line(&line)));
        }
        let warnings: Vec<_> = suites.iter().flat_map(|suite| &suite.warnings).collect();
        warnings.iter().copied().for_each(show);
        let files: Vec<_> = suites.iter().map(|suite| self.judged(suite)).collect();
        let files: Vec<_> = files.into_iter().filter(|file| !file.cases.is_empty()).collect();
        if files.is_empty() {
            let filter = self.filter.as_deref().unwrap_or_default();
            self.print_nothing(&[]);
            return could_not_run(format!(
                "`--filter` fits nothing: no test, caller or request has `{filter}`"
            ));
        }
        let results = Results {
            files,
            elapsed: begun.elapsed(),
        };
        let coverages = match self.coverage.measure(&suites).transpose() {
            Ok(coverages) => coverages,
            Err(error) => return could_not_run(error),
        };
        self.report(&results, coverages.as_deref(), &warnings);
        let is_covered = coverages.is_none_or(|coverages| self.coverage.is_met_by(&coverages));
        match results.failed() == 0 && is_covered {
            true => Exit::Fine,
            false => Exit::No,
        }
    }

    fn report(&self, results: &Results<'_>, coverages: Option<&[Coverage]>, warnings: &[&Problem]) {
        let described = coverages.map(describe).unwrap_or_default();
        match self.output {
            Output::Text => print(&(text::report(results) + &described)),
            Output::Json => print_json(&json::Report::of(results, coverages, warnings)),
            Output::Junit => {
                print(&junit::report(results));
                if !described.is_empty() {
                    print_error(described.trim_end());
                }
            }
            Output::Github => {
                print(&(text::report(results) + &described));
                let mut annotations = github::annotations(results);
                annotations.extend(warnings.iter().copied().map(Annotation::of));
                annotations.extend(
                    coverages
                        .map(|coverages| self.coverage.annotations(coverages))
                        .unwrap_or_default(),
                );
                annotate(&annotations);
            }
        }
    }

    /// Shows problems because of which nothing runs.
    fn unable(&self, problems: &[Problem]) -> Exit {
        problems.iter().for_each(show);
        self.print_nothing(problems);
        could_not_run(format!("no test was run: {}", super::check::count(problems)))
    }

    /// Prints a report of nothing, for programs that read one in any case.
    fn print_nothing(&self, problems: &[Problem]) {
        match self.output {
            Output::Text => {}
            Output::Json => print_json(&json::Report::of_problems(problems)),
            Output::Junit => print(&junit::of_problems(problems)),
            Output::Github => annotate(&problems.iter().map(Annotation::of).collect::<Vec<_>>()),
        }
    }

    /// Reads all test files, or finds everything that is wrong with them.
    fn suites(&self) -> Result<Vec<Suite>, Vec<Problem>> {
        let mut loader = Loader::default();
        let (mut suites, mut problems): (Vec<_>, Vec<Problem>) = (Vec::new(), Vec::new());
        for file in find(&self.paths)? {
            match loader.load(&file) {
                Ok(suite) => suites.push(suite),
                // Several files may name policies that do not check out.
                Err(found) => problems.extend(
                    found
                        .into_iter()
                        .filter(|one| !problems.contains(one))
                        .collect::<Vec<_>>(),
                ),
            }
        }
        match problems.is_empty() {
            true => Ok(suites),
            false => Err(problems),
        }
    }

    fn judged<'s>(&self, suite: &'s Suite) -> FileResults<'s> {
        let mut judge = Judge::new(&suite.rehearsal);
        let fits = |title: &str| self.filter.as_deref().is_none_or(|filter| title.contains(filter));
        let cases = suite.cases.iter().filter(|case| {
            let title = format!("{} / {}", case.test.name, case.title());
            fits(&title)
        });
        FileResults {
            file: &suite.file,
            cases: cases
                .map(|case| results::CaseResult::of(case, suite, &mut judge))
                .collect(),
        }
    }
}

fn show(problem: &Problem) {
    print_error(format!("{}\n", problem.render(is_styled(&std::io::stderr()))));
}

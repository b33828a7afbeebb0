//! `sidegate check`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::{could_not_run, is_styled, print_json, print_line};
use super::{Exit, Format};
use crate::policy::ErrorStyle;
use crate::policy::problem::Problem;
use crate::policy_files::{self, LoadError};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Policy files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Serialize)]
struct Report<'p> {
    problems: Vec<Entry<'p>>,
}

#[derive(Serialize)]
struct Entry<'p> {
    file: &'p str,
    line: usize,
    column: usize,
    message: &'p str,
    help: Option<&'p str>,
}

impl Check {
    pub(super) fn execute(self) -> Exit {
        let problems = match policy_files::load(&self.paths, ErrorStyle::default()) {
            Ok(policies) => {
                self.report(&[], policies.policies().len());
                return Exit::Fine;
            }
            Err(LoadError::Wrong(problems)) => problems,
            Err(error) => return could_not_run(error),
        };
        self.report(&problems, 0);
        Exit::No
    }

    fn report(&self, problems: &[Problem], policies: usize) {
        match self.output {
            Format::Json => print_json(&Report {
                problems: problems.iter().map(entry).collect(),
            }),
            Format::Text => {
                let styled = is_styled(&std::io::stdout());
                for problem in problems {
                    print_line(format!("{}\n", problem.render(styled)));
                }
                match problems.len() {
                    0 if policies == 1 => print_line("1 policy, no problems"),
                    0 => print_line(format!("{policies} policies, no problems")),
                    found => print_line(count(found)),
                }
            }
        }
    }
}

/// `1 problem` or `n problems`.
pub(super) fn count(problems: usize) -> String {
    match problems {
        1 => "1 problem".into(),
        _ => format!("{problems} problems"),
    }
}

fn entry(problem: &Problem) -> Entry<'_> {
    Entry {
        file: problem.place().file(),
        line: problem.place().line(),
        column: problem.place().column(),
        message: problem.message(),
        help: problem.fix(),
    }
}

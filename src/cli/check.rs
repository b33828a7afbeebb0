//! `sidegate check`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::output::{could_not_run, is_styled, print_json, print_line};
use super::{Exit, Format};
use crate::config::{Overrides, ServerConfig};
use crate::policy::ErrorStyle;
use crate::policy::problem::Problem;
use crate::policy_files::{self, CONFIG_NAME, LoadError};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Policy files, folders of them, or a `sidegate.yaml` with the policies that it names
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
        match self.problems() {
            Ok((problems, policies)) => {
                self.report(&problems, policies);
                if problems.is_empty() { Exit::Fine } else { Exit::No }
            }
            Err(unreadable) => could_not_run(unreadable),
        }
    }

    /// All problems, and the number of policies where there is none.
    fn problems(&self) -> Result<(Vec<Problem>, usize), LoadError> {
        let mut problems = Vec::new();
        let mut policies = Vec::new();
        for path in &self.paths {
            match config_of(path) {
                None => policies.push(path.clone()),
                Some(Ok(config)) => policies.push(config.policies),
                Some(Err(LoadError::Wrong(found))) => problems.extend(found),
                Some(Err(unreadable)) => return Err(unreadable),
            }
        }
        match policy_files::load(&policies, ErrorStyle::default()) {
            Ok(set) => Ok((problems, set.policies().len())),
            Err(LoadError::Wrong(found)) => {
                problems.extend(found);
                Ok((problems, 0))
            }
            Err(unreadable) => Err(unreadable),
        }
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

/// The configuration of a process, if that is what a file is by its name.
fn config_of(path: &Path) -> Option<Result<ServerConfig, LoadError>> {
    let is_config = path.file_name().is_some_and(|name| name == CONFIG_NAME);
    is_config.then(|| ServerConfig::load(path, &Overrides::default()))
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

//! `sidegate check`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::annotations::{Annotation, annotate};
use super::format::one_of;
use super::output::{is_styled, print_json, print_line};
use super::paths::{self, Named};
use super::{Exit, Format};
use crate::config::ServerConfig;
use crate::document::problem::Problem;
use crate::policy::{ErrorStyle, Policy};
use crate::policy_files;
use crate::rehearsal::ThrowawayKeys;
use crate::tls;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Policy files, folders of them, or a `sidegate.yaml` with the files that it names
    ///
    /// All PATHs are one set, as one process would load them: two policies for the same requests are a
    /// problem. To check the policies of several processes, call `check` once for each.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read no variable, secret, key, certificate or URL, and check all the rest: for machines that have none of them
    #[arg(long)]
    without_secrets: bool,
    /// Exit with 1 for warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// The form of the report
    #[arg(long, value_parser = one_of([Format::Text, Format::Json, Format::Github]), default_value = "text")]
    output: Format,
}

#[derive(Serialize)]
struct Report<'p> {
    problems: Vec<Entry<'p>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Entry<'p> {
    severity: &'static str,
    code: &'static str,
    file: &'p str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    message: &'p str,
    help: &'p str,
}

impl Check {
    pub(super) fn execute(self) -> Exit {
        paths::warn_of_unread(&self.paths);
        let (problems, policies) = self.problems();
        let accepted = !problems.iter().any(|problem| problem.is_error() || self.deny_warnings);
        self.report(&problems, accepted.then_some(policies));
        match accepted {
            true => Exit::Fine,
            // One of the paths cannot be read.
            false if self.paths.iter().any(|path| path.metadata().is_err()) => Exit::CouldNotRun,
            false => Exit::No,
        }
    }

    /// All problems and the number of policies, which counts where none of the problems is an error.
    fn problems(&self) -> (Vec<Problem>, usize) {
        let keys = ThrowawayKeys::new();
        let read = |path: &Path| match self.without_secrets {
            true => ServerConfig::read_with(path, &keys),
            false => ServerConfig::read(path),
        };
        let Named {
            policies,
            configs,
            mut problems,
        } = paths::read(&self.paths, read);
        if !self.without_secrets {
            problems.extend(configs.iter().flat_map(tls::problems));
        }
        let (set, _) = match self.without_secrets {
            true => policy_files::read_with(&policies, ErrorStyle::default(), &keys),
            false => policy_files::read(&policies, ErrorStyle::default()),
        };
        match set {
            Ok(set) => {
                problems.extend(set.warnings().cloned());
                problems.extend(set.lints(jiff::Timestamp::now().as_second()).cloned());
                if !configs.is_empty() && !configs.iter().any(|config| config.surroundings().asks_for_certificates) {
                    problems.extend(set.policies().iter().flat_map(Policy::unasked_certificates));
                }
                problems.extend(configs.iter().flat_map(|config| config.own_upstreams(&set)));
                (problems, set.policies().len())
            }
            Err(found) => {
                problems.extend(found);
                (problems, 0)
            }
        }
    }

    /// Reports all problems, and the number of policies if they are accepted.
    fn report(&self, problems: &[Problem], policies: Option<usize>) {
        match self.output {
            Format::Json => print_json(&Report {
                problems: problems.iter().map(entry).collect(),
            }),
            output => {
                let styled = is_styled(&std::io::stdout());
                for problem in problems {
                    print_line(format!("{}\n", problem.render(styled)));
                }
                match policies {
                    Some(1) => print_line(format!("1 policy, {}", count(problems))),
                    Some(policies) => print_line(format!("{policies} policies, {}", count(problems))),
                    None if problems.iter().any(Problem::is_error) => print_line(count(problems)),
                    None => print_line(format!("{}, denied by `--deny-warnings`", count(problems))),
                }
                if output == Format::Github {
                    annotate(&problems.iter().map(Annotation::of).collect::<Vec<_>>());
                }
            }
        }
    }
}

/// `no problems`, `2 problems`, `1 warning` or `2 problems, 1 warning`.
pub(super) fn count(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    match (errors, problems.len() - errors) {
        (0, 0) => "no problems".to_owned(),
        (_, 0) => counted(errors, "problem"),
        (0, warnings) => counted(warnings, "warning"),
        (_, warnings) => format!("{}, {}", counted(errors, "problem"), counted(warnings, "warning")),
    }
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

pub(super) fn entry(problem: &Problem) -> Entry<'_> {
    let (end_line, end_column) = problem.location().end();
    Entry {
        severity: problem.severity().as_str(),
        code: problem.code().as_str(),
        file: problem.location().file(),
        line: problem.location().line(),
        column: problem.location().column(),
        end_line,
        end_column,
        message: problem.message(),
        help: problem.fix(),
    }
}

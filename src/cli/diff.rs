//! `sidegate diff`: the requests that two sets of policies answer differently.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Exit;
use super::annotations::annotate;
use super::format::{Format, one_of};
use super::output::{could_not_run, is_styled, print, print_error, print_json};
use super::paths::warn_of_unread;
use crate::document::problem::Problem;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::report::Report;
use crate::policy_diff::settings::Configuration;
use crate::policy_diff::{self, Incomplete};
use crate::rehearsal::{Rehearsal, ThrowawayKeys};

mod git;
mod github;
mod input;
pub(super) mod markdown;
mod named_callers;
mod parts;
mod requests;
mod text;
mod words;

use git::Revision;
use input::{Fault, Texts};
use named_callers::NamedCallers;
use words::View;

#[derive(Debug, Args)]
#[command(override_usage = "sidegate diff [OPTIONS] OLD NEW\n       sidegate diff [OPTIONS] --git REV PATH")]
pub(super) struct Diff {
    /// The policies as they were, and as they are: a policy file, a folder of them, or a `sidegate.yaml` with those that
    /// it names; two `sidegate.yaml` are compared as well. With `--git`, one path
    #[arg(required = true, num_args = 1..=2, value_name = "OLD NEW")]
    paths: Vec<PathBuf>,
    /// Compare with the same path as it was at a revision, such as `main`; this runs `git`
    #[arg(long, value_name = "REV")]
    git: Option<String>,
    /// Which changes make the exit code 1
    #[arg(long, value_enum, default_value_t, value_name = "CHANGES")]
    fail_on: FailOn,
    /// Show all requests of a change, all its callers, and requests that are rejected as before in another way
    #[arg(long)]
    all: bool,
    /// Name the callers of a test file who are let in or kept out by a change
    #[arg(long, value_name = "FILE.test.yaml")]
    callers: Option<PathBuf>,
    /// The form of the report
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = one_of([Format::Text, Format::Json, Format::Markdown, Format::Github]))]
    output: Format,
}

/// Which changes make the exit code 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Callers without a credential pass who did not
    Public,
    /// Any callers pass who did not
    Opened,
    /// Something is answered differently, or a setting is another
    #[default]
    Any,
    /// None
    Never,
}

impl FailOn {
    fn is_met(self, report: &Report) -> bool {
        let has = |effects: &[Effect]| {
            let mut changes = report.changes.iter();
            changes.any(|one| one.change.effects.iter().any(|effect| effects.contains(effect)))
        };
        match self {
            Self::Public => has(&[Effect::OpenedToPublic]),
            Self::Opened => has(&[Effect::OpenedToPublic, Effect::Opened]),
            Self::Any => !report.is_empty(),
            Self::Never => false,
        }
    }
}

/// Both sides before their policies are compiled, and how they are called.
struct Sides {
    was: Texts,
    now: Texts,
    names: (String, String),
    path: PathBuf,
}

impl Diff {
    pub(super) fn execute(self) -> Exit {
        let keys = Arc::new(ThrowawayKeys::new());
        let sides = match self.sides(&keys) {
            Ok(sides) => sides,
            Err(exit) => return exit,
        };
        let Some((was, now)) = sides.compile(&keys) else {
            return Exit::CouldNotRun;
        };
        let rehearsal = |policies, configuration: Option<&Configuration>| {
            let rehearsal = Rehearsal::new(Arc::new(policies), &keys);
            match configuration {
                Some(configuration) => rehearsal.with_body_bytes(configuration.body_bytes()),
                None => rehearsal,
            }
        };
        let (was, now) = (
            rehearsal(was, sides.was.configuration.as_ref()),
            rehearsal(now, sides.now.configuration.as_ref()),
        );
        let difference = match policy_diff::compare(&was, &now) {
            Ok(difference) => difference,
            Err(too_many @ Incomplete::TooMany { .. }) => {
                return could_not_run(format!("{too_many}; compare fewer policies at a time"));
            }
            Err(incomplete) => return could_not_run(incomplete.to_string()),
        };
        let configurations = sides.was.configuration.as_ref().zip(sides.now.configuration.as_ref());
        let mut report = Report::new((was.policies(), now.policies()), difference, configurations);
        if let Some(path) = &self.callers {
            let named = NamedCallers::read(path).and_then(|callers| callers.name(&mut report, (&was, &now)));
            let Some(unnamed) = report_fault("--callers", &path.display().to_string(), named) else {
                return Exit::CouldNotRun;
            };
            for why in unnamed {
                print_error(format!("sidegate: --callers: {why}; the caller is not named there"));
            }
        }
        let notes = sides.notes();
        for note in &notes {
            print_error(format!("sidegate: {note}"));
        }
        let view = View {
            report: &report,
            all: self.all,
            notes,
            policies: explain_option(&sides),
        };
        match self.output {
            Format::Json => print_json(&report),
            Format::Markdown => print(&markdown::written(&view)),
            Format::Github => {
                print(&text::written(&view));
                annotate(&github::annotations(&report));
            }
            Format::Text | Format::Junit => print(&text::written(&view)),
        }
        match self.fail_on.is_met(&report) {
            true => Exit::No,
            false => Exit::Fine,
        }
    }

    /// Reads both sides. Says what is wrong with the paths.
    fn sides(&self, keys: &ThrowawayKeys) -> Result<Sides, Exit> {
        warn_of_unread(&self.paths);
        let (was, now, names, path) = match (&self.git, self.paths.as_slice()) {
            (None, [was, now]) => {
                let names = (was.display().to_string(), now.display().to_string());
                (Texts::of_path(was, keys), Texts::of_path(now, keys), names, now)
            }
            (Some(name), [path]) => {
                let now = Texts::of_path(path, keys);
                let revision = Revision::open(path, name).map_err(could_not_run)?;
                let was = Texts::at_revision(&revision, keys);
                (
                    was,
                    now,
                    (format!("{name}:{}", path.display()), path.display().to_string()),
                    path,
                )
            }
            (None, _) => {
                return Err(could_not_run(
                    "two paths are compared: write `sidegate diff OLD NEW`, or `sidegate diff --git REV PATH`",
                ));
            }
            (Some(_), _) => {
                return Err(could_not_run(
                    "with `--git`, the one path is compared with itself at the revision: leave the other path out",
                ));
            }
        };
        match (report_fault("OLD", &names.0, was), report_fault("NEW", &names.1, now)) {
            (Some(was), Some(now)) => Ok(Sides {
                was,
                now,
                names,
                path: path.clone(),
            }),
            _ => Err(Exit::CouldNotRun),
        }
    }
}

impl Sides {
    /// Says what is not compared, and why.
    fn notes(&self) -> Vec<String> {
        let absent = self.was.is_absent.then(|| {
            let (was, now) = &self.names;
            format!("`{was}` does not exist: all that `{now}` has is new")
        });
        let alone = match (&self.was.configuration, &self.now.configuration) {
            (Some(_), None) => Some("OLD"),
            (None, Some(_)) => Some("NEW"),
            (Some(_), Some(_)) | (None, None) => None,
        };
        let alone = alone
            .map(|side| format!("only {side} has a `sidegate.yaml`, so the settings of the process are not compared"));
        absent.into_iter().chain(alone).collect()
    }

    /// Compiles both sides. Says what is wrong with them.
    fn compile(&self, keys: &ThrowawayKeys) -> Option<(PolicySet, PolicySet)> {
        let (was, now) = (self.was.default_errors(), self.now.default_errors());
        // A path without a configuration says nothing of errors outside of policies.
        let style =
            |first: Option<&ErrorStyle>, other: Option<&ErrorStyle>| first.or(other).cloned().unwrap_or_default();
        let (old, new) = (style(was, now), style(now, was));
        let was = report_fault("OLD", &self.names.0, self.was.compile(old, keys));
        let now = report_fault("NEW", &self.names.1, self.now.compile(new, keys));
        was.zip(now)
    }
}

/// Says what is wrong with a side.
fn report_fault<T>(side: &str, name: &str, read: Result<T, Fault>) -> Option<T> {
    match read {
        Ok(read) => return Some(read),
        Err(Fault::NotFound(why)) => print_error(format!("sidegate: {side}: {why}")),
        Err(Fault::Problems(problems)) => {
            let styled = is_styled(&std::io::stderr());
            for problem in &problems {
                print_error(format!("{}\n", problem.render(styled)));
            }
            let errors = problems.iter().filter(|problem| Problem::is_error(problem)).count();
            let s = if errors == 1 { "" } else { "s" };
            print_error(format!(
                "sidegate: {side} (`{name}`) does not check out: {errors} problem{s}; nothing was compared"
            ));
        }
    }
    None
}

/// Returns the option by which `explain` decides by the new policies.
fn explain_option(sides: &Sides) -> String {
    let name = match &sides.now.configuration {
        Some(_) => "--config",
        None => "--policies",
    };
    format!("{name} {}", words::shell_path(&sides.path.display().to_string()))
}

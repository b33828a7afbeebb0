//! `sidegate init`: a first policy and its tests from flags, or from questions on a terminal.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Args, Command};

use super::Exit;
use super::output::{could_not_run, print, print_error, print_line};
use super::schema::{CONFIG_SCHEMA, POLICY_SCHEMA, TEST_SCHEMA};
use crate::document::problem::{Problem, SourceFile};
use crate::policy::compile;
use crate::policy_files::{CONFIG_NAME, RecordingEnvironment};

mod answers;
mod flags;
mod provider;
mod template;
mod test_file;

use answers::{Answers, Missing, Prompt};
pub(super) use flags::Init;

/// A file to write, below the folder.
struct NewFile {
    path: PathBuf,
    text: String,
}

impl Init {
    pub(super) fn execute(self) -> Exit {
        let folder = self.output.clone();
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        let mut prompt = Prompt::new(io::stdin().lock(), io::stderr());
        let answers = match Answers::of(self, is_terminal.then_some(&mut prompt)) {
            Ok(answers) => answers,
            Err(Missing::Flags(flags)) => return without_flags(&flags),
            Err(Missing::Answer(error)) => return could_not_run(error),
        };
        let name = file_name(&answers.service);
        let policy = NewFile {
            path: folder.join("policies").join(&name),
            text: template::policy(&answers),
        };
        let tests = (test_name(&name), test_file::tests(&answers, &name));
        if let Err(problems) = check(&policy) {
            for problem in &problems {
                print_error(format!("{}\n", problem.render(false)));
            }
            return could_not_run("the policy of these answers would not work, so nothing was written");
        }
        match write(&folder, &policy, tests) {
            Ok(()) => {
                next_steps(&folder, &answers);
                Exit::Fine
            }
            Err(error) => could_not_run(error),
        }
    }
}

/// Prints which flags are missing, with the usage: without a terminal, a question would wait for ever.
fn without_flags(flags: &[&str]) -> Exit {
    let command = Init::augment_args(Command::new("init").bin_name("sidegate init"));
    let message = format!("without a terminal, these flags are required: {}", flags.join(", "));
    let error = command.clone().error(ErrorKind::MissingRequiredArgument, message);
    print_error(error.render());
    Exit::CouldNotRun
}

/// The file of a service: never one that a folder of policies leaves out.
fn file_name(service: &str) -> String {
    let name = format!("{service}.yaml");
    match name == CONFIG_NAME || name.ends_with(".test.yaml") {
        true => format!("{service}-policy.yaml"),
        false => name,
    }
}

/// The file with the tests of a policy, beside it.
fn test_name(policy: &str) -> String {
    format!("{}.test.yaml", policy.trim_end_matches(".yaml"))
}

/// What `check` would find in a policy that is not written yet.
fn check(policy: &NewFile) -> Result<(), Vec<Problem>> {
    let source = SourceFile::new(policy.path.display().to_string(), policy.text.clone());
    compile::parse(&Arc::new(source), &RecordingEnvironment::default()).map(drop)
}

/// Writes the policy, and beside it what does not exist yet: its tests, `sidegate.yaml` and the schemas.
fn write(folder: &Path, policy: &NewFile, (tests, text): (String, String)) -> Result<(), String> {
    if !create(policy)? {
        return Err(format!(
            "`{}` exists already, and `sidegate init` overwrites no file",
            policy.path.display()
        ));
    }
    let tests = format!("policies/{tests}");
    let beside = [
        (tests.as_str(), text),
        (CONFIG_NAME, template::config()),
        ("schema/policy.json", POLICY_SCHEMA.text()),
        ("schema/test.json", TEST_SCHEMA.text()),
        ("schema/config.json", CONFIG_SCHEMA.text()),
    ];
    print_line(format!("wrote {}", policy.path.display()));
    for (name, text) in beside {
        let file = NewFile {
            path: folder.join(name),
            text,
        };
        let what = if create(&file)? { "wrote" } else { "kept " };
        print_line(format!("{what} {}", file.path.display()));
    }
    Ok(())
}

/// Creates a file with its folders; `false` if it exists.
fn create(file: &NewFile) -> Result<bool, String> {
    let failed = |error: io::Error| format!("writing `{}`: {error}", file.path.display());
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut created = match OpenOptions::new().write(true).create_new(true).open(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        other => other.map_err(failed)?,
    };
    created.write_all(file.text.as_bytes()).map_err(failed)?;
    Ok(true)
}

fn next_steps(folder: &Path, answers: &Answers) {
    let config = folder.join(CONFIG_NAME);
    let (config, policies) = (config.display(), folder.join("policies"));
    let policies = policies.display();
    let prefix = answers.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
    print(&format!(
        "\nNext:\n  \
         sidegate check {config}\n  \
         sidegate test {policies}\n  \
         sidegate explain GET {prefix}/health --config {config}\n  \
         sidegate run --config {config}\n"
    ));
}

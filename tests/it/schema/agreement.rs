//! Schema and `check` agree: on mutants of documents and of shipped files, and on a corpus of faulty files.

use std::{collections::BTreeSet, path::Path, thread};

use serde_json::Value;
use sidegate::document::problem::{Problem, ProblemCode};

use super::format::{Format, ROOT, as_json};
use super::mutants::{mutants, pointers};

/// What `check` finds and a schema cannot say, in documents that the schema accepts.
const UNSAID: &[(ProblemCode, &str)] = &[
    // What a file names.
    (ProblemCode::VariableNotSet, "the environment is not in the file"),
    (ProblemCode::NamedFileUnreadable, "other files are not in the file"),
    // What two parts of a file say about each other.
    (ProblemCode::AuthNotConfigured, "a route and a block"),
];

/// What schema and `check` do not agree on, if anything.
fn disagreement(format: &Format, document: &Value, problems: &[Problem]) -> Option<String> {
    let said = |problem: &&Problem| !UNSAID.iter().any(|(code, _)| *code == problem.code());
    if !format.validator.is_valid(document) {
        let why: Vec<_> = format
            .validator
            .iter_errors(document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        return problems
            .is_empty()
            .then(|| format!("the schema alone rejects: {}", why.join("; ")));
    }
    let alone = problems.iter().find(said)?;
    Some(format!("check alone rejects: {} {alone}", alone.code()))
}

/// What schema and `check` think of the mutants of some documents.
#[derive(Default)]
struct Verdicts {
    tried: usize,
    /// Where they differ, by the change.
    wrong: BTreeSet<String>,
    /// What only `check` finds, as it should be.
    unsaid: BTreeSet<ProblemCode>,
}

impl Verdicts {
    /// One of so many mutants is tried.
    fn of(format: &Format, document: &Value, step: usize) -> Self {
        let mut verdicts = Self::default();
        for mutant in mutants(document).into_iter().step_by(step) {
            verdicts.tried += 1;
            let problems = format.errors(format!("{mutant:#}"));
            if let Some(what) = disagreement(format, &mutant, &problems) {
                verdicts
                    .wrong
                    .insert(format!("{}\n    {what}", difference(document, &mutant)));
            } else if format.validator.is_valid(&mutant) {
                verdicts.unsaid.extend(problems.iter().map(Problem::code));
            }
        }
        verdicts
    }

    fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.wrong.extend(other.wrong);
        self.unsaid.extend(other.unsaid);
    }
}

#[test]
fn schema_and_check_agree_on_every_mutant() {
    let mut all = Verdicts::default();
    let formats = Format::both();
    thread::scope(|scope| {
        let mut running = Vec::new();
        for format in &formats {
            for document in format.complete() {
                running.push(scope.spawn(move || Verdicts::of(format, &document, 1)));
            }
            // Longer, and much the same.
            for path in format.shipped().into_iter().step_by(3) {
                running.push(scope.spawn(move || Verdicts::of(format, &as_json(&path), 10)));
            }
        }
        running.into_iter().for_each(|one| all.add(one.join().unwrap()));
    });
    let wrong: Vec<_> = all.wrong.iter().map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        all.tried,
        wrong.join("\n")
    );
    assert!(all.tried > 5000, "{}", all.tried);
    let unused: Vec<_> = UNSAID.iter().filter(|(code, _)| !all.unsaid.contains(code)).collect();
    assert!(unused.is_empty(), "no mutant needs {unused:?}");
}

/// Where two documents differ, and what stands there.
fn difference(document: &Value, mutant: &Value) -> String {
    let places: BTreeSet<String> = pointers(document).into_iter().chain(pointers(mutant)).collect();
    let differs = |place: &&String| document.pointer(place) != mutant.pointer(place);
    let deepest = places
        .iter()
        .filter(differs)
        .max_by_key(|place| (place.matches('/').count(), place.len()));
    let place = deepest.cloned().unwrap_or_default();
    match mutant.pointer(&place) {
        Some(value) => format!("{place} = {value}"),
        None => format!("{place} removed"),
    }
}

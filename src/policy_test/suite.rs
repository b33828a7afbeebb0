//! Test files with the policies that they name: found, read, and ready to be judged.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::case::Case;
use super::compile::{compile, read};
use super::document::PolicyTestDocument;
use super::served::{Served, plain};
use super::skipped::folders_with_tests;
use crate::document::problem::{Fault, Location, Problem, ProblemCode, Problems, SourceFile};
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy_files;
use crate::read_file::read_file;
use crate::rehearsal::{Rehearsal, ThrowawayKeys};

/// How many folders with tests are named.
const MOST_FOLDERS: usize = 4;

/// A test file, ready to be judged.
#[derive(Debug)]
pub struct Suite {
    /// The name of the file, as the user gave it.
    pub file: String,
    /// The policies that it names, ready to decide.
    pub rehearsal: Arc<Rehearsal>,
    /// Where the policies are.
    pub policies: PathBuf,
    /// Its cases, in the order of the file.
    pub cases: Vec<Case>,
    /// What it is not rejected for.
    pub warnings: Vec<Problem>,
}

/// Reads test files. Policies that several of them name are read once, and all have the same throwaway keys.
#[derive(Debug, Default)]
pub struct Loader {
    keys: Arc<ThrowawayKeys>,
    sets: BTreeMap<PathBuf, Result<Served, Vec<Problem>>>,
}

/// Finds the test files that paths lead to: files, and the `*.test.yaml` of folders. Each file comes once, whatever leads to it.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<Problem>> {
    let (mut files, mut seen, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        match list(path) {
            Ok(found) if found.is_empty() => {
                let message = format!("`{}` has no `*.test.yaml`", path.display());
                let within: Vec<_> = folders_with_tests(path)
                    .iter()
                    .map(|folder| format!("`{}`", folder.display()))
                    .collect();
                let help = match within.is_empty() {
                    true => "name a test file, or a folder that has one".to_owned(),
                    false => format!(
                        "name {}: folders within a folder are not read",
                        within.get(..MOST_FOLDERS).unwrap_or(&within).join(" and ")
                    ),
                };
                let fault = Fault::new(ProblemCode::NoTests, message, help);
                problems.push(Problem::new(Location::of_file(path), &fault));
            }
            Ok(found) => {
                for file in found {
                    let name = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
                    if !seen.contains(&name) {
                        seen.push(name);
                        files.push(file);
                    }
                }
            }
            Err(error) => problems.push(policy_files::unreadable(path, &error)),
        }
    }
    match problems.is_empty() {
        true => Ok(files),
        false => Err(problems),
    }
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<_> = entries.collect::<io::Result<_>>()?;
    files.retain(|file| policy_files::is_test(file));
    files.sort();
    Ok(files)
}

impl Loader {
    /// Returns the keys of all policies that it reads.
    pub const fn keys(&self) -> &Arc<ThrowawayKeys> {
        &self.keys
    }

    /// Reads a test file and its policies.
    pub fn load(&mut self, path: &Path) -> Result<Suite, Vec<Problem>> {
        let bytes =
            read_file(path, MAX_FILE_BYTES as u64).map_err(|error| vec![policy_files::unreadable(path, &error)])?;
        let source = policy_files::source(path, &bytes).map_err(|problem| vec![problem])?;
        let source = Arc::new(SourceFile::of_test(source.name.clone(), source.text.clone()));
        let document = read(&source)?;
        let policies = policies(path, &document);
        let Served { rehearsal, process } = self.served(&policies, (&document, &source))?;
        let (cases, warnings) = compile(&document, &source, (&rehearsal, &process))?;
        Ok(Suite {
            file: source.name.clone(),
            rehearsal,
            policies,
            cases,
            warnings,
        })
    }

    fn served(
        &mut self,
        path: &Path,
        (document, source): (&PolicyTestDocument, &Arc<SourceFile>),
    ) -> Result<Served, Vec<Problem>> {
        if let Some(named) = &document.policies
            && let Some(fault) = policy_files::missing_fault(path)
        {
            let mut problems = Problems::of(Arc::clone(source));
            problems.add_fault(&named.span, &fault);
            return Err(problems.into_sorted());
        }
        let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let keys = &self.keys;
        let read = self.sets.entry(name).or_insert_with(|| Served::read(path, keys));
        read.clone()
    }
}

/// The policies of a test file: those that it names, or those beside it.
fn policies(file: &Path, document: &PolicyTestDocument) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    document.policies.as_ref().map_or_else(
        || folder.to_owned(),
        |named| match folder == Path::new(".") {
            true => PathBuf::from(&named.value),
            false => plain(folder.join(&named.value)),
        },
    )
}

//! Policies from the file system, with the variables and files of this process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::environment::{Environment, MAX_BYTES, fix};
use crate::document::masks::without_user;
use crate::document::problem::{Fault, Location, Problem, ProblemCode, SourceFile};
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy::{ErrorStyle, PolicySet};
use crate::read_file::read_file;

pub mod loaded_files;
pub mod unread;

use loaded_files::{FileState, LoadedFiles};

/// The name of the file that configures a process: never a policy.
pub const CONFIG_NAME: &str = "sidegate.yaml";

/// Why policies could not be had.
#[derive(Debug)]
pub enum LoadError {
    /// Something else than a file is wrong, such as a flag.
    Unreadable(String),
    /// Files are wrong, or cannot be read.
    Wrong(Vec<Problem>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => f.write_str(what),
            Self::Wrong(problems) => {
                let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Policies, and what they were read from.
#[derive(Debug)]
pub struct Loaded {
    /// The policies.
    pub policies: PolicySet,
    /// All files that they came from; none of those of the demo.
    pub loaded_files: LoadedFiles,
}

/// Reads all policies below some paths. Says what was read, also where that are no policies. A file
/// that cannot be read is a problem beside those of the others.
pub fn read(paths: &[PathBuf], default_errors: ErrorStyle) -> (Result<PolicySet, Vec<Problem>>, LoadedFiles) {
    let environment = RecordingEnvironment::default();
    let (policies, mut loaded_files) = read_with(paths, default_errors, &environment);
    loaded_files.named = found(&environment.0.into_inner());
    (policies, loaded_files)
}

/// The same, with the variables and files of another environment. The files that it has are not said.
pub fn read_with(
    paths: &[PathBuf],
    default_errors: ErrorStyle,
    environment: &dyn Environment,
) -> (Result<PolicySet, Vec<Problem>>, LoadedFiles) {
    let files = read_files(paths);
    let (texts, mut problems) = texts(paths, &files);
    let policies = match PolicySet::parse(&texts, environment, default_errors) {
        Ok(policies) if problems.is_empty() => Some(policies),
        Ok(policies) => {
            problems.extend(policies.warnings().cloned());
            None
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    };
    let loaded_files = LoadedFiles {
        policies: found(&files),
        named: BTreeMap::new(),
    };
    (policies.ok_or(problems), loaded_files)
}

/// What is there now, of policies and of the files that they named when they were read.
pub fn look(paths: &[PathBuf], earlier: &LoadedFiles) -> LoadedFiles {
    let environment = RecordingEnvironment::default();
    for path in earlier.named.keys() {
        let _ = environment.file(path);
    }
    LoadedFiles {
        policies: found(&read_files(paths)),
        named: found(&environment.0.into_inner()),
    }
}

/// Files by their names, with what an attempt to read them found.
type Files = BTreeMap<PathBuf, io::Result<Vec<u8>>>;

/// The policies below each path; a path that cannot be read stands for itself.
fn read_files(paths: &[PathBuf]) -> Files {
    let mut files = Files::new();
    for path in paths {
        match list(path) {
            Ok(found) => files.extend(found.into_iter().map(|file| {
                let bytes = read_file(&file, MAX_FILE_BYTES as u64);
                (file, bytes)
            })),
            Err(error) => {
                files.insert(path.clone(), Err(error));
            }
        }
    }
    files
}

fn found(files: &Files) -> BTreeMap<PathBuf, FileState> {
    files
        .iter()
        .map(|(path, read)| (path.clone(), FileState::by(read)))
        .collect()
}

/// Reads the policies below some paths as text. What cannot be read is a problem, and so is a path without any.
pub fn texts_of(paths: &[PathBuf]) -> (Vec<Arc<SourceFile>>, Vec<Problem>) {
    texts(paths, &read_files(paths))
}

/// The policies as text, and what cannot be read: a path without any, and files.
fn texts(paths: &[PathBuf], files: &Files) -> (Vec<Arc<SourceFile>>, Vec<Problem>) {
    let without = paths
        .iter()
        .filter(|path| !files.keys().any(|file| file.starts_with(path)));
    let mut problems: Vec<_> = without.map(|path| no_policy(path)).collect();
    let mut texts = Vec::new();
    for (path, read) in files {
        match read {
            Ok(bytes) => match source(path, bytes) {
                Ok(source) => texts.push(source),
                Err(problem) => problems.push(problem),
            },
            Err(error) => problems.push(unreadable(path, error)),
        }
    }
    (texts, problems)
}

/// A file as text, or where it stops to be one.
pub fn source(path: &Path, bytes: &[u8]) -> Result<Arc<SourceFile>, Problem> {
    let name = path.display().to_string();
    std::str::from_utf8(bytes)
        .map(|text| Arc::new(SourceFile::new(name.clone(), text)))
        .map_err(|error| {
            let source = Arc::new(SourceFile::new(name, String::from_utf8_lossy(bytes)));
            let at = error.valid_up_to();
            let location = Location::new(&source, &(at..at + char::REPLACEMENT_CHARACTER.len_utf8()));
            let message = "the file is not UTF-8 from here on";
            Problem::new(location, &Fault::new(ProblemCode::NotUtf8, message, "save it as UTF-8"))
        })
}

/// A file, or a folder of policies, that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Location::of_file(path), &unreadable_fault(path, error))
}

/// What is wrong with a path that cannot be read.
fn unreadable_fault(path: &Path, error: &io::Error) -> Fault {
    let shown = path.display().to_string();
    let message = format!("`{}` cannot be read: {error}", without_user(&shown));
    let help = match (shown.split_once(['*', '?']), error.kind()) {
        (Some((before, _)), io::ErrorKind::NotFound) => {
            let folder = before.rsplit_once('/').map_or(".", |(folder, _)| folder);
            format!(
                "name the folder, `{}`: wildcards are not read here",
                without_user(folder)
            )
        }
        (None, io::ErrorKind::NotFound) => "check the path for a slip".to_owned(),
        _ => fix(error)
            .unwrap_or("let the user that `sidegate` runs as read it")
            .to_owned(),
    };
    Fault::new(ProblemCode::FileUnreadable, message, help)
}

fn no_policy(path: &Path) -> Problem {
    Problem::new(Location::of_file(path), &no_policy_fault(path))
}

/// What is wrong with a path that leads to no policies, if that is so.
pub fn missing_fault(path: &Path) -> Option<Fault> {
    match list(path) {
        Ok(files) if files.is_empty() => Some(no_policy_fault(path)),
        Ok(_) => None,
        Err(error) => Some(unreadable_fault(path, &error)),
    }
}

fn no_policy_fault(path: &Path) -> Fault {
    let message = format!(
        "`{}` has no policy: no `*.yaml` besides `{CONFIG_NAME}` and tests",
        without_user(&path.display().to_string())
    );
    let help = "name a policy file, or a folder that has one";
    Fault::new(ProblemCode::NoPolicyFiles, message, help)
}

/// The files of a folder that are named as policies are, readable or not: one that is left out
/// would guard nothing.
fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
    let files: io::Result<Vec<_>> = entries.collect();
    Ok(files?.into_iter().filter(|file| is_policy(file)).collect())
}

/// Whether a file of a folder is a policy by its name.
pub fn is_policy(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    yaml && !name.starts_with('.') && !is_test(path) && name != CONFIG_NAME
}

/// Whether a file is named as tests of policies are.
pub fn is_test(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let test = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    test && !name.starts_with('.')
}

/// The variables and files of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_file(path, MAX_BYTES)
    }
}

/// The variables and files of this process. Each file is read once, and noted.
#[derive(Debug, Default)]
pub struct RecordingEnvironment(RefCell<Files>);

impl RecordingEnvironment {
    /// The files that were asked for.
    pub fn into_paths(self) -> Vec<PathBuf> {
        self.0.into_inner().into_keys().collect()
    }
}

impl Environment for RecordingEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        ProcessEnvironment.variable(name)
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut files = self.0.borrow_mut();
        let read = files
            .entry(path.to_owned())
            .or_insert_with(|| ProcessEnvironment.file(path));
        match read {
            Ok(bytes) => Ok(bytes.clone()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

//! Policies from the file system, with the variables and files of this process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::problem::{Problem, Source};
use crate::policy::sources::{MAX_BYTES, Sources};
use crate::policy::yaml::MAX_FILE_BYTES;
use crate::policy::{ErrorStyle, PolicySet};

pub mod footprint;

use footprint::{Footprint, Found};

/// The name of the file that configures a process: never a policy.
pub const CONFIG_NAME: &str = "sidegate.yaml";

/// Why policies could not be had.
#[derive(Debug)]
pub enum LoadError {
    /// A file or folder is unreadable, or there is none.
    Unreadable(String),
    /// The policies are there, and wrong.
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

/// Reads all policies below some paths.
pub fn load(paths: &[PathBuf], default_errors: ErrorStyle) -> Result<PolicySet, LoadError> {
    read(paths, default_errors).0
}

/// Policies, and what they were read from.
#[derive(Debug)]
pub struct Loaded {
    /// The policies.
    pub policies: PolicySet,
    /// All files that they came from; none of those of the demo.
    pub footprint: Footprint,
}

/// Reads all policies below some paths. Says what was read, also where that are no policies.
pub fn read(paths: &[PathBuf], default_errors: ErrorStyle) -> (Result<PolicySet, LoadError>, Footprint) {
    let files = read_files(paths);
    let sources = Noting::default();
    let result = match texts(paths, &files) {
        Ok(texts) => PolicySet::parse(&texts, &sources, default_errors).map_err(LoadError::Wrong),
        Err(error) => Err(error),
    };
    let footprint = Footprint {
        policies: found(&files),
        named: found(&sources.0.into_inner()),
    };
    (result, footprint)
}

/// What is there now, of policies and of the files that they named when they were read.
pub fn look(paths: &[PathBuf], earlier: &Footprint) -> Footprint {
    let sources = Noting::default();
    for path in earlier.named.keys() {
        let _ = sources.file(path);
    }
    Footprint {
        policies: found(&read_files(paths)),
        named: found(&sources.0.into_inner()),
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
                let bytes = read_bounded(&file, MAX_FILE_BYTES as u64 + 1);
                (file, bytes)
            })),
            Err(error) => {
                files.insert(path.clone(), Err(error));
            }
        }
    }
    files
}

fn found(files: &Files) -> BTreeMap<PathBuf, Found> {
    files
        .iter()
        .map(|(path, read)| (path.clone(), Found::by(read)))
        .collect()
}

/// The policies as text, or all that cannot be read.
fn texts(paths: &[PathBuf], files: &Files) -> Result<Vec<Arc<Source>>, LoadError> {
    let mut wrong = Vec::new();
    for path in paths
        .iter()
        .filter(|path| !files.keys().any(|file| file.starts_with(path)))
    {
        let path = path.display();
        wrong.push(format!(
            "`{path}` has no policy: no `*.yaml` besides `{CONFIG_NAME}` and tests"
        ));
    }
    let mut texts = Vec::new();
    for (path, read) in files {
        let name = path.display().to_string();
        match read.as_ref().map(|bytes| std::str::from_utf8(bytes)) {
            Ok(Ok(text)) => texts.push(Arc::new(Source::new(name, text))),
            Ok(Err(_)) => wrong.push(format!("`{name}` is not UTF-8")),
            Err(error) => wrong.push(format!("`{name}` cannot be read: {error}")),
        }
    }
    match wrong.is_empty() {
        true => Ok(texts),
        false => Err(LoadError::Unreadable(wrong.join("; "))),
    }
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if is_policy(&path) && fs::metadata(&path)?.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn is_policy(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let test = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    yaml && !test && !name.starts_with('.') && name != CONFIG_NAME
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The variables and files of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsSources;

impl Sources for OsSources {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = read_bounded(path, MAX_BYTES + 1)?;
        match bytes.len() as u64 > MAX_BYTES {
            true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB")),
            false => Ok(bytes),
        }
    }
}

/// The variables and files of this process. Each file is read once, and noted.
#[derive(Debug, Default)]
pub struct Noting(RefCell<Files>);

impl Noting {
    /// The files that were asked for.
    pub fn into_paths(self) -> Vec<PathBuf> {
        self.0.into_inner().into_keys().collect()
    }
}

impl Sources for Noting {
    fn variable(&self, name: &str) -> Option<String> {
        OsSources.variable(name)
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut files = self.0.borrow_mut();
        let read = files.entry(path.to_owned()).or_insert_with(|| OsSources.file(path));
        match read {
            Ok(bytes) => Ok(bytes.clone()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

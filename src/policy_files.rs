//! Policies from the file system, with the variables and files of this process.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::problem::{Problem, Source};
use crate::policy::sources::{MAX_BYTES, Sources};
use crate::policy::yaml::MAX_FILE_BYTES;
use crate::policy::{ErrorStyle, PolicySet};

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
    let files = read_all(paths)?;
    PolicySet::parse(&files, &OsSources, default_errors).map_err(LoadError::Wrong)
}

/// Reads the text of all policies below some paths, in the order of their names.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Arc<Source>>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        let found = list(path).map_err(|error| unreadable(path, &error))?;
        if found.is_empty() {
            let what = format!(
                "`{}` has no policy: no `*.yaml` besides `{CONFIG_NAME}` and tests",
                path.display()
            );
            return Err(LoadError::Unreadable(what));
        }
        files.extend(found);
    }
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Arc<Source>, LoadError> {
    let limit = MAX_FILE_BYTES as u64 + 1;
    let bytes = read_bounded(path, limit).map_err(|error| unreadable(path, &error))?;
    let name = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Arc::new(Source { name, text })),
        Err(_) => Err(LoadError::Unreadable(format!("`{name}` is not UTF-8"))),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> LoadError {
    LoadError::Unreadable(format!("`{}` cannot be read: {error}", path.display()))
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
    files.sort();
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

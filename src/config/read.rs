//! `sidegate.yaml` as far as it can be read, so that all problems are found at once.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ConfigFile, POLICIES, ServerConfig};
use crate::document::environment::Environment;
use crate::document::problem::{Location, Problem, Problems};
use crate::document::test_file::test_file;
use crate::document::yaml::{self, Node, Value};
use crate::policy_files::loaded_files::FileState;
use crate::policy_files::{RecordingEnvironment, missing_fault, source, unreadable};
use crate::read_file::read_file;

/// A file as far as it can be read.
#[derive(Debug, Default)]
pub struct ReadConfig {
    /// What it says; where it has a problem, not to be used but to find others.
    pub config: Option<ServerConfig>,
    /// Where it says that the policies are.
    pub policies: Option<PathBuf>,
    /// Where it names them, if it does.
    pub policies_location: Option<Location>,
    /// All that is wrong in it.
    pub problems: Vec<Problem>,
}

impl ReadConfig {
    /// What is wrong with a path of policies that leads nowhere, at the place that names it.
    pub fn missing_policies(&self) -> Option<Problem> {
        let path = self.policies.as_ref()?;
        let location = self.policies_location.clone()?;
        missing_fault(path).map(|fault| Problem::new(location, &fault))
    }
}

impl From<ServerConfig> for ReadConfig {
    fn from(config: ServerConfig) -> Self {
        Self {
            policies: Some(config.policies.clone()),
            config: Some(config),
            ..Self::default()
        }
    }
}

/// Where a file says that the policies are, whatever else is wrong in it, and the bytes that say it.
fn policies_of(node: &Node, base: &Path) -> (Option<PathBuf>, Option<Range<usize>>) {
    let Value::Mapping(entries) = &node.value else {
        return (None, None);
    };
    let Some((_, written)) = entries.iter().find(|((key, _), _)| key == "policies") else {
        return (Some(base.join(POLICIES)), None);
    };
    match &written.value {
        Value::Text(path) => (Some(base.join(path)), Some(written.span.clone())),
        _ => (None, None),
    }
}

impl ServerConfig {
    /// Reads a file as far as that is possible, with all that is wrong in it.
    pub fn read(path: &Path) -> ReadConfig {
        let environment = RecordingEnvironment::default();
        let mut read = Self::read_with(path, &environment);
        if let Some(config) = &mut read.config {
            config.store_files = environment.into_paths();
        }
        read
    }

    /// The same, with the variables and files of another environment. The files of the store are not said.
    pub fn read_with(path: &Path, environment: &dyn Environment) -> ReadConfig {
        let bytes = read_file(path, yaml::MAX_FILE_BYTES as u64).map_err(|error| unreadable(path, &error));
        let source = match bytes.and_then(|bytes| source(path, &bytes)) {
            Ok(source) => source,
            Err(problem) => {
                return ReadConfig {
                    problems: vec![problem],
                    ..ReadConfig::default()
                };
            }
        };
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        let file = ConfigFile {
            path: path.to_owned(),
            found: FileState::of(source.text.as_bytes()),
        };
        let mut problems = Problems::of(Arc::clone(&source));
        let node = crate::document::read(&mut problems);
        let node = node.filter(|node| match test_file(node, &source.name) {
            Some(fault) => {
                problems.add_fault(&(node.span.start..node.span.start), &fault);
                false
            }
            None => true,
        });
        let config = node
            .as_ref()
            .and_then(|node| Self::from_node(node, &mut problems, (&base, environment)));
        let (policies, span) = node.as_ref().map(|node| policies_of(node, &base)).unwrap_or_default();
        ReadConfig {
            config: config.map(|config| Self {
                file: Some(file),
                ..config
            }),
            policies,
            policies_location: span.map(|span| Location::new(&source, &span)),
            problems: problems.into_sorted(),
        }
    }
}

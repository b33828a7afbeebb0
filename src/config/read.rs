//! `sidegate.yaml` as far as it can be read, so that all problems are found at once.

use std::path::{Path, PathBuf};

use super::{ConfigFile, POLICIES, ServerConfig};
use crate::document::problem::{Problem, Problems};
use crate::document::yaml::{self, Node, Value};
use crate::policy_files::loaded_files::FileState;
use crate::policy_files::{source, unreadable};
use crate::read_file::read_file;

/// A file as far as it can be read.
#[derive(Debug, Default)]
pub struct ReadConfig {
    /// What it says; where it has a problem, not to be used but to find others.
    pub config: Option<ServerConfig>,
    /// Where it says that the policies are.
    pub policies: Option<PathBuf>,
    /// All that is wrong in it.
    pub problems: Vec<Problem>,
}

impl From<ServerConfig> for ReadConfig {
    fn from(config: ServerConfig) -> Self {
        Self {
            policies: Some(config.policies.clone()),
            config: Some(config),
            problems: Vec::new(),
        }
    }
}

/// Where a file says that the policies are, whatever else is wrong in it.
fn policies_of(node: &Node, base: &Path) -> Option<PathBuf> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let Some((_, written)) = entries.iter().find(|((key, _), _)| key == "policies") else {
        return Some(base.join(POLICIES));
    };
    match &written.value {
        Value::Text(path) => Some(base.join(path)),
        _ => None,
    }
}

impl ServerConfig {
    /// Reads a file as far as that is possible, with all that is wrong in it.
    pub fn read(path: &Path) -> ReadConfig {
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
        let mut problems = Problems::of(source);
        let node = crate::document::read(&mut problems);
        let config = node
            .as_ref()
            .and_then(|node| Self::from_node(node, &mut problems, &base));
        ReadConfig {
            config: config.map(|config| Self {
                file: Some(file),
                ..config
            }),
            policies: node.as_ref().and_then(|node| policies_of(node, &base)),
            problems: problems.into_sorted(),
        }
    }
}

//! What is compared: policies, and the configurations that name them, from this machine or from a revision.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::git::{Entry, Found, Revision};
use crate::config::{ServerConfig, is_config, reads_as_config};
use crate::document::problem::{Problem, SourceFile};
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_diff::settings::Configuration;
use crate::policy_files::{self, CONFIG_NAME, source, unreadable};
use crate::read_file::read_file;
use crate::rehearsal::ThrowawayKeys;

/// Why a side cannot be compared.
#[derive(Debug)]
pub(super) enum Fault {
    /// It does not check out.
    Problems(Vec<Problem>),
    /// It cannot be found.
    NotFound(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::NotFound(why)
    }
}

/// One side, before its policies are read.
#[derive(Debug, Default)]
pub(super) struct Texts {
    policies: Vec<Arc<SourceFile>>,
    problems: Vec<Problem>,
    /// Whether the revision has no such path.
    pub(super) is_absent: bool,
    /// The configuration, if the path leads to one.
    pub(super) configuration: Option<Configuration>,
}

impl Texts {
    /// Reads a policy file, a folder of them, or a `sidegate.yaml` and the policies that it names.
    pub(super) fn of_path(path: &Path, keys: &ThrowawayKeys) -> Result<Self, Fault> {
        if !is_config(path) {
            let (policies, problems) = policy_files::texts_of(&[path.to_owned()]);
            let configuration = path.join(CONFIG_NAME);
            if policies.is_empty() && configuration.is_file() {
                let (path, configuration) = (path.display(), configuration.display());
                return Err(format!("`{path}` has no policy: name `{configuration}`").into());
            }
            return Ok(Self {
                policies,
                problems,
                ..Self::default()
            });
        }
        let read = read_file(path, MAX_FILE_BYTES as u64).map_err(|error| unreadable(path, &error));
        let written = read
            .and_then(|bytes| source(path, &bytes))
            .map_err(|problem| Fault::Problems(vec![problem]))?;
        let base = path.parent().unwrap_or(Path::new(""));
        let configuration = configuration(&written, base, keys)?;
        let named = configuration.config.policies.clone();
        let (policies, problems) = policy_files::texts_of(&[named]);
        Ok(Self {
            policies,
            problems,
            configuration: Some(configuration),
            ..Self::default()
        })
    }

    /// Reads the same at a revision, by the path that it has now. What was not there then has no policy.
    pub(super) fn at_revision(revision: &Revision, keys: &ThrowawayKeys) -> Result<Self, Fault> {
        let path = revision.path();
        if revision.lacks(path)? {
            return Ok(Self {
                is_absent: true,
                ..Self::default()
            });
        }
        let entry = match revision.find(path)? {
            Found::Folder(entries) => return policies_of(&entries, revision),
            Found::File(entry) => entry,
        };
        let written = text_of(&entry, revision)?;
        if entry.file_name() != CONFIG_NAME && !reads_as_config(&written.text) {
            return Ok(Self {
                policies: vec![written],
                ..Self::default()
            });
        }
        let base = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let configuration = configuration(&written, Path::new(base), keys)?;
        let policies = &configuration.config.policies;
        let named = policies.to_str().filter(|_| policies.is_relative()).ok_or_else(|| {
            let named = policies.display();
            format!("`{}` names policies outside of the repository: `{named}`", written.name)
        })?;
        let found = match revision.find(named)? {
            Found::Folder(entries) => policies_of(&entries, revision)?,
            Found::File(entry) => Self {
                policies: vec![text_of(&entry, revision)?],
                ..Self::default()
            },
        };
        Ok(Self {
            configuration: Some(configuration),
            ..found
        })
    }

    /// Returns how the configuration says that errors are written where no policy says it.
    pub(super) fn default_errors(&self) -> Option<&ErrorStyle> {
        self.configuration
            .as_ref()
            .map(|written| &written.config.default_errors)
    }

    /// Compiles the policies, with throwaway keys in place of what they name.
    pub(super) fn compile(&self, default_errors: ErrorStyle, keys: &ThrowawayKeys) -> Result<PolicySet, Fault> {
        match PolicySet::parse(&self.policies, keys, default_errors) {
            Ok(policies) if !self.problems.iter().any(Problem::is_error) => Ok(policies),
            Ok(_) => Err(Fault::Problems(self.problems.clone())),
            Err(found) => Err(Fault::Problems(self.problems.iter().cloned().chain(found).collect())),
        }
    }
}

/// Reads a configuration, whose relative paths start at a folder. Flags and variables have no effect.
fn configuration(written: &Arc<SourceFile>, base: &Path, keys: &ThrowawayKeys) -> Result<Configuration, Fault> {
    let config = ServerConfig::parse_with(written, base, keys).map_err(Fault::Problems)?;
    Ok(Configuration {
        config,
        source: Arc::clone(written),
    })
}

/// Reads the files of a folder that are named as policies are.
fn policies_of(entries: &[Entry], revision: &Revision) -> Result<Texts, Fault> {
    let policies = entries
        .iter()
        .filter(|entry| policy_files::is_policy(Path::new(entry.file_name())))
        .map(|entry| text_of(entry, revision));
    Ok(Texts {
        policies: policies.collect::<Result<_, _>>()?,
        ..Texts::default()
    })
}

fn text_of(entry: &Entry, revision: &Revision) -> Result<Arc<SourceFile>, Fault> {
    let bytes = revision.read(entry, MAX_FILE_BYTES as u64)?;
    let name = PathBuf::from(revision.shown(&entry.path));
    source(&name, &bytes).map_err(|problem| Fault::Problems(vec![problem]))
}

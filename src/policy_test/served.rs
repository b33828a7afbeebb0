//! The policies of test files, and how a process serves them.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::{ReadConfig, ServerConfig, is_config};
use crate::document::problem::Problem;
use crate::policy::ErrorStyle;
use crate::policy_files::{self, CONFIG_NAME};
use crate::rehearsal::{Rehearsal, ThrowawayKeys};
use crate::request::RequestLimits;

/// Policies, and what they are served with.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) rehearsal: Arc<Rehearsal>,
    pub(super) process: Arc<Process>,
}

/// What decides besides policies: what `sidegate.yaml` says.
#[derive(Debug, Default)]
pub struct Process {
    /// The networks of the proxies whose `X-Forwarded-For` is accepted.
    pub trusted_proxies: Vec<IpNet>,
    /// The limits of requests.
    pub limits: RequestLimits,
    /// Whether no listener asks for client certificates, so that no client has one.
    pub without_certificates: bool,
}

impl Served {
    /// Reads a policy, a folder of them, or a configuration with the policies that it names.
    pub(super) fn read(path: &Path, keys: &Arc<ThrowawayKeys>) -> Result<Self, Vec<Problem>> {
        let Some(config) = config_of(path) else {
            return Self::of(path, ErrorStyle::default(), Process::default(), keys);
        };
        let read = ServerConfig::read_with(&config, &**keys);
        if config != path && read.policies.as_deref().is_none_or(|named| !is_below(path, named)) {
            return Self::of(path, ErrorStyle::default(), Process::default(), keys);
        }
        let (missing, wrong) = (read.missing_policies(), read.problems.iter().any(Problem::is_error));
        let ReadConfig {
            config: Some(found),
            policies: Some(named),
            ..
        } = read
        else {
            return Err(read.problems);
        };
        if wrong || missing.is_some() {
            return Err(read.problems.into_iter().chain(missing).collect());
        }
        let process = Process {
            without_certificates: !found.surroundings().asks_for_certificates,
            trusted_proxies: found.trusted_proxies,
            limits: found.limits.request,
        };
        let policies = if config == path { plain(named) } else { path.to_owned() };
        Self::of(&policies, found.default_errors, process, keys)
    }

    fn of(
        policies: &Path,
        errors: ErrorStyle,
        process: Process,
        keys: &Arc<ThrowawayKeys>,
    ) -> Result<Self, Vec<Problem>> {
        let (policies, _) = policy_files::read_with(&[policies.to_owned()], errors, &**keys);
        Ok(Self {
            rehearsal: Arc::new(Rehearsal::new(Arc::new(policies?), keys)),
            process: Arc::new(process),
        })
    }
}

/// The configuration that a path of policies leads to: itself, or the one beside them.
fn config_of(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.join(CONFIG_NAME)).filter(|config| config.is_file());
    }
    match is_config(path) {
        true => Some(path.to_owned()),
        false => Some(path.with_file_name(CONFIG_NAME)).filter(|config| config.is_file()),
    }
}

/// Returns the path without `..`, as annotations of a pull request need it, unless that leads elsewhere.
pub(super) fn plain(path: PathBuf) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                _ = plain.pop();
            }
            other => plain.push(other),
        }
    }
    let is_same = fs::canonicalize(&plain).is_ok_and(|place| fs::canonicalize(&path).is_ok_and(|other| other == place));
    if is_same { plain } else { path }
}

/// Whether a path is that of some policies, or of one in their folder.
fn is_below(path: &Path, policies: &Path) -> bool {
    let (Ok(path), Ok(policies)) = (fs::canonicalize(path), fs::canonicalize(policies)) else {
        return false;
    };
    path == policies || path.parent() == Some(&policies)
}

//! Paths on the command line: policies, folders of them, and files that configure a process.

use std::path::{Path, PathBuf};

use crate::config::{ReadConfig, ServerConfig};
use crate::document::problem::Problem;
use crate::document::test_file::reads_as_tests;
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy_files::CONFIG_NAME;
use crate::read_file::read_file;

/// What paths lead to.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// The policies, of the paths themselves and of configurations among them.
    pub(super) policies: Vec<PathBuf>,
    /// The configurations.
    pub(super) configs: Vec<ServerConfig>,
    /// What is wrong in configurations.
    pub(super) problems: Vec<Problem>,
}

/// Tells configurations from policies, and reads them.
pub(super) fn read(paths: &[PathBuf], read: impl Fn(&Path) -> ReadConfig) -> Named {
    let mut named = Named::default();
    for path in paths {
        if !is_config(path) {
            named.policies.push(path.clone());
            continue;
        }
        let read = read(path);
        named.problems.extend(read.problems.iter().cloned());
        match read.missing_policies() {
            Some(missing) => named.problems.push(missing),
            None => named.policies.extend(read.policies),
        }
        named.configs.extend(read.config);
    }
    named
}

/// Whether a file configures a process: by its name, or by what stands in it.
pub(super) fn is_config(path: &Path) -> bool {
    if path.file_name().is_some_and(|name| name == CONFIG_NAME) {
        return true;
    }
    let bytes = read_file(path, MAX_FILE_BYTES as u64).unwrap_or_default();
    reads_as_config(&String::from_utf8_lossy(&bytes))
}

/// Whether a text configures a process, and is not a policy.
pub(super) fn reads_as_config(text: &str) -> bool {
    const FIELDS: [&str; 9] = [
        "listeners",
        "admin",
        "control",
        "policies",
        "store",
        "limits",
        "shutdown",
        "log",
        "threads",
    ];
    if reads_as_tests(text) {
        return false;
    }
    let top_level = |field: &str| {
        text.lines()
            .any(|line| line.strip_prefix(field).is_some_and(|l| l.starts_with(':')))
    };
    // A policy, or tests of policies.
    let is_other = ["service", "routes", "callers"].into_iter().any(top_level);
    !is_other && FIELDS.iter().any(|field| top_level(field))
}

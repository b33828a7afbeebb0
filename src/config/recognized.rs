//! Tells files that configure a process from policies.

use std::path::Path;

use crate::document::test_file::reads_as_tests;
use crate::document::yaml::MAX_FILE_BYTES;
use crate::policy_files::CONFIG_NAME;
use crate::read_file::read_file;

/// Fields that configurations alone have.
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

/// Whether a file configures a process: by its name, or by what stands in it.
pub fn is_config(path: &Path) -> bool {
    if path.file_name().is_some_and(|name| name == CONFIG_NAME) {
        return true;
    }
    let bytes = read_file(path, MAX_FILE_BYTES as u64).unwrap_or_default();
    reads_as_config(&String::from_utf8_lossy(&bytes))
}

/// Whether a text configures a process, and is not a policy.
pub fn reads_as_config(text: &str) -> bool {
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

//! Paths on the command line: policies, folders of them, and files that configure a process.

use std::path::{Path, PathBuf};

use super::output::print_error;
use crate::config::{ReadConfig, ServerConfig, is_config};
use crate::document::characters::in_one_line;
use crate::document::problem::Problem;
use crate::policy_files::unread::folders_with_policies;

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

/// Says on standard error which policies within named folders are not read.
pub(super) fn warn_of_unread(paths: &[PathBuf]) {
    for folder in folders_with_policies(paths) {
        let folder = in_one_line(&folder.display().to_string()).into_owned();
        print_error(format!(
            "not read: the policies in `{folder}`, since folders within a folder are left out; name it by itself"
        ));
    }
}

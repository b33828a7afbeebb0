//! Whether services can be reached around Sidegate, and all else is well, as far as that shows on
//! this machine. [`look`] gathers facts and judges nothing; the other modules judge facts and do no I/O.

use serde::Serialize;

use crate::config::ServerConfig;
use crate::policy_files::Loaded;

pub mod certificates;
pub mod files;
pub mod key_servers;
pub mod listening;
pub mod look;
pub mod policies;
pub mod process;
pub mod services;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// To be read, in case that it is not meant.
    Note,
    /// Nothing here tells.
    NotChecked,
    /// Not safe everywhere.
    Caution,
    /// To be changed.
    Problem,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name.
    pub code: &'static str,
    /// What it belongs to.
    pub area: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The service, file or server that it is about.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do; empty for nothing.
    pub advice: &'static str,
}

/// Looks at everything, and asks the servers of keys unless `offline`.
pub fn examine(config: &ServerConfig, loaded: &Loaded, own: &[std::path::PathBuf], offline: bool) -> Vec<Finding> {
    let policies = &loaded.policies;
    let process = look::process(config);
    let files = look::files(config, &loaded.loaded_files, own);
    let now = jiff::Timestamp::now().as_second();
    let mut findings: Vec<Finding> = look::services(config, policies)
        .iter()
        .map(|service| services::judge(service, process.kubernetes))
        .collect();
    findings.extend(files::judge(&files, process.user));
    findings.extend(certificates::judge(&files, &look::listeners(config), now));
    let servers = look::key_servers(policies, offline);
    findings.extend(servers.iter().map(key_servers::judge));
    findings.extend(policies::judge(policies.policies(), config.surroundings(), now));
    findings.extend(process::judge(config, &process));
    findings
}

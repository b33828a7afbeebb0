//! Whether services can be reached around Sidegate, and all else is well, as far as that shows on
//! this machine. [`look`] gathers facts and judges nothing; the other modules judge facts and do no I/O.

use crate::config::ServerConfig;
use crate::jwks::proxy::KeyProxy;
use crate::policy_files::Loaded;

pub mod certificates;
pub mod files;
pub mod finding;
pub mod key_servers;
pub mod listening;
pub mod look;
mod opaque_slash;
pub mod policies;
pub mod process;
pub mod services;

pub use finding::{Finding, Severity};

/// Looks at everything, and asks the servers of keys if it may, through a proxy or not.
pub fn examine(
    config: &ServerConfig,
    loaded: &Loaded,
    own: &[std::path::PathBuf],
    ask: Option<KeyProxy>,
) -> Vec<Finding> {
    let policies = &loaded.policies;
    let process = look::process(config);
    let files = look::files(config, &loaded.loaded_files, own);
    let now = jiff::Timestamp::now().as_second();
    let mut findings: Vec<Finding> = look::services(config, policies, ask.is_some())
        .iter()
        .map(|service| services::judge(service, process.kubernetes))
        .collect();
    findings.extend(files::judge(&files, process.user));
    findings.extend(certificates::judge(&files, &look::listeners(config), now));
    let servers = look::key_servers(policies, ask);
    findings.extend(servers.iter().map(key_servers::judge));
    findings.extend(policies::judge(policies.policies(), config.surroundings(), now));
    findings.extend(process::judge(config, &process));
    findings
}

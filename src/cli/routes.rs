//! `sidegate routes`: the table of what guards what.

use std::path::{Path, PathBuf};

use clap::Args;

use super::format::one_of;
use super::output::{print, print_json};
use super::paths::{self, Named};
use super::run::{ServerOptions, refuse_to_start};
use super::{Exit, Format};
use crate::config::ServerConfig;
use crate::document::problem::Problem;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_files::{self, LoadError};
use crate::rehearsal::ThrowawayKeys;

mod render;
mod table;

use table::Table;

#[derive(Debug, Args)]
pub(super) struct Routes {
    /// Policy files, folders of them, or a `sidegate.yaml` with the policies that it names
    /// [default: what the configuration says]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The configuration of the process, for its policies [default: sidegate.yaml, if it exists]
    #[arg(long, env = "SIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy file, or a folder of them, in place of those of the configuration
    #[arg(long, env = "SIDEGATE_POLICIES", value_name = "DIR|FILE")]
    policies: Option<PathBuf>,
    /// The form of the table
    #[arg(long, value_parser = one_of([Format::Text, Format::Json, Format::Markdown]), default_value = "text")]
    output: Format,
}

impl Routes {
    pub(super) fn execute(self) -> Exit {
        let table = match self.load() {
            Ok((policies, hash)) => Table::of(&policies, hash, jiff::Timestamp::now().as_second()),
            Err(error) => return refuse_to_start(error),
        };
        match self.output {
            Format::Json => print_json(&table),
            Format::Markdown => print(&render::markdown(&table)),
            _ => print(&render::text(&table)),
        }
        Exit::Fine
    }

    /// Reads the policies, and nothing that they name. Returns them with their hash.
    fn load(&self) -> Result<(PolicySet, String), LoadError> {
        let keys = ThrowawayKeys::new();
        if self.paths.is_empty() {
            let options = ServerOptions::of_files(self.config.clone(), self.policies.clone());
            let (_, loaded) = options.load_without_secrets(&keys)?;
            return Ok((loaded.policies, loaded.loaded_files.hash()));
        }
        paths::warn_of_unread(&self.paths);
        let read = |path: &Path| ServerConfig::read_with(path, &keys);
        let Named {
            policies, mut problems, ..
        } = paths::read(&self.paths, read);
        let (set, files) = policy_files::read_with(&policies, ErrorStyle::default(), &keys);
        match set {
            Ok(set) if !problems.iter().any(Problem::is_error) => Ok((set, files.hash())),
            set => {
                problems.extend(set.err().unwrap_or_default());
                Err(LoadError::Wrong(problems))
            }
        }
    }
}

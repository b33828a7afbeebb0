//! `sidegate schema`.

use clap::{Args, ValueEnum};
use schemars::schema_for;

use super::Exit;
use super::output::print_json;
use crate::config::document::ConfigDocument;
use crate::policy::document::PolicyDocument;

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// The file format
    #[arg(value_enum)]
    format: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum File {
    /// A policy file
    Policy,
    /// sidegate.yaml
    Config,
}

impl Schema {
    pub(super) fn execute(self) -> Exit {
        print_json(&match self.format {
            File::Policy => schema_for!(PolicyDocument),
            File::Config => schema_for!(ConfigDocument),
        });
        Exit::Fine
    }
}

//! `sidegate schema`.

use clap::{Args, ValueEnum};

use super::Exit;
use super::output::print_json;
use crate::config::document::ConfigDocument;
use crate::document::schema::schema_of;
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
            File::Policy => schema_of::<PolicyDocument>("urn:sidegate:schema:policy:1", "Sidegate policy"),
            File::Config => schema_of::<ConfigDocument>("urn:sidegate:schema:config:1", "sidegate.yaml"),
        });
        Exit::Fine
    }
}

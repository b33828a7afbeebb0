//! `sidegate schema`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Exit;
use super::output::print;
use crate::config::document::ConfigDocument;
use crate::document::schema::schema_of;
use crate::policy::document::PolicyDocument;
use crate::policy_test::document::PolicyTestDocument;

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
    /// A file with tests of policies
    Test,
}

impl Schema {
    pub(super) fn execute(self) -> Exit {
        print(&match self.format {
            File::Policy => POLICY_SCHEMA.text(),
            File::Config => CONFIG_SCHEMA.text(),
            File::Test => TEST_SCHEMA.text(),
        });
        Exit::Fine
    }
}

/// The schema of a file format.
pub(super) struct FormatSchema {
    id: &'static str,
    title: &'static str,
    schema: fn(&str, &str) -> Value,
}

/// That of policies.
pub(super) const POLICY_SCHEMA: FormatSchema = FormatSchema {
    id: "urn:sidegate:schema:policy:1",
    title: "Sidegate policy",
    schema: schema_of::<PolicyDocument>,
};

/// That of `sidegate.yaml`.
pub(super) const CONFIG_SCHEMA: FormatSchema = FormatSchema {
    id: "urn:sidegate:schema:config:1",
    title: "sidegate.yaml",
    schema: schema_of::<ConfigDocument>,
};

/// That of tests.
pub(super) const TEST_SCHEMA: FormatSchema = FormatSchema {
    id: "urn:sidegate:schema:test:1",
    title: "Tests of Sidegate policies",
    schema: schema_of::<PolicyTestDocument>,
};

impl FormatSchema {
    /// The schema as JSON.
    pub(super) fn text(&self) -> String {
        let schema = (self.schema)(self.id, self.title);
        format!("{}\n", serde_json::to_string_pretty(&schema).unwrap_or_default())
    }
}

//! `sidegate schema`.

use clap::{Args, ValueEnum};
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema as JsonSchema, schema_for};
use serde_json::Value;

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
        let mut schema = match self.format {
            File::Policy => schema_for!(PolicyDocument),
            File::Config => schema_for!(ConfigDocument),
        };
        RecursiveTransform(without_null).transform(&mut schema);
        print_json(&schema);
        Exit::Fine
    }
}

/// What may be left out may not be `null`: a key without a value is a problem.
fn without_null(schema: &mut JsonSchema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice["type"] != "null");
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (name, value) in only {
            schema.insert(name, value);
        }
    }
}

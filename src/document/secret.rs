//! Text and secrets that come from variables and files, as written.

use schemars::JsonSchema;

use super::characters::unseen;
use super::decode::{FromNode, Spanned, document, expected, not_one_of};
use super::problem::{ProblemCode, Problems, Reported};
use super::yaml::{Node, Value};

/// A text that may come from the environment: `text`, or `{ env: NAME, default: text }`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, deny_unknown_fields, rename = "Text")]
pub enum EnvString {
    /// As it stands.
    Literal(String),
    /// From a variable.
    Variable {
        /// The name of the variable.
        env: String,
        /// What to take where it is unset.
        default: Option<String>,
    },
}

document! {
    /// The long form of [`EnvString`].
    pub struct VariableDocument [whole] {
        /// The name of the variable.
        env: String,
        /// What to take where it is unset.
        default: Option<String>,
    }

    /// The two places that a secret may come from.
    pub struct SecretSourceDocument [whole] {
        /// The name of a variable.
        env: Option<String>,
        /// The path of a file; one newline at its end is not part of the secret.
        file: Option<String>,
    }
}

impl FromNode for EnvString {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) => match unseen(text) {
                Some(fault) => Err(problems.add_fault(&node.span, &fault)),
                None => Ok(Self::Literal(text.clone())),
            },
            Value::Mapping(_) => {
                let VariableDocument { env, default } = FromNode::from_node(node, problems)?;
                Ok(Self::Variable { env, default })
            }
            _ => expected(
                node,
                "text or `{ env: NAME }`",
                "write a text, or `{ env: NAME, default: … }`",
                problems,
            ),
        }
    }
}

/// Where a secret comes from; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, deny_unknown_fields, rename = "SecretSource")]
pub enum SecretSource {
    /// A variable.
    Env {
        /// Its name.
        env: String,
    },
    /// A file.
    File {
        /// Its path.
        file: String,
    },
}

/// A secret's place and where that stands in the policy.
pub type SecretDocument = Spanned<SecretSource>;

impl FromNode for SecretSource {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(node.value, Value::Mapping(_)) {
            let help = "write `{ env: NAME }` or `{ file: PATH }`, never the secret itself";
            let message = "a secret does not belong in this file";
            return Err(problems.add(&node.span, ProblemCode::SecretInFile, message, help));
        }
        match SecretSourceDocument::from_node(node, problems)? {
            SecretSourceDocument {
                env: Some(env),
                file: None,
            } => Ok(Self::Env { env }),
            SecretSourceDocument {
                env: None,
                file: Some(file),
            } => Ok(Self::File { file }),
            found => {
                let count = usize::from(found.env.is_some()) + usize::from(found.file.is_some());
                let help = "write `{ env: NAME }` or `{ file: PATH }`";
                Err(not_one_of(&node.span, &["env", "file"], count, help, problems))
            }
        }
    }
}

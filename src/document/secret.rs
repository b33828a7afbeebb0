//! Text and secrets that come from variables and files, as written.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::characters::unseen;
use super::decode::{FromNode, Spanned, document, expected, not_one_of};
use super::problem::{ProblemCode, Problems, Reported};
use super::schema::form_of;
use super::secret_bytes::SecretEncoding;
use super::shell_variable::shell_variable;
use super::yaml::{Node, Value};

/// A text that may come from the environment: `text`, or `{ env: NAME, default: text }`.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// A text from an environment variable.
    pub struct VariableDocument [whole] {
        /// The name of the environment variable. Without `default`, an error if the variable is not set or empty.
        #[schemars(extend("examples" = ["ORDERS_UPSTREAM"]))]
        env: String,
        /// The text if the variable is not set or empty.
        default: Option<String>,
    }

    /// Where a secret comes from: `{ env: NAME }` or `{ file: PATH }`, exactly one of them, and how it is written there.
    /// A secret never stands in the file itself.
    #[schemars(extend("oneOf" = [{ "required": ["env"] }, { "required": ["file"] }]))]
    pub struct SecretSourceDocument [whole] {
        /// The name of an environment variable with the secret. An error if the variable is not set or empty.
        #[schemars(extend("examples" = ["ORDERS_JWT_SECRET"]))]
        env: Option<String>,
        /// The path of a file with the secret, at most 1 MiB. A relative path starts at the folder of this file.
        #[schemars(extend("examples" = ["/run/secrets/orders_jwt_secret"]))]
        file: Option<String>,
        /// How the secret is written in the variable or file. Limits of its length count the decoded bytes.
        #[schemars(extend("default" = "text"))]
        encoding: Option<SecretEncoding>,
    }
}

/// The schema of an [`EnvString`] whose text has a form: a text, or a variable.
#[derive(Debug)]
pub struct EnvText<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for EnvText<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}OrVariable", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (text, variable) = (form_of::<T>(generator), generator.subschema_for::<VariableDocument>());
        json_schema!({ "anyOf": [text, variable] })
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
                possible_name(&env, node, problems)?;
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

/// Notes a name that no variable can have (POSIX.1-2024, 8.1), without the name: it may be a secret that stands there by mistake. A
/// name that is empty or has a control character is noted where texts are read.
fn possible_name(name: &str, node: &Node, problems: &mut Problems) -> Result<(), Reported> {
    match name.contains('=') {
        true => {
            let message = "no environment variable can have this name";
            let help = "write a name without `=`, as in `{ env: ORDERS_JWT_SECRET }`";
            Err(problems.add(&node.span, ProblemCode::InvalidName, message, help))
        }
        false => Ok(()),
    }
}

/// Where a secret comes from and how it is written there; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    /// Where it is.
    pub place: SecretPlace,
    /// How it is written.
    pub encoding: SecretEncoding,
}

/// The variable or file of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
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

impl JsonSchema for SecretSource {
    fn inline_schema() -> bool {
        SecretSourceDocument::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        SecretSourceDocument::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SecretSourceDocument::json_schema(generator)
    }
}

impl FromNode for SecretSource {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(node.value, Value::Mapping(_)) {
            let help = match &node.value {
                // Its name is not shown, for it may be a secret that looks like one.
                Value::Text(text) if shell_variable(text).is_some() => {
                    "write `{ env: NAME }`, with the name behind the `$`: shell variables are not read here"
                }
                _ => "write `{ env: NAME }` or `{ file: PATH }`, never the secret itself",
            };
            let message = "a secret does not belong in this file";
            return Err(problems.add(&node.span, ProblemCode::SecretInFile, message, help));
        }
        let SecretSourceDocument { env, file, encoding } = SecretSourceDocument::from_node(node, problems)?;
        let place = match (env, file) {
            (Some(env), None) => {
                possible_name(&env, node, problems)?;
                SecretPlace::Env { env }
            }
            (None, Some(file)) => SecretPlace::File { file },
            (env, file) => {
                let count = usize::from(env.is_some()) + usize::from(file.is_some());
                let help = "write `{ env: NAME }` or `{ file: PATH }`";
                return Err(not_one_of(&node.span, &["env", "file"], count, help, problems));
            }
        };
        Ok(Self {
            place,
            encoding: encoding.unwrap_or(SecretEncoding::Text),
        })
    }
}

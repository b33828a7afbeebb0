//! Values of a policy that have more than one form.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::auth_help::auth_help;
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, document, expected, not_one_of, one_of};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::HumanDuration;
use crate::document::secret::EnvString;
use crate::document::shapes::list as list_of;
use crate::document::yaml::{Node, Value};
use crate::principal::AuthMethod;

/// The audiences of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudienceDocument {
    /// Said aloud: `aud` is not looked at.
    Unchecked,
    /// One of these.
    AnyOf(Vec<String>),
}

impl FromNode for AudienceDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) if text == "unchecked" => Ok(Self::Unchecked),
            Value::Sequence(_) => List::from_node(node, problems).map(|List(names)| Self::AnyOf(names)),
            other => expected(node, "a list of audiences, or `unchecked`", list_of(other), problems),
        }
    }
}

impl JsonSchema for AudienceDocument {
    fn schema_name() -> Cow<'static, str> {
        "Audience".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<List<String>>();
        json_schema!({ "anyOf": [{ "const": "unchecked" }, list] })
    }
}

/// Media types, or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentTypesDocument {
    /// Whatever comes.
    Any,
    /// One of these.
    OneOf(Vec<Spanned<String>>),
}

impl FromNode for ContentTypesDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) if text == "any" => Ok(Self::Any),
            Value::Sequence(_) => List::from_node(node, problems).map(|List(types)| Self::OneOf(types)),
            other => expected(node, "a list of media types, or `any`", list_of(other), problems),
        }
    }
}

impl JsonSchema for ContentTypesDocument {
    fn schema_name() -> Cow<'static, str> {
        "ContentTypes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<List<String>>();
        json_schema!({ "anyOf": [{ "const": "any" }, list] })
    }
}

/// A claim by its name, or by the names that lead to it from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);

impl FromNode for ClaimPath {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Sequence(_) => List::from_node(node, problems).map(|List(names)| Self(names)),
            Value::Text(_) => String::from_node(node, problems).map(|name| Self(vec![name])),
            _ => {
                let help = "write `name`, or `[outer, inner]` for a claim inside another one";
                expected(
                    node,
                    "the name of a claim, or a list of names that leads to it",
                    help,
                    problems,
                )
            }
        }
    }
}

impl JsonSchema for ClaimPath {
    fn schema_name() -> Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<List<String>>();
        json_schema!({ "anyOf": [{ "type": "string" }, list] })
    }
}

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthDocument {
    /// One way.
    One(AuthMethod),
    /// Any of these; what is presented must be good.
    Any(Vec<Spanned<AuthMethod>>),
    /// All of these.
    All(Vec<Spanned<AuthMethod>>),
}

document! {
    /// The long form of [`AuthDocument`].
    pub struct AuthListDocument [whole] {
        /// Any of these.
        any: Option<List<Spanned<AuthMethod>>>,
        /// All of these.
        all: Option<List<Spanned<AuthMethod>>>,
    }
}

impl FromNode for AuthMethod {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if let Value::Text(word) = &node.value
            && !Self::ALL.iter().any(|method| method.as_str() == word)
        {
            let message = format!("unknown way to authenticate `{word}`");
            return Err(problems.add(&node.span, ProblemCode::UnknownAuth, message, auth_help(word)));
        }
        if matches!(node.value, Value::Mapping(_) | Value::Sequence(_)) {
            let help = list_help(&node.value);
            let message = format!("expected one way to authenticate, found {}", node.value.describe());
            return Err(problems.add(&node.span, ProblemCode::UnknownAuth, message, help));
        }
        one_of(node, &Self::ALL.map(|method| (method.as_str(), method)), problems)
    }
}

/// How several ways are written: as a list below `any` or `all`.
fn list_help(found: &Value) -> String {
    let words = match found {
        Value::Sequence(items) => items.iter().map(|item| match &item.value {
            Value::Text(word) if AuthMethod::ALL.iter().any(|method| method.as_str() == word) => Some(word.as_str()),
            _ => None,
        }),
        _ => {
            return "write `{ any: [jwt, internal_key] }` or `{ all: [jwt, internal_key] }`; lists are not nested"
                .to_owned();
        }
    };
    let words: Vec<_> = words.flatten().collect();
    let list = if words.is_empty() {
        "jwt, internal_key".to_owned()
    } else {
        words.join(", ")
    };
    match words.contains(&"public") {
        true => format!("write `{{ any: [{list}] }}`"),
        false => format!("write `{{ any: [{list}] }}` or `{{ all: [{list}] }}`"),
    }
}

impl JsonSchema for AuthMethod {
    fn schema_name() -> Cow<'static, str> {
        "AuthMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::as_str) })
    }
}

impl FromNode for AuthDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(node.value, Value::Mapping(_)) {
            return AuthMethod::from_node(node, problems).map(Self::One);
        }
        match AuthListDocument::from_node(node, problems)? {
            AuthListDocument {
                any: Some(List(any)),
                all: None,
            } => Ok(Self::Any(any)),
            AuthListDocument {
                any: None,
                all: Some(List(all)),
            } => Ok(Self::All(all)),
            AuthListDocument { any, all } => {
                let found = usize::from(any.is_some()) + usize::from(all.is_some());
                let help = "write `{ any: [jwt, internal_key] }` or `{ all: [jwt, internal_key] }`";
                Err(not_one_of(&node.span, &["any", "all"], found, help, problems))
            }
        }
    }
}

impl JsonSchema for AuthDocument {
    fn schema_name() -> Cow<'static, str> {
        "Auth".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<AuthMethod>();
        let list = generator.subschema_for::<AuthListDocument>();
        json_schema!({ "anyOf": [one, list] })
    }
}

/// An issuer that publishes where its keys are.
#[derive(Debug, Clone)]
pub struct OidcDocument(pub OidcOptionsDocument);

document! {
    /// The long form of [`OidcDocument`].
    pub struct OidcOptionsDocument [whole] {
        /// The issuer, which the document names exactly so.
        issuer: Option<Spanned<EnvString>>,
        /// Where the issuer is asked, if not under its own name. Alone, it is the issuer.
        url: Option<Spanned<EnvString>>,
        /// How often the document and the key set are fetched. Default 5m, at least 10s.
        refresh: Option<Spanned<HumanDuration>>,
        /// How long keys serve after the last fetch that went well. Default 1h, or twice `refresh` if that is longer.
        max_stale: Option<Spanned<HumanDuration>>,
        /// The CAs of the servers of the document and of the key set, as PEM. Default: those of the system.
        ca_file: Option<Spanned<String>>,
        /// A file with a bearer token for the document's server, and no other; read at each fetch.
        bearer_token_file: Option<Spanned<String>>,
        /// Lets `http://` be used for a host that is not this machine.
        allow_http: Option<bool>,
    }
}

impl FromNode for OidcDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let is_variable = |entries: &[((String, _), _)]| entries.iter().any(|((key, _), _)| key == "env");
        let options = match &node.value {
            Value::Mapping(entries) if !is_variable(entries) => OidcOptionsDocument::from_node(node, problems)?,
            _ => OidcOptionsDocument {
                issuer: Some(Spanned::from_node(node, problems)?),
                url: None,
                refresh: None,
                max_stale: None,
                ca_file: None,
                bearer_token_file: None,
                allow_http: None,
            },
        };
        Ok(Self(options))
    }
}

impl JsonSchema for OidcDocument {
    fn schema_name() -> Cow<'static, str> {
        "Oidc".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let issuer = generator.subschema_for::<Spanned<EnvString>>();
        let options = generator.subschema_for::<OidcOptionsDocument>();
        json_schema!({ "anyOf": [issuer, options] })
    }
}

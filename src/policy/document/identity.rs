//! `identity` of a policy as written: what each header is set from, and how its value is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::rules::identity_dependencies;
use super::values::ClaimPath;
use super::words::HeaderEncoding;
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, document, expected};
use crate::document::patterns;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::schema::words_schema;
use crate::document::yaml::{Node, Value};
use crate::policy::identity::{IdentitySource, SPECIAL};
use crate::rejection::shown;

/// One identity header: a source alone, or a mapping that says how the value is written, too.
#[derive(Debug, Clone)]
pub struct IdentityHeaderDocument(pub IdentityOptionsDocument);

document! {
    /// What an identity header is set from, and how its value is written.
    #[schemars(extend("dependentSchemas" = identity_dependencies()))]
    pub struct IdentityOptionsDocument {
        /// What the header is set from: a claim, the list of names that leads to it, or a word.
        #[schemars(with = "IdentitySourceForm", extend("examples" = ["email", ["organization", "name"], "roles"]))]
        from: Spanned<ClaimPath>,
        /// What becomes of characters that the value of a header cannot have. An error for `@auth_method`,
        /// and for claims that are times.
        #[schemars(extend("default" = "none", "examples" = ["percent"]))]
        encoding: Option<Spanned<HeaderEncoding>>,
        /// The character between the items of a list: a space, or visible ASCII that is neither a letter, a digit, `%`,
        /// `"` nor `\\`. An error for sources that are never a list.
        #[schemars(extend("default" = ",", "examples" = [";", " "]))]
        separator: Option<Spanned<SeparatorDocument>>,
    }
}

/// A character between the items of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeparatorDocument(pub char);

const SEPARATOR_HELP: &str = "write a space in quotes, or one character such as `;` or `|`";

impl FromNode for SeparatorDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Text(text) = &node.value else {
            return expected(node, "one character", SEPARATOR_HELP, problems);
        };
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(one), None) if one == ' ' || (one.is_ascii_punctuation() && !"%\"\\".contains(one)) => Ok(Self(one)),
            _ => {
                let message = format!("`{}` cannot separate the items of a list", shown(text));
                Err(problems.add(&node.span, ProblemCode::InvalidHeaderFormat, message, SEPARATOR_HELP))
            }
        }
    }
}

impl JsonSchema for SeparatorDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Separator".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[ !#$&'()*+,./:;<=>?@\[\]^_`{|}~-]$",
            "patternErrorMessage": "expected a space, or one visible character that is neither a letter, a digit, `%`, `\"` nor `\\`",
        })
    }
}

impl FromNode for IdentityHeaderDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let options = match &node.value {
            Value::Mapping(_) => IdentityOptionsDocument::from_node(node, problems)?,
            _ => IdentityOptionsDocument {
                from: Spanned::from_node(node, problems)?,
                encoding: None,
                separator: None,
            },
        };
        Ok(Self(options))
    }
}

impl JsonSchema for IdentityHeaderDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IdentityHeader".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let source = IdentitySourceForm::json_schema(generator);
        let options = generator.subschema_for::<IdentityOptionsDocument>();
        json_schema!({ "anyOf": [source, options] })
    }
}

/// The schema of what an identity header is set from: a claim, or a word.
#[derive(Debug)]
enum IdentitySourceForm {}

impl JsonSchema for IdentitySourceForm {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IdentitySource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let meaning = |source: &IdentitySource| match source {
            IdentitySource::Tenant => "The verified tenant.",
            IdentitySource::AuthMethod => {
                "How the caller was authenticated: `jwt`, `internal_key`, `mtls` or `public`; joined with `+` under `all`."
            }
            IdentitySource::ClientId => "The name of the internal key, or the accepted name of the client certificate.",
            IdentitySource::Roles => {
                "The roles of the token, without those that they include; joined with the separator."
            }
            IdentitySource::Scopes => "The scopes of the token, joined with the separator.",
            IdentitySource::Claim(_) => "A claim of the token.",
        };
        let others = [("roles", IdentitySource::Roles), ("scopes", IdentitySource::Scopes)];
        let sources = SPECIAL.into_iter().chain(others);
        let words: Vec<_> = sources.map(|(word, source)| (word, meaning(&source))).collect();
        let word = words_schema("", &words);
        let claim = patterns::text().replacen('^', "^(?!@)", 1);
        let several = generator.subschema_for::<List<String>>();
        json_schema!({
            "description": "What the header is set from: a claim, the list of names that leads to it, or a word.",
            "anyOf": [
                word,
                { "type": "string", "pattern": claim },
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": { "anyOf": [word, { "type": "string", "pattern": claim }] }
                },
                { "allOf": [several, { "minItems": 2 }] },
            ]
        })
    }
}

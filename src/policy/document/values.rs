//! Values of a policy that have more than one form.

use std::borrow::Cow;

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::auth_help::auth_help;
use super::forms::{AudienceName, IssuerText, IssuerUrl, MediaType, ProtectedIssuerUrl};
use super::rules::discovery_rules;
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, document, expected, not_one_of, one_of};
use crate::document::patterns::periods;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::HumanDuration;
use crate::document::schema::{form_of, words_schema};
use crate::document::secret::{EnvString, EnvText, VariableDocument};
use crate::document::shapes::list as list_of;
use crate::document::yaml::{Node, Value};
use crate::principal::{AuthMethod, DENY};

/// The schema of one word, or a list of texts.
fn word_or_list<T: JsonSchema>(generator: &mut SchemaGenerator, word: &str, meaning: &str) -> Schema {
    let list = generator.subschema_for::<List<T>>();
    json_schema!({ "anyOf": [words_schema("", &[(word, meaning)]), list] })
}

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
            other => expected(
                node,
                "a list of audiences, or `unchecked`",
                list_of(other, problems.field()),
                problems,
            ),
        }
    }
}

impl JsonSchema for AudienceDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Audience".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let meaning = "The audience is not checked: tokens for other services are accepted, too.";
        word_or_list::<AudienceName>(generator, "unchecked", meaning)
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
            other => expected(
                node,
                "a list of media types, or `any`",
                list_of(other, problems.field()),
                problems,
            ),
        }
    }
}

impl JsonSchema for ContentTypesDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ContentTypes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        word_or_list::<MediaType>(generator, "any", "Requests may have any media type.")
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
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<List<String>>();
        json_schema!({ "anyOf": [{ "type": "string" }, list] })
    }
}

/// How callers authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthDocument {
    /// One way.
    One(AuthMethod),
    /// Any of these; what is presented must be good.
    Any(Vec<Spanned<AuthMethod>>),
    /// All of these.
    All(Vec<Spanned<AuthMethod>>),
    /// Every request is rejected.
    Deny,
}

document! {
    /// A combination of methods: `{ any: […] }` or `{ all: […] }`, exactly one of them, not nested.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct AuthListDocument [whole] {
        /// One of these methods: the first whose credential the request has. A credential that is present and bad is a
        /// rejection, and no other method is tried. `public` can only be the last one, after another.
        #[schemars(
            with = "Option<AnyMethods>",
            extend("examples" = [["jwt", "internal_key"], ["jwt", "public"]])
        )]
        any: Option<List<Spanned<AuthMethod>>>,
        /// All of these methods. `public` is an error.
        #[schemars(
            with = "Option<List<ProvenMethod>>",
            extend("uniqueItems" = true, "examples" = [["mtls", "jwt"]])
        )]
        all: Option<List<Spanned<AuthMethod>>>,
    }
}

/// What a method accepts.
const fn meaning(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::Public => "Any request, without a credential.",
        AuthMethod::Jwt => {
            "A token in `Authorization: Bearer` (RFC 6750, 2.1), once, or in another place of `jwt.sources`: signed by an \
             issuer of the policy, not expired, for the audience. Needs a `jwt` block."
        }
        AuthMethod::InternalKey => "An internal key in its header, not expired. Needs an `internal_key` block.",
        AuthMethod::Mtls => {
            "The client certificate of this connection, with an accepted name. Needs an `mtls` block, and `client_ca` at \
             the listener."
        }
    }
}

fn methods_schema(fits: fn(&AuthMethod) -> bool) -> Schema {
    let methods = AuthMethod::ALL.into_iter().filter(fits);
    let words: Vec<_> = methods.map(|method| (method.as_str(), meaning(method))).collect();
    words_schema("", &words)
}

/// The schema of a method that proves something.
#[derive(Debug)]
pub enum ProvenMethod {}

impl JsonSchema for ProvenMethod {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ProvenMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        methods_schema(|method| *method != AuthMethod::Public)
    }
}

/// The schema of the methods under `any`: `public` is the last one, if it is one of them.
#[derive(Debug)]
pub enum AnyMethods {}

impl JsonSchema for AnyMethods {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyMethods".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let proven = ProvenMethod::json_schema(generator);
        let most = AuthMethod::ALL.len();
        let ends_in_public = (2..=most).map(|length| {
            let mut items = vec![proven.clone(); length - 1];
            items.push(json_schema!({ "const": AuthMethod::Public.as_str() }));
            json_schema!({ "prefixItems": items, "minItems": length, "maxItems": length })
        });
        let forms: Vec<_> = std::iter::once(json_schema!({ "items": proven }))
            .chain(ends_in_public)
            .collect();
        json_schema!({
            "type": "array",
            "minItems": 1,
            "uniqueItems": true,
            "items": AuthMethod::json_schema(generator),
            "anyOf": forms,
        })
    }
}

impl FromNode for AuthMethod {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if matches!(&node.value, Value::Text(word) if word == DENY) {
            let message = "`deny` rejects every request, so it stands alone";
            let help = "write `auth: deny`, or leave `deny` out of the list";
            return Err(problems.add(&node.span, ProblemCode::AuthCombination, message, help));
        }
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
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AuthMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        methods_schema(|_| true)
    }
}

impl FromNode for AuthDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Mapping(_) => {}
            Value::Text(word) if word == DENY => return Ok(Self::Deny),
            _ => return AuthMethod::from_node(node, problems).map(Self::One),
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
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Auth".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let deny = "Every request is rejected: 403 `route_denied`, before its credentials are verified. Stands alone.";
        let methods = AuthMethod::ALL.map(|method| (method.as_str(), meaning(method)));
        let words: Vec<_> = methods.into_iter().chain([(DENY, deny)]).collect();
        let one = words_schema("", &words);
        let list = generator.subschema_for::<AuthListDocument>();
        json_schema!({ "anyOf": [one, list] })
    }
}

/// An issuer that publishes where its keys are.
#[derive(Debug, Clone)]
pub struct OidcDocument(pub OidcOptionsDocument);

document! {
    /// An issuer whose discovery document says where its key set is (OpenID Connect Discovery 1.0).
    #[schemars(extend("anyOf" = [{ "required": ["issuer"] }, { "required": ["url"] }], "allOf" = discovery_rules()))]
    pub struct OidcOptionsDocument [whole] {
        /// The issuer, exactly as in the `issuer` of the tokens: a slash at the end counts. The discovery document must
        /// name it in the same way.
        #[schemars(with = "Option<EnvText<IssuerText>>", extend("examples" = ["https://auth.example.com/"]))]
        issuer: Option<Spanned<EnvString>>,
        /// The URL below which the discovery document is, if it is not the issuer itself. Alone, it is the issuer.
        #[schemars(with = "Option<EnvText<IssuerUrl>>", extend("examples" = ["http://127.0.0.1:8080/realms/shop"]))]
        url: Option<Spanned<EnvString>>,
        /// How often Sidegate fetches the document and the key set, at least `10s`.
        #[schemars(extend("default" = "5m", "pattern" = periods(Duration::from_secs(10)..=Duration::MAX)))]
        refresh: Option<Spanned<HumanDuration>>,
        /// How long keys stay valid after the last successful fetch; then requests get 503 `keys_unavailable`. Not
        /// shorter than `refresh`. The default is twice `refresh` if that is longer than `1h`.
        #[schemars(extend("default" = "1h"))]
        max_stale: Option<Spanned<HumanDuration>>,
        /// A PEM file with the CAs of the servers of the document and of the key set. Without it, Sidegate trusts the
        /// CAs of the system.
        #[schemars(extend("examples" = ["/etc/ssl/private-ca.pem"]))]
        ca_file: Option<Spanned<String>>,
        /// A file with a bearer token, read at each fetch. Sidegate sends it only to the host of the discovery document,
        /// over https or to this machine. If the key set is on another host that needs the token, use `jwks`.
        #[schemars(extend("examples" = ["/var/run/secrets/kubernetes.io/serviceaccount/token"]))]
        bearer_token_file: Option<Spanned<String>>,
        /// Allows plain `http` to other machines. Keys can then be replaced on the way.
        #[schemars(extend("default" = false))]
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
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Oidc".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let issuer = form_of::<ProtectedIssuerUrl>(generator);
        let variable = generator.subschema_for::<VariableDocument>();
        let options = generator.subschema_for::<OidcOptionsDocument>();
        json_schema!({ "anyOf": [issuer, variable, options] })
    }
}

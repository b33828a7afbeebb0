//! `jwt.sources` of a policy as written: a word, or a place with its name.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::forms::{HeaderField, QueryName, TokenName};
use crate::document::decode::{FromNode, Spanned, document, expected, not_one_of};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::schema::words_schema;
use crate::document::yaml::{Node, Value};

/// The word for the header `Authorization`.
const AUTHORIZATION: &str = "authorization";

/// The fields, one of which names a place.
const PLACES: [&str; 4] = ["header", "cookie", "query", "websocket_protocol"];

/// How a place is written.
const HELP: &str = "write `authorization`, or a place with its name, such as `{ cookie: __Host-session }`";

/// A place that a token may be in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSourceDocument {
    /// The header `Authorization`.
    Authorization,
    /// Another header.
    Header(Spanned<String>),
    /// A cookie.
    Cookie(Spanned<String>),
    /// A query parameter.
    Query(Spanned<String>),
    /// A subprotocol of a WebSocket, with the token behind it.
    WebSocketProtocol(Spanned<String>),
}

document! {
    /// A place that a token may be in, by its name: exactly one of these.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct TokenPlaceDocument [whole] {
        /// A header with the token alone, at most once. Not a header that frames, routes or authenticates a request, or
        /// that the policy reads or sets.
        #[schemars(with = "Option<HeaderField>", extend("examples" = ["x-goog-iap-jwt-assertion"]))]
        header: Option<Spanned<String>>,
        /// A cookie. It counts only on requests of pages of this origin, and of origins that may send credentials. `check`
        /// warns of a name without `__Host-`: other hosts of the domain can set such a cookie.
        #[schemars(with = "Option<TokenName>", extend("examples" = ["__Host-session"]))]
        cookie: Option<Spanned<String>>,
        /// A query parameter, for GET, HEAD and WebSockets: letters, digits, `-`, `_`, `.` and `~`. The service does not
        /// receive it. Browsers and proxies in front still keep the URL.
        #[schemars(with = "Option<QueryName>", extend("examples" = ["access_token"]))]
        query: Option<Spanned<String>>,
        /// A subprotocol that the client offers for a WebSocket, with the token as the next one: `bearer, TOKEN, chat`.
        #[schemars(with = "Option<TokenName>", extend("examples" = ["bearer"]))]
        websocket_protocol: Option<Spanned<String>>,
    }
}

impl FromNode for TokenSourceDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let place = match &node.value {
            Value::Mapping(_) => TokenPlaceDocument::from_node(node, problems)?,
            Value::Text(text) if text == AUTHORIZATION => return Ok(Self::Authorization),
            Value::Text(text) => {
                let message = format!("unknown word `{text}`");
                let known = PLACES.iter().find(|place| *place == text);
                let help = known.map_or_else(|| HELP.to_owned(), |place| format!("write `{{ {place}: NAME }}`"));
                return Err(problems.add(&node.span, ProblemCode::UnknownWord, message, help));
            }
            _ => return expected(node, "a place of tokens", HELP, problems),
        };
        match (place.header, place.cookie, place.query, place.websocket_protocol) {
            (Some(name), None, None, None) => Ok(Self::Header(name)),
            (None, Some(name), None, None) => Ok(Self::Cookie(name)),
            (None, None, Some(name), None) => Ok(Self::Query(name)),
            (None, None, None, Some(name)) => Ok(Self::WebSocketProtocol(name)),
            (header, cookie, query, protocol) => {
                let found = [header, cookie, query, protocol].iter().flatten().count();
                Err(not_one_of(&node.span, &PLACES, found, HELP, problems))
            }
        }
    }
}

impl JsonSchema for TokenSourceDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TokenSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let meaning = "The header `Authorization`, as `Bearer TOKEN` (RFC 6750, 2.1).";
        let place = generator.subschema_for::<TokenPlaceDocument>();
        json_schema!({ "anyOf": [words_schema("", &[(AUTHORIZATION, meaning)]), place] })
    }
}

//! Callers as written: what they have to show, and whom they are like.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::claims::ClaimsDocument;
use super::headers::HeadersDocument;
use super::merged::Merged;
use super::moments::RelativeMoment;
use super::requests::ClientAddress;
use crate::document::collections::List;
use crate::document::decode::{FromNode, Spanned, document, expected, not_one_of, one_of, string_enum};
use crate::document::problem::{Problems, Reported};
use crate::document::schema::words_schema;
use crate::document::yaml::{Node, Value};
use crate::policy::token_sources::SourceKind;

document! {
    /// A caller: what its requests have. `{}` has nothing. With `like`, each field that is absent is that of the other
    /// caller, and `null` takes one away.
    pub struct CallerDocument [whole] {
        /// Another caller, which this one is like but for the other fields here. Claims and headers are merged.
        #[schemars(extend("examples" = ["member"]))]
        like: Option<Spanned<String>>,
        /// The claims of a token. Sidegate adds `iss`, `aud`, `iat`, `exp` and the type as the policy wants them, and signs it
        /// with a throwaway key; `iss` is needed where a policy has several issuers. `exp`, `nbf`, `iat` and claims that a
        /// condition with `within` reads may be a distance from the time of the requests, as in `-1s` and `+5m`. `null` takes a claim away.
        #[schemars(extend("examples" = [{ "sub": "user-7", "roles": ["user"] }, { "exp": "-1s" }]))]
        #[schemars(with = "Option<Merged<ClaimsDocument>>")]
        token: Merged<ClaimsDocument>,
        /// Where the token is, if not in `Authorization`: `header`, `cookie`, `query` or `websocket_protocol` for the one
        /// place of this kind that the policy reads, or the place with its name. A cookie counts only with the headers of a
        /// browser, such as `sec-fetch-site: same-origin`.
        #[schemars(extend("examples" = ["cookie"]))]
        #[schemars(with = "Option<Merged<Spanned<PlaceDocument>>>")]
        source: Merged<Spanned<PlaceDocument>>,
        /// What is wrong with the token besides its claims.
        #[schemars(with = "Option<Merged<Spanned<CorruptionDocument>>>")]
        corrupt: Merged<Spanned<CorruptionDocument>>,
        /// Which client certificate the token is bound to (RFC 8705): `true` for that of the caller, `other` for another one.
        #[schemars(with = "Option<Merged<Spanned<BoundDocument>>>")]
        bound: Merged<Spanned<BoundDocument>>,
        /// Whether the token is revoked, by its `jti`. An error for policies without `revocation`.
        #[schemars(with = "Option<Merged<Spanned<bool>>>")]
        revoked: Merged<Spanned<bool>>,
        /// An internal key, by its name in the policy, or `unknown` for one that no policy has.
        #[schemars(extend("examples" = ["scheduler", "unknown"]))]
        #[schemars(with = "Option<Merged<Spanned<String>>>")]
        key: Merged<Spanned<String>>,
        /// The client certificate of the connection.
        #[schemars(with = "Option<Merged<CertificateDocument>>")]
        certificate: Merged<CertificateDocument>,
        /// Header fields. `null` takes one of the other caller away; a list is a field that occurs several times.
        #[schemars(extend("examples" = [{ "x-tenant-id": "00000000-0000-4000-a000-000000000001" }]))]
        #[schemars(with = "Option<Merged<HeadersDocument>>")]
        headers: Merged<HeadersDocument>,
        /// The address that the requests come from. Without it, they have none, as on a unix socket.
        #[schemars(extend("examples" = ["10.0.0.1"]))]
        #[schemars(with = "Option<Merged<ClientAddress>>")]
        client: Merged<ClientAddress>,
    }

    /// A place that a token may be in, by its name, if the policy reads several of its kind: exactly one of these.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct PlaceNameDocument [whole] {
        /// A header of this name.
        #[schemars(extend("examples" = ["x-goog-iap-jwt-assertion"]))]
        header: Option<String>,
        /// A cookie of this name.
        #[schemars(extend("examples" = ["__Host-session"]))]
        cookie: Option<String>,
        /// A query parameter of this name.
        #[schemars(extend("examples" = ["access_token"]))]
        query: Option<String>,
        /// A subprotocol of a WebSocket, with the token as the next one.
        #[schemars(extend("examples" = ["bearer"]))]
        websocket_protocol: Option<String>,
    }

    /// A client certificate that the handshake has verified, by its names.
    pub struct CertificateDocument [whole] {
        /// The URIs of the subject alternative name.
        #[schemars(extend("examples" = ["spiffe://example.org/ns/prod/sa/jobs"]))]
        uri: Option<TextsDocument>,
        /// The DNS names of the subject alternative name.
        #[schemars(extend("examples" = ["jobs.internal"]))]
        dns: Option<TextsDocument>,
        /// The common names of the subject.
        #[schemars(extend("examples" = ["jobs"]))]
        cn: Option<TextsDocument>,
        /// The last second at which it is valid: a point in time, or the distance from the time of the requests. A connection
        /// may last longer.
        #[schemars(extend("default" = "+1h", "examples" = ["-1s"]))]
        not_after: Option<RelativeMoment>,
        /// Whether Sidegate no longer accepts the certificate of the open connection, as after a change of `client_ca` or
        /// `client_crl`. A certificate that does not verify in the handshake leads to no request at all.
        #[schemars(extend("default" = false))]
        refused: Option<bool>,
    }
}

string_enum! {
    /// What is wrong with a token.
    pub enum CorruptionDocument {
        /// A bit of the signature is another one.
        Signature = "signature",
        /// The header names an algorithm that the issuer does not sign with.
        Algorithm = "algorithm",
        /// The header names a key that the issuer does not have.
        KeyId = "key_id",
        /// It is not a token.
        Malformed = "malformed",
        /// The request has it twice.
        Twice = "twice",
    }
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceDocument {
    /// In `Authorization`.
    Authorization,
    /// In the place of this kind that the policy reads.
    Kind(SourceKind),
    /// In the place of this kind and name.
    Named(SourceKind, String),
}

/// The certificate that a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundDocument {
    /// None.
    No,
    /// That of the caller.
    Own,
    /// Another one.
    Other,
}

/// A text, or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextsDocument(pub Vec<String>);

/// A caller by its name, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerNames(pub Vec<Spanned<String>>);

/// The kinds of places, by their words.
const KINDS: [(&str, Option<SourceKind>); 5] = [
    ("authorization", None),
    ("header", Some(SourceKind::Header)),
    ("cookie", Some(SourceKind::Cookie)),
    ("query", Some(SourceKind::Query)),
    ("websocket_protocol", Some(SourceKind::WebSocketProtocol)),
];

impl FromNode for PlaceDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if !matches!(node.value, Value::Mapping(_)) {
            let kind = one_of(node, &KINDS, problems)?;
            return Ok(kind.map_or(Self::Authorization, Self::Kind));
        }
        let place = PlaceNameDocument::from_node(node, problems)?;
        let places = [
            (SourceKind::Header, place.header),
            (SourceKind::Cookie, place.cookie),
            (SourceKind::Query, place.query),
            (SourceKind::WebSocketProtocol, place.websocket_protocol),
        ];
        let written = places
            .into_iter()
            .filter_map(|(kind, name)| Some(Self::Named(kind, name?)));
        let mut written: Vec<_> = written.collect();
        match (written.pop(), written.len()) {
            (Some(place), 0) => Ok(place),
            (last, others) => {
                let fields = ["header", "cookie", "query", "websocket_protocol"];
                let help = "write one place with its name, such as `{ cookie: session }`";
                let found = others + usize::from(last.is_some());
                Err(not_one_of(&node.span, &fields, found, help, problems))
            }
        }
    }
}

impl FromNode for BoundDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Bool(true) => Ok(Self::Own),
            Value::Bool(false) => Ok(Self::No),
            Value::Text(text) if text == "other" => Ok(Self::Other),
            _ => expected(node, "`true`, `false` or `other`", "write `true` or `other`", problems),
        }
    }
}

impl FromNode for TextsDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Sequence(_) => List::from_node(node, problems).map(|List(texts)| Self(texts)),
            _ => String::from_node(node, problems).map(|text| Self(vec![text])),
        }
    }
}

impl FromNode for CallerNames {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Sequence(_) => List::from_node(node, problems).map(|List(names)| Self(names)),
            _ => Spanned::from_node(node, problems).map(|name| Self(vec![name])),
        }
    }
}

impl JsonSchema for PlaceDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = words_schema(
            "",
            &[
                ("authorization", "In `Authorization`, behind `Bearer`."),
                ("header", "In the other header that the policy reads."),
                ("cookie", "In the cookie that the policy reads."),
                ("query", "In the query parameter that the policy reads."),
                (
                    "websocket_protocol",
                    "In the handshake of a WebSocket, behind the subprotocol that the policy reads.",
                ),
            ],
        );
        let named = generator.subschema_for::<PlaceNameDocument>();
        json_schema!({ "anyOf": [words, named] })
    }
}

impl JsonSchema for BoundDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, { "const": "other" }] })
    }
}

fn one_or_several(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<String>();
    let several = generator.subschema_for::<List<String>>();
    json_schema!({ "anyOf": [one, several] })
}

impl JsonSchema for TextsDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_or_several(generator)
    }
}

impl JsonSchema for CallerNames {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CallerNames".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        one_or_several(generator)
    }
}

//! Requests as written: `METHOD /path`, or a mapping.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::headers::HeadersDocument;
use crate::document::decode::{FromNode, Spanned, document, expected, string_enum};
use crate::document::patterns::INVISIBLE;
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::scalars::Size;
use crate::document::suggestion::{did_you_mean, is_close};
use crate::document::yaml::{Node, Value};

/// The methods that are known, with their meaning.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// How a request is written.
const HELP: &str = "write `GET /path`, or `{ GET: /path, headers: { x-name: value } }`";

/// A request.
#[derive(Debug, Clone)]
pub struct RequestDocument {
    /// The method and the path as written.
    pub line: RequestLine,
    /// The rest.
    pub options: RequestOptionsDocument,
    /// Where it stands.
    pub span: Range<usize>,
}

/// A method and a path, perhaps with a query, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// The path, in which `{name}` is still to be filled.
    pub target: String,
}

string_enum! {
    /// The scheme of the connection.
    pub enum Scheme {
        /// In clear text.
        Http = "http",
        /// With TLS, as every connection with a client certificate.
        Https = "https",
    }
}

document! {
    /// A request: a method with its path, and what else it has.
    pub struct RequestOptionsDocument [whole] {
        /// The host, in place of that of the file.
        #[schemars(extend("examples" = ["api.example.com"]))]
        host: Option<Spanned<String>>,
        /// Header fields, in place of those of the caller with the same name. `null` takes one of the caller away; a list is
        /// a field that occurs several times.
        #[schemars(extend("examples" = [{ "X_User_Id": "boss" }]))]
        headers: Option<HeadersDocument>,
        /// The media type of the body, or `{ type: …, bytes: … }`.
        #[schemars(extend("default" = "none", "examples" = ["application/json"]))]
        body: Option<BodyDocument>,
        /// The address that the request comes from, in place of that of the caller.
        #[schemars(extend("examples" = ["203.0.113.9"]))]
        client: Option<ClientAddress>,
        /// The scheme of the connection.
        #[schemars(extend("default" = "http"))]
        scheme: Option<Scheme>,
    }

    /// A body of a certain size.
    pub struct SizedBodyDocument [whole] {
        /// The media type of the body.
        #[schemars(extend("examples" = ["application/json"]))]
        r#type: Option<String>,
        /// How long the body is.
        #[schemars(extend("default" = 1))]
        bytes: Option<Size>,
    }
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyDocument {
    /// No body.
    None,
    /// A body of a media type, if it has one, and so many bytes.
    Some(Option<String>, u64),
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl RequestLine {
    /// Reads `METHOD /path`.
    pub fn parse(text: &str, span: &Range<usize>, problems: &mut Problems) -> Result<Self, Reported> {
        let Some((method, target)) = text.split_once(' ') else {
            let message = format!("`{text}` is not a method and a path");
            return Err(problems.add(span, ProblemCode::InvalidRequest, message, HELP));
        };
        Self::of(method, (target.trim_start_matches(' '), span), problems)
    }

    fn of(word: &str, (target, span): (&str, &Range<usize>), problems: &mut Problems) -> Result<Self, Reported> {
        let method = Method::from_bytes(word.as_bytes()).ok();
        let slip = METHODS.iter().find(|known| **known != word && is_close(word, known));
        let method = match (method, slip) {
            (Some(method), None) => method,
            (_, Some(known)) => {
                let message = format!("unknown method `{word}`");
                return Err(problems.add(span, ProblemCode::UnknownMethod, message, did_you_mean(known)));
            }
            (None, None) => {
                let message = format!("`{word}` cannot be a method");
                return Err(problems.add(span, ProblemCode::UnknownMethod, message, HELP));
            }
        };
        let fault = match target {
            _ if target.contains("://") && !target.starts_with('/') => {
                Some("write the path alone, and the host as `host`")
            }
            "*" if method == Method::OPTIONS => None,
            _ if !target.starts_with('/') => Some("write a path that starts with `/`"),
            _ if target.contains(char::is_whitespace) => Some("write a space in a path as `%20`"),
            _ => None,
        };
        let path = target.split('?').next().unwrap_or(target);
        match fault {
            None if path.contains('*') && path != "*" => {
                let message = format!("`{path}` is a pattern, and a request has a path");
                let example = path.replace('*', "x");
                let help = format!("write a path: `{example}`, or `{{x}}` for a segment that no route names");
                Err(problems.add(span, ProblemCode::InvalidRequest, message, help))
            }
            Some(help) => {
                let message = format!("`{target}` cannot be the target of a request");
                Err(problems.add(span, ProblemCode::InvalidRequest, message, help))
            }
            None => Ok(Self {
                method,
                target: target.to_owned(),
            }),
        }
    }
}

/// Whether a key of a mapping is a method.
fn is_method(key: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
    !key.is_empty() && key.bytes().all(is_letter)
}

impl FromNode for RequestDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let span = node.span.clone();
        let entries = match &node.value {
            Value::Text(_) => {
                let text = String::from_node(node, problems)?;
                return Ok(Self {
                    line: RequestLine::parse(&text, &span, problems)?,
                    options: RequestOptionsDocument {
                        host: None,
                        headers: None,
                        body: None,
                        client: None,
                        scheme: None,
                    },
                    span,
                });
            }
            Value::Mapping(entries) => entries,
            _ => return expected(node, "a request", HELP, problems),
        };
        let (lines, options): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|((key, _), _)| is_method(key));
        let options = Node {
            value: Value::Mapping(options),
            ..node.clone()
        };
        let options = RequestOptionsDocument::from_node(&options, problems);
        let line = match lines.as_slice() {
            [((method, at), target)] => {
                let text = String::from_node(target, problems)?;
                let span = at.start..target.span.end.max(at.end);
                RequestLine::of(method, (&text, &span), problems)
            }
            [] => {
                let reported = problems.unknown_field_in(span.start);
                let add = || problems.add(&span, ProblemCode::InvalidRequest, "the request has no method", HELP);
                Err(reported.unwrap_or_else(add))
            }
            [_, ((_, second), _), ..] => {
                let message = "the request has several methods";
                let help = "write a request for each, in a list below `requests`";
                Err(problems.add(second, ProblemCode::InvalidRequest, message, help))
            }
        };
        Ok(Self {
            line: line?,
            options: options?,
            span: lines.first().map_or(span, |((_, at), _)| at.clone()),
        })
    }
}

impl FromNode for BodyDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) if text == "none" => Ok(Self::None),
            Value::Mapping(_) => {
                let sized = SizedBodyDocument::from_node(node, problems)?;
                let bytes = sized.bytes.map_or(1, |Size(bytes)| bytes);
                Ok(Self::Some(sized.r#type, bytes))
            }
            _ => {
                let media_type = String::from_node(node, problems)?;
                if !media_type.contains('/') {
                    let message = format!("`{media_type}` is not a media type");
                    let help = "write a type such as `application/json`, or `none`";
                    return Err(problems.add(&node.span, ProblemCode::UnknownWord, message, help));
                }
                Ok(Self::Some(Some(media_type), 1))
            }
        }
    }
}

impl FromNode for ClientAddress {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let text = String::from_node(node, problems)?;
        // An IPv4 address that is written as IPv6 is the same client, as on a connection.
        text.parse()
            .map(|address: IpAddr| Self(address.to_canonical()))
            .map_err(|_| {
                let message = format!("`{text}` is not an IP address");
                let help = "write one address, such as `203.0.113.9` or `2001:db8::9`";
                problems.add(&node.span, ProblemCode::InvalidAddress, message, help)
            })
    }
}

/// The pattern of a path, perhaps with a query, or of `*`.
fn target_pattern() -> String {
    format!(r"(/[^\s*?{INVISIBLE}]*(\?[^\s{INVISIBLE}]*)?|\*)$")
}

/// The pattern of a method and a path.
pub(super) fn line_pattern() -> String {
    format!(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+ +{}", target_pattern())
}

impl JsonSchema for RequestDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AnyRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<RequestMapping>();
        json_schema!({ "anyOf": [{
            "description": "A method and a path, perhaps with a query. `{name}` is filled with a segment that no route names.",
            "type": "string",
            "pattern": line_pattern(),
            "patternErrorMessage": "expected a method and a path, such as GET /orders/{id}",
            "examples": ["GET /orders/{id}"],
        }, mapping] })
    }
}

/// A request as a mapping, for its schema.
enum RequestMapping {}

impl JsonSchema for RequestMapping {
    fn schema_name() -> Cow<'static, str> {
        "Request".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let target = json_schema!({ "type": "string", "pattern": format!("^{}", target_pattern()) });
        let mut mapping = RequestOptionsDocument::json_schema(generator);
        let mut options = Vec::new();
        if let Some(fields) = mapping.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
            options.extend(fields.keys().cloned());
            for method in METHODS {
                let mut target = target.clone();
                let about = format!("The path of a request with {method}, perhaps with a query. `{{name}}` is filled.");
                target.insert("description".into(), about.into());
                fields.insert(method.to_owned(), target.to_value());
            }
        }
        mapping.insert(
            "patternProperties".into(),
            json_schema!({ "^[A-Z_-]+$": target }).to_value(),
        );
        mapping.insert(
            "not".into(),
            json_schema!({ "propertyNames": { "enum": options } }).to_value(),
        );
        mapping
    }
}

impl JsonSchema for BodyDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Body".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sized = generator.subschema_for::<SizedBodyDocument>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": "^(none|.+/.+)$" }, sized] })
    }
}

impl JsonSchema for ClientAddress {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ClientAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        json_schema!({
            "type": "string",
            "pattern": format!(r"^({byte}(\.{byte}){{3}}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$"),
            "patternErrorMessage": "expected one IP address, such as 203.0.113.9 or 2001:db8::9",
        })
    }
}

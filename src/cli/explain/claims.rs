//! A token that no issuer signed, for `--claims`: what would become of a request if it were verified.

use std::path::Path;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::authn::json;
use crate::authn::sources::SEC_FETCH_SITE;
use crate::document::environment::Environment;
use crate::document::masks::{is_secret_key, is_secret_text};
use crate::policy::issuer_names::IssuerNames;
use crate::policy::token_sources::TokenSources;
use crate::policy::{Issuer, Policy};
use crate::policy_files::ProcessEnvironment;
use crate::rehearsal::claims::{completed, missing};
use crate::rehearsal::{Caller, Rehearsal, Request, Token, TokenPlace, USUAL_TYPE};
use crate::revocation::Revocations;

/// What stands for a value that is not shown.
const MASKED: &str = "(masked)";

/// The token that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct MadeToken {
    /// The issuer whose throwaway key signed it.
    issuer: String,
    /// The algorithm.
    algorithm: &'static str,
    /// The type in the header: `JWT`, or one that the issuer writes.
    #[serde(rename = "type")]
    kind: String,
    /// All claims, without the values of those that speak of a secret.
    #[serde(serialize_with = "masked")]
    claims: Map<String, Value>,
    /// The names of those that were filled in.
    filled: Vec<String>,
    /// Where the request has the token.
    place: String,
}

impl MadeToken {
    /// Describes the token, and that it proves nothing.
    pub(super) fn describe(&self) -> String {
        let filled = match self.filled.is_empty() {
            true => String::new(),
            false => format!(", with {} as the policy has it", self.filled.join(", ")),
        };
        let kind = match self.kind.as_str() {
            USUAL_TYPE => String::new(),
            kind => format!(", of the type `{kind}`"),
        };
        format!(
            "made of `--claims`, not verified: as if `{}` signed it by {}{kind}{filled}; it is in {}",
            self.issuer, self.algorithm, self.place
        )
    }
}

/// Serializes claims as they may be shown.
fn masked<S: Serializer>(claims: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    shown_fields(claims).serialize(serializer)
}

fn shown_fields(fields: &Map<String, Value>) -> Map<String, Value> {
    let masked = |(name, value): (&String, &Value)| match is_secret_key(name) && !value.is_null() {
        true => (name.clone(), MASKED.into()),
        false => (name.clone(), shown(value)),
    };
    fields.iter().map(masked).collect()
}

/// A value as it may be shown: what speaks of a secret is masked, as in headers.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if is_secret_text(text) => MASKED.into(),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Object(fields) => shown_fields(fields).into(),
        value => value.clone(),
    }
}

/// Reads claims, or the file with them.
pub(super) fn read(text: &str) -> Result<Map<String, Value>, String> {
    let bytes = match text.strip_prefix('@') {
        Some(file) => {
            let bytes = ProcessEnvironment.file(Path::new(file));
            bytes.map_err(|error| format!("`{file}` cannot be read: {error}"))?
        }
        None => text.as_bytes().to_vec(),
    };
    json::object(&bytes).ok_or_else(|| {
        let why = match serde_json::from_slice::<Value>(&bytes) {
            Err(error) => error.to_string(),
            Ok(Value::Object(_)) => "a name comes twice, or there are too many values".to_owned(),
            Ok(_) => "it is not an object".to_owned(),
        };
        format!(r#"`--claims` is not claims: {why}; write JSON such as '{{"sub":"user-7","roles":["admin"]}}'"#)
    })
}

/// Adds a token with some claims to a request, signed by the throwaway key of an issuer of the policy that the request is
/// for. Without a policy there is no issuer, and no token.
pub(super) fn add_token(
    rehearsal: &Rehearsal,
    request: &mut Request,
    claims: Map<String, Value>,
    issuer: Option<&str>,
) -> Result<Option<MadeToken>, String> {
    if request.headers.contains_key(AUTHORIZATION) {
        return Err("the request has `authorization` already: leave it out, or leave out `--claims`".to_owned());
    }
    let matched = rehearsal
        .decide(&request.facts(), Revocations::Unasked, &mut ())
        .matched;
    let Some(policy) = rehearsal.policies().matched(matched.scope()).policy() else {
        return Ok(None);
    };
    let signer = signer(policy, &claims, issuer)?;
    let mut given = claims;
    if let Some(name) = issuer.filter(|name| signer.names.pattern().is_none_or(|pattern| pattern.takes(name))) {
        given.entry("iss").or_insert_with(|| name.into());
    }
    if let Some(missing) = missing(signer, &given) {
        return Err(format!("{missing}: add it to `--claims`"));
    }
    let completed = completed(signer, given.clone(), request.now);
    let token = Token::of(signer, completed.clone()).ok_or("the issuer lists no algorithm")?;
    let place = place(&policy.sources, &request.method);
    let made = MadeToken {
        issuer: signer.label().into_owned(),
        algorithm: token.algorithm.name(),
        kind: token.header_type().to_owned(),
        filled: completed
            .keys()
            .filter(|name| !given.contains_key(*name))
            .cloned()
            .collect(),
        claims: completed,
        place: describe(&place),
    };
    let caller = Caller {
        headers: own_page(&place, request),
        place,
        token: Some(token),
        ..Caller::default()
    };
    caller.apply(request, rehearsal.keys());
    Ok(Some(made))
}

/// Finds the issuer that signs: the one that is named, the one of `iss`, or the only one.
fn signer<'p>(policy: &'p Policy, claims: &Map<String, Value>, named: Option<&str>) -> Result<&'p Issuer, String> {
    let issuers = &policy.issuers;
    let Some(first) = issuers.first() else {
        return Err(format!(
            "`--claims` needs a policy that takes tokens, and `{}` ({}) has no `jwt`",
            policy.service, policy.file
        ));
    };
    if let Some(named) = named {
        return issuers.iter().find(|issuer| is_named(issuer, named)).ok_or_else(|| {
            format!(
                "`{named}` is not an issuer of `{}` ({}); its issuers: {}",
                policy.service,
                policy.file,
                names(issuers)
            )
        });
    }
    match claims.get("iss") {
        // An `iss` of no issuer is rejected before any key is looked for.
        Some(Value::String(iss)) => Ok(issuers.iter().find(|issuer| is_named(issuer, iss)).unwrap_or(first)),
        Some(_) => Ok(first),
        None if issuers.len() == 1 => Ok(first),
        None => Err(format!(
            "`{}` ({}) has several issuers: name one by `--issuer`, or by `iss` in the claims: {}",
            policy.service,
            policy.file,
            names(issuers)
        )),
    }
}

/// Returns whether a text names an issuer: one of its names, its pattern, or what fits the pattern.
fn is_named(issuer: &Issuer, text: &str) -> bool {
    match &issuer.names {
        IssuerNames::Unchecked => true,
        IssuerNames::Exact(names) => names.has(text),
        IssuerNames::Pattern(pattern) => pattern.takes(text) || pattern.template().text() == text,
    }
}

fn names(issuers: &[Issuer]) -> String {
    let names: Vec<_> = issuers.iter().map(|issuer| format!("`{}`", issuer.label())).collect();
    names.join(", ")
}

/// Picks a place that the policy reads, the most common one first. A token in the query counts for reading alone.
fn place(sources: &TokenSources, method: &Method) -> TokenPlace {
    let places = &sources.read;
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let header = places.headers.first().cloned().map(TokenPlace::Header);
    let cookie = places.cookies.first().cloned().map(TokenPlace::Cookie);
    let query = places
        .queries
        .first()
        .filter(|_| is_read)
        .cloned()
        .map(TokenPlace::Query);
    let protocol = places.protocols.first().cloned().map(TokenPlace::WebSocketProtocol);
    match sources.authorization {
        true => TokenPlace::Authorization,
        false => header.or(cookie).or(query).or(protocol).unwrap_or_default(),
    }
}

fn describe(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Authorization => "`authorization`".to_owned(),
        TokenPlace::Header(name) => format!("the header `{name}`"),
        TokenPlace::Cookie(name) => format!("the cookie `{name}`, from a page of the same origin"),
        TokenPlace::Query(name) => format!("the query parameter `{name}`"),
        TokenPlace::WebSocketProtocol(name) => format!("the WebSocket subprotocol behind `{name}`"),
    }
}

/// What a browser says of a page of the same origin, for a cookie, unless the request says of which page it is.
fn own_page(place: &TokenPlace, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
    let says_page = [ORIGIN, SEC_FETCH_SITE]
        .iter()
        .any(|name| request.headers.contains_key(name));
    match place {
        TokenPlace::Cookie(_) if !says_page => vec![(SEC_FETCH_SITE, HeaderValue::from_static("same-origin"))],
        _ => Vec::new(),
    }
}

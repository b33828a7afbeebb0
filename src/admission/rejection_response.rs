//! Renders a rejection as the service's standard error body, with `WWW-Authenticate`. The only writer of error
//! bodies.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Serialize;

use super::local_response::LocalResponse;
use super::trace_context::RequestIds;
use crate::policy::cors::Cors;
use crate::policy::resource::Resource;
use crate::policy::{ErrorFormat, ErrorStyle, Matched, PolicySet};
use crate::principal::AuthMethod;
use crate::rejection::{Reason, Rejection};
use crate::request::names::is_alias;

/// The header that carries the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_NAME);

/// The name of [`REQUEST_ID`] as text.
pub const REQUEST_ID_NAME: &str = "x-request-id";

/// The header that says why Sidegate itself rejected a request. No response of an upstream has it.
pub const REASON: HeaderName = HeaderName::from_static(REASON_NAME);

/// The name of [`REASON`] as text.
const REASON_NAME: &str = "x-sidegate-reason";

/// Returns whether a name is [`REASON`], in the spelling of a service that writes `_` or `.` for `-`, too.
pub fn is_reason(name: &HeaderName) -> bool {
    // Other names are not folded, as most responses have none of this length.
    let name = name.as_str();
    name.len() == REASON_NAME.len() && is_alias(name, REASON_NAME)
}

/// What an error response says about its request.
#[derive(Debug, Clone)]
pub struct ErrorContext<'c> {
    /// How the service writes its errors.
    pub style: &'c ErrorStyle,
    /// The realm of a challenge: the name of the service.
    pub realm: &'c str,
    /// The methods that the route accepts, for the challenge.
    pub accepts: &'c [AuthMethod],
    /// The path as the client sent it, without what may be a secret.
    pub path: Cow<'c, str>,
    /// The id of the request.
    pub request_id: &'c str,
    /// The trace that the request belongs to.
    pub trace_id: &'c str,
    /// The time of the response.
    pub now: Timestamp,
    /// The scopes that the route needs, for the challenge.
    pub scopes: &'c [String],
    /// The content type of a client that speaks gRPC.
    pub grpc: Option<&'c HeaderValue>,
    /// Which pages of other origins may read the response.
    pub cors: Option<&'c Cors>,
    /// The value of `Access-Control-Allow-Origin`, if that of the request is among them.
    pub allowed_origin: Option<&'c HeaderValue>,
    /// Whether the query had a token, so that other sites must not learn the URL.
    pub had_token_in_query: bool,
    /// The protected resource, whose metadata challenges name.
    pub resource: Option<&'c Resource>,
}

impl<'c> ErrorContext<'c> {
    /// Creates the context of a request, with its policy and route as far as they were found.
    pub fn new(
        policies: &'c PolicySet,
        matched: Matched<'c>,
        ids: &'c RequestIds,
        path: impl Into<Cow<'c, str>>,
        now: Timestamp,
    ) -> Self {
        let (policy, route) = (matched.policy(), matched.route());
        Self {
            style: policy.map_or(policies.default_errors(), |policy| &policy.errors),
            realm: policy.map_or("sidegate", |policy| &policy.service),
            accepts: route.map_or(&[], |route| route.authentication.methods()),
            path: path.into(),
            request_id: ids.request_id(),
            trace_id: ids.trace_id(),
            now,
            scopes: route.map_or(&[], |route| &route.requirement.scopes),
            grpc: None,
            cors: policy.and_then(|policy| policy.cors.as_ref()),
            allowed_origin: None,
            had_token_in_query: false,
            resource: policy.and_then(|policy| policy.resource.as_ref()),
        }
    }
}

/// Integration Hub's errors.
#[derive(Serialize)]
struct Flat<'c> {
    #[serde(rename = "statusCode")]
    status: u16,
    code: String,
    message: &'static str,
    path: &'c str,
    timestamp: String,
}

/// Wallet's errors.
#[derive(Serialize)]
struct Envelope<'c> {
    data: Option<()>,
    error: EnvelopeError<'c>,
    meta: Meta<'c>,
}

#[derive(Serialize)]
struct EnvelopeError<'c> {
    code: String,
    message: &'static str,
    details: Details,
    #[serde(rename = "traceId")]
    trace_id: &'c str,
}

#[derive(Serialize)]
struct Details {
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'c> {
    request_id: &'c str,
    trace_id: &'c str,
    timestamp: String,
}

/// RFC 9457, 3. The title is that of the status, as `about:blank` requires (4.2.1).
#[derive(Serialize)]
struct Problem<'c> {
    r#type: Cow<'static, str>,
    title: &'static str,
    status: u16,
    detail: &'static str,
    instance: &'c str,
    code: String,
    reason: &'static str,
    #[serde(rename = "requestId")]
    request_id: &'c str,
}

/// Renders the response to a rejected request.
pub fn render(rejection: &Rejection, context: &ErrorContext<'_>) -> LocalResponse {
    let reason = rejection.reason();
    let (mut headers, body) = if let Some(content_type) = context.grpc {
        (grpc_headers(reason, content_type), Bytes::new())
    } else {
        let content_type = media_type(context.style.format);
        (vec![(CONTENT_TYPE, content_type)], body(reason, context))
    };
    headers.push((CONTENT_LENGTH, body.len().into()));
    headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    if context.had_token_in_query {
        headers.push((REFERRER_POLICY, HeaderValue::from_static("no-referrer")));
    }
    if context.style.reason_header {
        headers.push((REASON, HeaderValue::from_static(reason.code())));
    }
    headers.extend(
        HeaderValue::from_str(context.request_id)
            .ok()
            .map(|id| (REQUEST_ID, id)),
    );
    let cors = context.cors.into_iter();
    headers.extend(cors.flat_map(|cors| cors.response_fields(context.allowed_origin)));
    let challenge = match reason {
        Reason::ScopeMissing => {
            let has_one = context.style.scope_challenge || context.resource.is_some();
            has_one.then(|| scope_challenge(context))
        }
        _ => (reason.status() == 401).then(|| challenge(reason, context)),
    };
    let challenge = challenge.and_then(|challenge| HeaderValue::from_str(&challenge).ok());
    headers.extend(challenge.map(|challenge| (WWW_AUTHENTICATE, challenge)));
    if reason == Reason::MethodNotAllowed {
        let methods: Vec<_> = rejection.allow().iter().map(http::Method::as_str).collect();
        headers.extend(
            HeaderValue::from_str(&methods.join(", "))
                .ok()
                .map(|allow| (ALLOW, allow)),
        );
    }
    headers.extend(
        rejection
            .retry_seconds()
            .map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds))),
    );
    LocalResponse {
        status: if context.grpc.is_some() { 200 } else { reason.status() },
        headers,
        body,
    }
}

fn media_type(format: ErrorFormat) -> HeaderValue {
    HeaderValue::from_static(match format {
        ErrorFormat::Flat | ErrorFormat::Envelope => "application/json",
        ErrorFormat::Problem => "application/problem+json",
    })
}

fn body(reason: Reason, context: &ErrorContext<'_>) -> Bytes {
    let code = format!("{}_{}", context.style.code_prefix, reason.status_word());
    let timestamp = format!("{:.3}", context.now);
    let message = reason.message();
    let json = match context.style.format {
        ErrorFormat::Flat => serde_json::to_vec(&Flat {
            status: reason.status(),
            code,
            message,
            path: &context.path,
            timestamp,
        }),
        ErrorFormat::Envelope => serde_json::to_vec(&Envelope {
            data: None,
            error: EnvelopeError {
                code,
                message,
                details: Details { reason: reason.code() },
                trace_id: context.trace_id,
            },
            meta: Meta {
                request_id: context.request_id,
                trace_id: context.trace_id,
                timestamp,
            },
        }),
        ErrorFormat::Problem => serde_json::to_vec(&Problem {
            r#type: problem_type(reason, context.style),
            title: reason.status_code().canonical_reason().unwrap_or_default(),
            status: reason.status(),
            detail: message,
            instance: &context.path,
            code,
            reason: reason.code(),
            request_id: context.request_id,
        }),
    };
    // Plain structs of text and numbers always have a JSON form.
    json.map(Bytes::from).unwrap_or_default()
}

/// Returns the `type` of a problem: the place where the service documents the reason, if it has one.
fn problem_type(reason: Reason, style: &ErrorStyle) -> Cow<'static, str> {
    match &style.type_base {
        Some(base) => Cow::Owned(format!("{base}{}", reason.code())),
        None => Cow::Borrowed("about:blank"),
    }
}

/// Renders one challenge for each accepted method that has one (RFC 9110, 11.6.1). A bearer challenge has no error
/// code if the request has no token (RFC 6750, 3). Its realm is the service.
fn challenge(reason: Reason, context: &ErrorContext<'_>) -> String {
    let realm = context.realm;
    let bearer = |error: &str| {
        let scope = context.resource.and_then(|_| scope(context)).unwrap_or_default();
        format!(r#"Bearer realm="{realm}"{error}{}{scope}"#, resource_metadata(context))
    };
    if reason.blames_token() {
        let message = reason.message();
        return bearer(&format!(r#", error="invalid_token", error_description="{message}""#));
    }
    let mut challenges: Vec<_> = context
        .accepts
        .iter()
        .filter_map(|method| match method {
            AuthMethod::Jwt => Some(bearer("")),
            AuthMethod::InternalKey => Some(format!(r#"ApiKey realm="{realm}""#)),
            AuthMethod::Mtls => Some(format!(r#"Mutual realm="{realm}""#)),
            AuthMethod::Public => None,
        })
        .collect();
    if challenges.is_empty() {
        challenges.push(bearer(""));
    }
    challenges.join(", ")
}

/// Renders the challenge to a token without the scopes of the route (RFC 6750, 3.1). It lists all of them.
fn scope_challenge(context: &ErrorContext<'_>) -> String {
    let (realm, scope) = (context.realm, scope(context).unwrap_or_default());
    let metadata = resource_metadata(context);
    format!(r#"Bearer realm="{realm}", error="insufficient_scope"{scope}{metadata}"#)
}

/// Renders where the metadata of the resource is (RFC 9728, 5.1).
fn resource_metadata(context: &ErrorContext<'_>) -> String {
    let url = context.resource.map(|resource| &resource.metadata_url);
    url.map(|url| format!(r#", resource_metadata="{url}""#))
        .unwrap_or_default()
}

/// Renders the scopes of the route, if it needs any and they can be written.
fn scope(context: &ErrorContext<'_>) -> Option<String> {
    let fine = !context.scopes.is_empty() && context.scopes.iter().all(|scope| is_scope_token(scope));
    fine.then(|| format!(r#", scope="{}""#, context.scopes.join(" ")))
}

/// Returns whether a scope is a `scope-token` of RFC 6749, 3.3, which needs no escapes between quotes.
fn is_scope_token(scope: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !scope.is_empty() && scope.bytes().all(fine)
}

/// Returns the fields of a trailers-only response, with the content type of the request: gRPC over HTTP/2,
/// "Responses", and gRPC-Web. The status follows gRPC's own mapping of HTTP statuses
/// (doc/http-grpc-status-mapping.md).
fn grpc_headers(reason: Reason, content_type: &HeaderValue) -> Vec<(HeaderName, HeaderValue)> {
    let status = match reason.status() {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    };
    // Messages are printable ASCII without `%`, so they need no percent-encoding.
    let message = HeaderValue::from_static(reason.message());
    vec![
        (CONTENT_TYPE, content_type.clone()),
        (HeaderName::from_static("grpc-status"), HeaderValue::from_static(status)),
        (HeaderName::from_static("grpc-message"), message),
    ]
}

#[cfg(test)]
mod tests;

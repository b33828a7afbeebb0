//! What the responses of Sidegate itself can say at all: the names of their header fields, and of the values in their bodies.

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde_json::Value;

use super::rejection_response::{ErrorContext, REASON, REQUEST_ID, render};
use super::trace_context::RequestIds;
use crate::policy::resource::Metadata;
use crate::policy::{ErrorStyle, Matched, PolicySet, cors};
use crate::rejection::{Reason, Rejection};

/// The header fields of responses, besides those for pages of other origins.
const FIELDS: [HeaderName; 13] = [
    ALLOW,
    CACHE_CONTROL,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    DATE,
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status"),
    REASON,
    REFERRER_POLICY,
    REQUEST_ID,
    RETRY_AFTER,
    VARY,
    WWW_AUTHENTICATE,
];

/// Returns whether a response of Sidegate itself has a header field of this name by some policy.
pub fn is_field(name: &HeaderName) -> bool {
    FIELDS.contains(name) || cors::is_response_field(name)
}

/// Returns whether rejections by some policies have a value in their body at the end of these names, with dots between them; also
/// those of requests that are for none of the policies, if asked for.
pub fn is_in_rejections(policies: &PolicySet, path: &str, without_policy: bool) -> bool {
    let own = policies.policies().iter().map(|policy| &policy.errors);
    let other = without_policy.then(|| policies.default_errors());
    own.chain(other).any(|style| {
        let body = rejection(policies, style);
        path.split('.').try_fold(&body, |value, name| value.get(name)).is_some()
    })
}

/// Returns whether the metadata of a protected resource may have a value at the end of these names.
pub fn is_in_metadata(path: &str) -> bool {
    let some = [String::new()];
    let metadata = Metadata {
        resource: "",
        authorization_servers: &some,
        scopes_supported: &some,
        bearer_methods_supported: &[],
        tls_client_certificate_bound_access_tokens: true,
    };
    let metadata = serde_json::to_value(&metadata).unwrap_or_default();
    path.split('.').next().is_some_and(|name| metadata.get(name).is_some())
}

/// The body of a rejection. Its names depend on the style alone.
fn rejection(policies: &PolicySet, style: &ErrorStyle) -> Value {
    let ids = RequestIds::shown(&HeaderMap::new(), false);
    let context = ErrorContext {
        style,
        ..ErrorContext::new(policies, Matched::default(), &ids, "/", Timestamp::UNIX_EPOCH)
    };
    let response = render(&Rejection::from(Reason::CredentialMissing), &context);
    serde_json::from_slice(&response.body).unwrap_or_default()
}

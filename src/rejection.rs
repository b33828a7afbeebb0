//! The closed set of reasons to reject a request.
//!
//! A [`Reason`] is one stable word. The same word serves the error body, `x-sidegate-reason`, the
//! metric label, the access log, `explain` and the policy tests. It never comes from what a client sent.

use std::borrow::Cow;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::principal::Principal;

mod span;
mod unverified;

pub use span::{moment, span};
pub use unverified::{Unverified, kind, list, shown, shown_within};

macro_rules! reasons {
    ($(#[doc = $meaning:literal] $name:ident = $status:literal $code:literal $message:literal,)*) => {
        /// Why a request was rejected: a closed set of stable codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons, in the order of the reference table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the stable code, as in `token_expired`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns the status of the response.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Returns the text for the client: one sentence without any of its own input.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// Returns what the reason means, in one sentence for operators.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning.trim_ascii(),)* }
            }
        }
    };
}

reasons! {
    /// The request breaks the rules of HTTP, or has a field twice that may occur once.
    RequestMalformed = 400 "request_malformed" "The request is malformed.",
    /// The path can be read in more than one way.
    PathAmbiguous = 400 "path_ambiguous" "The path of the request is ambiguous.",
    /// The route needs a tenant, and the request has no tenant header.
    TenantHeaderMissing = 400 "tenant_header_missing" "The tenant header is missing.",
    /// The tenant header is not of the form that tenants have, or occurs twice.
    TenantHeaderInvalid = 400 "tenant_header_invalid" "The tenant header must name a single tenant.",
    /// The route needs an idempotency key, and the request has none.
    IdempotencyKeyMissing = 400 "idempotency_key_missing" "The idempotency key is missing.",
    /// The idempotency key is not a UUID.
    IdempotencyKeyInvalid = 400 "idempotency_key_invalid" "The idempotency key must be a single UUID.",
    /// The request has none of the credentials that the route accepts.
    CredentialMissing = 401 "credential_missing" "Authentication is required.",
    /// The token is in a place that does not count for this request: a cookie on a request of a page that may not send it, or a query parameter with a method that is neither GET nor HEAD.
    TokenSourceNotAllowed = 401 "token_source_not_allowed" "The token is not accepted in this part of the request.",
    /// The bearer token is not a JWT in its canonical form, or has a header that Sidegate does not accept.
    TokenMalformed = 401 "token_malformed" "The token is malformed.",
    /// The issuer does not sign with the algorithm in the token's header.
    TokenAlgorithmNotAllowed = 401 "token_algorithm_not_allowed" "The algorithm of the token is not allowed.",
    /// The issuer's key set has no key with the token's key id.
    TokenKeyUnknown = 401 "token_key_unknown" "The token cannot be verified.",
    /// The signature of the token does not verify.
    TokenSignatureInvalid = 401 "token_signature_invalid" "The token cannot be verified.",
    /// The time in the claim `exp` has passed.
    TokenExpired = 401 "token_expired" "The token has expired.",
    /// The time in the claim `nbf` is in the future.
    TokenNotYetValid = 401 "token_not_yet_valid" "The token is not valid yet.",
    /// The policy has no issuer with the token's `iss`.
    TokenIssuerMismatch = 401 "token_issuer_mismatch" "The token comes from another issuer.",
    /// The token's `aud` names none of the accepted audiences.
    TokenAudienceMismatch = 401 "token_audience_mismatch" "The token is meant for another audience.",
    /// The token does not have a claim that the policy requires.
    TokenClaimMissing = 401 "token_claim_missing" "A required claim of the token is missing.",
    /// A claim of the token has the wrong type or form, or does not meet a condition of the issuer.
    TokenClaimInvalid = 401 "token_claim_invalid" "A claim of the token is invalid.",
    /// The token, its subject or its tenant was revoked after the token was issued.
    TokenRevoked = 401 "token_revoked" "The token has been revoked.",
    /// The policy requires tokens of this issuer to be bound to a key (RFC 7800), and this one is not.
    TokenBindingMissing = 401 "token_binding_missing" "A token that is bound to a key is required.",
    /// The token is bound to a client certificate that the connection does not have (RFC 8705, 3).
    TokenBindingMismatch = 401 "token_binding_mismatch" "The token is bound to a client certificate that the connection does not have.",
    /// The token is bound to a key, and Sidegate cannot verify that the client has that key.
    TokenBindingUnverified = 401 "token_binding_unverified" "The token is bound to a key that cannot be verified here.",
    /// The internal key is unknown or has expired.
    InternalKeyInvalid = 401 "internal_key_invalid" "The internal key is invalid.",
    /// The route needs a client certificate, and the connection has none.
    ClientCertificateMissing = 401 "client_certificate_missing" "A client certificate is required.",
    /// The client certificate is verified, but the policy does not allow any of its names.
    ClientCertificateNotAllowed = 403 "client_certificate_not_allowed" "The client certificate is not allowed here.",
    /// The route rejects every request: its policy says `auth: deny`.
    RouteDenied = 403 "route_denied" "Access to this resource is denied.",
    /// The token belongs to another tenant than the tenant header names.
    TenantMismatch = 403 "tenant_mismatch" "The token belongs to another tenant.",
    /// The caller has none of the roles that the route accepts.
    RoleMissing = 403 "role_missing" "A required role is missing.",
    /// The caller does not have all of the scopes that the route needs.
    ScopeMissing = 403 "scope_missing" "A required scope is missing.",
    /// The request does not meet a condition of the route, on a claim, a header or the address of the client.
    ConditionFailed = 403 "condition_failed" "A condition of the route is not met.",
    /// No policy matches the host and path, or no route of the policy matches the path.
    RouteNotFound = 404 "route_not_found" "No route matches the request.",
    /// The routes of this path accept other methods.
    MethodNotAllowed = 405 "method_not_allowed" "The method is not allowed on this route.",
    /// The client sent its request too slowly.
    RequestTimeout = 408 "request_timeout" "The request took too long to arrive.",
    /// Another request with the same idempotency key is still in progress.
    IdempotencyInProgress = 409 "idempotency_in_progress" "A request with this idempotency key is in progress.",
    /// The body of the request is longer than the limit.
    BodyTooLarge = 413 "body_too_large" "The body of the request is too large.",
    /// The request target is longer than the limit.
    UriTooLong = 414 "uri_too_long" "The target of the request is too long.",
    /// The route does not accept the media type of the body.
    ContentTypeUnsupported = 415 "content_type_unsupported" "The content type is not supported.",
    /// The idempotency key was used before, for a request with another body.
    IdempotencyKeyReused = 422 "idempotency_key_reused" "The idempotency key was used for another request.",
    /// The caller has used up a quota.
    QuotaExceeded = 429 "quota_exceeded" "The quota is used up.",
    /// The request head is longer than the limit, or has too many fields.
    HeadersTooLarge = 431 "headers_too_large" "The header of the request is too large.",
    /// A check of Sidegate itself failed.
    InternalError = 500 "internal_error" "An internal error occurred.",
    /// The connection to the upstream could not be opened.
    UpstreamUnreachable = 502 "upstream_unreachable" "The service cannot be reached.",
    /// The upstream closed the connection early, or its response is not valid HTTP.
    UpstreamFailed = 502 "upstream_failed" "The service did not respond properly.",
    /// The key set of the issuer was never fetched, or is too old.
    KeysUnavailable = 503 "keys_unavailable" "The keys to verify the token are unavailable.",
    /// The store is unavailable, and the request cannot be decided without it.
    StoreUnavailable = 503 "store_unavailable" "The shared state is unavailable.",
    /// The limit of connections or of concurrent requests is reached: that of the process, or that of one client.
    Overloaded = 503 "overloaded" "The server is at capacity. Try again later.",
    /// The upstream did not respond in time.
    UpstreamTimeout = 504 "upstream_timeout" "The service took too long to respond.",
}

impl Reason {
    /// The word for the status in a service's error code, as in `ERR_WALLET_UNAUTHORIZED`.
    pub const fn status_word(self) -> &'static str {
        match self.status() {
            400 => "BAD_REQUEST",
            401 => "UNAUTHORIZED",
            403 => "FORBIDDEN",
            404 => "NOT_FOUND",
            405 => "METHOD_NOT_ALLOWED",
            408 => "REQUEST_TIMEOUT",
            409 => "CONFLICT",
            413 => "PAYLOAD_TOO_LARGE",
            414 => "URI_TOO_LONG",
            415 => "UNSUPPORTED_MEDIA_TYPE",
            422 => "UNPROCESSABLE_ENTITY",
            429 => "TOO_MANY_REQUESTS",
            431 => "HEADERS_TOO_LARGE",
            502 => "BAD_GATEWAY",
            503 => "SERVICE_UNAVAILABLE",
            504 => "GATEWAY_TIMEOUT",
            _ => "INTERNAL_ERROR",
        }
    }

    /// The status as the `http` crate has it.
    pub fn status_code(self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether the reason is about a bearer token that came (RFC 6750, 3.1: `invalid_token`).
    pub const fn blames_token(self) -> bool {
        matches!(
            self,
            Self::TokenMalformed
                | Self::TokenAlgorithmNotAllowed
                | Self::TokenKeyUnknown
                | Self::TokenSignatureInvalid
                | Self::TokenExpired
                | Self::TokenNotYetValid
                | Self::TokenIssuerMismatch
                | Self::TokenAudienceMismatch
                | Self::TokenClaimMissing
                | Self::TokenClaimInvalid
                | Self::TokenRevoked
        ) || self.is_about_binding()
    }

    /// Whether the reason is about the key that a token is bound to.
    pub const fn is_about_binding(self) -> bool {
        matches!(
            self,
            Self::TokenBindingMissing | Self::TokenBindingMismatch | Self::TokenBindingUnverified
        )
    }
}

/// One rejection: the reason for the client, and the evidence for the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    reason: Reason,
    cause: Cow<'static, str>,
    unverified: Unverified,
    caller: Option<Box<Principal>>,
    allow: Vec<Method>,
    issuer: Option<usize>,
    retry_after: Option<u64>,
    is_wrong_type: bool,
}

impl Rejection {
    /// Rejects a request because of what was found, for the log and `explain`. The cause is a clause of verified
    /// facts. It has no secret and no token, and the client never gets it.
    pub fn because(reason: Reason, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            cause: cause.into(),
            unverified: Unverified::default(),
            caller: None,
            allow: Vec::new(),
            issuer: None,
            retry_after: None,
            is_wrong_type: false,
        }
    }

    /// Rejects a method, with those that the path accepts (RFC 9110, 15.5.6).
    pub fn method_not_allowed(allow: Vec<Method>) -> Self {
        let cause = match allow.is_empty() {
            true => "the path accepts no method".to_owned(),
            false => format!("the path accepts {}", list(allow.iter().map(Method::as_str))),
        };
        Self {
            allow,
            ..Self::because(Reason::MethodNotAllowed, cause)
        }
    }

    /// Adds what a client claims, which nothing verified.
    #[must_use]
    pub fn unverified(mut self, name: impl Into<Cow<'static, str>>, value: &str) -> Self {
        self.unverified.add(name, value);
        self
    }

    /// Adds the caller, as far as it was proven before the rejection.
    #[must_use]
    pub fn of_caller(mut self, proven: Principal) -> Self {
        if !proven.methods.is_empty() {
            let mut caller = self.caller.take().unwrap_or_default();
            caller.join(proven);
            self.caller = Some(caller);
        }
        self
    }

    /// Names the issuer, by its place in the policy, whose other keys may lead to another decision.
    #[must_use]
    pub fn for_want_of_keys(mut self, issuer: usize) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// Returns the issuer without whose newest keys the request was rejected.
    pub const fn wants_keys_of(&self) -> Option<usize> {
        self.issuer
    }

    /// Marks that a condition compares another type than the claim has, which the policy or the issuer may have to change.
    #[must_use]
    pub fn for_wrong_type(mut self, is_wrong_type: bool) -> Self {
        self.is_wrong_type = is_wrong_type;
        self
    }

    /// Returns whether a condition compares another type than the claim has.
    pub const fn is_for_wrong_type(&self) -> bool {
        self.is_wrong_type
    }

    /// Sets when the client may retry: whole seconds from now, at least one.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        self.retry_after = Some(whole.max(1));
        self
    }

    /// Returns the seconds for `Retry-After` (RFC 9110, 10.2.3).
    pub const fn retry_seconds(&self) -> Option<u64> {
        self.retry_after
    }

    /// Returns the stable reason.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns what was found, for the operator.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Returns what the client claims, for the operator.
    pub const fn claimed(&self) -> &Unverified {
        &self.unverified
    }

    /// Returns the caller, as far as its credentials were proven before the rejection. It may do nothing.
    pub fn caller(&self) -> Option<&Principal> {
        self.caller.as_deref()
    }

    /// Returns the methods for the `Allow` header; empty unless the method was rejected.
    pub fn allow(&self) -> &[Method] {
        &self.allow
    }
}

/// A rejection without evidence: the cause is what the reason means.
impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        let mut cause = reason.meaning().trim_end_matches('.').to_owned();
        if let Some(first) = cause.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        Self::because(reason, cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_have_a_word() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.status_code().as_u16(), reason.status());
            let internal = reason.status_word() == "INTERNAL_ERROR";
            assert_eq!(internal, reason.status() == 500, "{}", reason.code());
        }
    }

    #[test]
    fn meaning_is_one_sentence() {
        for reason in Reason::ALL {
            let meaning = reason.meaning();
            assert!(meaning.starts_with(char::is_uppercase), "{meaning}");
            assert!(meaning.ends_with('.') && !meaning.contains(". "), "{meaning}");
            let cause = Rejection::from(*reason).cause().to_owned();
            assert!(
                cause.starts_with(char::is_lowercase) && !cause.ends_with('.'),
                "{cause}"
            );
        }
    }

    #[test]
    fn only_401_blames_a_token() {
        for reason in Reason::ALL.iter().filter(|r| r.blames_token()) {
            assert_eq!(reason.status(), 401);
            assert!(reason.code().starts_with("token_"));
        }
    }
}

//! Credential to principal, the way the route asks for.

use http::HeaderName;

use crate::authn::sources::Presented;
use crate::authn::token_cache::CacheResult;
use crate::credential::{Bearer, ClientCertificate, internal_key};
use crate::policy::Policy;
use crate::policy::certificate::CertificateName;
use crate::policy::internal_key::KeyMatch;
use crate::policy::route::{AuthRule, Authentication};
use crate::principal::{AuthMethod, Principal};
use crate::rejection::{Reason, Rejection, list};
use crate::request::RequestFacts;

pub mod binding;
pub mod claims;
pub mod conditions;
mod context;
mod grants;
pub mod json;
pub mod jws;
pub mod jwt;
pub mod key_rings;
mod revoked;
pub mod sources;
pub mod token_cache;

pub use context::Context;

/// What one method made of a request.
#[derive(Debug, PartialEq)]
enum Attempt {
    /// The request has no credential of this kind.
    Absent,
    /// The credential is good.
    Proven(Principal),
}

/// Proves who is calling, or says why not. Notes whether the token, if there is one, was known.
pub fn authenticate(
    authentication: &Authentication,
    context: Context<'_>,
    request: &RequestFacts<'_>,
    lookup: &mut Option<CacheResult>,
) -> Result<Principal, Rejection> {
    let attempt = |method| attempt(method, context, request, lookup);
    let absent = |method| absent(method, context, request);
    match authentication.rule() {
        AuthRule::All(methods) => all(methods, attempt, absent),
        AuthRule::Any(methods) => any(methods, attempt, absent),
        AuthRule::Deny => Err(Reason::RouteDenied.into()),
    }
}

fn all(
    methods: &[AuthMethod],
    mut attempt: impl FnMut(AuthMethod) -> Result<Attempt, Rejection>,
    absent: impl FnOnce(AuthMethod) -> Rejection,
) -> Result<Principal, Rejection> {
    let mut principal = Principal::default();
    for method in methods {
        match attempt(*method) {
            Ok(Attempt::Proven(proven)) => principal.join(proven),
            Ok(Attempt::Absent) => return Err(absent(*method).of_caller(principal)),
            Err(rejection) => return Err(rejection.of_caller(principal)),
        }
    }
    Ok(principal)
}

/// Takes the first method whose credential is present. The others are checked too: one that is present and
/// bad is a rejection, never a reason to fall through to a weaker one.
fn any(
    methods: &[AuthMethod],
    mut attempt: impl FnMut(AuthMethod) -> Result<Attempt, Rejection>,
    absent: impl FnOnce(AuthMethod) -> Rejection,
) -> Result<Principal, Rejection> {
    let mut principal = None;
    for method in methods {
        match attempt(*method) {
            Ok(Attempt::Proven(proven)) => principal = principal.or(Some(proven)),
            Ok(Attempt::Absent) => {}
            Err(rejection) => return Err(rejection.of_caller(principal.unwrap_or_default())),
        }
    }
    principal.ok_or_else(|| match methods {
        [method] => absent(*method),
        methods => none_of(methods),
    })
}

fn none_of(methods: &[AuthMethod]) -> Rejection {
    let accepted = list(methods.iter().map(|method| method.as_str()));
    let cause = format!("the request has none of these credentials: {accepted}");
    Rejection::because(Reason::CredentialMissing, cause)
}

fn absent(method: AuthMethod, context: Context<'_>, request: &RequestFacts<'_>) -> Rejection {
    match method {
        AuthMethod::Public => Reason::InternalError.into(),
        AuthMethod::Mtls => Rejection::because(
            Reason::ClientCertificateMissing,
            "the connection has no client certificate",
        ),
        AuthMethod::Jwt if context.presented == Presented::Nothing => Rejection::because(
            Reason::CredentialMissing,
            sources::describe_absence(&context.policy.0.sources, request),
        ),
        AuthMethod::Jwt => Rejection::because(Reason::CredentialMissing, "the request has no bearer token"),
        AuthMethod::InternalKey => Rejection::because(Reason::CredentialMissing, "the request has no internal key"),
    }
}

fn attempt(
    method: AuthMethod,
    context: Context<'_>,
    request: &RequestFacts<'_>,
    lookup: &mut Option<CacheResult>,
) -> Result<Attempt, Rejection> {
    let (policy, _) = context.policy;
    match method {
        AuthMethod::Public => Ok(Attempt::Proven(Principal {
            identity: policy.identity.public(),
            ..Principal::by(AuthMethod::Public)
        })),
        AuthMethod::Jwt => bearer(context, request, lookup),
        AuthMethod::InternalKey => key(policy, request),
        AuthMethod::Mtls => certificate(policy, request),
    }
}

fn bearer(
    context: Context<'_>,
    request: &RequestFacts<'_>,
    lookup: &mut Option<CacheResult>,
) -> Result<Attempt, Rejection> {
    let presented = match context.presented {
        Presented::Authorization => Bearer::of(request.headers),
        Presented::Nothing => Bearer::Absent,
        Presented::Elsewhere(kind, value) => Bearer::Token(sources::read((kind, value), context.policy.0, request)?),
    };
    match presented {
        Bearer::Absent => Ok(Attempt::Absent),
        Bearer::Malformed => Err(Rejection::because(
            Reason::TokenMalformed,
            "what follows `Bearer` is not a token",
        )),
        Bearer::Token(token) => verify(token, context, request, lookup),
    }
}

fn verify(
    token: &str,
    context: Context<'_>,
    request: &RequestFacts<'_>,
    lookup: &mut Option<CacheResult>,
) -> Result<Attempt, Rejection> {
    let (looked_up, principal) = jwt::authenticate(token, context, request.now);
    *lookup = Some(looked_up);
    let mut principal = principal?;
    match check_token(&mut principal, context, request) {
        Ok(()) => Ok(Attempt::Proven(principal)),
        Err(rejection) => Err(match &principal.token {
            Some(token) => rejection.of_caller(jwt::bearer(context.policy.0, token)),
            None => rejection,
        }),
    }
}

/// Checks what a verified token says anew with each request: its binding, and whether it was revoked.
fn check_token(principal: &mut Principal, context: Context<'_>, request: &RequestFacts<'_>) -> Result<(), Rejection> {
    binding::check(principal, request)?;
    revoked::check(context.policy.0, principal, context.revocations, request)
}

fn key(policy: &Policy, request: &RequestFacts<'_>) -> Result<Attempt, Rejection> {
    let Some(keys) = &policy.internal_keys else {
        return Err(Reason::InternalError.into());
    };
    let Some(presented) = internal_key(request.headers, &keys.header) else {
        return Ok(Attempt::Absent);
    };
    match keys.find(presented, request.now) {
        KeyMatch::Known(key) => Ok(Attempt::Proven(key.principal())),
        KeyMatch::Expired(name) => {
            let cause = format!("the internal key `{name}` has expired");
            Err(Rejection::because(Reason::InternalKeyInvalid, cause))
        }
        KeyMatch::Unknown => Err(Rejection::because(
            Reason::InternalKeyInvalid,
            "no internal key has this digest",
        )),
    }
}

fn certificate(policy: &Policy, request: &RequestFacts<'_>) -> Result<Attempt, Rejection> {
    let Some(certificate) = request.client_certificate else {
        return Ok(Attempt::Absent);
    };
    if let Some(why) = certificate.unproven(request.now) {
        return Err(Rejection::because(Reason::ClientCertificateNotAllowed, why));
    }
    let allowed = policy.certificates.iter().find_map(|name| name.find(certificate));
    match allowed {
        Some(name) => Ok(Attempt::Proven(Principal {
            client: Some(name.into()),
            ..Principal::by(AuthMethod::Mtls)
        })),
        None => Err(not_allowed(certificate, policy)),
    }
}

fn not_allowed(certificate: &ClientCertificate, policy: &Policy) -> Rejection {
    let names = [&certificate.uris, &certificate.dns, &certificate.common_names];
    let names = list(names.into_iter().flatten().map(String::as_str));
    let accepted = list(policy.certificates.iter().map(CertificateName::as_str));
    let cause = format!("the client certificate is for {names}; accepted: {accepted}");
    Rejection::because(Reason::ClientCertificateNotAllowed, cause)
}

/// The headers of which a request may have one only, besides those that all requests may.
pub fn single_headers(policy: &Policy) -> impl Iterator<Item = (&HeaderName, Reason)> {
    let tenant = policy
        .tenant
        .as_ref()
        .map(|rule| (&rule.header, Reason::TenantHeaderInvalid));
    let key = policy
        .internal_keys
        .as_ref()
        .map(|keys| (&keys.header, Reason::RequestMalformed));
    let sources = policy.sources.read.headers.iter();
    let sources = sources.map(|header| (header, Reason::RequestMalformed));
    tenant.into_iter().chain(key).chain(sources)
}

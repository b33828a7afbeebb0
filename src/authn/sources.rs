//! Finds the token of a request in the places that its policy names, and says whether it counts there. Nothing is
//! copied, and a policy that names `Authorization` alone costs nothing.

use http::header::{AUTHORIZATION, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::credential::token;
use crate::policy::Policy;
use crate::policy::token_sources::{SourceKind, TokenPlaces, TokenSources};
use crate::rejection::{Reason, Rejection};
use crate::request::websocket::is_handshake;
use crate::request::{RequestFacts, cookies, only, origin, query, subprotocols};

/// How the page that a request comes from is related to the host that it goes to (Fetch Metadata, 2.3). Only browsers
/// set it.
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The one place of a request that a token may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'r> {
    /// `Authorization`, which may be absent or have another scheme.
    Authorization,
    /// No place has anything.
    Nothing,
    /// Another place, and what is in it.
    Elsewhere(SourceKind, &'r [u8]),
}

/// Finds the place. `Authorization` comes first where it is listed and present: the others do not count beside it.
/// Otherwise one of them may have something, once.
pub fn find<'r>(sources: &TokenSources, request: &RequestFacts<'r>) -> Result<Presented<'r>, Rejection> {
    if sources.is_authorization_alone() || sources.authorization && request.headers.contains_key(AUTHORIZATION) {
        return Ok(Presented::Authorization);
    }
    let mut found = named(&sources.read, request);
    match (found.next(), found.next()) {
        (None, _) => Ok(Presented::Nothing),
        (Some((kind, value)), None) => Ok(Presented::Elsewhere(kind, value)),
        (Some((first, _)), Some((second, _))) => Err(Rejection::because(
            Reason::RequestMalformed,
            match first == second {
                true => format!("more than one {} has a token", first.noun()),
                false => format!("a token is in two places: a {} and a {}", first.noun(), second.noun()),
            },
        )),
    }
}

/// Describes a request that has nothing in any place.
pub(super) fn describe_absence(sources: &TokenSources, request: &RequestFacts<'_>) -> &'static str {
    let is_offered = subprotocols::offers(request.headers).any(|offer| sources.read.is_protocol(offer));
    match is_offered && !is_handshake(request.method, request.headers) {
        true => "the request offers a token as a subprotocol, and is not a complete WebSocket handshake over HTTP/1.1",
        false => "the request has no token in any place of `jwt.sources`",
    }
}

/// Returns whether a request has anything in any place of a policy.
pub fn has_any(sources: &TokenSources, request: &RequestFacts<'_>) -> bool {
    let in_authorization = sources.authorization && request.headers.contains_key(AUTHORIZATION);
    in_authorization || named(&sources.read, request).next().is_some()
}

/// Iterates over what is in the named places. What is listed and not there costs a look, and the rest nothing.
fn named<'r>(places: &TokenPlaces, request: &RequestFacts<'r>) -> impl Iterator<Item = (SourceKind, &'r [u8])> {
    let RequestFacts {
        method, headers, query, ..
    } = *request;
    let in_headers = places.headers.iter().flat_map(move |name| headers.get_all(name));
    let in_cookies = (!places.cookies.is_empty()).then(|| cookies::cookies(headers));
    let in_cookies = in_cookies.into_iter().flatten();
    let in_query = (!places.queries.is_empty()).then(|| query::parameters(query));
    let in_query = in_query.into_iter().flatten();
    let offers = !places.protocols.is_empty() && is_handshake(method, headers);
    let offered = offers.then(|| subprotocols::behind(headers, |offer| places.is_protocol(offer)));
    let with = |kind| move |value| (kind, value);
    in_headers
        .map(HeaderValue::as_bytes)
        .map(with(SourceKind::Header))
        .chain(
            in_cookies
                .filter(|(name, _)| places.is_cookie(name))
                .map(|(_, value)| (SourceKind::Cookie, value)),
        )
        .chain(
            in_query
                .filter(|(name, _)| places.is_query(name))
                .map(|(_, value)| (SourceKind::Query, value)),
        )
        .chain(
            offered
                .into_iter()
                .flatten()
                .map(Option::unwrap_or_default)
                .map(with(SourceKind::WebSocketProtocol)),
        )
}

/// Reads the token in a place, if it counts there for this request.
pub fn read<'r>(
    (kind, value): (SourceKind, &'r [u8]),
    policy: &Policy,
    request: &RequestFacts<'_>,
) -> Result<&'r str, Rejection> {
    check(kind, policy, request).map_err(|cause| {
        let rejection = Rejection::because(Reason::TokenSourceNotAllowed, cause);
        match kind {
            SourceKind::Cookie => with_origins(rejection, request),
            _ => rejection,
        }
    })?;
    token(value).ok_or_else(|| {
        let cause = format!("what is in the {} is not a token", kind.noun());
        Rejection::because(Reason::TokenMalformed, cause)
    })
}

/// Adds the origin of the page and that of the request, which the operator has to compare. What is more than an origin
/// may have a secret, and is not shown.
fn with_origins(rejection: Rejection, request: &RequestFacts<'_>) -> Rejection {
    let Some(page) = only(request.headers, &ORIGIN) else {
        return rejection;
    };
    let shown = |text: &str| {
        if origin::is_bare(text) {
            text.to_owned()
        } else {
            "***".to_owned()
        }
    };
    let rejection = rejection.unverified("origin", &shown(&String::from_utf8_lossy(page.as_bytes())));
    match request.own_origin() {
        Some(own) => rejection.unverified("own_origin", &shown(&own)),
        None => rejection,
    }
}

/// Says why a place does not count, if that is so. A client that sets a header or offers a subprotocol has the token
/// and means to send it; browsers send cookies by themselves.
fn check(kind: SourceKind, policy: &Policy, request: &RequestFacts<'_>) -> Result<(), &'static str> {
    match kind {
        SourceKind::Header | SourceKind::WebSocketProtocol => Ok(()),
        SourceKind::Query if is_read(request.method) => Ok(()),
        SourceKind::Query => Err("a token in the query counts for GET and HEAD only"),
        SourceKind::Cookie => check_page(policy, request),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The relation that `Sec-Fetch-Site` names.
#[derive(Debug, Clone, Copy)]
enum Site {
    /// There is none, as from browsers before 2023 and over plain http.
    Unknown,
    SameOrigin,
    /// The user caused the request: an address that was typed, a bookmark.
    User,
    /// Another origin of the same site.
    Sibling,
    /// Another site.
    Foreign,
    /// A word that is not known.
    Other,
}

/// The page that `Origin` names.
#[derive(Debug, Clone, Copy)]
enum Page {
    /// There is none, as for most GET requests.
    Unknown,
    /// `null`: the page hides its origin (`Referrer-Policy: no-referrer`), or has none (a sandbox).
    Hidden,
    /// The origin of the request itself.
    Own,
    /// One that may send credentials.
    Listed,
    Other,
}

/// Says why a cookie does not count, if that is so: the request must come from a page that may send it.
///
/// `Origin` and `Sec-Fetch-Site` are set by browsers, and no page can change them. Where they contradict each other, as
/// in the own origin from another site, nothing is known of the page, and the cookie does not count. `null` counts only
/// where the browser says that the page is of the same origin: it says something else of a sandbox.
fn check_page(policy: &Policy, request: &RequestFacts<'_>) -> Result<(), &'static str> {
    let site = match single(request.headers, &SEC_FETCH_SITE)? {
        None => Site::Unknown,
        Some(b"same-origin") => Site::SameOrigin,
        Some(b"none") => Site::User,
        Some(b"same-site") => Site::Sibling,
        Some(b"cross-site") => Site::Foreign,
        Some(_) => Site::Other,
    };
    let page = match single(request.headers, &ORIGIN)? {
        None => Page::Unknown,
        Some(b"null") => Page::Hidden,
        Some(origin) if request.is_own_origin(origin) => Page::Own,
        Some(origin) if may_send_credentials(policy, origin) => Page::Listed,
        Some(_) => Page::Other,
    };
    let opens_socket = is_handshake(request.method, request.headers);
    let is_fine = match (page, site) {
        (Page::Listed, _) | (Page::Own, Site::Unknown | Site::SameOrigin | Site::User) => true,
        (Page::Unknown | Page::Hidden, Site::SameOrigin) => !opens_socket,
        (Page::Unknown, Site::User) => !opens_socket && is_read(request.method),
        _ => false,
    };
    match (is_fine, page, site) {
        (true, ..) => Ok(()),
        (false, Page::Other, _) => Err(
            "the cookie comes with an `origin` that is neither the one of this request nor listed with `credentials: true`",
        ),
        (false, Page::Own, _) => Err("the cookie comes with the own `origin`, and `sec-fetch-site` contradicts it"),
        (false, ..) if opens_socket => Err("the cookie needs an `origin` to open a WebSocket"),
        (false, Page::Hidden, Site::Unknown | Site::User) => {
            Err("the cookie comes with `origin: null`, which says nothing of the page")
        }
        (false, _, Site::Unknown) => Err("the cookie comes without a header that says from which page"),
        (false, _, Site::User) => Err("the cookie comes from no page: then it counts for GET and HEAD only"),
        (false, _, Site::Sibling) => Err("the cookie comes from a page of another origin of this site"),
        (false, _, Site::Foreign) => Err("the cookie comes from a page of another site"),
        (false, ..) => Err("the cookie comes with a `sec-fetch-site` that is not known"),
    }
}

/// Returns the value of a header, which must not occur twice.
fn single<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r [u8]>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(HeaderValue::as_bytes);
    match values.next() {
        None => Ok(first),
        Some(_) => Err("`origin` or `sec-fetch-site` occurs twice"),
    }
}

/// Returns whether pages of an origin may send credentials, because the policy lists the origin.
fn may_send_credentials(policy: &Policy, origin: &[u8]) -> bool {
    let cors = policy.cors.as_ref();
    cors.is_some_and(|cors| cors.allows_credentials_from(origin))
}

#[cfg(test)]
mod tests;

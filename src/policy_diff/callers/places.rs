//! The places in which a token, or what looks like one, may be.

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, Method};

use super::asked_methods::asked;
use super::pages::Cookies;
use super::pair::{MethodClass, Pair};
use super::parts::Patch;
use super::space::{Aspect, Dimension, Label, Variant};
use crate::policy::token_sources::TokenPlaces;
use crate::principal::AuthMethod;
use crate::rehearsal::TokenPlace;

/// A text that is not a token.
const NO_TOKEN: &str = "x";

/// The credentials of another scheme.
const OTHER_SCHEME: &str = "Basic eDp5";

/// Returns the places besides `Authorization` in which either side looks for tokens, and those that one of them alone
/// removes.
pub(super) fn places(pair: &Pair<'_>, method: MethodClass) -> Vec<TokenPlace> {
    let mut found: Vec<TokenPlace> = Vec::new();
    let mut add = |places: &TokenPlaces| {
        let headers = places.headers.iter().cloned().map(TokenPlace::Header);
        let cookies = places.cookies.iter().cloned().map(TokenPlace::Cookie);
        let queries = places.queries.iter().cloned().map(TokenPlace::Query);
        let protocols = places
            .protocols
            .iter()
            .filter(|_| method.opens)
            .cloned()
            .map(TokenPlace::WebSocketProtocol);
        for place in headers.chain(cookies).chain(queries).chain(protocols) {
            if !found.contains(&place) {
                found.push(place);
            }
        }
    };
    pair.asking(AuthMethod::Jwt)
        .for_each(|policy| add(&policy.sources.read));
    if !pair.is_same(|policy, _| &policy.sources.removed) {
        pair.met().for_each(|(policy, _)| add(&policy.sources.removed));
    }
    // A rejection keeps the query from other sites if it may have a token.
    if !pair.has_same_policy(|policy| &policy.sources.removed.queries) {
        let queries = pair.policies().flat_map(|policy| &policy.sources.removed.queries);
        for place in queries.cloned().map(TokenPlace::Query) {
            if !found.contains(&place) {
                found.push(place);
            }
        }
    }
    found
}

/// Returns the headers that are places.
fn headers(places: &[TokenPlace]) -> Vec<HeaderName> {
    let named = places.iter().filter_map(|place| match place {
        TokenPlace::Header(name) => Some(name.clone()),
        _ => None,
    });
    [AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL]
        .into_iter()
        .chain(named)
        .collect()
}

fn named(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Authorization => "`authorization`".to_owned(),
        TokenPlace::Header(name) => format!("the header `{name}`"),
        TokenPlace::Cookie(name) => format!("the cookie `{name}`"),
        TokenPlace::Query(name) => format!("the query parameter `{name}`"),
        TokenPlace::WebSocketProtocol(name) => format!("the WebSocket subprotocol `{name}`"),
    }
}

/// Places of tokens that need the same others aspects of a request.
#[derive(Debug)]
pub(super) struct Places {
    /// Whether a cookie is among them, so that the page matters that a request comes from.
    pub(super) has_cookie: bool,
    /// The places.
    pub(super) dimension: Dimension,
}

/// Returns the places of tokens: those without a cookie, and those with one.
pub(super) fn of_token(pair: &Pair<'_>, method: MethodClass) -> Vec<Places> {
    let places = places(pair, method);
    let is_cookie = |place: &TokenPlace| matches!(place, TokenPlace::Cookie(_));
    let usual = Variant::new(Patch::Places(vec![TokenPlace::Authorization]), Label::None);
    let (mut plain, mut cookies) = (vec![usual], Vec::new());
    for (at, place) in places.iter().enumerate() {
        let also = Patch::Places(vec![TokenPlace::Authorization, place.clone()]);
        let beside = vec![
            Patch::Places(vec![place.clone()]),
            Patch::header(&AUTHORIZATION, OTHER_SCHEME),
        ];
        let beside_label = format!("{} beside another scheme in `authorization`", named(place));
        let malformed = vec![
            Patch::Places(vec![place.clone()]),
            Patch::header(&AUTHORIZATION, "Bearer x"),
        ];
        let malformed_label = format!("{} beside no token in `authorization`", named(place));
        let own = [
            Variant::new(Patch::Places(vec![place.clone()]), Label::Place(named(place))),
            Variant::new(also, Label::Place(format!("`authorization` and {}", named(place)))),
            Variant::of(beside, Label::Place(beside_label)),
            Variant::of(malformed, Label::Place(malformed_label)),
        ];
        match is_cookie(place) {
            true => cookies.extend(own),
            false => plain.extend(own),
        }
        for other in places.iter().skip(at + 1) {
            let both = Patch::Places(vec![place.clone(), other.clone()]);
            let label = Label::Place(format!("{} and {}", named(place), named(other)));
            match is_cookie(place) || is_cookie(other) {
                true => cookies.push(Variant::new(both, label)),
                false => plain.push(Variant::new(both, label)),
            }
        }
    }
    let mut policies = pair.asking(AuthMethod::Jwt);
    if !policies.any(|policy| policy.sources.authorization) {
        usual_first(&mut plain);
    }
    let headers = headers(&places);
    let of = |has_cookie, variants: Vec<Variant>| {
        let dimension = Dimension::new(Aspect::Place(headers.clone()), variants);
        Places { has_cookie, dimension }
    };
    let cookies = Some(cookies).filter(|cookies| !cookies.is_empty());
    let cookies = cookies.map(|cookies| of(true, cookies));
    [of(false, plain)].into_iter().chain(cookies).collect()
}

/// Makes a place that a side looks at the usual one.
fn usual_first(variants: &mut [Variant]) {
    if let [authorization, usual, ..] = variants {
        std::mem::swap(authorization, usual);
        authorization.label = Label::None;
        usual.label = Label::Place(named(&TokenPlace::Authorization));
    }
}

/// Returns what callers may have in these places who have no token of an issuer of either side.
pub(super) fn presented(pair: &Pair<'_>, method: MethodClass) -> Option<Dimension> {
    let asks = pair.asking(AuthMethod::Jwt).next().is_some();
    let forwards = !pair.is_same(|policy, _| policy.forward_authorization);
    let places = places(pair, method);
    let mut variants = vec![Variant::default()];
    let malformed = |patches| Variant::of(patches, Label::Fault("token_malformed".to_owned())).credential();
    let other_scheme = || Patch::header(&AUTHORIZATION, OTHER_SCHEME);
    if asks || forwards {
        let label = Label::Fault("another scheme".to_owned());
        variants.push(Variant::new(other_scheme(), label).credential());
        variants.push(malformed(vec![Patch::header(&AUTHORIZATION, "Bearer x")]));
        variants.push(malformed(vec![Patch::header(&AUTHORIZATION, "Bearer")]));
    }
    for (at, place) in places.iter().enumerate() {
        variants.push(malformed(no_token_in(place)));
        let bare = Patch::header(&AUTHORIZATION, "Bearer");
        variants.push(malformed([vec![other_scheme()], no_token_in(place)].concat()));
        variants.push(malformed([vec![bare], no_token_in(place)].concat()));
        for other in places.iter().skip(at + 1) {
            if std::mem::discriminant(place) != std::mem::discriminant(other) {
                variants.push(malformed([no_token_in(place), no_token_in(other)].concat()));
            }
        }
    }
    (variants.len() > 1).then(|| Dimension::new(Aspect::Presented(headers(&places)), variants))
}

pub(super) fn no_token_in(place: &TokenPlace) -> Vec<Patch> {
    match place {
        TokenPlace::Authorization => vec![Patch::header(&AUTHORIZATION, "Bearer x")],
        TokenPlace::Header(name) => vec![Patch::header(name, NO_TOKEN)],
        TokenPlace::Cookie(name) => vec![Patch::header(&COOKIE, &format!("{name}={NO_TOKEN}"))],
        TokenPlace::Query(name) => vec![Patch::Query(format!("{name}={NO_TOKEN}"))],
        TokenPlace::WebSocketProtocol(name) => vec![
            Patch::Handshake(true),
            Patch::header(&SEC_WEBSOCKET_PROTOCOL, &format!("{name}, {NO_TOKEN}")),
        ],
    }
}

/// Returns what cookies have to do with the page of a request with a token.
pub(super) const fn cookies_of_token(has_cookie: bool) -> Cookies {
    match has_cookie {
        true => Cookies::Token,
        false => Cookies::Unread,
    }
}

/// Returns what cookies have to do with the page of a request without a token.
pub(super) fn cookies_besides_token(pair: &Pair<'_>) -> Cookies {
    let mut policies = pair.asking(AuthMethod::Jwt);
    match policies.any(|policy| !policy.sources.read.cookies.is_empty()) {
        true => Cookies::Possible,
        false => Cookies::Unread,
    }
}

/// Returns whether a request opens a WebSocket, where that matters to cookies.
pub(super) fn handshake(pair: &Pair<'_>, method: MethodClass) -> Option<Dimension> {
    let has_cookies = pair
        .asking(AuthMethod::Jwt)
        .any(|policy| !policy.sources.read.cookies.is_empty());
    (has_cookies && method.opens).then(|| {
        let open = Label::When("opening a WebSocket".to_owned());
        let variants = vec![
            Variant::new(Patch::Handshake(false), Label::None),
            Variant::new(Patch::Handshake(true), open),
        ];
        Dimension::new(Aspect::Handshake, variants)
    })
}

/// Returns the methods that pages may ask for on either side, and one that stands for all others.
pub(super) fn methods(pair: &Pair<'_>) -> Vec<Method> {
    let mut methods = asked(pair.policies());
    let other = Method::from_bytes(b"UNNAMED").ok();
    methods.extend(other.filter(|other| !methods.contains(other)));
    methods
}

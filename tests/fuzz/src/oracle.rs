//! What has to hold of the requests that reached the service, judged by what the strict reader saw
//! in the forwarded bytes and by nothing else.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sidegate::decision::{Decision, Evaluator, decide};
use sidegate::request::{Body, RequestFacts};
use sidegate::revocation::Revocations;

use crate::gateway::Round;
use crate::setup::{self, KEY, TENANT, TOKEN};
use crate::strict::{Framing, Request};

/// The names that only the program may set.
const IDENTITY: [&str; 8] = [
    "x-auth-method",
    "x-client-id",
    "x-plan-tier",
    "x-tenant-id",
    "x-user-email",
    "x-user-id",
    "x-user-roles",
    "x-user-scopes",
];

/// Names that a service may take for others in which `_` or `.` stands for `-`.
const EXACT_ONLY: [&str; 6] = [
    "authorization",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "x-request-id",
];

/// Names that never pass: of this hop only, a credential that the service does not need, or a header in
/// which another product says who is calling.
const NEVER: [&str; 14] = [
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "remote-user",
    "te",
    "trailer",
    "x-goog-iap-jwt-assertion",
    "x-internal-api-key",
    "x-real-ip",
    "x-remote-user",
    "x-sendfile-type",
    "x-userinfo",
];

/// Panics unless all that reached the service is one request for each that was let through, for
/// the same route, with no identity but that of a permit.
pub fn check(evaluator: &Evaluator, round: &Round) {
    assert_eq!(round.record.violations, [], "the service was sent what is no request");
    let mut seen: BTreeMap<(String, String), u64> = BTreeMap::new();
    for request in &round.record.requests {
        let route = check_route(evaluator, request);
        check_names(request);
        check_sources(request);
        check_identity(evaluator, request);
        *seen.entry(route).or_default() += 1;
    }
    for (route, count) in seen {
        let allowed = round.forwarded.get(&route).copied().unwrap_or_default();
        let told = &round.forwarded;
        assert!(
            count <= allowed,
            "{count} reached {route:?}, and these were let through: {told:?}"
        );
    }
}

/// No place that one of the policies names has anything, for all of them have one upstream: no cookie, no query parameter, no offered subprotocol.
fn check_sources(request: &Request) {
    for (name, value) in &request.fields {
        let folded = fold(name);
        let (separator, place) = match folded.as_str() {
            "cookie" => (b';', "__Host-session"),
            "sec-websocket-protocol" => (b',', "bearer"),
            _ => continue,
        };
        for item in value.split(|byte| *byte == separator) {
            let name = item.split(|byte| *byte == b'=').next().unwrap_or_default();
            assert_ne!(name.trim_ascii(), place.as_bytes(), "`{folded}` passed with a token");
        }
    }
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    for item in query.split('&') {
        let name = item.split('=').next().unwrap_or_default();
        assert_ne!(decoded(name), b"access_token", "the query passed with a token");
    }
}

/// What percent-encoding stands for.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let escape = rest.strip_prefix('%').and_then(|rest| rest.get(..2));
        let is_hex = escape.is_some_and(|escape| escape.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = escape
            .filter(|_| is_hex)
            .and_then(|escape| u8::from_str_radix(escape, 16).ok());
        decoded.extend(byte.map_or_else(|| character.to_string().into_bytes(), |byte| vec![byte]));
        rest = &rest[if byte.is_some() { 3 } else { character.len_utf8() }..];
    }
    decoded
}

/// The service and the route that the forwarded bytes lead to.
fn check_route(evaluator: &Evaluator, request: &Request) -> (String, String) {
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let headers = headers(request);
    let facts = RequestFacts {
        query: request
            .target
            .get(request.path().len()..)
            .unwrap_or_default()
            .as_bytes(),
        body: match request.framing {
            Framing::None | Framing::Length(0) => Body::None,
            Framing::Length(length) => Body::Sized(length as u64),
            Framing::Chunked => Body::Streamed,
        },
        ..setup::request(&method, request.path().as_bytes(), host(request), &headers)
    };
    let decision = decide(evaluator, &facts, Revocations::Unasked, &mut ());
    let (Some(path), (Some(policy), Some(route))) =
        (&decision.path, (decision.matched.policy(), decision.matched.route()))
    else {
        panic!(
            "what was forwarded is no request for any route: {request:?} {:?}",
            decision.outcome
        );
    };
    assert_eq!(path.as_str(), request.path(), "the path is normalized once more");
    (policy.service.clone(), route.pattern.clone())
}

fn host(request: &Request) -> Option<&str> {
    let [host] = request.values("host")[..] else {
        return None;
    };
    std::str::from_utf8(host).ok()
}

fn headers(request: &Request) -> HeaderMap {
    let field = |(name, value): &(String, Vec<u8>)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in request.fields.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

/// A name as a careless service reads it (RFC 3875, 4.1.18).
fn fold(name: &str) -> String {
    let folded = name
        .to_ascii_lowercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    folded.strip_prefix("http-").map(ToOwned::to_owned).unwrap_or(folded)
}

fn check_names(request: &Request) {
    for (name, value) in &request.fields {
        let folded = fold(name);
        let plain = name.eq_ignore_ascii_case(&folded);
        let named = |list: &[&str]| list.contains(&folded.as_str());
        assert!(!named(&NEVER), "`{name}` passed");
        assert!(plain || !named(&EXACT_ONLY), "`{name}` passed");
        assert!(plain || !folded.starts_with("x-forwarded-"), "`{name}` passed");
        match folded.as_str() {
            "upgrade" => assert_eq!(value, b"websocket"),
            "connection" => assert!([&b"keep-alive"[..], b"close", b"upgrade"].contains(&&*value.to_ascii_lowercase())),
            "x-forwarded-proto" => assert_eq!(value, b"http"),
            "x-forwarded-for" => panic!("there is no address that this could be"),
            _ => {}
        }
    }
    for name in [
        "authorization",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
        "traceparent",
    ] {
        assert!(request.values(name).len() < 2, "`{name}` twice");
    }
}

/// The identity headers are those of a permit that some of the credentials lead to.
fn check_identity(evaluator: &Evaluator, request: &Request) {
    let named = request
        .fields
        .iter()
        .filter(|(name, _)| IDENTITY.contains(&fold(name).as_str()));
    let mut given: Vec<_> = named
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    given.sort();
    let possible = [(false, false), (true, false), (false, true), (true, true)]
        .map(|(token, key)| identity(evaluator, request, token, key));
    assert!(
        possible.contains(&Some(given.clone())),
        "{given:?} is none of {possible:?}"
    );
}

type Identity = Vec<(String, Vec<u8>)>;

/// The identity that a request with these credentials is given; `None` if it is rejected.
fn identity(evaluator: &Evaluator, request: &Request, token: bool, key: bool) -> Option<Identity> {
    let mut credentials = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| credentials.insert(name, value.parse().unwrap());
    set("content-type", "application/json");
    if token {
        set("authorization", &format!("Bearer {}", *TOKEN));
        set("x-tenant-id", TENANT);
    }
    if key {
        set("x-internal-api-key", KEY);
    }
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let facts = setup::request(&method, request.path().as_bytes(), host(request), &credentials);
    permitted(&decide(evaluator, &facts, Revocations::Unasked, &mut ()))
}

/// The identity headers of a permit, sorted.
pub fn permitted(decision: &Decision<'_, '_>) -> Option<Identity> {
    let headers = decision.outcome.permit()?.identity();
    let mut identity: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    identity.sort();
    Some(identity)
}

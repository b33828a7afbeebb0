//! Requests that may come again (draft-ietf-httpapi-idempotency-key-header): the key, what it is
//! bound to, and the response that is stored. Pure.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::caller_key;
use crate::digest::{Fingerprint, Hasher};
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy::store_rules::IdempotencyRule;
use crate::principal::{Principal, hyphenated_uuid};
use crate::rejection::{Reason, Rejection};
use crate::request::{GrpcProtocol, IDEMPOTENCY_KEY, X_SANDBOX, grpc_protocol};

/// The key of a request, if a rule wants one and it has one. It is a UUID, alone or as a string of
/// a structured field (RFC 9651, 3.3.3), as the draft has it.
pub fn key(rule: &IdempotencyRule, method: &Method, headers: &HeaderMap) -> Result<Option<Uuid>, Rejection> {
    // The status of gRPC stands in trailers, which no record holds.
    let is_grpc = grpc_protocol(headers) == Some(GrpcProtocol::Grpc);
    if !rule.methods.contains(method) || is_grpc {
        return Ok(None);
    }
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return match rule.required {
            true => Err(Rejection::because(
                Reason::IdempotencyKeyMissing,
                "the request has no `idempotency-key`",
            )),
            false => Ok(None),
        };
    };
    let text = value.to_str().unwrap_or_default();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    match hyphenated_uuid(bare) {
        Some(key) => Ok(Some(key)),
        None => Err(Rejection::because(
            Reason::IdempotencyKeyInvalid,
            format!("`idempotency-key` has {} bytes and is not a UUID", text.len()),
        )),
    }
}

/// The digest of a request, up to its body: what changes the meaning of that. The service reads the headers that the
/// conditions of the route compare, so they are among it.
pub fn digest(headers: &HeaderMap, route: Option<&Route>) -> Hasher {
    let mut running = Hasher::default();
    let compared = route.into_iter().flat_map(|route| route.requirement.compared());
    let mut compared: Vec<_> = compared.collect();
    if !compared.is_empty() {
        // The order of the conditions, and how many compare one header, do not count.
        compared.sort_unstable_by_key(|name| name.as_str());
        compared.dedup();
        // A digest without compared headers begins with a number of values, which is never that high.
        running.add(&(!(compared.len() as u64)).to_be_bytes());
    }
    for name in compared {
        running.add_part(name.as_str().as_bytes());
        add_values(&mut running, headers, name);
    }
    for name in MEANING {
        add_values(&mut running, headers, &name);
    }
    running
}

/// Adds all values of a header field, with their number.
fn add_values(running: &mut Hasher, headers: &HeaderMap, name: &HeaderName) {
    let values = headers.get_all(name);
    running.add(&(values.iter().count() as u64).to_be_bytes());
    values.iter().for_each(|value| running.add_part(value.as_bytes()));
}

/// Header fields that change what a body means, or what is done with it.
const MEANING: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    X_SANDBOX,
];

/// What a key is bound to: the service, who calls, the route, the method, the host, the path with
/// its query, and the headers of the client that tell the service for whom.
/// The body is in the record. A caller that nothing distinguishes from others has no stored responses.
pub fn bound(
    (policy, route): (&Policy, &Route),
    principal: &Principal,
    (method, host, path): (&Method, &str, &[u8]),
    headers: &HeaderMap,
    key: Uuid,
) -> Result<Fingerprint, Rejection> {
    if principal.subject().is_none() && principal.client.is_none() {
        let cause = "the token names no subject that the response could belong to";
        return Err(Rejection::because(Reason::TokenClaimMissing, cause));
    }
    let caller = caller_key::fingerprint(principal);
    let host = host.to_ascii_lowercase();
    let mut parts: Vec<&[u8]> = vec![
        policy.service.as_bytes(),
        caller.as_bytes(),
        route.pattern.as_bytes(),
        method.as_str().as_bytes(),
        host.as_bytes(),
        path,
        key.as_bytes(),
    ];
    let passed = route
        .pass_through
        .iter()
        .flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    // A name has no NUL.
    let passed: Vec<_> = passed
        .map(|(name, value)| [name.as_str().as_bytes(), b"\0", value.as_bytes()].concat())
        .collect();
    parts.extend(passed.iter().map(Vec::as_slice));
    Ok(Fingerprint::of(&parts))
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Record {
    /// Whether a response is stored: not if another try may end otherwise.
    pub fn keeps(status: u16) -> bool {
        (200..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 425 | 429)
    }

    /// The response of an upstream.
    pub fn new(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let kept = headers.iter().filter(|(name, _)| !is_of_the_connection(name));
        Self {
            status,
            headers: kept
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body,
        }
    }

    /// Adds a part of the body, as long as all of it has at most `max` bytes. Returns whether it has.
    pub fn add(&mut self, part: &[u8], max: usize) -> bool {
        let fits = self.body.len() + part.len() <= max;
        if fits {
            self.body.extend_from_slice(part);
        }
        fits
    }

    /// The written form.
    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(self).ok()
    }

    /// Reads the written form, all of it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (record, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        (rest.is_empty() && Self::keeps(record.status)).then_some(record)
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The header fields; `None` if one cannot be any.
    pub fn headers(&self) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let field = |(name, value): &(String, Vec<u8>)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(value).ok()?;
            (!is_of_the_connection(&name)).then_some((name, value))
        };
        self.headers.iter().map(field).collect()
    }

    /// The length of the body, in bytes.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// The body.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// Fields that are about one connection or one request, and are made anew.
fn is_of_the_connection(name: &HeaderName) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    ];
    NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::Fallback;

    const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

    fn rule(required: bool) -> IdempotencyRule {
        IdempotencyRule {
            methods: vec![Method::POST],
            required,
            ttl: Duration::from_secs(1),
            max_body: 1,
            when_unavailable: Fallback::Deny,
        }
    }

    #[test]
    fn keys() {
        let fine = Ok(Some(KEY.parse::<Uuid>().unwrap()));
        let quoted = format!("\"{KEY}\"");
        let upper = KEY.to_uppercase();
        let invalid = || Err(Reason::IdempotencyKeyInvalid);
        for (method, required, value, want) in [
            (Method::POST, false, Some(KEY), fine),
            (Method::POST, true, Some(quoted.as_str()), fine),
            (Method::POST, true, Some(upper.as_str()), fine),
            (Method::POST, false, None, Ok(None)),
            (Method::POST, true, None, Err(Reason::IdempotencyKeyMissing)),
            (Method::GET, true, None, Ok(None)),
            (Method::GET, true, Some("x"), Ok(None)),
            (Method::POST, false, Some(""), invalid()),
            (Method::POST, false, Some("x"), invalid()),
            (
                Method::POST,
                false,
                Some("\"8e03978e-40d5-43e8-bc93-6894a57f9324"),
                invalid(),
            ),
            (Method::POST, false, Some("8e03978e40d543e8bc936894a57f9324"), invalid()),
            (
                Method::POST,
                false,
                Some("8e03978e-40d5-43e8-bc93-6894a57f9324 "),
                invalid(),
            ),
        ] {
            let headers = value.map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap()));
            let headers: HeaderMap = headers.into_iter().collect();
            let found = key(&rule(required), &method, &headers).map_err(|rejection| rejection.reason());
            assert_eq!(found, want, "{method} {value:?}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let headers: HeaderMap = [("content-type", "a/b"), ("content-length", "3"), ("x-request-id", "1")]
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let record = Record::new(201, &headers, b"abc".to_vec());
        let written = record.encode().unwrap();
        let read = Record::decode(&written).unwrap();
        assert_eq!(read, record);
        let kept = read.headers().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((read.status(), read.into_body()), (201, b"abc".to_vec()));
        for end in 0..written.len() {
            assert_eq!(Record::decode(&written[..end]), None, "{end}");
        }
        assert_eq!(Record::decode(&[&written[..], b"x"].concat()), None);
        for (status, name) in [
            (500, "a"),
            (101, "a"),
            (200, "transfer-encoding"),
            (200, "Upgrade"),
            (200, "a b"),
        ] {
            let lie = Record {
                status,
                headers: vec![(name.into(), b"chunked".to_vec())],
                body: Vec::new(),
            };
            let read = Record::decode(&lie.encode().unwrap());
            assert_eq!(read.and_then(|read| read.headers()), None, "{status} {name}");
        }
    }

    #[test]
    fn what_changes_the_meaning_of_a_body_changes_the_digest() {
        let digest_of = |fields: &[(&'static str, &'static str)]| {
            let fields = fields
                .iter()
                .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            digest(&fields.collect(), None).end()
        };
        let plain = digest_of(&[]);
        assert_eq!(
            digest_of(&[("x-request-id", "1"), ("traceparent", "2"), ("date", "3")]),
            plain
        );
        let cases = [
            ("content-type", "a/b"),
            ("content-type", "a/c"),
            ("content-encoding", "a/b"),
            ("if-match", "\"1\""),
            ("if-none-match", "*"),
            ("x-sandbox", "true"),
        ];
        for (at, case) in cases.iter().enumerate() {
            assert_ne!(digest_of(&[*case]), plain, "{case:?}");
            for other in cases.iter().skip(at + 1) {
                assert_ne!(digest_of(&[*case]), digest_of(&[*other]), "{case:?} {other:?}");
            }
        }
    }

    #[test]
    fn headers_that_conditions_compare_are_a_part_of_the_digest() {
        let digest_of = |conditions: &str, fields: &[(&'static str, &'static str)]| {
            let policy = format!(
                "version: 1\nservice: s\nupstream: {{ url: http://127.0.0.1:1 }}\n\
                 routes: [{{ path: /x, auth: public, when: [{conditions}] }}]\n"
            );
            let policies = crate::testing::parse(&[&policy]).unwrap();
            let fields = fields
                .iter()
                .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let route = policies.policies()[0].routes.first();
            digest(&fields.collect(), route).end()
        };
        let (a, b) = ("{ header: x-a, in: [ab, a, c] }", "{ header: x-b, in: [b, bc, a] }");
        let (both, turned) = (format!("{a}, {b}"), format!("{b}, {a}"));
        let client = "{ client: { in: [192.0.2.0/24] } }";
        let cases = [
            digest_of(client, &[("x-a", "a")]),
            digest_of(a, &[]),
            digest_of(a, &[("x-a", "")]),
            digest_of(a, &[("x-a", "a")]),
            digest_of(a, &[("x-a", "c")]),
            digest_of(a, &[("x-a", "a"), ("content-type", "c")]),
            digest_of(b, &[("x-b", "a")]),
            digest_of(&both, &[("x-a", "a")]),
            digest_of(&both, &[("x-b", "a")]),
            digest_of(&both, &[("x-a", "ab"), ("x-b", "c")]),
            digest_of(&both, &[("x-a", "a"), ("x-b", "bc")]),
        ];
        for (at, case) in cases.iter().enumerate() {
            assert!(!cases.iter().skip(at + 1).any(|other| other == case), "{at}");
        }
        // What was stored before a route had conditions, or for one that compares no header, is still that.
        let plain = digest(&HeaderMap::new(), None).end();
        assert_eq!(digest_of(client, &[("x-a", "a")]), plain);
        let fields = [("x-a", "a"), ("x-b", "b")];
        let twice = format!("{both}, {{ header: x-a, equals: a }}");
        for same in [turned, twice] {
            assert_eq!(digest_of(&same, &fields), digest_of(&both, &fields), "{same}");
        }
        assert_eq!(
            digest_of(a, &[("x-a", "a"), ("x-c", "c")]),
            digest_of(a, &[("x-a", "a")])
        );
    }

    #[test]
    fn content_type_of_grpc_alone_needs_no_key() {
        for (kind, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/GRPC", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpcnot", false),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers: HeaderMap = [(CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
            let found = key(&rule(true), &Method::POST, &headers);
            assert_eq!(found.is_ok(), is_grpc, "{kind}");
        }
    }

    #[test]
    fn what_another_try_may_end_otherwise_is_not_kept() {
        for (status, want) in [
            (200, true),
            (204, true),
            (302, true),
            (400, true),
            (401, false),
            (403, false),
            (404, true),
            (408, false),
            (409, true),
            (422, true),
            (429, false),
            (500, false),
            (503, false),
            (101, false),
        ] {
            assert_eq!(Record::keeps(status), want, "{status}");
        }
    }
}

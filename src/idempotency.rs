//! Requests that may come again (draft-ietf-httpapi-idempotency-key-header): the key, what it is
//! bound to, and the answer that is kept. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::caller;
use crate::fingerprint::Fingerprint;
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy::shared::IdempotencyRule;
use crate::principal::{Principal, hyphenated_uuid};
use crate::rejection::{Reason, Rejection};
use crate::request::{IDEMPOTENCY_KEY, is_grpc};

/// The key of a request, if a rule wants one and it has one. It is a UUID, alone or as a string of
/// a structured field (RFC 9651, 3.3.3), as the draft has it.
pub fn key(rule: &IdempotencyRule, method: &Method, headers: &HeaderMap) -> Result<Option<Uuid>, Rejection> {
    // The status of a gRPC call stands in trailers, which no record holds.
    if !rule.methods.contains(method) || is_grpc(headers) {
        return Ok(None);
    }
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return match rule.required {
            true => Err(Reason::IdempotencyKeyMissing.into()),
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
        None => Err(Reason::IdempotencyKeyInvalid.into()),
    }
}

/// What a key is bound to: the service, who calls, the route, the method, the host, the path with
/// its query.
/// The body is in the record. A caller that nothing tells apart from others has no answers.
pub fn bound(
    (policy, route): (&Policy, &Route),
    principal: &Principal,
    (method, host, path): (&Method, &str, &[u8]),
    key: Uuid,
) -> Result<Fingerprint, Rejection> {
    if principal.subject.is_none() && principal.client.is_none() {
        let cause = "the token names no subject that the answer could belong to";
        return Err(Rejection::because(Reason::TokenClaimMissing, cause));
    }
    let caller = caller::fingerprint(principal);
    Ok(Fingerprint::of(&[
        policy.service.as_bytes(),
        caller.as_bytes(),
        route.pattern.as_bytes(),
        method.as_str().as_bytes(),
        host.to_ascii_lowercase().as_bytes(),
        path,
        key.as_bytes(),
    ]))
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Of the request's body.
    digest: [u8; 32],
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Record {
    /// Whether an answer is one to keep: not if another try may end otherwise.
    pub fn keeps(status: u16) -> bool {
        (200..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 425 | 429)
    }

    /// The answer to a request with this body.
    pub fn new(request: Fingerprint, status: u16, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let kept = headers.iter().filter(|(name, _)| !is_of_the_connection(name));
        Self {
            digest: *request.as_bytes(),
            status,
            headers: kept
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body,
        }
    }

    /// The written form.
    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(self).ok()
    }

    /// Reads the written form, all of it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (record, rest) = postcard::take_from_bytes::<Self>(bytes).ok()?;
        (rest.is_empty() && (200..600).contains(&record.status)).then_some(record)
    }

    /// Whether it answers a request with this body.
    pub fn answers(&self, request: Fingerprint) -> bool {
        self.digest == *request.as_bytes()
    }

    /// The status.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The header fields; `None` if one cannot be any.
    pub fn headers(&self) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let field = |(name, value): &(String, Vec<u8>)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value).ok()?))
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
        let digest = Fingerprint::of(&[b"body"]);
        let headers: HeaderMap = [("content-type", "a/b"), ("content-length", "3"), ("x-request-id", "1")]
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let record = Record::new(digest, 201, &headers, b"abc".to_vec());
        let written = record.encode().unwrap();
        let read = Record::decode(&written).unwrap();
        assert_eq!(read, record);
        assert!(read.answers(digest) && !read.answers(Fingerprint::of(&[])));
        let kept = read.headers().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((read.status(), read.into_body()), (201, b"abc".to_vec()));
        for end in 0..written.len() {
            assert_eq!(Record::decode(&written[..end]), None, "{end}");
        }
        assert_eq!(Record::decode(&[&written[..], b"x"].concat()), None);
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

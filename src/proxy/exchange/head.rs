//! The head of a request as a service gets it. Decides nothing.

use http::header::{
    CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::super::context::RequestContext;
use super::super::{Gateway, fields};

/// What a hop keeps to itself (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The most names that `Connection` may have, as in the engine.
const MOST_NOMINATED: usize = 9;

impl Gateway {
    /// Makes the head that the service gets from that of the client.
    pub(super) fn head_for_service(
        &self,
        session: &mut ServerSession,
        ctx: &RequestContext,
    ) -> Result<Box<RequestHeader>> {
        let has_body = !session.is_body_empty();
        let mut head = Box::new(session.req_header().clone());
        let nominated = nominated(&head.headers)?;
        fields::change(&mut head, |fields| {
            remove_hop_by_hop(fields, &nominated);
            if has_body && !fields.contains_key(CONTENT_LENGTH) {
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        });
        head.set_version(Version::HTTP_11);
        self.prepare(session, &mut head, ctx)?;
        Ok(head)
    }
}

fn remove_hop_by_hop(fields: &mut HeaderMap, nominated: &[HeaderName]) {
    for name in nominated {
        fields.remove(name);
    }
    let found: Vec<_> = fields
        .keys()
        .filter(|name| HOP_BY_HOP.contains(name))
        .cloned()
        .collect();
    for name in &found {
        fields.remove(name);
    }
}

/// The names that `Connection` has. What the service is meant to see was refused before.
fn nominated(headers: &HeaderMap) -> Result<Vec<HeaderName>> {
    let tokens = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty());
    let mut names = Vec::new();
    for token in tokens {
        match HeaderName::from_bytes(token) {
            // The library takes one character that no token has (RFC 9110, 5.6.2).
            Ok(name) if names.len() < MOST_NOMINATED && !name.as_str().contains('"') => names.push(name),
            _ => {
                return Err(Error::explain(
                    ErrorType::InvalidHTTPHeader,
                    "`connection` has more, or other than names",
                )
                .into_down());
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(given: &[(&'static str, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_for_the_hop_ends_with_it() {
        let mut given = fields(&[
            ("connection", "close, X-Mine"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic eDp5"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("x-mine", "1"),
            ("x-kept", "2"),
            ("expect", "100-continue"),
        ]);
        let nominated = nominated(&given).unwrap();
        remove_hop_by_hop(&mut given, &nominated);
        let mut left: Vec<_> = given.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["expect", "x-kept"]);
    }

    #[test]
    fn names_alone_are_nominated_and_not_too_many() {
        let many = ["a"; MOST_NOMINATED].join(",");
        for (value, count) in [
            ("", Some(0)),
            (" , ,", Some(0)),
            ("close", Some(1)),
            ("a,B , c", Some(3)),
            (&*many, Some(MOST_NOMINATED)),
            (&*format!("{many},a"), None),
            ("\"a\"", None),
            (":path", None),
            ("a b", None),
            ("a;b", None),
        ] {
            let found = nominated(&fields(&[("connection", value)]));
            assert_eq!(found.ok().map(|names| names.len()), count, "{value}");
        }
    }
}

//! The head of the upstream's response: checked, and without the fields of the upstream's connection.

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use crate::request::{content_length, nominated};

/// Fields that apply to one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes the fields of the upstream's connection. The client's session frames the body anew.
pub(super) fn end_hop(head: &mut ResponseHeader) -> Result<()> {
    let nominated = nominated::names(&head.headers).filter_map(|name| HeaderName::from_bytes(name).ok());
    let own = head.headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned();
    let removed: Vec<_> = nominated.chain(own).collect();
    for name in &removed {
        head.remove_header(name);
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        head.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
        head.insert_header(UPGRADE, HeaderValue::from_static("websocket"))?;
    }
    check_length(head)
}

/// Leaves one `Content-Length`, and none where RFC 9110, 8.6 forbids it. Two that differ are an error.
fn check_length(head: &mut ResponseHeader) -> Result<()> {
    if head.status.is_informational() || head.status == StatusCode::NO_CONTENT {
        head.remove_header(&CONTENT_LENGTH);
        return Ok(());
    }
    let mut values = head.headers.get_all(CONTENT_LENGTH).iter();
    let first = values.next();
    let is_plain = first.is_none_or(|value| value.as_bytes().iter().all(u8::is_ascii_digit));
    let is_single = values.next().is_none();
    match content_length(&head.headers) {
        Ok(_) if is_plain && is_single => Ok(()),
        Ok(Some(length)) => head.insert_header(CONTENT_LENGTH, length),
        _ => {
            let error = Error::explain(
                ErrorType::InvalidHTTPHeader,
                "the service sent an invalid `Content-Length`",
            );
            Err(error.into_up())
        }
    }
}

/// Returns whether a response ends with its connection (RFC 9112, 6.3, item 8). A truncated one looks like a whole
/// one. The head must be the upstream's, before it is edited.
pub(super) fn has_open_end(head: &ResponseHeader) -> bool {
    let framed = head.headers.contains_key(TRANSFER_ENCODING) || head.headers.contains_key(CONTENT_LENGTH);
    !framed && head.version != Version::HTTP_2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        head.set_version(version);
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn response_ends_by_itself_or_with_its_connection() {
        for (version, fields, want) in [
            (Version::HTTP_11, &[][..], true),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_11, &[("content-length", "2")], false),
            (Version::HTTP_10, &[("content-length", "0")], false),
            (Version::HTTP_11, &[("transfer-encoding", "chunked")], false),
            (Version::HTTP_2, &[], false),
        ] {
            let head = head(version, 200, fields);
            assert_eq!(has_open_end(&head), want, "{version:?} {fields:?}");
        }
    }

    #[test]
    fn head_of_response_leaves_the_fields_of_its_connection_behind() {
        let switching: &[_] = &[("connection", "Upgrade"), ("upgrade", "websocket")];
        let length: &[_] = &[("content-length", "3")];
        for (status, given, want) in [
            (
                200,
                &[
                    ("connection", "close, X-Mine"),
                    ("x-mine", "1"),
                    ("keep-alive", "timeout=5"),
                    ("proxy-connection", "close"),
                    ("te", "trailers"),
                    ("transfer-encoding", "chunked"),
                    ("upgrade", "h2c"),
                    ("x-kept", "2"),
                ][..],
                Some(&[("x-kept", "2")][..]),
            ),
            (200, &[("content-length", "3"), ("content-length", "3")], Some(length)),
            (200, &[("content-length", "3, 3")], Some(length)),
            (200, &[("content-length", "3"), ("content-length", "4")], None),
            (200, &[("content-length", "+3")], None),
            (
                204,
                &[("content-length", "0"), ("transfer-encoding", "chunked")],
                Some(&[]),
            ),
            (
                304,
                &[("content-length", "3"), ("transfer-encoding", "chunked")],
                Some(length),
            ),
            (103, &[("content-length", "3")], Some(&[])),
            (
                101,
                &[
                    ("connection", "upgrade, x-mine"),
                    ("upgrade", "WebSocket"),
                    ("x-mine", "1"),
                ],
                Some(switching),
            ),
        ] {
            let mut head = head(Version::HTTP_11, status, given);
            let edited = end_hop(&mut head).ok().map(|()| {
                let fields = head.headers.iter();
                fields
                    .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                    .collect::<Vec<_>>()
            });
            assert_eq!(edited.as_deref(), want, "{status} {given:?}");
        }
    }
}

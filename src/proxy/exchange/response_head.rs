//! The head of the upstream's response: checked, and without the fields of the upstream's connection.

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use crate::admission::rejection_response::is_reason;
use crate::policy::cors::is_response_field;
use crate::proxy::error_mapping;
use crate::request::nominated;

/// Fields that apply to one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes the fields of the upstream's connection, and those that only Sidegate sets. The client's session frames the
/// body anew.
pub(super) fn end_hop(head: &mut ResponseHeader) -> Result<()> {
    for name in nominated::of_connection(&head.headers, &HOP_BY_HOP) {
        head.remove_header(&name);
    }
    let reasons: Vec<_> = head.headers.keys().filter(|name| is_reason(name)).cloned().collect();
    for name in reasons {
        head.remove_header(&name);
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
    let values = head.headers.get_all(CONTENT_LENGTH).iter();
    let mut lengths = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    let Some(first) = lengths.next() else {
        return Ok(());
    };
    let is_length = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let mut repeated = false;
    if !is_length || !lengths.inspect(|_| repeated = true).all(|other| other == first) {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, error_mapping::INVALID_LENGTH);
        return Err(error.into_up());
    }
    match repeated {
        false => Ok(()),
        true => head.insert_header(CONTENT_LENGTH, first.to_vec()),
    }
}

/// Removes the fields of trailers that only Sidegate sets, with those of CORS if the policy has `cors`.
pub(super) fn clean_trailers(trailers: &mut HeaderMap, has_cors: bool) {
    let is_own = |name: &&HeaderName| is_reason(name) || has_cors && is_response_field(name);
    let own: Vec<_> = trailers.keys().filter(is_own).cloned().collect();
    for name in own {
        trailers.remove(name);
    }
}

/// Returns whether a response over HTTP/1 ends with its connection (RFC 9112, 6.3, item 8). A truncated one looks like
/// a whole one. The head must be the upstream's, before it is edited.
pub(super) fn has_open_end(head: &ResponseHeader) -> bool {
    !head.headers.contains_key(TRANSFER_ENCODING) && !head.headers.contains_key(CONTENT_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn response_ends_by_itself_or_with_its_connection() {
        for (fields, want) in [
            (&[][..], true),
            (&[("content-length", "2")], false),
            (&[("transfer-encoding", "chunked")], false),
        ] {
            assert_eq!(has_open_end(&head(200, fields)), want, "{fields:?}");
        }
    }

    #[test]
    fn trailers_have_no_field_that_only_sidegate_sets() {
        let given = [
            "grpc-status",
            "x-sidegate-reason",
            "X_Sidegate_Reason",
            "access-control-allow-origin",
            "access-controls",
        ];
        for (has_cors, want) in [
            (true, &["access-controls", "grpc-status"][..]),
            (
                false,
                &["access-control-allow-origin", "access-controls", "grpc-status"],
            ),
        ] {
            let fields = given.map(|name| (name.parse().unwrap(), HeaderValue::from_static("0")));
            let mut trailers: HeaderMap = fields.into_iter().collect();
            clean_trailers(&mut trailers, has_cors);
            let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, want, "{has_cors}");
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
                    ("x-sidegate-reason", "role_missing"),
                    ("X_Sidegate_Reason", "role_missing"),
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
            let mut head = head(status, given);
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

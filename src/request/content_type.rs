//! The content type of a request: its media type, and whether that is one of gRPC.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::only::only;

/// Returns the media type of the body without parameters, in any case. Returns `None` unless there is exactly one.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = only(headers, &CONTENT_TYPE)?;
    Some(value.to_str().ok()?.split(';').next()?.trim())
}

/// A protocol whose clients read the status of a response from `grpc-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcProtocol {
    /// gRPC: its status stands in trailers.
    Grpc,
    /// gRPC-Web: its status stands in the body.
    GrpcWeb,
}

/// Returns the protocol of a request that has the content type of gRPC or of gRPC-Web, once.
pub fn grpc_protocol(headers: &HeaderMap) -> Option<GrpcProtocol> {
    protocol_of(media_type(headers)?)
}

fn protocol_of(media_type: &str) -> Option<GrpcProtocol> {
    let is_media_type = |b: u8| b.is_ascii_alphanumeric() || b"/+.-_".contains(&b);
    // A suffix names the format of the messages.
    let known = media_type.split('+').next()?;
    let protocol = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(known))?.1;
    media_type.bytes().all(is_media_type).then_some(protocol)
}

/// Returns the content type of a client that speaks gRPC or gRPC-Web, and so reads the status from `grpc-status`.
pub fn grpc_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    grpc_protocol(headers).and(headers.get(CONTENT_TYPE))
}

/// Returns whether a response with these fields is a stream, which may pause for long: one of events, or of gRPC.
pub fn is_stream(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| {
        media_type.eq_ignore_ascii_case("text/event-stream") || protocol_of(media_type) == Some(GrpcProtocol::Grpc)
    })
}

const PROTOCOLS: [(&str, GrpcProtocol); 3] = [
    ("application/grpc", GrpcProtocol::Grpc),
    ("application/grpc-web", GrpcProtocol::GrpcWeb),
    ("application/grpc-web-text", GrpcProtocol::GrpcWeb),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_types: &[&'static str]) -> HeaderMap {
        let values = content_types.iter().map(|value| (CONTENT_TYPE, value.parse().unwrap()));
        values.collect()
    }

    fn protocol(content_types: &[&'static str]) -> Option<GrpcProtocol> {
        let headers = headers(content_types);
        let protocol = grpc_protocol(&headers);
        assert_eq!(
            grpc_type(&headers),
            protocol.and(headers.get(CONTENT_TYPE)),
            "{content_types:?}"
        );
        protocol
    }

    #[test]
    fn media_type_has_no_parameters_and_stands_alone() {
        for (values, want) in [
            (&[][..], None),
            (&["application/json"], Some("application/json")),
            (&["Application/JSON; charset=utf-8"], Some("Application/JSON")),
            (&["a/b", "a/b"], None),
        ] {
            assert_eq!(media_type(&headers(values)), want, "{values:?}");
        }
    }

    #[test]
    fn streams_are_recognized_by_their_media_types() {
        for (content_types, want) in [
            (&["text/event-stream"][..], true),
            (&["Text/Event-Stream; charset=utf-8"], true),
            (&["application/grpc"], true),
            (&["application/grpc+proto"], true),
            (&["application/grpcx"], false),
            (&["application/grpc-web"], false),
            (&["text/event-streams"], false),
            (&["text/plain; a=text/event-stream"], false),
            (&["text/event-stream, application/json"], false),
            (&["text/event-stream", "text/event-stream"], false),
        ] {
            assert_eq!(is_stream(&headers(content_types)), want, "{content_types:?}");
        }
    }

    #[test]
    fn grpc_is_recognized_by_its_media_types() {
        use GrpcProtocol::{Grpc, GrpcWeb};
        for (content_type, want) in [
            ("application/grpc", Some(Grpc)),
            ("Application/GRPC", Some(Grpc)),
            ("application/grpc+proto", Some(Grpc)),
            ("application/grpc; charset=utf-8", Some(Grpc)),
            ("application/grpc-web", Some(GrpcWeb)),
            ("Application/GRPC-Web+json", Some(GrpcWeb)),
            ("application/grpc-web-text; charset=utf-8", Some(GrpcWeb)),
            ("application/grpcx", None),
            ("application/grpc-web, text/html", None),
            ("application/grpc+proto, text/html", None),
            ("application/grpc+<b>", None),
            ("application/grpc-websocket", None),
            ("text/html; application/grpc", None),
            ("application/json", None),
        ] {
            assert_eq!(protocol(&[content_type]), want, "{content_type}");
        }
        assert_eq!(protocol(&[]), None);
        assert!(!is_stream(&headers(&[])));
        assert_eq!(protocol(&["application/grpc", "application/json"]), None);
    }
}

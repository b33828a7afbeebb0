//! What a session reports.

use bytes::Bytes;
use http::HeaderMap;
use pingora::http::ResponseHeader;

/// What an upstream sends in response to a request.
#[derive(Debug)]
pub(in crate::proxy) enum UpstreamEvent {
    /// An interim (1xx), 101 or final head, and whether nothing follows.
    Head(Box<ResponseHeader>, bool),
    /// A part of the body, and whether it is the last one. Only the last one may be empty.
    Body(Bytes, bool),
    /// The trailers, which end the response.
    Trailers(HeaderMap),
    /// The upstream took the part of the request's body that waited.
    Writable,
}

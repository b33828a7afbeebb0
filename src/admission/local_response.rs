//! Responses that Sidegate itself makes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::policy::cors::Cors;

/// A response that is ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResponse {
    /// The status.
    pub status: u16,
    /// The header fields, `content-length` among them unless there is no body.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty for gRPC, and where the status has none.
    pub body: Bytes,
}

impl LocalResponse {
    /// Makes the response to a preflight from an allowed origin, for a path that takes these methods.
    pub fn preflight(cors: &Cors, allowed_origin: &HeaderValue, methods: &[Method]) -> Self {
        Self {
            status: StatusCode::NO_CONTENT.as_u16(),
            headers: cors.preflight_fields(allowed_origin, methods).collect(),
            body: Bytes::new(),
        }
    }
}

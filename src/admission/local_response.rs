//! Responses that Sidegate itself makes.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    CONTENT_LENGTH, CONTENT_TYPE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::policy::cors::Cors;
use crate::policy::resource::Resource;

/// The methods of a metadata document.
const METADATA_METHODS: &str = "GET, HEAD, OPTIONS";

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

    /// Makes the response to a request for the metadata of a resource. Every page may read it, and send what it likes
    /// with the request: MCP clients send the version of their protocol.
    pub fn metadata(resource: &Resource, method: &Method) -> Self {
        let any = |name| (name, HeaderValue::from_static("*"));
        let methods = |name| (name, HeaderValue::from_static(METADATA_METHODS));
        let mut headers = vec![any(ACCESS_CONTROL_ALLOW_ORIGIN)];
        if *method == Method::OPTIONS {
            headers.extend([
                methods(ALLOW),
                methods(ACCESS_CONTROL_ALLOW_METHODS),
                any(ACCESS_CONTROL_ALLOW_HEADERS),
            ]);
            return Self {
                status: StatusCode::NO_CONTENT.as_u16(),
                headers,
                body: Bytes::new(),
            };
        }
        headers.extend([
            (CACHE_CONTROL, HeaderValue::from_static("max-age=300")),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, resource.document.len().into()),
        ]);
        Self {
            status: StatusCode::OK.as_u16(),
            headers,
            body: resource.document.clone(),
        }
    }
}

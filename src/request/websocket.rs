//! Recognizes requests that open a WebSocket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::nominated;
use super::only::only;

/// Returns whether a request over HTTP/1.1 is a complete handshake of RFC 6455, 4.2.1, and upgrades to nothing else.
pub fn is_handshake(method: &Method, headers: &HeaderMap) -> bool {
    let value = |name: &HeaderName| only(headers, name).map(HeaderValue::as_bytes);
    let mut tokens = nominated::names(headers);
    *method == Method::GET
        && value(&UPGRADE).is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && tokens.any(|token| token.eq_ignore_ascii_case(b"upgrade"))
        && value(&SEC_WEBSOCKET_VERSION) == Some(b"13")
        && value(&SEC_WEBSOCKET_KEY).is_some_and(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16))
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

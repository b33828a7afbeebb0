//! In place of how the engine's cache stores heads, compressed: the cache is never turned on. See
//! `.cargo/brotli`. What is here has the names that the engine asks for, and refuses.

use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

/// Stores nothing.
#[derive(Debug)]
pub struct HeaderSerde;

impl HeaderSerde {
    /// With or without a dictionary, it refuses.
    pub fn new(_: Option<Vec<u8>>) -> Self {
        Self
    }

    /// Refuses.
    pub fn serialize(&self, _: &ResponseHeader) -> Result<Vec<u8>> {
        refused()
    }

    /// Refuses.
    pub fn deserialize(&self, _: &[u8]) -> Result<ResponseHeader> {
        refused()
    }
}

fn refused<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "the cache is not built in")
}

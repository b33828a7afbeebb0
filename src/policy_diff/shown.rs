//! A caller for whom a change matters, as `sidegate explain` takes it.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// A caller for whom a change matters, as `sidegate explain` takes it: without claims, it has no token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// The claims of its token that matter.
    pub claims: Option<Map<String, Value>>,
    /// The header fields that matter.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its address, if that matters.
    pub client: Option<IpAddr>,
    /// The time of the request in seconds since the epoch, if that matters.
    pub at: Option<i64>,
}

impl Shown {
    /// Returns the options for `sidegate explain`.
    pub fn options(&self) -> Vec<String> {
        let mut options = match &self.claims {
            Some(claims) => vec!["--claims".to_owned(), Value::Object(claims.clone()).to_string()],
            None => vec!["--without-secrets".to_owned()],
        };
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            options.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        let client = self.client.map(|client| ("--client", client.to_string()));
        let at = self.at.map(|at| ("--at", at.to_string()));
        for (option, value) in client.into_iter().chain(at) {
            options.extend([option.to_owned(), value]);
        }
        options
    }
}

//! One request as data of its own.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method};

use crate::credential::ClientCertificate;
use crate::request::{Body, Downstream, RequestFacts};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path with the query, as sent.
    pub target: String,
    /// The header fields, `host` among them.
    pub headers: HeaderMap,
    /// The client certificate that the handshake verified.
    pub certificate: Option<ClientCertificate>,
    /// The framing of the body.
    pub body: Body,
    /// The address of the client; none, as on a unix socket.
    pub client: Option<IpAddr>,
    /// Whether the connection has TLS. One with a client certificate has.
    pub tls: bool,
    /// The time, in seconds since the epoch.
    pub now: i64,
}

impl Request {
    /// Makes a request without a body and without any credential, in clear text. A host that no header can have is left out.
    pub fn new(method: Method, target: impl Into<String>, host: &str, now: i64) -> Self {
        let host = HeaderValue::from_str(host).ok();
        Self {
            method,
            target: target.into(),
            headers: host.into_iter().map(|host| (HOST, host)).collect(),
            certificate: None,
            body: Body::None,
            client: None,
            tls: false,
            now,
        }
    }

    /// Returns what a decision may read.
    pub fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            client_certificate: self.certificate.as_ref(),
            downstream: Downstream {
                peer: self.client,
                tls: self.tls || self.certificate.is_some(),
                ..Downstream::default()
            },
            body: self.body,
            now: self.now,
            ..RequestFacts::new(&self.method, self.target.as_bytes(), &self.headers)
        }
    }
}

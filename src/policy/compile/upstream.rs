//! Where a service is.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use super::compiler::Compiler;
use crate::document::decode::Spanned;
use crate::document::masks::without_user;
use crate::document::problem::{Fault, ProblemCode};
use crate::policy::document::UpstreamDocument;
use crate::policy::{Upstream, UpstreamAddress, UpstreamScheme};
use crate::request::path::encoded;

impl Compiler<'_> {
    pub(super) fn upstream(&mut self, upstream: &UpstreamDocument) -> Option<Upstream> {
        let mut references = self.references();
        let url = references.url(&upstream.url, ProblemCode::InvalidUpstreamUrl);
        let ca = upstream.ca_file.as_ref().and_then(|file| references.ca_bundle(file));
        let client = references.client_identity(upstream.client_certificate.as_ref(), upstream.client_key.as_ref());
        let address = match address(&url?.text) {
            Ok(address) => address,
            Err(fault) => {
                self.problems.add_fault(&upstream.url.span, &fault);
                return None;
            }
        };
        if let Some(file) = upstream.client_certificate.as_ref().filter(|_| !is_https(&address)) {
            let message = "`client_certificate` has an effect on an `https://` upstream only";
            let help = "write `url: https://…`, or leave `client_certificate` and `client_key` out";
            self.problems.add(&file.span, ProblemCode::TlsOnly, message, help);
        }
        self.spiffe_id(upstream, &address);
        Some(Upstream {
            address,
            connect_timeout: upstream
                .connect_timeout
                .map_or(Duration::from_secs(1), |timeout| timeout.0),
            timeout: upstream.timeout.map_or(Duration::from_secs(30), |timeout| timeout.0),
            ca,
            client,
            spiffe_id: upstream.spiffe_id.as_ref().map(|id| id.value.clone()),
        })
    }

    /// Returns the value of `x-forwarded-prefix`, if the service receives paths without the prefix.
    pub(super) fn forwarded_prefix(&mut self, strip: Option<&Spanned<bool>>, prefix: &str) -> Option<HeaderValue> {
        let strip = strip.filter(|strip| strip.value)?;
        if prefix.is_empty() {
            let message = "`strip_prefix` needs a `prefix`: the policy is for all paths";
            let help = "add `prefix: /PATH`, or leave `strip_prefix` out";
            self.problems
                .add(&strip.span, ProblemCode::FieldNeedsOther, message, help);
        }
        HeaderValue::try_from(encoded(prefix)).ok()
    }

    fn spiffe_id(&mut self, upstream: &UpstreamDocument, address: &UpstreamAddress) {
        let Some(id) = &upstream.spiffe_id else { return };
        if !is_spiffe_id(&id.value) {
            let message = format!("`{}` is not a SPIFFE id", id.value);
            let help = "write one exact id, such as `spiffe://example.org/orders`";
            self.problems
                .add(&id.span, ProblemCode::InvalidCertificateName, message, help);
        }
        if !is_https(address) {
            let message = "`spiffe_id` has an effect on an `https://` upstream only";
            let help = "write `url: https://…`, or leave `spiffe_id` out";
            self.problems.add(&id.span, ProblemCode::TlsOnly, message, help);
        } else if upstream.ca_file.is_none() {
            let help = "add `ca_file: PATH` with the bundle of the trust domain";
            self.problems.add(
                &id.span,
                ProblemCode::FieldNeedsOther,
                "`spiffe_id` needs `ca_file`",
                help,
            );
        }
    }
}

/// SPIFFE ID, 2: a trust domain in lower case, and segments that every reader takes for one.
fn is_spiffe_id(id: &str) -> bool {
    let Some((domain, path)) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let of_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let of_path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(of_path);
    id.len() <= 2048 && !domain.is_empty() && domain.bytes().all(of_domain) && path.split('/').all(plain)
}

fn is_https(address: &UpstreamAddress) -> bool {
    let https = UpstreamScheme::Https;
    matches!(address, UpstreamAddress::Network { scheme, .. } if *scheme == https)
}

/// The forms of a URL.
const FORMS: &str = "write `http://host:port`, `https://…`, `h2c://…` or `unix:/path`";

fn address(url: &str) -> Result<UpstreamAddress, Fault> {
    let invalid = |message: String, help: &str| Fault::new(ProblemCode::InvalidUpstreamUrl, message, help);
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.starts_with('/') {
            true => Ok(UpstreamAddress::Unix(path.into())),
            false => Err(invalid(
                format!("`{}` is not an absolute path of a socket", without_user(url)),
                "write `unix:/path`, with a slash behind the colon",
            )),
        };
    }
    let unreadable = || invalid(format!("`{}` is not a URL of an upstream", without_user(url)), FORMS);
    let uri: Uri = url.parse().map_err(|_| unreadable())?;
    let (scheme, default_port) = match uri.scheme_str() {
        Some("http") => (UpstreamScheme::Http, 80),
        Some("https") => (UpstreamScheme::Https, 443),
        Some("h2c") => (UpstreamScheme::H2c, 80),
        _ => return Err(unreadable()),
    };
    let authority = uri.authority().ok_or_else(unreadable)?;
    if authority.as_str().contains('@') {
        let message = "the URL of an upstream cannot have a user and a password";
        let help = "leave them out: Sidegate forwards the client's own credentials";
        return Err(Fault::new(ProblemCode::SecretInFile, message, help));
    }
    if let Some((before, _)) = url.split_once('#') {
        let message = "the URL of an upstream cannot have a fragment: no request has one";
        return Err(invalid(message.to_owned(), &format!("write `{before}`")));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        let message = "the URL of an upstream cannot have a path: requests are forwarded with their own";
        let help = format!(
            "write `{}`",
            url.trim_end_matches(uri.path_and_query().map_or("", PathAndQuery::as_str))
        );
        return Err(invalid(message.to_owned(), &help));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let names_port = authority.as_str().len() > authority.host().len();
    if host.is_empty() || (names_port && authority.port_u16().is_none()) {
        return Err(unreadable());
    }
    Ok(UpstreamAddress::Network {
        scheme,
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(default_port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids() {
        for (id, want) in [
            ("spiffe://example.org/ns/core/sa/orders", true),
            ("spiffe://example.org", false),
            ("spiffe://example.org/", false),
            ("spiffe://Example.org/a", false),
            ("spiffe://example.org/a/*", false),
            ("spiffe://example.org/a/../b", false),
            ("spiffe://example.org/a?b", false),
            ("https://example.org/a", false),
            ("spiffe:///a", false),
        ] {
            assert_eq!(is_spiffe_id(id), want, "{id}");
        }
    }

    #[test]
    fn addresses() {
        for (url, want) in [
            ("http://127.0.0.1:3002", Some("http://127.0.0.1:3002")),
            ("http://wallet", Some("http://wallet:80")),
            ("https://[::1]:8443/", Some("https://[::1]:8443")),
            ("h2c://grpc:50051", Some("h2c://grpc:50051")),
            ("unix:/run/app.sock", Some("unix:/run/app.sock")),
            ("unix:run/app.sock", None),
            ("ftp://x", None),
            ("wallet:3002", None),
            ("http://", None),
            ("http://u:p@x", None),
            ("http://x/base", None),
            ("http://x:99999", None),
        ] {
            let got = address(url).map(|address| address.to_string());
            assert_eq!(got.ok().as_deref(), want, "{url}");
        }
    }
}

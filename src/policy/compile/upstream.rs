//! Where a service is.

use std::time::Duration;

use http::Uri;

use super::compiler::Compiler;
use crate::document::masks::without_user;
use crate::policy::document::UpstreamDocument;
use crate::policy::{Upstream, UpstreamAddress, UpstreamScheme};

impl Compiler<'_> {
    pub(super) fn upstream(&mut self, upstream: &UpstreamDocument) -> Option<Upstream> {
        let mut references = self.references();
        let url = references.text(&upstream.url);
        let ca = upstream.ca_file.as_ref().and_then(|file| references.ca_bundle(file));
        let client = references.client_identity(upstream.client_certificate.as_ref(), upstream.client_key.as_ref());
        let address = match address(&url?.text) {
            Ok(address) => address,
            Err(message) => {
                let help = "write `http://host:port`, `https://…`, `h2c://…` or `unix:/path`";
                self.problems.add_with_help(&upstream.url.span, message, help);
                return None;
            }
        };
        if let Some(file) = upstream.client_certificate.as_ref().filter(|_| !is_https(&address)) {
            self.problems
                .add(&file.span, "`client_certificate` is for `https://` services");
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

    fn spiffe_id(&mut self, upstream: &UpstreamDocument, address: &UpstreamAddress) {
        let Some(id) = &upstream.spiffe_id else { return };
        if !is_spiffe_id(&id.value) {
            let message = format!(
                "`{}` is not a SPIFFE id such as `spiffe://example.org/orders`",
                id.value
            );
            self.problems.add(&id.span, message);
        }
        if !is_https(address) {
            self.problems.add(&id.span, "`spiffe_id` is for `https://` services");
        } else if upstream.ca_file.is_none() {
            let help = "name the bundle of the trust domain";
            self.problems
                .add_with_help(&id.span, "`spiffe_id` needs `ca_file`", help);
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

fn address(url: &str) -> Result<UpstreamAddress, String> {
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.starts_with('/') {
            true => Ok(UpstreamAddress::Unix(path.into())),
            false => Err(format!("`{}` is not an absolute path of a socket", without_user(url))),
        };
    }
    let unreadable = || format!("`{}` is not a URL of a service", without_user(url));
    let uri: Uri = url.parse().map_err(|_| unreadable())?;
    let (scheme, default_port) = match uri.scheme_str() {
        Some("http") => (UpstreamScheme::Http, 80),
        Some("https") => (UpstreamScheme::Https, 443),
        Some("h2c") => (UpstreamScheme::H2c, 80),
        _ => return Err(unreadable()),
    };
    let authority = uri.authority().ok_or_else(unreadable)?;
    if authority.as_str().contains('@') {
        return Err("the URL of a service has no user and password".into());
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("the URL of a service has no path: requests are forwarded with their own".into());
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

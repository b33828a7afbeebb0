//! Where a service is.

use std::net::IpAddr;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use super::compiler::Compiler;
use crate::document::decode::Spanned;
use crate::document::key_reference::written;
use crate::document::masks::without_user;
use crate::document::patterns::SOCKET_PATH_BYTES;
use crate::document::problem::{Fault, ProblemCode};
use crate::document::secret::EnvString;
use crate::document::suggestion::{closest, did_you_mean};
use crate::policy::document::UpstreamDocument;
use crate::policy::origin::Origin;
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
        self.of_tls(upstream, &address);
        self.default_address(upstream, &address);
        let variable = match &upstream.url.value {
            EnvString::Literal(_) => None,
            variable @ EnvString::Variable { .. } => Some(written(variable)),
        };
        Some(Upstream {
            address,
            variable: Origin(variable),
            connect_timeout: upstream
                .connect_timeout
                .map_or(Duration::from_secs(1), |timeout| timeout.0),
            timeout: upstream.timeout.map_or(Duration::from_secs(30), |timeout| timeout.0),
            idle_timeout: upstream
                .idle_timeout
                .map_or(Duration::from_secs(4), |timeout| timeout.0),
            ca,
            client,
            spiffe_id: upstream.spiffe_id.as_ref().map(|id| id.value.clone()),
        })
    }

    /// Checks the default of a variable that is set, as it is checked where the variable is not set.
    fn default_address(&mut self, upstream: &UpstreamDocument, address: &UpstreamAddress) {
        let url = &upstream.url;
        let default = self.references().unused_default(&url.value).map(self::address);
        match default {
            Some(Err(fault)) => _ = self.problems.add_fault(&url.span, &fault),
            // Otherwise the problem is noted already.
            Some(Ok(default)) if is_https(address) && !is_https(&default) => self.of_tls(upstream, &default),
            Some(Ok(_)) | None => {}
        }
    }

    /// Notes fields that have an effect with TLS only.
    fn of_tls(&mut self, upstream: &UpstreamDocument, address: &UpstreamAddress) {
        if let Some(file) = upstream.client_certificate.as_ref().filter(|_| !is_https(address)) {
            let message = "`client_certificate` has an effect on an `https://` upstream only";
            let help = "write `url: https://…`, or leave `client_certificate` and `client_key` out";
            self.problems.add(&file.span, ProblemCode::TlsOnly, message, help);
        }
        self.spiffe_id(upstream, address);
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

    /// Returns the `Host` that the service receives, if it is not the client's.
    pub(super) fn upstream_host(
        &mut self,
        host: Option<&Spanned<String>>,
        address: &UpstreamAddress,
    ) -> Option<HeaderValue> {
        let host = host?;
        let text = match host.value.as_str() {
            OF_CLIENT => return None,
            OF_UPSTREAM => {
                let Some(authority) = authority(address) else {
                    let message = format!("`host: upstream` needs a host name, and `{address}` has none");
                    let help = "write the name that the service expects, as in `host: orders.example.com`";
                    self.problems.add(&host.span, ProblemCode::InvalidHost, message, help);
                    return None;
                };
                authority
            }
            name => {
                if let Err(help) = virtual_host(name) {
                    let message = format!("`{name}` is not `client`, `upstream` or a host name");
                    self.problems.add(&host.span, ProblemCode::InvalidHost, message, help);
                } else if let Some(word) = closest(name, [OF_CLIENT, OF_UPSTREAM]) {
                    let message = format!("`{name}` is sent as the name of a host");
                    let help = did_you_mean(word);
                    self.problems.warn(&host.span, ProblemCode::UnknownWord, message, help);
                }
                name.to_owned()
            }
        };
        HeaderValue::try_from(text).ok()
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

/// The words of `host`.
const OF_CLIENT: &str = "client";
const OF_UPSTREAM: &str = "upstream";

/// Returns the host of a URL and its port, unless it is the default one. Addresses have no name to be known by.
fn authority(address: &UpstreamAddress) -> Option<String> {
    let UpstreamAddress::Network { scheme, host, port } = address else {
        return None;
    };
    let host = host.trim_end_matches('.');
    if host.contains(':') || ends_in_number(host) {
        return None;
    }
    Some(match (scheme, port) {
        (UpstreamScheme::Https, 443) | (UpstreamScheme::Http | UpstreamScheme::H2c, 80) => host.to_owned(),
        _ => format!("{host}:{port}"),
    })
}

/// Checks a host name with an optional port. Fails with what to write.
fn virtual_host(text: &str) -> Result<(), &'static str> {
    if let Some(word) = [OF_CLIENT, OF_UPSTREAM]
        .into_iter()
        .find(|word| text.eq_ignore_ascii_case(word))
    {
        return Err(match word {
            OF_CLIENT => "write `host: client`",
            _ => "write `host: upstream`",
        });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_port = |port: &str| !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok();
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(of_name)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match name.len() <= 253 && name.split('.').all(is_label) && !ends_in_number(name) && port.is_none_or(is_port) {
        true => Ok(()),
        false if text.starts_with('[') || text.parse::<IpAddr>().is_ok() || ends_in_number(name) => {
            Err("IP addresses are not possible here: write a host name, as in `host: orders.example.com`")
        }
        false => Err("write a host name, with a port where the service expects one, as in `host: orders.example.com`"),
    }
}

/// Whether a host is an IP address, or would be read as one: the last label is a number.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

/// The forms of a URL.
const FORMS: &str = "write `http://host:port`, `https://…`, `h2c://…` or `unix:/path`";

fn address(url: &str) -> Result<UpstreamAddress, Fault> {
    let invalid = |message: String, help: &str| Fault::new(ProblemCode::InvalidUpstreamUrl, message, help);
    if let Some(path) = url.strip_prefix("unix:") {
        if !path.starts_with('/') {
            let message = format!("`{}` is not an absolute path of a socket", without_user(url));
            return Err(invalid(message, "write `unix:/path`, with a slash behind the colon"));
        }
        if path.len() > SOCKET_PATH_BYTES {
            let message = format!("`{}` is too long for the path of a socket", without_user(url));
            return Err(invalid(
                message,
                "write a path of at most 107 bytes, such as `unix:/run/orders.sock`",
            ));
        }
        return Ok(UpstreamAddress::Unix(path.into()));
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
        host: host
            .parse::<IpAddr>()
            .map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string()),
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
    fn host_is_a_word_or_a_name_with_an_optional_port() {
        for (text, is_valid) in [
            ("orders", true),
            ("Orders.example.com", true),
            ("my_service-1.internal:8080", true),
            ("a.b:65535", true),
            ("clients", true),
            ("Client", false),
            ("UPSTREAM", false),
            ("", false),
            ("a..b", false),
            ("a.", false),
            ("-a", false),
            ("a-.b", false),
            ("*.example.com", false),
            ("https://a", false),
            ("a/b", false),
            ("a b", false),
            ("é.example", false),
            ("u@a", false),
            ("a:", false),
            ("a:0", false),
            ("a:080", false),
            ("a:+80", false),
            ("a:65536", false),
            ("a:80:80", false),
            ("10.0.0.1", false),
            ("10.0.0.1:80", false),
            ("1", false),
            ("a.1", false),
            ("[::1]", false),
            ("::1", false),
        ] {
            assert_eq!(virtual_host(text).is_ok(), is_valid, "{text}");
        }
        let long = format!("{}.example", "a".repeat(64));
        assert!(virtual_host(&long).is_err());
        assert!(virtual_host(&["a"; 127].join(".")).is_ok());
        assert!(virtual_host(&["a"; 128].join(".")).is_err());
    }

    #[test]
    fn authority_of_a_url_has_its_port_unless_that_is_the_default() {
        for (url, want) in [
            ("http://orders", Some("orders")),
            ("http://orders:80", Some("orders")),
            ("http://orders:443", Some("orders:443")),
            ("https://orders.example.com:443", Some("orders.example.com")),
            ("https://orders.example.com:8443", Some("orders.example.com:8443")),
            ("h2c://grpc.ns.svc.:80", Some("grpc.ns.svc")),
            ("http://10.0.0.1:80", None),
            ("http://[::1]:80", None),
            ("http://127.1:80", None),
            ("unix:/run/app.sock", None),
        ] {
            assert_eq!(authority(&address(url).unwrap()).as_deref(), want, "{url}");
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

//! Which path of the service the admin listener asks for probes, as the file says. Asks nothing.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::uri::PathAndQuery;

use super::address::{ListenAddress, listen_address, or_report, socket_address};
use super::document::ProbeDocument;
use crate::document::problem::{Fault, ProblemCode, Problems};

/// How long a response may take by default: less than the usual timeout of a kubelet.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Well below the time that a connection to the admin listener has.
const MAX_TIMEOUT: Duration = Duration::from_secs(5);

/// The one request that is made for probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The service.
    pub upstream: ListenAddress,
    /// The other address of `localhost`, if the service is named so.
    pub other_address: Option<SocketAddr>,
    /// What the service is called in the request.
    pub host: String,
    /// What it is asked for.
    pub path: PathAndQuery,
    /// How long it may take to answer.
    pub timeout: Duration,
}

/// A probe of a service on this machine.
pub(super) fn check(document: ProbeDocument, problems: &mut Problems) -> Option<ProbeConfig> {
    let ProbeDocument {
        upstream,
        path,
        timeout,
    } = document;
    if let Some(timeout) = timeout.as_ref().filter(|timeout| timeout.value.0 > MAX_TIMEOUT) {
        let message = "a probe takes at most `5s`";
        let help = "write `5s` or less; the default is `1s`";
        problems.add(&timeout.span, ProblemCode::OutOfRange, message, help);
    }
    let service = or_report(service(&upstream.value), &upstream, problems);
    let path = or_report(target(&path.value), &path, problems);
    let (upstream, host) = service?;
    let is_localhost = host.starts_with("localhost:");
    let other_address = match upstream {
        ListenAddress::Tcp(address) if is_localhost => Some((Ipv6Addr::LOCALHOST, address.port()).into()),
        _ => None,
    };
    Some(ProbeConfig {
        upstream,
        other_address,
        host,
        path: path?,
        timeout: timeout.map_or(TIMEOUT, |timeout| timeout.value.0),
    })
}

/// What is probed.
const PROBED: &str = "write `http://127.0.0.1:PORT` or `unix:/path`";

/// Where a service is, and its name.
fn service(text: &str) -> Result<(ListenAddress, String), Fault> {
    let invalid = |message: String, help: &str| Fault::new(ProblemCode::InvalidProbe, message, help);
    let Some(authority) = text.strip_prefix("http://") else {
        return match listen_address(text) {
            Ok(socket @ ListenAddress::Unix(_)) => Ok((socket, "localhost".to_owned())),
            Err(fault) if text.starts_with("unix:") => Err(invalid(fault.message, &fault.help)),
            _ => Err(invalid(
                format!("`{text}` is not the URL of an upstream on this machine"),
                PROBED,
            )),
        };
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    match socket_address(authority) {
        Ok(address) if is_here(address) => Ok((ListenAddress::Tcp(address), authority.to_owned())),
        Ok(_) => Err(invalid(
            format!("`{authority}` is not on this machine, and only such upstreams are probed"),
            PROBED,
        )),
        Err(_) => Err(invalid(
            format!("`{text}` is not a URL with an IP address and a port"),
            PROBED,
        )),
    }
}

fn is_here(address: SocketAddr) -> bool {
    address.ip().is_loopback() && address.port() != 0
}

fn target(text: &str) -> Result<PathAndQuery, Fault> {
    let is_plain = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let path = text.parse().ok().filter(|_| is_plain);
    path.ok_or_else(|| {
        let message = format!("`{text}` is not a path");
        Fault::new(ProblemCode::InvalidProbe, message, "write a path such as `/health`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_on_this_machine_are_probed_and_no_others() {
        for (text, host) in [
            ("http://127.0.0.1:3002", "127.0.0.1:3002"),
            ("http://localhost:3002/", "localhost:3002"),
            ("http://[::1]:3002", "[::1]:3002"),
            ("unix:/run/app.sock", "localhost"),
        ] {
            assert_eq!(service(text).unwrap().1, host, "{text}");
        }
        for text in [
            "http://10.0.0.1:80",
            "http://0.0.0.0:3002",
            "http://wallet:3002",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:3002/health",
            "http://me@127.0.0.1:3002",
            "https://127.0.0.1:3002",
            "127.0.0.1:3002",
            "unix:app.sock",
        ] {
            assert!(service(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_target_is_one_that_can_stand_in_a_request_line() {
        for text in ["/", "/health", "/wallet/v1/_internal/health?deep=1"] {
            assert_eq!(target(text).unwrap(), text);
        }
        for text in ["health", "", "/a b", "/a#b", "/ä", "http://127.0.0.1/health", "*"] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}

//! Policies whose upstream is Sidegate itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ListenAddress, ServerConfig};
use crate::document::problem::{Fault, Location, Problem, ProblemCode};
use crate::policy::{PolicySet, UpstreamAddress};

impl ServerConfig {
    /// Warns of each policy that forwards requests to a listener of this process.
    pub fn own_upstreams(&self, policies: &PolicySet) -> Vec<Problem> {
        let mut warnings = Vec::new();
        for policy in policies.policies() {
            let mut listeners = self.listeners.iter();
            let Some(listener) = listeners.find(|listener| leads_to(&policy.upstream.address, &listener.address))
            else {
                continue;
            };
            let message = format!(
                "the upstream is a listener of Sidegate itself, `{}`: each request would come back without end",
                listener.address
            );
            let help = "write the address of the upstream, or give Sidegate another port";
            let fault = Fault::new(ProblemCode::UpstreamIsSidegate, message, help);
            warnings.push(Problem::warning(Location::clone(&policy.upstream_location), &fault));
        }
        warnings
    }
}

/// Whether a connection to an upstream is accepted by a listener on this machine.
fn leads_to(upstream: &UpstreamAddress, listener: &ListenAddress) -> bool {
    match (upstream, listener) {
        (UpstreamAddress::Unix(path), ListenAddress::Unix(socket)) => path == socket,
        (UpstreamAddress::Network { host, port, .. }, ListenAddress::Tcp(address)) => {
            address.port() == *port && is_at(host, *address)
        }
        _ => false,
    }
}

fn is_at(host: &str, listener: SocketAddr) -> bool {
    let accepts = |ip: IpAddr| {
        ip == listener.ip() || (listener.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
    };
    match host.eq_ignore_ascii_case("localhost") {
        true => accepts(Ipv4Addr::LOCALHOST.into()) || accepts(Ipv6Addr::LOCALHOST.into()),
        false => host.parse().is_ok_and(accepts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_at_a_listener_of_this_machine_is_found() {
        for (host, listener, want) in [
            ("127.0.0.1", "127.0.0.1:80", true),
            ("localhost", "0.0.0.0:80", true),
            ("localhost", "[::1]:80", true),
            ("::1", "[::]:80", true),
            ("127.0.0.1", "10.0.0.1:80", false),
            ("127.0.0.1", "127.0.0.1:81", false),
            ("orders", "0.0.0.0:80", false),
            ("10.0.0.2", "0.0.0.0:80", false),
        ] {
            let upstream = UpstreamAddress::Network {
                scheme: crate::policy::UpstreamScheme::Http,
                host: host.into(),
                port: 80,
            };
            let found = leads_to(&upstream, &ListenAddress::Tcp(listener.parse().unwrap()));
            assert_eq!(found, want, "{host} {listener}");
        }
    }
}

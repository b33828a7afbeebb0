//! Networks of IP addresses.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::problem::{Fault, ProblemCode};
use super::schema::text_forms;

/// An octet of an IPv4 address, without zeros in front, as a pattern.
pub const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

/// An IPv4 address, as a pattern.
pub fn ipv4() -> String {
    format!(r"{OCTET}(\.{OCTET}){{3}}")
}

text_forms! {
    /// A network, or an address alone.
    Network {
        pattern: format!(r"^({}(/0*([0-9]|[12][0-9]|3[0-2]))?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(/0*([0-9]{{1,2}}|1[01][0-9]|12[0-8]))?)$", ipv4()),
        expected: "a CIDR such as 10.0.0.0/8, or an IP address",
        examples: ["10.0.0.0/8", "fd00::/8"],
    }
}

/// A network such as `10.0.0.0/8`; an address alone is a network of one.
pub fn network(text: &str) -> Result<IpNet, Fault> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or(address).map(canonical).map_err(|_| {
        let message = format!("`{text}` is not a network");
        let help = "write a CIDR such as `10.0.0.0/8`, or one IP address";
        Fault::new(ProblemCode::InvalidNetwork, message, help)
    })
}

/// A network of IPv4 addresses that are written as IPv6 (RFC 4291, 2.5.5.2), as peers are compared with it.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else {
        return network;
    };
    let v4 = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    let canonical = v4
        .zip(length)
        .and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    canonical.map_or(network, IpNet::V4)
}

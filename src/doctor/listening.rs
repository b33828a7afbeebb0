//! What `/proc/net/tcp` and `tcp6` say of who listens. Reads no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// The addresses that are listened on. IPv4 in IPv6 is IPv4.
pub fn parse(table: &str) -> Vec<SocketAddr> {
    table.lines().filter_map(listener).collect()
}

fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (address, port) = local.split_once(':').filter(|_| state == LISTEN)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(ip(address)?.to_canonical(), port))
}

/// An address as words in hex, each in the byte order of the machine.
fn ip(hex: &str) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    for (at, word) in bytes.chunks_exact_mut(4).enumerate().take(hex.len() / 8) {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    let [a, b, c, d, ..] = bytes;
    match hex.len() {
        8 => Some(Ipv4Addr::new(a, b, c, d).into()),
        32 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_found_and_no_others() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let check = |line: &str, want: Option<&str>| {
            let found = parse(&format!("{head}{line}\n"));
            let want: Vec<SocketAddr> = want.iter().map(|want| want.parse().unwrap()).collect();
            assert_eq!(found, want, "{line}");
        };
        let rest = "00000000:00000000 00:00000000 00000000 0 0 1";
        check(
            &format!(" 0: 00000000:1F90 00000000:0000 0A {rest}"),
            Some("0.0.0.0:8080"),
        );
        check(
            &format!(" 0: 0100007F:0BB8 00000000:0000 0A {rest}"),
            Some("127.0.0.1:3000"),
        );
        check(
            &format!(" 0: 0500000A:0BB8 00000000:0000 0A {rest}"),
            Some("10.0.0.5:3000"),
        );
        check(&format!(" 0: 0100007F:0BB8 0100007F:1234 01 {rest}"), None);
        let none = "00000000000000000000000000000000:0000";
        for (address, want) in [
            ("00000000000000000000000000000000", "[::]:3000"),
            ("00000000000000000000000001000000", "[::1]:3000"),
            ("0000000000000000FFFF00000100007F", "127.0.0.1:3000"),
        ] {
            check(&format!(" 0: {address}:0BB8 {none} 0A {rest}"), Some(want));
        }
        for line in [
            "",
            " 0: zz:0BB8 0:0 0A",
            " 0: 0100007F 0:0 0A",
            " 0: 01:0BB8 0:0 0A",
            "ä ä ä 0A",
        ] {
            check(line, None);
        }
    }
}

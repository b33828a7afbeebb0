//! One header of the PROXY protocol, version 1 or 2. Pure, and strict: what a sender could not have meant is a fault.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 1 begins.
const V1: &[u8] = b"PROXY ";

/// The signature of version 2.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The shortest header: `PROXY UNKNOWN` with its line end.
const SHORTEST: usize = 15;

/// The longest header of version 1, with its line end.
const LONGEST_V1: usize = 107;

/// The length of a header of version 2 before its addresses.
const FIXED_V2: usize = 16;

/// The longest addresses and TLVs of version 2. TLVs are a few hundred bytes, unless they hold a certificate.
const LONGEST_V2: usize = 4096;

/// Version 2 and its command `LOCAL`: a connection of the balancer itself.
const LOCAL: u8 = 0x20;

/// The type of the TLV with a checksum of the header.
const CRC32C: u8 = 0x03;

/// Where a connection comes from, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From this client.
    Declared(SocketAddr),
    /// From the balancer itself, as its health checks do, or from a client without an IP address.
    Undeclared,
}

/// How much of the header is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// All of it.
    Complete(Source),
    /// At least so many bytes are missing.
    Missing(u64),
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not one.
    Missing,
    /// It is malformed.
    Malformed(&'static str),
}

/// Reads the bytes of a connection that have arrived. To read no byte behind the header, read only as many as are
/// missing.
pub(super) fn parse(bytes: &[u8]) -> Result<Progress, Fault> {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, known)| byte == known);
    match (begins(V1), begins(V2)) {
        (true, true) => Ok(missing(bytes, SHORTEST)),
        (true, false) => version_1(bytes),
        (false, true) => version_2(bytes),
        (false, false) => Err(Fault::Missing),
    }
}

/// The bytes that are missing to a length.
fn missing(bytes: &[u8], length: usize) -> Progress {
    Progress::Missing(length.saturating_sub(bytes.len()) as u64)
}

fn version_1(bytes: &[u8]) -> Result<Progress, Fault> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        // A CR at the end may be the first half of the line end.
        let text = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if text.iter().any(|byte| b"\r\n".contains(byte)) {
            return Err(Fault::Malformed("the line of the header does not end in CRLF"));
        }
        return match bytes.len() {
            LONGEST_V1.. => Err(Fault::Malformed("the header is longer than 107 bytes")),
            length => Ok(missing(bytes, SHORTEST.max(length + 1))),
        };
    };
    let text = std::str::from_utf8(line)
        .ok()
        .and_then(|text| text.strip_prefix("PROXY "));
    let source = text.filter(|text| !text.contains(['\r', '\n'])).and_then(declared);
    let malformed = Fault::Malformed("the line of the header is malformed");
    source.map(Progress::Complete).ok_or(malformed)
}

/// Reads a line of version 1 behind `PROXY `.
fn declared(text: &str) -> Option<Source> {
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Source::Undeclared);
    }
    let parts: Vec<_> = text.split(' ').collect();
    let [family, source, target, source_port, target_port] = *parts.as_slice() else {
        return None;
    };
    let (source, _): (IpAddr, IpAddr) = match family {
        "TCP4" => (
            source.parse::<Ipv4Addr>().ok()?.into(),
            target.parse::<Ipv4Addr>().ok()?.into(),
        ),
        "TCP6" => (
            source.parse::<Ipv6Addr>().ok()?.into(),
            target.parse::<Ipv6Addr>().ok()?.into(),
        ),
        _ => return None,
    };
    port(target_port)?;
    Some(Source::Declared(SocketAddr::new(source, port(source_port)?)))
}

/// Reads a port in its one form.
fn port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_canonical)
}

fn version_2(bytes: &[u8]) -> Result<Progress, Fault> {
    let Some(&[command, family, high, low, ref rest @ ..]) = bytes.get(V2.len()..) else {
        return Ok(missing(bytes, FIXED_V2));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 {
        return Err(Fault::Malformed("the version of the header is unknown"));
    }
    if command & 0xf > 1 {
        return Err(Fault::Malformed("the command of the header is unknown"));
    }
    if length > LONGEST_V2 {
        return Err(Fault::Malformed("the header is longer than 4 KiB"));
    }
    if rest.len() < length {
        return Ok(missing(bytes, FIXED_V2 + length));
    }
    // The balancer's own connections, whose addresses are to be ignored, and those of an unspecified family.
    if command == LOCAL || family == 0 {
        return Ok(Progress::Complete(Source::Undeclared));
    }
    let (source, tlvs) = addresses(family, rest)?;
    check_tlvs(bytes, tlvs)?;
    Ok(Progress::Complete(source))
}

/// Reads the addresses of version 2. Returns the source, and the TLVs behind the addresses.
fn addresses(family: u8, rest: &[u8]) -> Result<(Source, &[u8]), Fault> {
    let short = Fault::Malformed("the header is too short for its addresses");
    let declared = |ip: IpAddr, port: [u8; 2]| Source::Declared(SocketAddr::new(ip, u16::from_be_bytes(port)));
    match family {
        0x11 => {
            let (source, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            let (_target, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            let (port, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
            let (_target_port, tlvs) = rest.split_first_chunk::<2>().ok_or(short)?;
            Ok((declared(Ipv4Addr::from(*source).into(), *port), tlvs))
        }
        0x21 => {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let (_target, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let (port, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
            let (_target_port, tlvs) = rest.split_first_chunk::<2>().ok_or(short)?;
            Ok((declared(Ipv6Addr::from(*source).into(), *port), tlvs))
        }
        // The paths of two unix sockets.
        0x31 | 0x32 => {
            let (_paths, tlvs) = rest.split_first_chunk::<216>().ok_or(short)?;
            Ok((Source::Undeclared, tlvs))
        }
        0x12 | 0x22 => Err(Fault::Malformed("the header is for datagrams")),
        _ => Err(Fault::Malformed("the address family of the header is unknown")),
    }
}

/// Checks that the TLVs fill the rest of the header, and its checksum, where it has one.
fn check_tlvs(header: &[u8], mut tlvs: &[u8]) -> Result<(), Fault> {
    let malformed = Fault::Malformed("the TLVs of the header are malformed");
    let mut has_checksum = false;
    while let [kind, high, low, rest @ ..] = tlvs {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or(malformed)?;
        if *kind == CRC32C {
            let written: [u8; 4] = value.try_into().map_err(|_| malformed)?;
            if std::mem::replace(&mut has_checksum, true) {
                return Err(malformed);
            }
            // It counts as zeros in its own sum.
            let at = header.len() - rest.len();
            let bytes = header.iter().enumerate();
            let bytes = bytes.map(|(n, byte)| if (at..at + 4).contains(&n) { 0 } else { *byte });
            if crc32c(bytes) != u32::from_be_bytes(written) {
                return Err(Fault::Malformed("the checksum of the header is wrong"));
            }
        }
        tlvs = next;
    }
    match tlvs {
        [] => Ok(()),
        _ => Err(malformed),
    }
}

/// The checksum of RFC 4960, appendix B.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let bit = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    !bytes.fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests;

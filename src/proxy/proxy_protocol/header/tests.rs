use proptest::prelude::*;

use super::*;

/// Reads a header as the connection does: each time at most as many bytes as are missing, and at most `at_once`.
/// Returns the result, and how many bytes were read.
fn read(bytes: &[u8], at_once: usize) -> (Option<Result<Source, Fault>>, usize) {
    let mut read = 0;
    loop {
        match parse(&bytes[..read]) {
            Ok(Progress::Complete(source)) => return (Some(Ok(source)), read),
            Err(fault) => return (Some(Err(fault)), read),
            Ok(Progress::Missing(missing)) => {
                assert!(missing > 0, "{read} bytes of {bytes:?}");
                let next = usize::try_from(missing).unwrap().min(at_once);
                if read == bytes.len() {
                    return (None, read);
                }
                read = bytes.len().min(read + next);
            }
        }
    }
}

/// The result for a connection with more bytes behind the header, which are not read, however the bytes arrive.
fn source_of(header: &[u8]) -> Result<Source, Fault> {
    let connection = [header, b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"].concat();
    let (result, length) = read(&connection, usize::MAX);
    let result = result.expect("a result");
    for at_once in [1, 2, 7, 100] {
        let (again, count) = read(&connection, at_once);
        let again = again.expect("a result");
        // Which fault is found first may depend on how the bytes arrive.
        assert_eq!(again.ok(), result.ok(), "{at_once} at once: {header:?}");
        assert!(result.is_err() || count == length, "{at_once} at once: {header:?}");
    }
    if result.is_ok() {
        assert_eq!(length, header.len(), "{header:?}");
        for end in 0..header.len() {
            assert_eq!(read(&header[..end], usize::MAX).0, None, "{end} bytes of {header:?}");
        }
    }
    result
}

fn from(address: &str) -> Source {
    Source::Declared(address.parse().unwrap())
}

const UNDECLARED: Result<Source, Fault> = Ok(Source::Undeclared);

#[test]
fn line_of_version_1_declares_its_source() {
    for (line, want) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            Ok(from("192.0.2.1:56324")),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Ok(from("255.255.255.255:65535")),
        ),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 0 1\r\n", Ok(from("1.1.1.1:0"))),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n",
            Ok(from("[2001:db8::1]:1")),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
            Ok(from("[::ffff:192.0.2.1]:1")),
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Ok(from("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
        ),
        ("PROXY UNKNOWN\r\n", UNDECLARED),
        ("PROXY UNKNOWN ffff::1 anything \t 65535 65535\r\n", UNDECLARED),
    ] {
        assert_eq!(source_of(line.as_bytes()), want, "{line:?}");
    }
    // The longest line that the specification allows, and one byte more.
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert_eq!(source_of(line(LONGEST_V1).as_bytes()), UNDECLARED);
    let long = Fault::Malformed("the header is longer than 107 bytes");
    assert_eq!(source_of(line(LONGEST_V1 + 1).as_bytes()), Err(long));
}

#[test]
fn malformed_line_of_version_1_is_a_fault() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\rx\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\n443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY\tTCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1\r\n",
        "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 0443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 00 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 x 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.1 1 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 1 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 1 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 443\r\n",
        "PROXY TCP4 192.0.2.1 2001:db8::2 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 443\r\n",
        "PROXY TCP6 2001:db8::1 198.51.100.1 1 443\r\n",
        "PROXY TCP6 [2001:db8::1] 2001:db8::2 1 443\r\n",
        "PROXY TCP6 2001:db8::1%1 2001:db8::2 1 443\r\n",
        "PROXY TCP6 2001:db8:::1 2001:db8::2 1 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 1 443\r\n",
        "PROXY TCP 192.0.2.1 198.51.100.1 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
        "PROXY UNIX /a /b 1 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY unknown\r\n",
        "PROXY TCP4 \u{e9} 198.51.100.1 1 443\r\n",
    ] {
        let found = source_of(line.as_bytes());
        assert!(
            matches!(found, Err(Fault::Malformed(_) | Fault::Missing)),
            "{line:?}: {found:?}"
        );
    }
    let lone = [&b"PROXY TCP4 192.0.2.1 "[..], b"\xff\xfe 1 443\r\n"].concat();
    assert!(source_of(&lone).is_err());
}

#[test]
fn connection_that_begins_with_something_else_has_no_header() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PUT / HTTP/1.1\r\n\r\n",
        b"proxy TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
        b" PROXY TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
        b"\nPROXY TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
        b"\r\nPROXY TCP4 192.0.2.1 198.51.100.1 1 443\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c",
        b"PROXYTCP4 192.0.2.1 198.51.100.1 1 443\r\n",
        b"\0",
    ] {
        assert_eq!(source_of(bytes), Err(Fault::Missing), "{bytes:?}");
        // It is known as soon as the first byte differs.
        let differs = (1..=bytes.len()).find(|&end| parse(&bytes[..end]).is_err()).unwrap();
        assert!(differs <= 12, "{bytes:?}");
    }
}

const V4: &[u8] = b"\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb";

fn v6() -> Vec<u8> {
    let addresses = ["2001:db8::1", "2001:db8::2"].map(|address| address.parse::<Ipv6Addr>().unwrap().octets());
    [addresses.concat(), b"\xdc\x04\x01\xbb".to_vec()].concat()
}

/// A header of version 2 whose length is that of its block.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    with_length(command, family, u16::try_from(block.len()).unwrap(), block)
}

fn with_length(command: u8, family: u8, length: u16, block: &[u8]) -> Vec<u8> {
    [V2, &[command, family], &length.to_be_bytes(), block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, value].concat()
}

/// The header with a checksum, which is changed by `change`.
fn with_checksum(block: &[u8], change: u32) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[V4, block, &tlv(CRC32C, &[0; 4])].concat());
    let sum = crc32c(header.iter().copied()) ^ change;
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

#[test]
fn header_of_version_2_declares_its_source() {
    let noop = tlv(0x04, &[0; 10]);
    let certificate = tlv(0x20, &[1; 3000]);
    let longest = tlv(0x04, &vec![0; LONGEST_V2 - 12 - 3]);
    for (header, want) in [
        (v2(0x21, 0x11, V4), Ok(from("192.0.2.1:56324"))),
        (v2(0x21, 0x21, &v6()), Ok(from("[2001:db8::1]:56324"))),
        (v2(0x21, 0x11, &[V4, &noop].concat()), Ok(from("192.0.2.1:56324"))),
        (
            v2(0x21, 0x11, &[V4, &noop, &certificate, &tlv(0xee, b"")].concat()),
            Ok(from("192.0.2.1:56324")),
        ),
        (v2(0x21, 0x11, &[V4, &longest].concat()), Ok(from("192.0.2.1:56324"))),
        (with_checksum(b"", 0), Ok(from("192.0.2.1:56324"))),
        (with_checksum(&noop, 0), Ok(from("192.0.2.1:56324"))),
        // The balancer itself, whatever the block has.
        (v2(0x20, 0x00, b""), UNDECLARED),
        (v2(0x20, 0x11, V4), UNDECLARED),
        (v2(0x20, 0x11, b"\x01"), UNDECLARED),
        (v2(0x20, 0xff, &[7; 100]), UNDECLARED),
        // No address of a client.
        (v2(0x21, 0x00, b""), UNDECLARED),
        (v2(0x21, 0x00, &noop), UNDECLARED),
        (v2(0x21, 0x31, &[0; 216]), UNDECLARED),
        (v2(0x21, 0x32, &[&[0; 216][..], &noop].concat()), UNDECLARED),
    ] {
        assert_eq!(source_of(&header), want, "{header:?}");
    }
}

#[test]
fn malformed_header_of_version_2_is_a_fault() {
    let malformed = |header: &[u8]| match source_of(header) {
        Err(Fault::Malformed(cause)) => cause,
        other => panic!("{header:?}: {other:?}"),
    };
    for (command, cause) in [
        (0x11, "the version of the header is unknown"),
        (0x01, "the version of the header is unknown"),
        (0x31, "the version of the header is unknown"),
        (0xff, "the version of the header is unknown"),
        (0x22, "the command of the header is unknown"),
        (0x2f, "the command of the header is unknown"),
    ] {
        assert_eq!(malformed(&v2(command, 0x11, V4)), cause, "{command:x}");
    }
    for (family, cause) in [
        (0x12, "the header is for datagrams"),
        (0x22, "the header is for datagrams"),
        (0x01, "the address family of the header is unknown"),
        (0x10, "the address family of the header is unknown"),
        (0x13, "the address family of the header is unknown"),
        (0x41, "the address family of the header is unknown"),
        (0xff, "the address family of the header is unknown"),
    ] {
        assert_eq!(malformed(&v2(0x21, family, &[0; 216])), cause, "{family:x}");
    }
    for (family, length) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        for short in 0..length {
            let cause = malformed(&v2(0x21, family, &vec![0; short]));
            assert_eq!(cause, "the header is too short for its addresses", "{family:x} {short}");
        }
    }
    let long = with_length(0x21, 0x11, 4097, &[0; 4097]);
    assert_eq!(malformed(&long), "the header is longer than 4 KiB");
    let long = with_length(0x20, 0x00, u16::MAX, b"");
    assert_eq!(malformed(&long), "the header is longer than 4 KiB");
    for tlvs in [
        &b"\x04"[..],
        b"\x04\0",
        b"\x04\0\x02\0",
        b"\x04\0\0\x04",
        b"\x03\0\x03\0\0\0",
    ] {
        let cause = malformed(&v2(0x21, 0x11, &[V4, tlvs].concat()));
        assert_eq!(cause, "the TLVs of the header are malformed", "{tlvs:?}");
    }
    assert_eq!(malformed(&with_checksum(b"", 1)), "the checksum of the header is wrong");
    assert_eq!(
        malformed(&with_checksum(&tlv(4, b"a"), 1 << 31)),
        "the checksum of the header is wrong"
    );
    let twice = with_checksum(&tlv(CRC32C, &[0; 4]), 0);
    assert!(malformed(&twice).contains("the header"), "{twice:?}");
}

#[test]
fn checksum_is_that_of_its_specification() {
    // RFC 3720, B.4.
    for (bytes, want) in [
        (vec![0; 32], 0x8a91_36aa),
        (vec![0xff; 32], 0x62a8_ab43),
        ((0..32).collect(), 0x46dd_794e),
        (b"123456789".to_vec(), 0xe306_9283),
    ] {
        assert_eq!(crc32c(bytes.into_iter()), want);
    }
}

proptest! {
    /// However the bytes of a connection arrive, the result is one, and nothing behind the header is read.
    #[test]
    fn any_bytes_have_one_result(
        begin in prop_oneof![Just(&b""[..]), Just(V1), Just(&b"PROXY TCP4 1.2.3.4 5.6.7.8 1 "[..]), Just(V2), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
        at_once in 1_usize..20,
    ) {
        let bytes = [begin, &rest].concat();
        let (whole, read_whole) = read(&bytes, usize::MAX);
        let (parts, read_parts) = read(&bytes, at_once);
        match (whole, parts) {
            (Some(Ok(whole)), Some(Ok(parts))) => prop_assert_eq!((whole, read_whole), (parts, read_parts)),
            (Some(Err(_)), Some(Err(_))) | (None, None) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// What a balancer writes is read as it was written.
    #[test]
    fn source_is_read_as_it_was_written(ip: [u8; 16], is_v6: bool, port: u16, tlvs in proptest::collection::vec(any::<u8>(), 0..50)) {
        let ip: IpAddr = match is_v6 {
            true => Ipv6Addr::from(ip).into(),
            false => Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]).into(),
        };
        let family = if is_v6 { "TCP6" } else { "TCP4" };
        let want = Ok(Source::Declared(SocketAddr::new(ip, port)));
        prop_assert_eq!(source_of(format!("PROXY {family} {ip} {ip} {port} 443\r\n").as_bytes()), want);
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let block = [&octets[..], &octets, &port.to_be_bytes(), b"\x01\xbb", &tlv(0xe0, &tlvs)].concat();
        prop_assert_eq!(source_of(&v2(0x21, if is_v6 { 0x21 } else { 0x11 }, &block)), want);
    }
}

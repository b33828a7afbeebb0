//! A path that is accepted has one reading: an independent percent-decoder and the URL parser of
//! browsers read the same, no dot segment or separator appears however often it is decoded, and
//! reading it again changes nothing.
//!
//! The first byte of an input is the allowance, the rest is the path.

#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use sidegate::request::path::{Allowance, EncodedSlash, NormalizedPath};
use url::Url;

fuzz_target!(|input: &[u8]| {
    let Some((&bits, raw)) = input.split_first() else {
        return;
    };
    let allowance = Allowance {
        double_slash: bits & 1 != 0,
        semicolon: bits & 2 != 0,
        encoded_slash: match bits >> 2 & 0b11 {
            0 => EncodedSlash::Ambiguous,
            0b01 => EncodedSlash::Either,
            _ => EncodedSlash::Opaque,
        },
        encoded_percent: bits & 16 != 0,
        encoded_delimiter: bits & 32 != 0,
    };
    let Ok(path) = NormalizedPath::parse(raw, allowance) else {
        return;
    };
    check_wire(path.as_str(), allowance);
    check_again(&path, allowance);
    check_decoded(&path);
    check_url(path.as_str());
    check_decoding_further(&path, allowance);
    check_lenient(&path, allowance);
});

/// RFC 3986, 3.3, within the allowance.
fn check_wire(wire: &str, allowance: Allowance) {
    assert!(wire.starts_with('/'));
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~:@!$&'()*+,;=%".contains(&b);
    assert!(wire.bytes().all(in_path), "{wire}");
    assert!(allowance.double_slash || !wire.contains("//"), "{wire}");
    assert!(
        allowance.semicolon || !(wire.contains(';') || wire.contains("%3B")),
        "{wire}"
    );
    assert!(
        allowance.encoded_slash != EncodedSlash::Ambiguous || !wire.contains("%2F"),
        "{wire}"
    );
    for escape in wire.split('%').skip(1) {
        let digits: Vec<_> = escape.bytes().take(2).collect();
        let canonical = |b: &u8| matches!(b, b'0'..=b'9' | b'A'..=b'F');
        assert!(digits.len() == 2 && digits.iter().all(canonical), "{wire}");
    }
}

fn check_again(path: &NormalizedPath<'_>, allowance: Allowance) {
    let again = NormalizedPath::parse(path.as_str().as_bytes(), allowance);
    assert_eq!(again.as_ref(), Ok(path));
}

fn check_decoded(path: &NormalizedPath<'_>) {
    let parts = path.as_str().split("%2F");
    let parts: Result<Vec<_>, _> = parts.map(|part| percent_decode_str(part).decode_utf8()).collect();
    assert_eq!(parts.expect("it is UTF-8").join("%2F"), path.decoded());
}

fn check_url(wire: &str) {
    let url = Url::parse(&format!("http://h{wire}")).expect("it is a URL");
    assert_eq!((url.path(), url.query(), url.fragment()), (wire, None, None));
    assert_eq!(url.host_str(), Some("h"));
}

/// Services that decode more than once find nothing that was hidden from the first reading.
fn check_decoding_further(path: &NormalizedPath<'_>, allowance: Allowance) {
    let mut text = path.as_str().to_owned();
    loop {
        let decoded = percent_decode_str(&text)
            .decode_utf8()
            .expect("it is UTF-8")
            .into_owned();
        assert!(
            !decoded.contains('\\') && !decoded.contains(char::is_control),
            "{decoded:?}"
        );
        assert!(
            allowance.encoded_delimiter || !decoded.contains(['?', '#']),
            "{decoded:?}"
        );
        let slashes = allowance.double_slash || allowance.encoded_slash != EncodedSlash::Ambiguous;
        assert!(slashes || !decoded.contains("//"), "{decoded:?}");
        for segment in decoded
            .split('/')
            .flat_map(|segment| [Some(segment), segment.split([';', '?', '#']).next()])
        {
            assert!(!matches!(segment, Some("." | "..")), "{decoded:?}");
        }
        if decoded == text {
            return;
        }
        text = decoded;
    }
}

/// Other readings are reported wherever there are some, and one of them is without the ambiguities.
fn check_lenient(path: &NormalizedPath<'_>, allowance: Allowance) {
    let strict = path.decoded();
    let is_opaque = allowance.encoded_slash == EncodedSlash::Opaque;
    assert_eq!(
        path.separated().next().is_some(),
        is_opaque && path.as_str().contains("%2F"),
        "{strict:?}"
    );
    let hides_escape = path.as_str().split("%25").skip(1).any(|rest| {
        let digits: Vec<_> = rest.bytes().take(2).collect();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    });
    let separator = !is_opaque && path.as_str().contains("%2F");
    let ambiguous = hides_escape || separator || strict.contains("//") || strict.contains([';', '?', '#']);
    let readings: Vec<_> = path.lenient().collect();
    assert_eq!(!readings.is_empty(), ambiguous, "{strict:?} {allowance:?}");
    assert!(readings.iter().all(|reading| reading.starts_with('/')), "{readings:?}");
    let clear = |reading: &&str| {
        let separator = !is_opaque && reading.contains("%2F");
        !separator && !reading.contains("//") && !reading.contains([';', '?', '#'])
    };
    assert!(!ambiguous || readings.iter().any(clear), "{readings:?}");
}

//! The bytes of a secret, from the content of a variable or file.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::decode::string_enum;

string_enum! {
    /// How a secret is written in its variable or file.
    pub enum SecretEncoding {
        /// As it is. One line end at the end of visible ASCII is not part of the secret.
        Text = "text",
        /// In base64 (RFC 4648, 4) or base64url (RFC 4648, 5), with or without padding.
        Base64 = "base64",
        /// In hex digits of either case (RFC 4648, 8).
        Hex = "hex",
    }
}

impl SecretEncoding {
    /// The words in documents.
    pub const WORDS: [&str; 3] = ["text", "base64", "hex"];

    /// Decodes the content of a variable or file. `None` if it is not written in this way.
    pub fn decode(self, content: &[u8]) -> Option<Vec<u8>> {
        let written = without_line_end(content);
        match self {
            Self::Text => Some(written.into_owned()),
            Self::Base64 => base64(&written),
            Self::Hex => hex(&written),
        }
    }

    /// What the content must be, for messages.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Base64 => "base64",
            Self::Hex => "hex",
        }
    }
}

/// Takes one line end from the end of visible ASCII. Content with any other byte is binary, or has lines, and stays whole.
fn without_line_end(content: &[u8]) -> Cow<'_, [u8]> {
    let line = content
        .strip_suffix(b"\n")
        .map_or(content, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let is_visible = line.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    Cow::Borrowed(if is_visible { line } else { content })
}

/// One alphabet, and all of the padding or none.
fn base64(written: &[u8]) -> Option<Vec<u8>> {
    let is_url = written.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = match (is_url, written.ends_with(b"=")) {
        (false, true) => STANDARD,
        (false, false) => STANDARD_NO_PAD,
        (true, true) => URL_SAFE,
        (true, false) => URL_SAFE_NO_PAD,
    };
    engine.decode(written).ok()
}

fn hex(written: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    };
    written.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_end_is_taken_from_visible_ascii_only() {
        for (content, want) in [
            (&b"secret"[..], &b"secret"[..]),
            (b"secret\n", b"secret"),
            (b"secret\r\n", b"secret"),
            (b"two words\n", b"two words"),
            (b"\n", b""),
            (b"secret\n\n", b"secret\n\n"),
            (b"secret\r", b"secret\r"),
            (b"one\ntwo\n", b"one\ntwo\n"),
            (b"tab\there\n", b"tab\there\n"),
            (b"\x01\x02\n", b"\x01\x02\n"),
            (b"\xff\n", b"\xff\n"),
            (b"\xff\r\n", b"\xff\r\n"),
            ("geheim-ä\n".as_bytes(), "geheim-ä\n".as_bytes()),
            (b"\x00\n", b"\x00\n"),
        ] {
            let found = SecretEncoding::Text.decode(content);
            assert_eq!(found.as_deref(), Some(want), "{content:?}");
        }
    }

    #[test]
    fn base64_has_one_alphabet_and_all_of_its_padding_or_none() {
        for (content, want) in [
            ("-_-_", Some(&[0xfb, 0xff, 0xbf][..])),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("+/-_", None),
            ("AQ==", Some(&[1])),
            ("AQ", Some(&[1])),
            ("AQ=", None),
            ("AQ===", None),
            ("AR==", None),
            ("A", None),
            ("AQ==\n", Some(&[1])),
            ("AQ==\r\n", Some(&[1])),
            ("AQ==\n\n", None),
            ("AQ\nAQ", None),
            (" AQ==", None),
            ("A Q=", None),
            ("A=Q=", None),
            ("AQ==AQ==", None),
            ("ä", None),
            ("", Some(&[])),
        ] {
            let found = SecretEncoding::Base64.decode(content.as_bytes());
            assert_eq!(found.as_deref(), want, "{content:?}");
        }
    }

    #[test]
    fn hex_has_pairs_of_digits() {
        for (content, want) in [
            ("00fF\n", Some(&[0, 255][..])),
            ("0", None),
            ("0x00", None),
            ("00 ff", None),
            ("00:ff", None),
            ("+1", None),
            ("00\n\n", None),
        ] {
            let found = SecretEncoding::Hex.decode(content.as_bytes());
            assert_eq!(found.as_deref(), want, "{content:?}");
        }
    }
}

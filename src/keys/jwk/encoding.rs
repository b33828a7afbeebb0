//! Base64 in key sets. What tokens are made of is read more strictly, in `authn/jws.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// The spellings that issuers use beside base64url without padding. None of them takes both alphabets at once.
const OTHERS: [GeneralPurpose; 3] = [URL_SAFE, STANDARD, STANDARD_NO_PAD];

/// Decodes base64url without padding (RFC 7515, 2).
pub(super) fn strict(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes a number of a public key, padded or in plain base64, too. Tells whether it is spelled as it should be.
pub(super) fn lenient(text: &str) -> Option<(Vec<u8>, bool)> {
    if let Some(bytes) = strict(text) {
        return Some((bytes, true));
    }
    let read = OTHERS.iter().find_map(|engine| engine.decode(text).ok());
    read.map(|bytes| (bytes, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_in_another_base64_is_read_and_anything_else_is_not() {
        let bytes = vec![0xfb, 0xff, 0xbf, 0x3e];
        for (text, want) in [
            ("-_-_Pg", Some(true)),
            ("-_-_Pg==", Some(false)),
            ("+/+/Pg", Some(false)),
            ("+/+/Pg==", Some(false)),
            // Two alphabets, wrong padding, stray bits, white space.
            ("-/-/Pg==", None),
            ("-_-_Pg=", None),
            ("-_-_Pg===", None),
            ("-_-_Ph==", None),
            ("-_-_\nPg==", None),
            (" -_-_Pg", None),
            ("-_-_Pg==A", None),
        ] {
            let read = lenient(text);
            assert_eq!(read, want.map(|exact| (bytes.clone(), exact)), "{text:?}");
            assert_eq!(strict(text).is_some(), want == Some(true), "{text:?}");
        }
    }
}

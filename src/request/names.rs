//! Header names as services may read them.

use http::HeaderName;

/// A header name as services may read it: in lower case, with `-` for each character that is neither a letter nor a
/// digit, with and without the prefix `http-`.
#[derive(Debug, Clone, Copy)]
pub struct FoldedName<'n> {
    whole: &'n [u8],
    behind_http: Option<&'n [u8]>,
}

impl FoldedName<'_> {
    /// Folds a name, and calls a function with it.
    pub fn with<T>(name: &str, call: impl FnOnce(FoldedName<'_>) -> T) -> T {
        let mut short = [0; 64];
        let long: Vec<u8>;
        let whole = if let Some(short) = short.get_mut(..name.len()) {
            for (to, from) in short.iter_mut().zip(name.bytes()) {
                *to = fold_byte(from);
            }
            &*short
        } else {
            long = name.bytes().map(fold_byte).collect();
            &long
        };
        call(FoldedName {
            whole,
            behind_http: whole.strip_prefix(b"http-"),
        })
    }

    /// Returns whether it is a spelling of a lower-case name with hyphens.
    pub fn is(&self, of: &str) -> bool {
        self.readings().any(|reading| reading == of.as_bytes())
    }

    /// Returns whether it begins with a lower-case prefix with hyphens, in any spelling.
    pub fn begins(&self, start: &str) -> bool {
        self.readings().any(|reading| reading.starts_with(start.as_bytes()))
    }

    /// Returns whether it is a spelling of a header's name, which may have any spelling itself.
    pub fn spells(&self, header: &HeaderName) -> bool {
        let header = header.as_str().as_bytes();
        let same = |reading: &[u8]| reading.iter().copied().eq(header.iter().copied().map(fold_byte));
        self.readings()
            .any(|reading| reading.len() == header.len() && same(reading))
    }

    /// Returns the name with `http-` and without.
    pub fn readings(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.whole).chain(self.behind_http)
    }
}

/// Returns whether a header name is a spelling of a lower-case name with hyphens.
pub fn is_alias(name: &str, of: &str) -> bool {
    FoldedName::with(name, |name| name.is(of))
}

/// Returns whether all bytes are those of a token (RFC 9110, 5.6.2).
pub fn is_token(name: &[u8]) -> bool {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    name.iter().all(fine)
}

/// A name in lower case with hyphens.
pub fn fold(name: &str) -> String {
    name.bytes().map(|b| char::from(fold_byte(b))).collect()
}

/// Folds a character as CGI and its successors do: one character for all that are neither letters nor digits (RFC
/// 3875, 4.1.18).
const fn fold_byte(byte: u8) -> u8 {
    match byte.is_ascii_alphanumeric() {
        true => byte.to_ascii_lowercase(),
        false => b'-',
    }
}

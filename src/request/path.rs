//! The one reading of a path.
//!
//! What a [`NormalizedPath`] holds is what routes are matched on *and* what is forwarded. A path
//! that two programs could read differently has no value of this type: its only constructor
//! refuses it. Nothing is repaired except what RFC 3986 calls equivalent: encoded unreserved
//! characters are decoded (6.2.2.2) and hex digits are upper-cased (6.2.2.1).

use std::borrow::Cow;

/// Ways to be ambiguous that a policy may open, one at a time (`paths.allow`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// `//`, for services that give empty segments a meaning.
    pub double_slash: bool,
    /// `;` and `%3B`.
    pub semicolon: bool,
    /// `%2F`.
    pub encoded_slash: bool,
}

/// Why a path has no single reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    /// It does not start with `/`; only origin-form has one reading (RFC 9112, 3.2.1).
    NotOriginForm,
    /// A `.` or `..` segment, in any encoding.
    DotSegment,
    /// `//`, an empty segment.
    DoubleSlash,
    /// `\` or `%5C`, a separator to some.
    Backslash,
    /// `%2F`, a separator to some.
    EncodedSlash,
    /// `;` or `%3B`, the start of parameters to some.
    Semicolon,
    /// `#`, `%23` or `%3F`, the end of the path to some.
    Delimiter,
    /// A control character, raw or encoded.
    ControlCharacter,
    /// A byte that RFC 3986 does not allow in a path.
    IllegalCharacter,
    /// `%` without two hex digits behind it.
    BrokenEscape,
    /// `%25` followed by two hex digits: an escape once decoded.
    DoubleEscape,
    /// Escapes that are no UTF-8 once decoded.
    NotUtf8,
    /// An encoded space at the edge of a segment, trimmed by some.
    EdgeSpace,
}

impl Ambiguity {
    /// What is wrong with the path, for the operator.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::NotOriginForm => "the target does not start with `/`",
            Self::DotSegment => "the path has a `.` or `..` segment",
            Self::DoubleSlash => "the path has `//`",
            Self::Backslash => "the path has `\\` or `%5C`",
            Self::EncodedSlash => "the path has `%2F`",
            Self::Semicolon => "the path has `;` or `%3B`",
            Self::Delimiter => "the path has `#`, `%23` or `%3F`",
            Self::ControlCharacter => "the path has a control character",
            Self::IllegalCharacter => "the path has a character that must be encoded",
            Self::BrokenEscape => "the path has a broken escape",
            Self::DoubleEscape => "the path has an escape within an escape",
            Self::NotUtf8 => "the path is not UTF-8 once decoded",
            Self::EdgeSpace => "the path has a space at the edge of a segment",
        }
    }
}

/// A path with exactly one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedPath<'r> {
    wire: Cow<'r, str>,
    decoded: Option<String>,
    lenient: Option<String>,
}

impl<'r> NormalizedPath<'r> {
    /// Reads the path of a request target (no query), or says why it has no single reading.
    pub fn parse(raw: &'r [u8], allowance: Allowance) -> Result<Self, Ambiguity> {
        if raw.first() != Some(&b'/') {
            return Err(Ambiguity::NotOriginForm);
        }
        let wire = normalize(raw, allowance)?;
        let decoded = if wire.contains('%') { Some(decode(&wire)?) } else { None };
        let path = Self {
            lenient: None,
            decoded,
            wire,
        };
        path.check_segments(allowance)?;
        let lenient = path.read_leniently(allowance);
        Ok(Self { lenient, ..path })
    }

    /// The path as it is forwarded, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.wire
    }

    /// The path as routes are matched on it: escapes decoded, except `%2F`.
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.wire)
    }

    /// What a lenient service would read where an allowance let something ambiguous through:
    /// slashes merged, parameters cut, `%2F` taken as a separator. `None` where there is but one
    /// reading.
    pub fn lenient(&self) -> Option<&str> {
        self.lenient.as_deref()
    }

    fn check_segments(&self, allowance: Allowance) -> Result<(), Ambiguity> {
        let decoded = self.decoded();
        if has_double_escape(&self.wire) {
            return Err(Ambiguity::DoubleEscape);
        }
        if !allowance.double_slash && decoded.contains("//") {
            return Err(Ambiguity::DoubleSlash);
        }
        for segment in decoded.split('/').flat_map(|s| s.split("%2F")) {
            let name = segment.split(';').next().unwrap_or_default();
            if name == "." || name == ".." {
                return Err(Ambiguity::DotSegment);
            }
            if segment.starts_with(' ') || segment.ends_with(' ') {
                return Err(Ambiguity::EdgeSpace);
            }
        }
        Ok(())
    }

    fn read_leniently(&self, allowance: Allowance) -> Option<String> {
        if allowance == Allowance::default() {
            return None;
        }
        let strict = self.decoded();
        let separated = strict.replace("%2F", "/");
        let mut lenient = String::with_capacity(separated.len());
        for segment in separated.split('/') {
            let name = segment.split(';').next().unwrap_or_default();
            if !name.is_empty() {
                lenient.push('/');
                lenient.push_str(name);
            }
        }
        let slashed = strict.len() > 1 && strict.ends_with('/');
        if lenient.is_empty() || slashed {
            lenient.push('/');
        }
        (lenient != strict).then_some(lenient)
    }
}

fn normalize(raw: &[u8], allowance: Allowance) -> Result<Cow<'_, str>, Ambiguity> {
    if raw.iter().all(|&b| is_plain(b)) {
        // Plain bytes are ASCII, so this cannot fail.
        return std::str::from_utf8(raw)
            .map(Cow::Borrowed)
            .map_err(|_| Ambiguity::NotUtf8);
    }
    let mut out = String::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = escape(bytes.next(), bytes.next())?;
                push_escaped(&mut out, escaped, allowance)?;
            }
            b';' if allowance.semicolon => out.push(';'),
            _ if is_plain(byte) => out.push(char::from(byte)),
            _ => return Err(refuse(byte)),
        }
    }
    Ok(Cow::Owned(out))
}

fn push_escaped(out: &mut String, byte: u8, allowance: Allowance) -> Result<(), Ambiguity> {
    let kept = match byte {
        b'/' => allowance.encoded_slash,
        b';' => allowance.semicolon,
        _ => true,
    };
    if !kept || matches!(byte, b'\\' | b'?' | b'#') || byte.is_ascii_control() {
        return Err(refuse(byte));
    }
    if is_unreserved(byte) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        for nibble in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(u32::from(nibble), 16).map(|c| c.to_ascii_uppercase()));
        }
    }
    Ok(())
}

/// What is wrong with a byte that may not stand in a path, raw or encoded.
fn refuse(byte: u8) -> Ambiguity {
    match byte {
        b'/' => Ambiguity::EncodedSlash,
        b'\\' => Ambiguity::Backslash,
        b';' => Ambiguity::Semicolon,
        b'#' | b'?' => Ambiguity::Delimiter,
        _ if byte.is_ascii_control() => Ambiguity::ControlCharacter,
        _ => Ambiguity::IllegalCharacter,
    }
}

fn escape(high: Option<u8>, low: Option<u8>) -> Result<u8, Ambiguity> {
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => u8::try_from(high * 16 + low).map_err(|_| Ambiguity::BrokenEscape),
        _ => Err(Ambiguity::BrokenEscape),
    }
}

/// Decodes the escapes of a normalized path, all but `%2F`.
fn decode(wire: &str) -> Result<String, Ambiguity> {
    let mut out = Vec::with_capacity(wire.len());
    let mut bytes = wire.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match escape(bytes.next(), bytes.next())? {
            b'/' => out.extend_from_slice(b"%2F"),
            byte => out.push(byte),
        }
    }
    let text = String::from_utf8(out).map_err(|_| Ambiguity::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(Ambiguity::ControlCharacter);
    }
    Ok(text)
}

fn has_double_escape(wire: &str) -> bool {
    wire.match_indices("%25").any(|(at, escape)| {
        let mut rest = wire.bytes().skip(at + escape.len());
        self::escape(rest.next(), rest.next()).is_ok()
    })
}

/// Bytes that stand for themselves: `/` and `pchar` of RFC 3986, 3.3, without `%` and `;`.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'='
        )
}

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Allowance = Allowance {
        double_slash: true,
        semicolon: true,
        encoded_slash: true,
    };

    #[test]
    fn a_path_with_one_reading_is_normalized() {
        for (raw, wire, decoded) in [
            ("/", "/", "/"),
            ("/a/b.json", "/a/b.json", "/a/b.json"),
            ("/a/", "/a/", "/a/"),
            ("/%77allets/%c3%a9", "/wallets/%C3%A9", "/wallets/é"),
            ("/a%20b", "/a%20b", "/a b"),
            ("/a%3ab", "/a%3Ab", "/a:b"),
            ("/100%25", "/100%25", "/100%"),
            ("/100%25x", "/100%25x", "/100%x"),
            ("/...", "/...", "/..."),
            ("/a..b/.c", "/a..b/.c", "/a..b/.c"),
        ] {
            let path = NormalizedPath::parse(raw.as_bytes(), Allowance::default()).unwrap();
            assert_eq!((path.as_str(), path.decoded()), (wire, decoded), "{raw}");
            assert_eq!(path.lenient(), None, "{raw}");
        }
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        use Ambiguity::*;
        for (raw, why) in [
            (&b"a/b"[..], NotOriginForm),
            (b"", NotOriginForm),
            (b"http://x/a", NotOriginForm),
            (b"*", NotOriginForm),
            (b"/a/../b", DotSegment),
            (b"/a/..", DotSegment),
            (b"/./a", DotSegment),
            (b"/a/%2e%2E/b", DotSegment),
            (b"/a/.%2e", DotSegment),
            (b"//a", DoubleSlash),
            (b"/a//", DoubleSlash),
            (b"/a\\b", Backslash),
            (b"/a%5cb", Backslash),
            (b"/a%2fb", EncodedSlash),
            (b"/a%2Fb", EncodedSlash),
            (b"/a;b", Semicolon),
            (b"/a%3bb", Semicolon),
            (b"/a#b", Delimiter),
            (b"/a%23b", Delimiter),
            (b"/a%3fb", Delimiter),
            (b"/a\0", ControlCharacter),
            (b"/a%00", ControlCharacter),
            (b"/a%0d%0a", ControlCharacter),
            (b"/a%7f", ControlCharacter),
            (b"/a%c2%85", ControlCharacter),
            (b"/a b", IllegalCharacter),
            (b"/a\"b", IllegalCharacter),
            (b"/a|b", IllegalCharacter),
            ("/é".as_bytes(), IllegalCharacter),
            (b"/a%", BrokenEscape),
            (b"/a%2", BrokenEscape),
            (b"/a%zz", BrokenEscape),
            (b"/a%+1", BrokenEscape),
            (b"/%252e%252e/x", DoubleEscape),
            (b"/%25%32%65", DoubleEscape),
            (b"/%2525", DoubleEscape),
            (b"/%c0%ae", NotUtf8),
            (b"/%ff", NotUtf8),
            (b"/a%20/b", EdgeSpace),
            (b"/%20a", EdgeSpace),
        ] {
            let got = NormalizedPath::parse(raw, Allowance::default());
            assert_eq!(got, Err(why), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn an_allowance_opens_one_way_and_tells_the_other_reading() {
        for (raw, decoded, lenient) in [
            ("/a//b", "/a//b", Some("/a/b")),
            ("/a;v=1/b", "/a;v=1/b", Some("/a/b")),
            ("/a%3bv/b", "/a;v/b", Some("/a/b")),
            ("/a%2fb", "/a%2Fb", Some("/a/b")),
            ("//", "//", Some("/")),
            ("/a/", "/a/", None),
            ("/a", "/a", None),
        ] {
            let path = NormalizedPath::parse(raw.as_bytes(), OPEN).unwrap();
            assert_eq!((path.decoded(), path.lenient()), (decoded, lenient), "{raw}");
        }
        for raw in ["/a%2f..%2fb", "/a/..;x/b", "/a/.%3b/b", "/a%5cb", "/a%2f%2e"] {
            assert!(NormalizedPath::parse(raw.as_bytes(), OPEN).is_err(), "{raw}");
        }
        let only = Allowance {
            semicolon: true,
            ..Allowance::default()
        };
        assert!(NormalizedPath::parse(b"/a//b", only).is_err());
        assert!(NormalizedPath::parse(b"/a%2fb", only).is_err());
    }
}

//! Normalizes paths, and rejects ambiguous ones.
//!
//! Sidegate matches routes on a [`NormalizedPath`] *and* forwards it. Its only constructor rejects a path that two
//! programs could read differently. Only what RFC 3986 calls equivalent is normalized: encoded unreserved characters
//! are decoded (6.2.2.2) and hex digits are upper-cased (6.2.2.1).

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
    /// `%` without two hex digits after it.
    BrokenEscape,
    /// `%25` followed by two hex digits: an escape once decoded.
    DoubleEscape,
    /// Escapes that do not decode to UTF-8.
    NotUtf8,
    /// An encoded space at the edge of a segment, trimmed by some.
    EdgeSpace,
}

impl Ambiguity {
    /// Describes what is wrong with the path, for the operator.
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
    literal: Option<String>,
    lenient: Vec<String>,
}

impl<'r> NormalizedPath<'r> {
    /// Parses the path of a request target, without the query. Fails if it has more than one reading.
    pub fn parse(raw: &'r [u8], allowance: Allowance) -> Result<Self, Ambiguity> {
        if raw.first() != Some(&b'/') {
            return Err(Ambiguity::NotOriginForm);
        }
        let wire = normalize(raw, allowance)?;
        let (decoded, literal) = match wire.contains('%') {
            true => (
                Some(decode(&wire, |_| true)?),
                Some(decode(&wire, |byte| !is_plain(byte))?),
            ),
            false => (None, None),
        };
        let path = Self {
            lenient: Vec::new(),
            literal: literal.filter(|literal| Some(literal) != decoded.as_ref()),
            decoded,
            wire,
        };
        path.check_segments(allowance)?;
        let lenient = path.lenient_readings(allowance);
        Ok(Self { lenient, ..path })
    }

    /// Returns the path as it is forwarded, byte for byte.
    pub fn as_str(&self) -> &str {
        &self.wire
    }

    /// Returns the path that routes are matched on: escapes decoded, except `%2F`.
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.wire)
    }

    /// Returns the path as a service reads it that does not decode the escape of a character that needs none, such as
    /// `%3A`. Returns `None` if the path has no such escape.
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// Returns the paths that lenient services would read if a policy allows something ambiguous: slashes merged,
    /// parameters cut, `%2F` taken as a separator, in every combination. Empty if the path has one reading.
    pub fn lenient(&self) -> impl Iterator<Item = &str> {
        self.lenient.iter().map(String::as_str)
    }

    fn check_segments(&self, allowance: Allowance) -> Result<(), Ambiguity> {
        let decoded = self.decoded();
        if has_double_escape(&self.wire) {
            return Err(Ambiguity::DoubleEscape);
        }
        // RFC 3986, 4.2: a target that begins with two slashes names an authority, whatever is allowed.
        if decoded.starts_with("//") || (decoded.contains("//") && !allowance.double_slash) {
            return Err(Ambiguity::DoubleSlash);
        }
        if decoded.starts_with("/%2F") {
            return Err(Ambiguity::EncodedSlash);
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

    fn lenient_readings(&self, allowance: Allowance) -> Vec<String> {
        if allowance == Allowance::default() {
            return Vec::new();
        }
        let strict: Vec<_> = [Some(self.decoded()), self.literal()].into_iter().flatten().collect();
        let mut readings: Vec<_> = strict.iter().map(|&path| path.to_owned()).collect();
        let mut widen = |allowed: bool, read: fn(&str) -> String| {
            let more: Vec<_> = readings.iter().filter(|_| allowed).map(|path| read(path)).collect();
            readings.extend(more);
        };
        // Some services cut parameters before they split at separators, others after it.
        widen(allowance.semicolon, without_parameters);
        widen(allowance.encoded_slash, |path| path.replace("%2F", "/"));
        widen(allowance.semicolon, without_parameters);
        widen(true, with_slashes_merged);
        readings.sort_unstable();
        readings.dedup();
        readings.retain(|path| !strict.contains(&path.as_str()));
        readings
    }
}

fn without_parameters(path: &str) -> String {
    let names: Vec<_> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .collect();
    names.join("/")
}

fn with_slashes_merged(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
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
            _ => return Err(ambiguity_of(byte)),
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
        return Err(ambiguity_of(byte));
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

/// Returns why a byte is not allowed in a path, raw or encoded.
fn ambiguity_of(byte: u8) -> Ambiguity {
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

/// Returns the byte that three characters are the escape of.
pub fn unescaped(escape: [u8; 3]) -> Option<u8> {
    let [b'%', high, low] = escape else { return None };
    self::escape(Some(high), Some(low)).ok()
}

/// Decodes escapes of a normalized path, those of some bytes, never `%2F`.
fn decode(wire: &str, which: impl Fn(u8) -> bool) -> Result<String, Ambiguity> {
    let mut out = Vec::with_capacity(wire.len());
    let mut rest = wire.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let (digits, after) = behind.split_at_checked(2).unwrap_or_default();
        let escaped = match byte {
            b'%' => Some(escape(digits.first().copied(), digits.last().copied())?),
            _ => None,
        };
        let decoded = escaped.filter(|&byte| byte != b'/' && which(byte));
        out.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { after } else { behind };
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

/// Returns whether a byte stands for itself: `/` and `pchar` of RFC 3986, 3.3, without `%` and `;`.
const fn is_plain(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'='
        )
}

/// Returns whether a byte is unreserved (RFC 3986, 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests;

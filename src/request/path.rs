//! Normalizes paths, and rejects ambiguous ones.
//!
//! Sidegate matches routes on a [`NormalizedPath`] *and* forwards it. Its only constructor rejects a path that two
//! programs could read differently. Only what RFC 3986 calls equivalent is normalized: encoded unreserved characters
//! are decoded (6.2.2.2) and hex digits are upper-cased (6.2.2.1).

use std::borrow::Cow;

/// How `%2F` is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// As a separator by some: the path is ambiguous.
    #[default]
    Ambiguous,
    /// As a separator by some, which must lead to the same route.
    Either,
    /// As a part of a segment, by a service that does not decode it.
    Opaque,
}

/// Ways to be ambiguous that a policy may open, one at a time (`paths.allow`, `paths.encoded_slash`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each word of `paths.allow`")]
pub struct Allowance {
    /// `//`, for services that give empty segments a meaning.
    pub double_slash: bool,
    /// `;` and `%3B`.
    pub semicolon: bool,
    /// `%2F`.
    pub encoded_slash: EncodedSlash,
    /// `%25` before two hex digits.
    pub encoded_percent: bool,
    /// `%23` and `%3F`.
    pub encoded_delimiter: bool,
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
    separated: Vec<String>,
}

impl<'r> NormalizedPath<'r> {
    /// Parses the path of a request target, without the query. Fails if it has more than one reading.
    pub fn parse(raw: &'r [u8], allowance: Allowance) -> Result<Self, Ambiguity> {
        if raw.first() != Some(&b'/') {
            return Err(Ambiguity::NotOriginForm);
        }
        if let Some(wire) = simple(raw) {
            return Ok(Self {
                wire: Cow::Borrowed(wire),
                decoded: None,
                literal: None,
                lenient: Vec::new(),
                separated: Vec::new(),
            });
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
            separated: Vec::new(),
            literal: literal.filter(|literal| Some(literal) != decoded.as_ref()),
            decoded,
            wire,
        };
        path.check_segments(allowance)?;
        if !path.is_ambiguous() {
            return Ok(path);
        }
        let readings = path.readings_of_others(allowance)?;
        let separated = separated(&readings, allowance);
        let strict = [Some(path.decoded()), path.literal()];
        let lenient = readings.into_iter().filter(|reading| !strict.contains(&Some(reading)));
        let lenient = lenient.collect();
        Ok(Self {
            lenient,
            separated,
            ..path
        })
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
    /// parameters cut, `%2F` taken as a separator, escapes of escapes decoded, in every combination. Empty if the path
    /// has one reading.
    pub fn lenient(&self) -> impl Iterator<Item = &str> {
        self.lenient.iter().map(String::as_str)
    }

    /// Returns the paths that a service would read that takes `%2F` for a separator, although the policy says that
    /// this one does not. Empty if the path has no such `%2F`.
    pub fn separated(&self) -> impl Iterator<Item = &str> {
        self.separated.iter().map(String::as_str)
    }

    /// Returns all readings.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        let strict = [Some(self.decoded()), self.literal()].into_iter().flatten();
        strict.chain(self.lenient()).chain(self.separated())
    }

    /// Whether the path has something that only an allowance lets through.
    fn is_ambiguous(&self) -> bool {
        let decoded = self.decoded();
        decoded.contains([';', '?', '#'])
            || decoded.contains("//")
            || self.wire.contains("%2F")
            || has_double_escape(&self.wire)
    }

    fn check_segments(&self, allowance: Allowance) -> Result<(), Ambiguity> {
        let decoded = self.decoded();
        if has_double_escape(&self.wire) && !allowance.encoded_percent {
            return Err(Ambiguity::DoubleEscape);
        }
        // RFC 3986, 4.2: a target that begins with two slashes names an authority, whatever is allowed.
        if decoded.starts_with("//") || (decoded.contains("//") && !allowance.double_slash) {
            return Err(Ambiguity::DoubleSlash);
        }
        match allowance.encoded_slash {
            EncodedSlash::Opaque if !decoded.split('/').all(is_opaque) => return Err(Ambiguity::EncodedSlash),
            EncodedSlash::Either if decoded.starts_with("/%2F") => return Err(Ambiguity::EncodedSlash),
            _ => {}
        }
        for segment in decoded.split('/').flat_map(|s| s.split("%2F")) {
            // A service that decodes once more than others ends the path here.
            let whole = segment.split(['?', '#']).next().unwrap_or_default();
            let name = whole.split(';').next().unwrap_or_default();
            if name == "." || name == ".." {
                return Err(Ambiguity::DotSegment);
            }
            if [segment, whole]
                .iter()
                .any(|text| text.starts_with(' ') || text.ends_with(' '))
            {
                return Err(Ambiguity::EdgeSpace);
            }
        }
        Ok(())
    }

    /// Returns what services read: as it is, decoded once more, cut at delimiters, without parameters, with `%2F` taken
    /// as a separator, with slashes merged, in every combination.
    fn readings_of_others(&self, allowance: Allowance) -> Result<Vec<String>, Ambiguity> {
        let strict = [Some(self.decoded()), self.literal()].into_iter().flatten();
        let mut readings: Vec<_> = strict.map(str::to_owned).collect();
        let slash = allowance.encoded_slash == EncodedSlash::Either;
        if has_double_escape(&self.wire) {
            readings.extend(self.decoded_once_more(allowance)?);
            if slash {
                // Once decoded, `%252F` looks like a `%2F` that was not.
                let separated = with_slashes_decoded(&self.wire);
                readings.push(decode(&separated, |_| true)?);
                readings.push(decode(&separated, |byte| !is_plain(byte))?);
            }
        }
        // Some services cut before they split at separators, others after it.
        widen(&mut readings, allowance.encoded_delimiter, without_delimited);
        widen(&mut readings, allowance.semicolon, without_parameters);
        widen(&mut readings, slash, with_slashes_decoded);
        widen(&mut readings, allowance.semicolon, without_parameters);
        widen(&mut readings, allowance.encoded_delimiter, without_delimited);
        widen(&mut readings, true, with_slashes_merged);
        Ok(readings)
    }

    /// Returns the readings of the path whose escapes are decoded once more. That path must be one that the policy
    /// allows by its other words. `%252F` is rejected beside an opaque `%2F`: decoded twice, it is a separator.
    fn decoded_once_more(&self, allowance: Allowance) -> Result<Vec<String>, Ambiguity> {
        let inner = Allowance {
            encoded_percent: false,
            ..allowance
        };
        let is_opaque = allowance.encoded_slash == EncodedSlash::Opaque;
        // What is escaped once stays as it is: only the escapes of escapes are decoded.
        let (mut once, mut rest) = (String::new(), &*self.wire);
        while let Some((before, after)) = rest.split_once("%25") {
            if is_opaque && (after.starts_with("2F") || after.starts_with("2f")) {
                return Err(Ambiguity::DoubleEscape);
            }
            once.push_str(before);
            once.push_str(if is_escape(after) { "%" } else { "%25" });
            rest = after;
        }
        once.push_str(rest);
        let path = NormalizedPath::parse(once.as_bytes(), inner).map_err(|_| Ambiguity::DoubleEscape)?;
        let strict = [Some(path.decoded()), path.literal()].into_iter().flatten();
        Ok(strict.chain(path.lenient()).map(str::to_owned).collect())
    }
}

/// Adds to each reading the one that some services make of it.
fn widen(readings: &mut Vec<String>, allowed: bool, read: fn(&str) -> String) {
    if allowed {
        let more: Vec<_> = readings.iter().map(|path| read(path)).collect();
        readings.extend(more);
        readings.sort_unstable();
        readings.dedup();
    }
}

/// Returns the readings of services that decode `%2F`, where the policy says that this one does not.
fn separated(readings: &[String], allowance: Allowance) -> Vec<String> {
    if allowance.encoded_slash != EncodedSlash::Opaque {
        return Vec::new();
    }
    let encoded = readings.iter().filter(|path| path.contains("%2F"));
    let mut separated = encoded.map(|path| with_slashes_decoded(path)).collect();
    widen(&mut separated, allowance.semicolon, without_parameters);
    widen(&mut separated, allowance.encoded_delimiter, without_delimited);
    widen(&mut separated, true, with_slashes_merged);
    separated
}

/// Returns whether each `%2F` of a segment is within it, alone, or all of it.
fn is_opaque(segment: &str) -> bool {
    let end = segment.find([';', '?', '#']).unwrap_or(segment.len());
    let name = segment.get(..end).unwrap_or_default();
    let is_inner = |text: &str| !(text.starts_with("%2F") || text.ends_with("%2F") || text.contains("%2F%2F"));
    segment == "%2F" || (is_inner(segment) && is_inner(name))
}

/// Returns whether a text begins with two hex digits.
fn is_escape(text: &str) -> bool {
    let mut digits = text.bytes();
    escape(digits.next(), digits.next()).is_ok()
}

/// Cuts a path where a service that looks for a query or a fragment once more ends it.
fn without_delimited(path: &str) -> String {
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn with_slashes_decoded(path: &str) -> String {
    path.replace("%2F", "/")
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

/// Returns a path that is read in one way by its bytes alone, as most are: each stands for itself, and no segment is
/// empty or begins with a dot.
fn simple(raw: &[u8]) -> Option<&str> {
    let mut last = 0;
    let is_simple = raw.iter().all(|&byte| {
        let is_special = last == b'/' && matches!(byte, b'/' | b'.');
        last = byte;
        is_plain(byte) && !is_special
    });
    // Plain bytes are ASCII, so this cannot fail.
    std::str::from_utf8(raw).ok().filter(|_| is_simple)
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
        b'/' => allowance.encoded_slash != EncodedSlash::Ambiguous,
        b';' => allowance.semicolon,
        b'?' | b'#' => allowance.encoded_delimiter,
        _ => true,
    };
    if !kept || byte == b'\\' || byte.is_ascii_control() {
        return Err(ambiguity_of(byte));
    }
    if is_unreserved(byte) {
        out.push(char::from(byte));
    } else {
        push_escape(out, byte);
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

/// Returns a decoded path in the form in which it is forwarded.
pub fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match is_plain(byte) {
            true => out.push(char::from(byte)),
            false => push_escape(&mut out, byte),
        }
    }
    out
}

fn push_escape(out: &mut String, byte: u8) {
    out.push('%');
    for nibble in [byte >> 4, byte & 15] {
        out.extend(char::from_digit(u32::from(nibble), 16).map(|c| c.to_ascii_uppercase()));
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
    let mut escapes = wire.match_indices("%25");
    escapes.any(|(at, escape)| wire.get(at + escape.len()..).is_some_and(is_escape))
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

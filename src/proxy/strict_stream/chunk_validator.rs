//! Validates a chunked body as it is read (RFC 9112, 7.1): pingora accepts sizes and extensions that
//! other readers take differently. It changes no bytes.

use memchr::memchr;

/// The longest line of a chunk's size and extensions, and of all trailer fields together.
const LINE_BYTES: usize = 4 * 1024;

/// The most digits of a chunk's size, so that it fits.
const SIZE_DIGITS: usize = 15;

/// The state of a chunked body, as far as it was read.
#[derive(Debug)]
pub(super) struct ChunkValidator {
    next: Next,
    /// The part of the current line that was read.
    line: Vec<u8>,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The line before the data of a chunk.
    Size,
    /// This much data.
    Data(u64),
    /// The end of the line behind the data.
    DataEnd,
    /// Trailer fields, up to an empty line.
    Trailers,
    /// The body has ended; what follows does not belong to it.
    Nothing,
}

/// The error of a body that is not validly chunked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl ChunkValidator {
    /// Starts before the first byte of a body.
    pub(super) fn new() -> Self {
        Self {
            next: Next::Size,
            line: Vec::new(),
            trailer_bytes: 0,
        }
    }

    /// Reads on, up to the end of the body or what a strict reader rejects. Returns how many bytes belong
    /// to the body.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.next {
                Next::Data(left) => self.skip(left, rest),
                Next::Nothing => break,
                Next::Size | Next::DataEnd | Next::Trailers => self.read_line(rest)?,
            };
        }
        Ok(bytes.len() - rest.len())
    }

    /// Returns whether the body was read to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.next == Next::Nothing
    }

    fn skip<'b>(&mut self, left: u64, bytes: &'b [u8]) -> &'b [u8] {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length < left {
            self.next = Next::Data(left - length);
            return &[];
        }
        self.next = Next::DataEnd;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        bytes.get(left..).unwrap_or_default()
    }

    /// Reads up to the end of a line, and returns what follows it.
    fn read_line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Malformed> {
        let end = memchr(b'\n', bytes);
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if self.line.len() + part.len() > LINE_BYTES {
            return Err(Malformed);
        }
        self.line.extend_from_slice(part);
        let Some(end) = end else { return Ok(&[]) };
        let mut line = std::mem::take(&mut self.line);
        self.next = self.after(line.strip_suffix(b"\r").ok_or(Malformed)?)?;
        line.clear();
        self.line = line;
        Ok(bytes.get(end + 1..).unwrap_or_default())
    }

    fn after(&mut self, line: &[u8]) -> Result<Next, Malformed> {
        match self.next {
            Next::Size => match size(line).ok_or(Malformed)? {
                0 => Ok(Next::Trailers),
                size => Ok(Next::Data(size)),
            },
            Next::DataEnd if line.is_empty() => Ok(Next::Size),
            Next::Trailers if line.is_empty() => Ok(Next::Nothing),
            Next::Trailers => {
                self.trailer_bytes += line.len();
                let fine = self.trailer_bytes <= LINE_BYTES && is_field(line);
                fine.then_some(Next::Trailers).ok_or(Malformed)
            }
            Next::Data(_) | Next::DataEnd | Next::Nothing => Err(Malformed),
        }
    }
}

/// Parses the line before a chunk: its size, and extensions that are ignored.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at_checked(digits)?;
    if !(1..=SIZE_DIGITS).contains(&digits) || !are_extensions(extensions) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

/// Checks the extensions of a chunk (RFC 9112, 7.1.1), without the white space that only a broken sender writes:
/// `*( ";" token [ "=" ( token / quoted-string ) ] )`.
fn are_extensions(mut text: &[u8]) -> bool {
    while let Some(rest) = text.strip_prefix(b";") {
        let Some(rest) = after_token(rest) else { return false };
        text = match rest.strip_prefix(b"=") {
            None => rest,
            Some(value) => match after_token(value).or_else(|| after_quoted(value)) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
    text.is_empty()
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&b| is_token_byte(b)).count();
    text.get(length..).filter(|_| length > 0)
}

/// RFC 9110, 5.6.4.
fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] | [escaped, rest @ ..] if is_text(*escaped) => rest,
            _ => return None,
        };
    }
}

/// RFC 9112, 5: `name: value`, without space before the colon and not folded.
fn is_field(line: &[u8]) -> bool {
    let value = after_token(line).and_then(|rest| rest.strip_prefix(b":"));
    value.is_some_and(|value| value.iter().all(|&b| is_text(b)))
}

/// RFC 9110, 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Returns whether a byte is neither a control character nor the end of a line.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte == b' ' || byte.is_ascii_graphic() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body whole, and again byte by byte: the results must be equal.
    fn read(body: &[u8]) -> Result<Next, Malformed> {
        let mut whole = ChunkValidator::new();
        let result = whole.read(body).map(|length| (length, whole.next));
        let mut parts = ChunkValidator::new();
        let each = body
            .chunks(1)
            .try_fold(0, |length, part| Ok(length + parts.read(part)?));
        let each = each.map(|length| (length, parts.next));
        assert_eq!(result, each, "{:?}", String::from_utf8_lossy(body));
        result.map(|(length, next)| {
            assert!(length == body.len() || next == Next::Nothing);
            next
        })
    }

    #[test]
    fn bodies_that_every_reader_reads_alike() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"A\r\nhelloworld\r\n00\r\n\r\n",
            b"5\r\nhe\r\no\r\n0\r\n\r\n",
            b"5;a\r\nhello\r\n0;b=c;d=\"e;\\\"f\"\r\n\r\n",
            b"0\r\nx-sum: 1\r\nx-empty:\r\n\r\n",
            b"0\r\n\r\nGET / HTTP/1.1\r\n",
        ] {
            assert_eq!(read(body), Ok(Next::Nothing), "{:?}", String::from_utf8_lossy(body));
        }
        assert_eq!(read(b"5\r\nhel"), Ok(Next::Data(2)));
    }

    #[test]
    fn bodies_that_some_read_otherwise() {
        for body in [
            &b"\r\n"[..],
            b"5 \r\n",
            b" 5\r\n",
            b"\t5\r\n",
            b"5;\r\n",
            b"5; a\r\n",
            b"5 ;a\r\n",
            b"5;a=\r\n",
            b"5;a=\"b\r\n",
            b"5;a=\"b\"c\r\n",
            b"5;a=\"\x00\"\r\n",
            b"5;[=a\r\n",
            b"5\n",
            b"5\rX\r\n",
            b"0x5\r\n",
            b"+5\r\n",
            b"-1\r\n",
            b"5_0\r\n",
            b"g\r\n",
            b"0000000000000005\r\n",
            b"ffffffffffffffff\r\n",
            b"5\r\nhello0\r\n",
            b"5\r\nhello\n0\r\n",
            b"5\r\nhello\r\r\n",
            b"0\r\nx : y\r\n",
            b"0\r\n: y\r\n",
            b"0\r\nx\r\n",
            b"0\r\nx: a\r\n folded\r\n",
            b"0\r\nx: a\0\r\n",
            b"0\r\nx: a\n",
            b"0\r\n\n",
        ] {
            assert_eq!(read(body), Err(Malformed), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn what_describes_a_body_is_bounded() {
        let extension = format!("5;a={}\r\n", "x".repeat(LINE_BYTES));
        assert_eq!(read(extension.as_bytes()), Err(Malformed));
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(LINE_BYTES));
        assert_eq!(read(trailers.as_bytes()), Err(Malformed));
    }
}

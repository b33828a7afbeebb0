//! The end of a request: how much of it is still to come. What a client sends behind it belongs to its
//! next request, and the session of the current one gets none of it.

use super::chunk_validator::ChunkValidator;
use super::head_scanner::HeadScanner;
use crate::request::Body;

/// What is still to come of the current request.
#[derive(Debug)]
pub(super) enum Remainder {
    /// A part of the head, and then what its fields announce.
    Head,
    /// This much of a body.
    Sized(u64),
    /// A chunked body, as far as it was read.
    Chunked(ChunkValidator),
    /// Nothing.
    Nothing,
    /// All that the connection still brings: where the request ends is uncertain, so no other follows.
    Unknown,
    /// Unknown, behind a malformed chunk.
    Malformed,
}

impl Remainder {
    /// Returns what follows a complete head.
    pub(super) fn behind(head: &HeadScanner) -> Self {
        match head.body() {
            Some(Body::None) => Self::Nothing,
            Some(Body::Sized(length)) => Self::Sized(length),
            Some(Body::Streamed) => Self::Chunked(ChunkValidator::new()),
            None => Self::Unknown,
        }
    }

    /// Returns whether the request was read to its end.
    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Returns whether the end of the request is known, or how to find it.
    pub(super) const fn is_certain(&self) -> bool {
        matches!(self, Self::Sized(_) | Self::Chunked(_) | Self::Nothing)
    }

    /// Returns how many bytes a read may take so that it takes nothing beyond the request, where that is
    /// known beforehand.
    pub(super) fn limit(&self) -> usize {
        match self {
            Self::Sized(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    /// Takes bytes of a body. Returns how many of them belong to it: zero from a malformed chunk on.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Sized(left) => {
                let length = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
                if *left == 0 {
                    *self = Self::Nothing;
                }
                length
            }
            Self::Chunked(chunks) => {
                let Ok(length) = chunks.read(bytes) else {
                    *self = Self::Malformed;
                    return 0;
                };
                if chunks.has_ended() {
                    *self = Self::Nothing;
                }
                length
            }
            Self::Unknown => bytes.len(),
            Self::Head | Self::Nothing | Self::Malformed => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what of some bytes is the body behind a head, and whether its end is reached and certain.
    fn body_of(fields: &str, bytes: &[u8], step: usize) -> (usize, bool, bool) {
        let mut head = HeadScanner::default();
        assert!(
            head.read(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes())
                .is_some()
        );
        let mut remainder = Remainder::behind(&head);
        let mut taken = 0;
        for part in bytes.chunks(step) {
            let length = remainder.take(part);
            taken += length;
            if length < part.len() {
                break;
            }
        }
        (taken, remainder.is_nothing(), remainder.is_certain())
    }

    #[test]
    fn request_ends_where_its_framing_says_however_it_is_cut() {
        const NEXT: &str = "GET / HTTP/1.1\r\n\r\n";
        for (fields, body) in [
            ("", ""),
            ("content-length: 0\r\n", ""),
            ("content-length: 5\r\n", "hello"),
            ("Content-Length:5\r\n", "GET /"),
            ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            ("Transfer-Encoding:\t Chunked \r\n", "0\r\nx: y\r\n\r\n"),
        ] {
            let bytes = format!("{body}{NEXT}");
            for step in [1, 2, 3, 7, 100] {
                let (taken, ended, certain) = body_of(fields, bytes.as_bytes(), step);
                assert_eq!((taken, ended, certain), (body.len(), true, true), "{fields:?} {step}");
            }
            if let Some((_, start)) = body.as_bytes().split_last() {
                let (taken, ended, _) = body_of(fields, start, 1);
                assert_eq!((taken, ended), (start.len(), false), "{fields:?}");
            }
        }
    }

    #[test]
    fn request_without_a_certain_end_has_no_next_one() {
        let spaces = " ".repeat(100);
        let long = format!("content-length:{spaces}5\r\n");
        for fields in [
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: 05\r\n",
            "content-length: +5\r\n",
            "content-length:\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: \x0bchunked\r\n",
            &long,
        ] {
            let body = b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
            assert_eq!(body_of(fields, body, 100), (body.len(), false, false), "{fields:?}");
        }
        let (_, ended, certain) = body_of("transfer-encoding: chunked\r\n", b"5;;\r\nhello\r\n0\r\n\r\n", 100);
        assert_eq!((ended, certain), (false, false));
    }
}

//! Recognizes the rejections that pingora writes by itself: empty ones, before a request is complete.

/// Returns the status of a rejection: the bytes are the start of what pingora writes.
pub(super) fn pingora_rejection(buf: &[u8]) -> Option<u16> {
    let status = buf
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| buf.strip_prefix(b"HTTP/1.0 "))?
        .get(..3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    (400..500).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rejections_of_pingora_are_replaced() {
        for (answer, want) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some(400)),
            (b"HTTP/1.1 405 Method Not Allowed\r\n", Some(405)),
            (b"HTTP/1.1 100 Continue\r\n", None),
            (b"HTTP/1.1 200 OK\r\n", None),
            (b"HTTP/1.1", None),
            (b"", None),
        ] {
            assert_eq!(pingora_rejection(answer), want);
        }
    }
}

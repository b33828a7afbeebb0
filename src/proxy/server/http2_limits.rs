//! Limits of one HTTP/2 connection that follow from the limits of the process. The codec of pingora itself
//! counts resets, `CONTINUATION` frames and malformed requests.

use pingora::protocols::http::v2::server::H2Options;

use crate::config::Limits;

/// What RFC 9113, 6.5.2 adds to a field's name and value.
const FIELD_OVERHEAD: usize = 32;

/// The response bytes of a stream that wait for the client; the codec's own 400 KiB for each of a
/// hundred streams would be 40 MiB for one client that does not read.
const SEND_BUFFER: usize = 64 * 1024;

/// Options that follow from the limits.
pub(super) fn options(limits: &Limits) -> H2Options {
    let mut options = H2Options::default();
    options.max_header_list_size(header_list(limits));
    options.max_concurrent_streams(limits.streams);
    options.max_send_buffer_size(SEND_BUFFER);
    options
}

/// Twice what is accepted: a head that is only somewhat too large still gets an error body. Beyond
/// it the codec responds, or ends the connection.
fn header_list(limits: &Limits) -> u32 {
    let request = &limits.request;
    let accepted = request.header_bytes + request.target_bytes + request.headers * FIELD_OVERHEAD;
    u32::try_from(accepted.saturating_mul(2)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_list_follows_the_limits() {
        let mut limits = Limits::default();
        assert_eq!(header_list(&limits), 2 * (32 * 1024 + 8 * 1024 + 100 * 32));
        limits.request.header_bytes = 1 << 40;
        assert_eq!(header_list(&limits), u32::MAX);
    }
}

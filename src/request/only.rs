//! Headers that decide, and so must not occur twice.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Returns the value of a header that occurs exactly once.
pub fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

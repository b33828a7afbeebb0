//! The form of what is under a key: a claim, or a stored response.

use uuid::Uuid;

/// The first byte of what is under a key says what it is.
pub(super) const CLAIMED: u8 = b'c';
pub(super) const ANSWERED: u8 = b'b';

/// A response as earlier versions stored it: without the owner of its claim.
pub(super) const ANSWERED_BY_UNKNOWN: u8 = b'a';

/// How long the beginning of a stored response is: with the digest of its request, and with the owner
/// of its claim as well.
pub(super) const DIGEST_HEAD: usize = 1 + 32;
pub(super) const OWNED_HEAD: usize = DIGEST_HEAD + 16;

/// Returns the value of a key that a request in flight holds.
pub(super) fn claimed(owner: Uuid) -> Vec<u8> {
    [&[CLAIMED], owner.as_bytes().as_slice()].concat()
}

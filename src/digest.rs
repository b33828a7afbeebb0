//! One name for many things together, that no other things have: SHA-256 over parts that are each
//! written with their length.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// The digest of some parts. Holds no separator, no text of a client's, and says nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The name of these parts in this order.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Hasher::default();
        for part in parts {
            hasher.add_part(part);
        }
        hasher.end()
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// In hex.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of bytes that come one after the other, without lengths.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// A part, with its length, so that it is not taken for others.
    pub fn add_part(&mut self, part: &[u8]) {
        self.add(&(part.len() as u64).to_be_bytes());
        self.add(part);
    }

    /// The next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn end(self) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_not_taken_for_others() {
        let cases: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"ab", b"c"],
            &[b"a", b"bc"],
            &[b"abc"],
            &[b"c", b"ab"],
        ];
        for (at, parts) in cases.iter().enumerate() {
            for other in cases.iter().skip(at + 1) {
                assert_ne!(Fingerprint::of(parts), Fingerprint::of(other), "{parts:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_body_has_the_digest_that_others_compute() {
        let mut hasher = Hasher::default();
        hasher.add(b"a");
        hasher.add(b"");
        hasher.add(b"bc");
        // FIPS 180-4, the example of one block.
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hasher.end().to_string(), want);
    }
}

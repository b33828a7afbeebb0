//! Keys that are made for a moment, in place of those that policies name.

use std::io;
use std::path::Path;

use crate::document::environment::{Environment, StandIns};
use crate::document::key_reference::KeyReference;
use crate::keys::{Algorithm, KeySet};
use crate::policy::Issuer;

/// Throwaway keys: the same reference always gets the same key, and no other reference gets it. As an environment, they let
/// policies be read without any of their variables and files.
#[derive(Debug, Default)]
pub struct ThrowawayKeys;

impl ThrowawayKeys {
    /// Makes no key yet.
    pub fn new() -> Self {
        Self
    }

    /// Returns the keys that verify the tokens of an issuer.
    pub fn key_set(&self, _issuer: &Issuer) -> KeySet {
        KeySet::default()
    }
}

impl Environment for ThrowawayKeys {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn stand_ins(&self) -> Option<&dyn StandIns> {
        Some(self)
    }
}

impl StandIns for ThrowawayKeys {
    fn secret(&self, reference: &KeyReference) -> Vec<u8> {
        format!("a throwaway key for {reference}, of 64 bytes or more, so that it is long enough for all").into_bytes()
    }
}

/// Returns the algorithm with the cheapest keys and signatures.
pub fn cheapest(algorithms: &[Algorithm]) -> Option<Algorithm> {
    algorithms.iter().copied().min_by_key(|algorithm| cost(*algorithm))
}

/// The place of an algorithm in the order of what its keys and signatures cost.
const fn cost(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::HS256 => 0,
        Algorithm::HS384 => 1,
        Algorithm::HS512 => 2,
        Algorithm::EdDSA => 3,
        Algorithm::ES256 => 4,
        Algorithm::ES384 => 5,
        Algorithm::RS256 => 6,
        Algorithm::RS384 => 7,
        Algorithm::RS512 => 8,
        Algorithm::PS256 => 9,
        Algorithm::PS384 => 10,
        Algorithm::PS512 => 11,
    }
}

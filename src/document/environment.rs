//! What a policy may ask of its surroundings: variables and files. A trait, so that checking a
//! policy is pure and the demo can bring its own.

use std::io;
use std::path::Path;

use super::key_reference::KeyReference;

/// The longest file that a policy may name, in bytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Variables and files.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file, at most [`MAX_BYTES`].
    fn file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What takes the place of all secrets, keys, certificates and variables of URLs. With it, nothing is read, and
    /// nothing is wrong with what was not read.
    fn stand_ins(&self) -> Option<&dyn StandIns> {
        None
    }
}

/// What takes the place of things that a document names, where they must not or cannot be read.
pub trait StandIns {
    /// Returns the secret of a reference: printable ASCII, always the same for the same reference.
    fn secret(&self, reference: &KeyReference) -> Vec<u8>;
}

/// Returns what would fix it that a file cannot be read, if it is the file itself and not what may be done with it.
pub fn fix(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        _ if error.raw_os_error().is_some() => None,
        io::ErrorKind::FileTooLarge => Some("shorten it, or name another file"),
        io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput => Some("name a regular file"),
        _ => None,
    }
}

/// Variables and files by name, for tests and the demo.
#[derive(Debug, Clone, Default)]
pub struct FixedEnvironment {
    /// The variables.
    pub variables: Vec<(String, String)>,
    /// The files.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Environment for FixedEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
    }

    fn file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.files.iter().find(|(name, _)| Path::new(name) == path);
        found
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

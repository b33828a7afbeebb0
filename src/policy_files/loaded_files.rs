//! The files that policies were read from, each by its name and the digest of its content, to see
//! which of them changed. Reads nothing, and keeps no content.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::fd_limit::is_lack;

/// How much of a digest tells two sets of policies apart, in bytes.
const HASH_BYTES: usize = 8;

/// The state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// A file, by the SHA-256 digest of its content.
    Content([u8; 32]),
    /// Nothing that can be read.
    Unreadable(io::ErrorKind),
    /// Unknown: the process has no file descriptor left to look.
    Unseen,
}

impl FileState {
    /// What an attempt to read found.
    pub fn by(read: &io::Result<Vec<u8>>) -> Self {
        match read {
            Ok(bytes) => Self::of(bytes),
            Err(error) if is_lack(error) => Self::Unseen,
            Err(error) => Self::Unreadable(error.kind()),
        }
    }

    /// A file with this content.
    pub fn of(bytes: &[u8]) -> Self {
        Self::Content(digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default())
    }
}

/// All files that some policies were read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedFiles {
    /// The policies; a folder that cannot be read stands for those in it.
    pub policies: BTreeMap<PathBuf, FileState>,
    /// The files that policies name.
    pub named: BTreeMap<PathBuf, FileState>,
}

impl LoadedFiles {
    /// Iterates over all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.policies.keys().chain(self.named.keys()).map(PathBuf::as_path)
    }

    /// Whether some of it could not be looked at, so that it says nothing about a change.
    pub fn is_blind(&self) -> bool {
        let mut all = self.policies.values().chain(self.named.values());
        all.any(|found| *found == FileState::Unseen)
    }

    /// The files that are new, gone, or not what they were.
    pub fn changed_since<'f>(&'f self, earlier: &'f Self) -> Vec<&'f Path> {
        let mut changed = Vec::new();
        for (now, before) in [(&self.policies, &earlier.policies), (&self.named, &earlier.named)] {
            let differs = now.iter().filter(|(path, found)| before.get(*path) != Some(found));
            let gone = before.keys().filter(|path| !now.contains_key(*path));
            changed.extend(differs.map(|(path, _)| path.as_path()));
            changed.extend(gone.map(PathBuf::as_path));
        }
        changed
    }

    /// The name of these policies, the same wherever the same files are mounted. What they name is
    /// left out: a digest of a secret would let anybody who reads it try out secrets.
    pub fn hash(&self) -> String {
        let mut context = Context::new(&SHA256);
        for (path, found) in &self.policies {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            context.update(&(name.len() as u64).to_be_bytes());
            context.update(name);
            if let FileState::Content(digest) = found {
                context.update(digest);
            }
        }
        let mut hash = String::new();
        for byte in context.finish().as_ref().iter().take(HASH_BYTES) {
            let _ = write!(hash, "{byte:02x}");
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded_files(policies: &[(&str, &str)], named: &[(&str, Option<&str>)]) -> LoadedFiles {
        let found = |content: Option<&str>| match content {
            Some(text) => FileState::by(&Ok(text.as_bytes().to_vec())),
            None => FileState::by(&Err(io::ErrorKind::NotFound.into())),
        };
        LoadedFiles {
            policies: policies
                .iter()
                .map(|(name, text)| (name.into(), found(Some(text))))
                .collect(),
            named: named.iter().map(|(name, text)| (name.into(), found(*text))).collect(),
        }
    }

    #[test]
    fn what_is_new_gone_or_different_has_changed() {
        let before = loaded_files(&[("p/a", "1"), ("p/b", "1")], &[("s", Some("x")), ("t", None)]);
        let check = |after: &LoadedFiles, changed: &[&str]| {
            let changed: Vec<_> = changed.iter().map(Path::new).collect();
            assert_eq!(after.changed_since(&before), changed);
        };
        check(&before, &[]);
        check(
            &loaded_files(&[("p/a", "2"), ("p/b", "1")], &[("s", Some("x")), ("t", None)]),
            &["p/a"],
        );
        check(
            &loaded_files(&[("p/a", "1")], &[("s", Some("x")), ("t", None)]),
            &["p/b"],
        );
        check(
            &loaded_files(
                &[("p/a", "1"), ("p/b", "1"), ("p/c", "")],
                &[("s", Some("y")), ("t", Some(""))],
            ),
            &["p/c", "s", "t"],
        );
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_has_not_changed() {
        let seen = loaded_files(&[("p/a", "1")], &[("s", Some("x")), ("t", None)]);
        assert!(!seen.is_blind());
        let lack = || {
            FileState::by(&Err(io::Error::from_raw_os_error(
                rustix::io::Errno::MFILE.raw_os_error(),
            )))
        };
        let mut policies = seen.clone();
        policies.policies.insert("p/a".into(), lack());
        let mut named = seen;
        named.named.insert("s".into(), lack());
        assert!(policies.is_blind() && named.is_blind());
    }

    #[test]
    fn the_hash_tells_policies_apart_and_no_secrets() {
        let hash = |policies: &[(&str, &str)], secret: &str| loaded_files(policies, &[("s", Some(secret))]).hash();
        let one = hash(&[("p/a", "1"), ("p/b", "2")], "x");
        assert_eq!(one.len(), 16);
        assert_eq!(one, hash(&[("elsewhere/a", "1"), ("elsewhere/b", "2")], "y"));
        for other in [
            hash(&[("p/a", "2"), ("p/b", "2")], "x"),
            hash(&[("p/a", "2"), ("p/b", "1")], "x"),
            hash(&[("p/a", "1")], "x"),
            hash(&[("p/a", "1"), ("p/c", "2")], "x"),
        ] {
            assert_ne!(one, other);
        }
    }
}

//! Which folders to watch so that a change of some files cannot be missed: those on the way to
//! each file, over every symbolic link. Watches nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// The most symbolic links on the way to a file; as many as Linux follows.
const MOST_LINKS: usize = 40;

/// Folders, and what matters in each.
///
/// A file may be reached over links: in Kubernetes `wallet.yaml` leads to `..data/wallet.yaml`, and
/// `..data` to the folder of a day. What changes there is the link `..data`, never the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Folders(BTreeMap<PathBuf, Folder>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Folder {
    /// Tells a folder from another one that was put in its place.
    identity: (u64, u64),
    /// The entries that matter.
    names: BTreeSet<OsString>,
    /// Whether all of them do.
    all: bool,
}

impl Folders {
    /// The folders on the way to some files, and those whose files are read whatever their names.
    pub(crate) fn of<'p>(files: impl Iterator<Item = &'p Path>, roots: &[PathBuf]) -> Self {
        let mut folders = Self::default();
        files.for_each(|path| folders.follow(path));
        for root in roots {
            folders.follow(root);
        }
        for root in roots.iter().filter(|root| root.is_dir()) {
            if let Some(folder) = folders.entry(root) {
                folder.all = true;
            }
        }
        folders
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether a change of this path may change what is read.
    pub(crate) fn concerns(&self, path: &Path) -> bool {
        let folder = path.parent().and_then(|folder| self.0.get(folder));
        let named = |name| folder.is_some_and(|folder| folder.all || folder.names.contains(name));
        self.0.contains_key(path) || path.file_name().is_some_and(named)
    }

    /// Goes the way to a file, over every link, as far as there is one.
    fn follow(&mut self, path: &Path) {
        let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for _ in 0..MOST_LINKS {
            match self.next_link(&path) {
                Some(target) => path = target,
                None => return,
            }
        }
    }

    /// Notes the first link on the way, and where the path leads with it; or notes its end.
    fn next_link(&mut self, path: &Path) -> Option<PathBuf> {
        let mut at = PathBuf::new();
        let mut rest = path.components();
        while let Some(component) = rest.next() {
            let next = at.join(component);
            let Component::Normal(name) = component else {
                at = next;
                continue;
            };
            if let Ok(target) = fs::read_link(&next) {
                self.note(&at, name.to_owned());
                return Some(at.join(target).join(rest.as_path()));
            }
            if !next.exists() || rest.as_path().as_os_str().is_empty() {
                self.note(&at, name.to_owned());
                return None;
            }
            at = next;
        }
        None
    }

    fn note(&mut self, folder: &Path, name: OsString) {
        if let Some(folder) = self.entry(folder) {
            folder.names.insert(name);
        }
    }

    fn entry(&mut self, folder: &Path) -> Option<&mut Folder> {
        let folder = fs::canonicalize(folder).ok()?;
        let metadata = fs::metadata(&folder).ok()?;
        let entry = self.0.entry(folder).or_default();
        entry.identity = (metadata.dev(), metadata.ino());
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_counts() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let at = |name: &str| place.join(name);
        fs::create_dir_all(at("mount/..1")).unwrap();
        fs::create_dir_all(at("keys")).unwrap();
        fs::write(at("mount/..1/wallet.yaml"), "").unwrap();
        symlink("..1", at("mount/..data")).unwrap();
        symlink("..data/wallet.yaml", at("mount/wallet.yaml")).unwrap();
        symlink("mount", at("policies")).unwrap();

        let policy = at("policies/wallet.yaml");
        let key = at("keys/not-yet.pem");
        let nowhere = at("gone/for/good.pem");
        let files = [policy.as_path(), &key, &nowhere];
        let folders = Folders::of(files.into_iter(), &[at("policies")]);
        let watched: Vec<_> = folders.paths().collect();
        assert_eq!(watched, [&*place, &at("keys"), &at("mount"), &at("mount/..1")]);
        for (path, matters) in [
            ("policies", true),
            ("gone", true),
            ("log", false),
            ("mount", true),
            ("mount/..data", true),
            ("mount/new.yaml", true),
            ("mount/..1/wallet.yaml", true),
            ("mount/..1/other", false),
            ("keys/not-yet.pem", true),
            ("keys/other.pem", false),
        ] {
            assert_eq!(folders.concerns(&at(path)), matters, "{path}");
        }
    }

    #[test]
    fn links_that_go_round_end() {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert_eq!(Folders::of([a.as_path()].into_iter(), &[]).paths().count(), 1);
    }
}

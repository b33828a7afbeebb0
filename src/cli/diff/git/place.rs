//! Where a path lies in the work tree of a repository, before any symbolic link of the repository is followed: where such a
//! link led at a revision is for the tree of the revision to say.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A folder of this machine, and the steps from there that may lead through links of the repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder, without symbolic links.
    pub(super) folder: PathBuf,
    /// The steps: names and `..`.
    pub(super) steps: Vec<OsString>,
}

impl Place {
    /// Finds it. Links outside of repositories are followed.
    pub(super) fn of(path: &Path, is_in_work_tree: impl Fn(&Path) -> bool) -> io::Result<Self> {
        let mut folder = env::current_dir()?.canonicalize()?;
        let mut components = path.components();
        while let Some(component) = components.next() {
            let name = match component {
                Component::RootDir | Component::Prefix(_) => {
                    folder = PathBuf::from("/");
                    continue;
                }
                Component::CurDir => continue,
                Component::ParentDir => {
                    folder.pop();
                    continue;
                }
                Component::Normal(name) => name,
            };
            let next = folder.join(name);
            let found = fs::symlink_metadata(&next)?;
            if found.is_dir() {
                folder = next;
                continue;
            }
            if found.is_symlink() && !is_in_work_tree(&folder) {
                let next = next.canonicalize()?;
                if next.is_dir() {
                    folder = next;
                    continue;
                }
                let steps = next.file_name().map(OsString::from).into_iter().collect();
                let folder = next.parent().map(Path::to_owned).unwrap_or_default();
                return Ok(Self { folder, steps });
            }
            let rest = components.map(|component| component.as_os_str().to_owned());
            let steps = std::iter::once(name.to_owned()).chain(rest).collect();
            return Ok(Self { folder, steps });
        }
        let steps = Vec::new();
        Ok(Self { folder, steps })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn path_is_followed_up_to_the_first_link_of_a_work_tree() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("repository/p")).unwrap();
        fs::write(top.join("repository/p/a.yaml"), "").unwrap();
        symlink("repository", top.join("outer")).unwrap();
        symlink("repository/p/a.yaml", top.join("a.yaml")).unwrap();
        symlink("p", top.join("repository/linked")).unwrap();
        let is_in_work_tree = |folder: &Path| folder.starts_with(top.join("repository"));
        for (path, want, steps) in [
            ("repository/p", "repository/p", &[][..]),
            ("repository/p/../p/a.yaml", "repository/p", &["a.yaml"]),
            ("outer/p/a.yaml", "repository/p", &["a.yaml"]),
            ("a.yaml", "repository/p", &["a.yaml"]),
            ("outer/linked", "repository", &["linked"]),
            ("repository/./linked/../p", "repository", &["linked", "..", "p"]),
        ] {
            let place = Place::of(&top.join(path), is_in_work_tree).unwrap();
            assert_eq!(place.folder, top.join(want), "{path}");
            assert_eq!(place.steps, steps, "{path}");
        }
    }
}

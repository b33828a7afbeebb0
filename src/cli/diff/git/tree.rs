//! What a path was in the tree of a revision: symbolic links lead where they led then, within that tree.

use std::collections::VecDeque;

use super::{Entry, Found, Kind, Revision};

/// The most links on the way to a file, as in Linux (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// The longest target of a link, in bytes.
const LONGEST_TARGET: u64 = 4096;

impl Revision {
    /// Finds what a path of the repository was: names, `.` and `..`, with slashes between.
    pub(in crate::cli::diff) fn find(&self, path: &str) -> Result<Found, String> {
        let (entry, folder) = self.resolve(path)?;
        match entry {
            Some(entry) => Ok(Found::File(entry)),
            None => self.below(&folder).map(Found::Folder),
        }
    }

    /// Whether the tree has nothing at a path, before any link is followed.
    pub(in crate::cli::diff) fn lacks(&self, path: &str) -> Result<bool, String> {
        let mut folder = Vec::new();
        for step in steps(path) {
            match self.entry_at(&joined(&folder, &step))? {
                None => return Ok(true),
                Some(entry) if entry.kind == Kind::Folder => folder.push(step),
                Some(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Follows the link that an entry of a folder is; a file stays what it is.
    pub(in crate::cli::diff) fn followed(&self, entry: &Entry) -> Result<Entry, String> {
        if entry.kind == Kind::File {
            return Ok(entry.clone());
        }
        let (found, _) = self.resolve(&entry.path)?;
        found.ok_or_else(|| format!("`{}` is a folder", self.shown(&entry.path)))
    }

    /// Walks along a path: to a file in a folder, or to a folder alone. A file has the path by which it was found.
    fn resolve(&self, path: &str) -> Result<(Option<Entry>, Vec<String>), String> {
        let (mut steps, mut folder) = (steps(path), Vec::new());
        let mut links = 0;
        while let Some(step) = steps.pop_front() {
            if step == ".." {
                folder.pop().ok_or_else(|| self.outside(path))?;
                continue;
            }
            let place = joined(&folder, &step);
            let entry = self.entry_at(&place)?.ok_or_else(|| self.absent(path, &place))?;
            match entry.kind {
                Kind::Folder => folder.push(step),
                Kind::File if steps.is_empty() => {
                    let path = path.to_owned();
                    return Ok((Some(Entry { path, ..entry }), folder));
                }
                Kind::File => return Err(format!("`{}` is a file, and no folder", self.shown(&place))),
                Kind::Repository => {
                    return Err(format!("`{}` is another repository (a submodule)", self.shown(&place)));
                }
                Kind::Link => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(format!("`{}` leads through too many symbolic links", self.shown(path)));
                    }
                    self.add_target(&entry, &mut steps)?;
                }
            }
        }
        Ok((None, folder))
    }

    /// Puts the steps of a link before those that are left.
    fn add_target(&self, link: &Entry, left: &mut VecDeque<String>) -> Result<(), String> {
        let target = self.blob(link, LONGEST_TARGET)?;
        let shown = self.shown(&link.path);
        let target = String::from_utf8(target).map_err(|_| format!("the target of the link `{shown}` is not UTF-8"))?;
        if target.starts_with('/') {
            return Err(format!(
                "`{shown}` is a symbolic link to `{target}`, which is outside of the repository"
            ));
        }
        for step in steps(&target).into_iter().rev() {
            left.push_front(step);
        }
        Ok(())
    }

    fn outside(&self, path: &str) -> String {
        format!("`{}` leads out of the repository", self.shown(path))
    }

    fn absent(&self, path: &str, place: &str) -> String {
        let to = match path == place {
            true => String::new(),
            false => format!(" leads to `{place}`, which"),
        };
        format!(
            "`{}`{to} does not exist: at that revision, the repository had no `{place}` to compare with",
            self.shown(path)
        )
    }
}

/// Returns the steps of a path.
fn steps(path: &str) -> VecDeque<String> {
    let steps = path.split('/').filter(|step| !matches!(*step, "" | "."));
    steps.map(str::to_owned).collect()
}

fn joined(folder: &[String], name: &str) -> String {
    let mut path = folder.join("/");
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(name);
    path
}

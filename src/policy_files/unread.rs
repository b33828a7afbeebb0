//! Policies in folders within a named folder: they are not read.

use std::fs;
use std::path::{Path, PathBuf};

use super::is_policy;
use crate::document::yaml::MAX_FILE_BYTES;
use crate::read_file::read_file;

/// How deep folders within a named one are looked through.
const DEPTH: usize = 3;

/// The fields that each policy has.
const FIELDS: [&str; 3] = ["service:", "upstream:", "routes:"];

/// Returns the folders within the named ones that have policies, which are not read; without those that are named, too.
pub fn folders_with_policies(paths: &[PathBuf]) -> Vec<PathBuf> {
    let named: Vec<_> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let is_named = |path: &Path| fs::canonicalize(path).is_ok_and(|path| named.contains(&path));
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths.iter().filter(|path| path.is_dir()) {
        for folder in entries(path).iter().filter(|entry| entry.is_dir()) {
            let files = files_below(folder, &|file| is_policy(file) && reads_as_policy(file));
            for file in files.into_iter().filter(|file| !is_named(file)) {
                let parent = file.parent().map(Path::to_owned);
                folders.extend(parent.filter(|parent| !folders.contains(parent) && !is_named(parent)));
            }
        }
    }
    folders
}

/// Returns the files of a folder and of the folders within it that fit. Hidden folders and links are not looked through.
pub fn files_below(folder: &Path, fits: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, DEPTH, fits, &mut found);
    found
}

fn collect(folder: &Path, depth: usize, fits: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    let name = folder.file_name().map(|name| name.to_string_lossy());
    let is_hidden = name.is_some_and(|name| name.starts_with('.'));
    if depth == 0 || is_hidden || fs::symlink_metadata(folder).is_ok_and(|found| found.is_symlink()) {
        return;
    }
    for entry in entries(folder) {
        match entry.is_dir() {
            true => collect(&entry, depth - 1, fits, found),
            false if fits(&entry) => found.push(entry),
            false => {}
        }
    }
}

/// Returns the entries of a folder, by their names.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// Whether a file has the fields of a policy.
fn reads_as_policy(path: &Path) -> bool {
    let bytes = read_file(path, MAX_FILE_BYTES as u64).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    FIELDS
        .iter()
        .all(|field| text.lines().any(|line| line.starts_with(field)))
}

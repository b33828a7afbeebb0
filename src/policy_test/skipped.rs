//! Files that look like tests and are not run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::policy_files;

/// How deep folders below a named one are looked through.
const DEPTH: usize = 3;

/// Says which files and folders below the named folders look like tests and are not run, a line each: those whose name begins
/// with a dot or is written in capital letters, and those of folders within.
pub fn skipped(paths: &[PathBuf]) -> Vec<String> {
    let named: Vec<_> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let is_named = |path: &Path| fs::canonicalize(path).is_ok_and(|path| named.contains(&path));
    let mut lines = Vec::new();
    for path in paths.iter().filter(|path| path.is_dir()) {
        for entry in entries(path).into_iter().filter(|entry| !is_named(entry)) {
            let shown = entry.display();
            if entry.is_dir() {
                let tests = below(&entry, DEPTH);
                let is_run = |file: &PathBuf| is_named(file) || file.parent().is_some_and(is_named);
                lines.extend(
                    tests
                        .into_iter()
                        .find(|file| !is_run(file))
                        .map(|file| format!("`{}`: name its folder, too", file.display())),
                );
            } else if looks_like_a_test(&entry) && !policy_files::is_test(&entry) {
                lines.push(format!(
                    "`{shown}`: the name of a test file has no dot before it, and ends in `.test.yaml`"
                ));
            }
        }
    }
    lines
}

/// The entries of a folder, by their names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// The files below a folder that look like tests. Hidden folders are not looked through.
fn below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    if depth == 0 || name.starts_with('.') || fs::symlink_metadata(folder).is_ok_and(|found| found.is_symlink()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for entry in entries(folder) {
        match entry.is_dir() {
            true => found.extend(below(&entry, depth - 1)),
            false if looks_like_a_test(&entry) => found.push(entry),
            false => {}
        }
    }
    found
}

fn looks_like_a_test(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    name.is_some_and(|name| name.ends_with(".test.yaml") || name.ends_with(".test.yml"))
}

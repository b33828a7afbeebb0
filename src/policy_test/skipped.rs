//! Files that look like tests and are not run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::policy_files;
use crate::policy_files::unread::{entries, files_below};

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
                let tests = files_below(&entry, &looks_like_a_test);
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

/// Returns the folders within a folder that have test files.
pub(super) fn folders_with_tests(folder: &Path) -> Vec<PathBuf> {
    let within = entries(folder).into_iter().filter(|entry| entry.is_dir());
    let tests = within.flat_map(|entry| files_below(&entry, &policy_files::is_test));
    let mut folders: Vec<_> = tests.filter_map(|file| file.parent().map(Path::to_owned)).collect();
    folders.dedup();
    folders
}

fn looks_like_a_test(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    name.is_some_and(|name| name.ends_with(".test.yaml") || name.ends_with(".test.yml"))
}

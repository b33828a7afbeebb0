//! The report for people.

use std::fmt::Write as _;
use std::sync::Arc;

use super::results::{CaseResult, FileResults, Results};
use crate::document::characters::in_one_line;

/// How much room the name of a test has before its place.
const NAME_WIDTH: usize = 64;

/// How much room a caller and a request have before what is not as expected.
const TITLE_WIDTH: usize = 43;

/// Writes the files with their numbers, everything that is not as expected, and the totals.
pub(super) fn report(results: &Results<'_>) -> String {
    let mut text = String::new();
    if results.files.len() > 1 || results.failed() > 0 {
        files(&mut text, &results.files);
        text.push('\n');
    }
    for file in &results.files {
        failures(&mut text, file);
    }
    let time = results.elapsed.as_millis();
    let _infallible = match results.failed() {
        0 => writeln!(text, "{} passed, in {time} ms", results.passed()),
        failed => writeln!(text, "{} passed, {failed} failed, in {time} ms", results.passed()),
    };
    text
}

fn files(text: &mut String, files: &[FileResults<'_>]) {
    let lengths = files.iter().map(|file| in_one_line(file.file).chars().count());
    let width = lengths.max().unwrap_or_default();
    let digits = |file: &FileResults<'_>| file.passed().to_string().len();
    let number = files.iter().map(digits).max().unwrap_or_default();
    for file in files {
        let (passed, all) = (file.passed(), file.cases.len());
        let shown = in_one_line(file.file);
        let _infallible = writeln!(text, "{shown:<width$}   {passed:>number$} of {all}");
    }
}

/// Writes what is not as expected, test by test.
fn failures(text: &mut String, file: &FileResults<'_>) {
    let mut last = None;
    for result in file.cases.iter().filter(|case| !case.verdict.passed()) {
        let named = &result.case.test;
        if !last.is_some_and(|last| Arc::ptr_eq(last, named)) {
            if last.is_some() {
                text.push('\n');
            }
            let _infallible = writeln!(text, "FAILED  {:<NAME_WIDTH$}  {}", named.name, named.location);
            last = Some(named);
        }
        failure(text, result);
    }
    if last.is_some() {
        text.push('\n');
    }
}

fn failure(text: &mut String, result: &CaseResult<'_>) {
    let title = result.case.title();
    let mut misses = result.verdict.misses.iter();
    if let Some(miss) = misses.next() {
        let _infallible = writeln!(
            text,
            "  {title:<TITLE_WIDTH$}  wanted {}, got {}",
            miss.wanted, miss.got
        );
    }
    for miss in misses {
        let _infallible = writeln!(text, "  {:<TITLE_WIDTH$}  wanted {}, got {}", "", miss.wanted, miss.got);
    }
    for line in result.evidence() {
        let _infallible = writeln!(text, "  {line}");
    }
}

//! Standard output and error. The only module that writes to them by itself; a closed pipe is not
//! an error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::Exit;

/// Prints a result.
pub(super) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints a result and ends the line.
pub(super) fn print_line(text: impl Display) {
    print(&format!("{text}\n"));
}

/// Prints a result as JSON.
pub(super) fn print_json(value: &impl Serialize) {
    print_line(serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Says why a command could not run.
pub(super) fn could_not_run(error: impl Display) -> Exit {
    print_error(format!("sidegate: {error}"));
    Exit::CouldNotRun
}

/// Says something beside the result.
pub(super) fn print_error(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether a report may be coloured.
pub(super) fn is_styled(stream: &impl IsTerminal) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !plain && !dumb
}

//! Standard output and error. The only module that writes to them by itself; a closed pipe is not
//! an error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::Exit;
use crate::telemetry::escape::escaped;

/// Prints a result.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let text = harmless(text, is_styled(&stdout));
    let _ = stdout.write_all(text.as_bytes());
}

/// Prints commands of GitHub Actions, whose texts are escaped.
pub(super) fn print_commands(commands: &str) {
    let _ = std::io::stdout().lock().write_all(commands.as_bytes());
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
    let mut stderr = std::io::stderr().lock();
    let text = text.to_string();
    let text = harmless(&text, is_styled(&stderr));
    let _ = writeln!(stderr, "{text}");
}

/// Escapes what a terminal acts on, and what GitHub Actions takes for a command: `::` at the beginning of a line, and `##[` anywhere in
/// one. Ends of lines and tabs stay, and so do colours, if there may be any. JSON reads the escapes as the same characters.
fn harmless(text: &str, may_be_coloured: bool) -> Cow<'_, str> {
    let mut harmless = escaped(text.as_bytes()).map_or(Cow::Borrowed(text), Cow::Owned);
    for (that, this) in [("\u{1b}", "\\u001b"), ("##[", "##\\u005b")] {
        let is_fine = that == "\u{1b}" && may_be_coloured;
        if !is_fine && harmless.contains(that) {
            harmless = Cow::Owned(harmless.replace(that, this));
        }
    }
    match harmless.lines().any(begins_command) {
        true => Cow::Owned(harmless.split_inclusive('\n').map(without_command).collect()),
        false => harmless,
    }
}

fn begins_command(line: &str) -> bool {
    line.trim_start().starts_with("::")
}

fn without_command(line: &str) -> Cow<'_, str> {
    match begins_command(line) {
        true => Cow::Owned(line.replacen("::", "\\u003a:", 1)),
        false => Cow::Borrowed(line),
    }
}

/// Whether a report may be coloured.
pub(super) fn is_styled(stream: &impl IsTerminal) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !plain && !dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_only_the_colours_of_sidegate_for_a_terminal_to_act_on() {
        for (text, may_be_coloured, want) in [
            ("a\n\tb\n", false, "a\n\tb\n"),
            ("\u{1b}[31ma\u{1b}[0m\n", true, "\u{1b}[31ma\u{1b}[0m\n"),
            ("\u{1b}[31ma\n", false, "\\u001b[31ma\n"),
            (
                "\u{1b}]0;x\u{7}a\u{9b}b\r\u{2028}\u{202e}\n",
                true,
                "\\u001b]0;x\\u0007a\\u009bb\\u000d\\u2028\\u202e\n",
            ),
            (
                "::error::x\n \t::stop-commands::y\n1 | ::z",
                false,
                "\\u003a:error::x\n \t\\u003a:stop-commands::y\n1 | ::z",
            ),
            (
                "1 | a ##[stop-commands]x ##[a\n## [b]\n",
                true,
                "1 | a ##\\u005bstop-commands]x ##\\u005ba\n## [b]\n",
            ),
        ] {
            assert_eq!(harmless(text, may_be_coloured), want, "{text:?}");
        }
    }
}

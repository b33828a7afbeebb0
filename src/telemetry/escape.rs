//! Escapes what a terminal acts on in lines of the log and in reports. Values may come from clients and from files of others, and
//! both are often read on a terminal.

use std::fmt::Write as _;

use crate::document::characters;

/// Replaces each character that a terminal acts on by `\u` and four hex digits, which JSON reads as
/// the same character. `None` where there is nothing to replace, which is most often so.
///
/// An end of line, a tab and colours stay: those are of the formatter. JSON has no raw one inside of
/// a text.
pub fn escaped(line: &[u8]) -> Option<String> {
    // Without a branch for each byte, it looks at many at a time.
    let special = |byte: u8| matches!(byte, ..b'\t' | 0x0b..b' ' | 0x7f..);
    if !line.iter().fold(false, |found, byte| found | special(*byte)) {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    if !text.contains(is_acted_on) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match is_acted_on(c) && !(c == '\u{1b}' && is_colour(rest.as_str())) {
            true => _ = write!(out, "\\u{:04x}", u32::from(c)),
            false => out.push(c),
        }
    }
    (out.as_bytes() != line).then_some(out)
}

/// All that a terminal acts on, but an end of a line and a tab.
fn is_acted_on(c: char) -> bool {
    !matches!(c, '\n' | '\t') && characters::is_acted_on(c)
}

/// Whether the text after an escape sets a colour: ECMA-48, 8.3.117.
fn is_colour(text: &str) -> bool {
    let parameters = text
        .strip_prefix('[')
        .map(|text| text.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    parameters.is_some_and(|end| end.starts_with('m'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_nothing_else() {
        for (line, want) in [
            ("", None),
            ("{\"path\":\"/a\"}\n", None),
            ("a\tb\n", None),
            ("ä€😀\u{301}\u{fffd}\u{a0}", None),
            ("\u{1b}[32m INFO\u{1b}[0m \u{1b}[2;3mx\n", None),
            ("a\u{9b}2J", Some("a\\u009b2J")),
            ("\u{80}\u{85}\u{9f}", Some("\\u0080\\u0085\\u009f")),
            ("\u{0}\u{7}\u{8}\r\u{7f}", Some("\\u0000\\u0007\\u0008\\u000d\\u007f")),
            ("\u{1b}[2J\u{1b}]0;x\u{1b}", Some("\\u001b[2J\\u001b]0;x\\u001b")),
            ("\u{1b}[31", Some("\\u001b[31")),
            ("ä\u{202e}b\u{2066}c", Some("ä\\u202eb\\u2066c")),
            (
                "\u{202a}\u{202d}\u{2069}\u{61c}\u{200e}\u{200f}",
                Some("\\u202a\\u202d\\u2069\\u061c\\u200e\\u200f"),
            ),
            ("\u{2028}\u{2029}\u{202f}", Some("\\u2028\\u2029\u{202f}")),
        ] {
            assert_eq!(escaped(line.as_bytes()).as_deref(), want, "{line:?}");
        }
    }

    #[test]
    fn every_control_and_no_other_letter_of_the_first_planes_is_escaped() {
        for c in (0..=0x2fff).filter_map(char::from_u32) {
            let bidirectional = matches!(u32::from(c), 0x61c | 0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069);
            let ends_line = matches!(u32::from(c), 0x2028 | 0x2029);
            let control = c.is_control() && !matches!(c, '\n' | '\t');
            let text = escaped(c.to_string().as_bytes());
            assert_eq!(text.is_some(), bidirectional || ends_line || control, "{c:?}");
            if let Some(text) = text {
                assert_eq!(serde_json::from_str::<char>(&format!("\"{text}\"")).unwrap(), c);
            }
        }
    }
}

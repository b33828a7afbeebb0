//! Characters that cannot be seen, that only look like those of YAML, or that a terminal acts on.

use std::borrow::Cow;
use std::ops::Range;

use super::problem::{Fault, ProblemCode};

/// Characters that take no room, look like a space or turn the direction of writing: two texts that look
/// alike would not be equal.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns whether a terminal acts on a character: controls (C0, DEL, C1), separators of lines, and marks that change the
/// direction of the text behind them.
pub fn is_acted_on(c: char) -> bool {
    match c {
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// Writes a text of a file or the name of one in one line, without a character that a terminal acts on: an end of a line is `\n`, an
/// escape `\u{1b}`. So no text can look like a line of a report, or like a command of GitHub Actions, which begins a line.
pub fn in_one_line(text: &str) -> Cow<'_, str> {
    match text.contains(is_acted_on) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(escaped(text, is_acted_on)),
    }
}

/// Escapes some characters of a text.
pub fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_escaped(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    escaped
}

/// Quotes of typography, which YAML does not know.
fn quote(c: char) -> Option<&'static str> {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{2039}' | '\u{203a}' => Some("'"),
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => Some("\""),
        _ => None,
    }
}

/// The first character of a text that is not what it looks like.
pub(super) fn odd(text: &str) -> Option<(Range<usize>, Fault)> {
    text.char_indices().find_map(|(at, c)| {
        let fault = fault(c)?;
        Some((at..at + c.len_utf8(), fault))
    })
}

fn fault(c: char) -> Option<Fault> {
    let code_point = format!("U+{:04X}", u32::from(c));
    if let Some(plain) = quote(c) {
        let message = format!("`{c}` ({code_point}) is not a quote in YAML");
        return Some(Fault::new(
            ProblemCode::InvisibleCharacter,
            message,
            format!("write `{plain}`"),
        ));
    }
    if !is_invisible(c) {
        return None;
    }
    let (message, help) = match c.is_whitespace() {
        true => (
            format!("the space here is {code_point}, which only looks like one"),
            "write a plain space, or take it out",
        ),
        false => (format!("the character {code_point} here cannot be seen"), "take it out"),
    };
    Some(Fault::new(ProblemCode::InvisibleCharacter, message, help))
}

/// What is wrong with the characters of a value or of the name of a field.
pub fn unseen(text: &str) -> Option<Fault> {
    if let Some(fault) = text.chars().filter(|c| is_invisible(*c)).find_map(fault) {
        return Some(fault);
    }
    let around = text.trim().len() != text.len();
    let quoted = text.chars().next().filter(|c| quote(*c).is_some());
    match quoted {
        Some(c) => fault(c),
        None if around => Some(Fault::new(
            ProblemCode::InvisibleCharacter,
            "the text begins or ends with white space",
            "take the white space out",
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_one_line_has_no_character_that_a_terminal_acts_on() {
        for (text, want) in [
            ("a ä € 😀 \u{301}\u{a0}", "a ä € 😀 \u{301}\u{a0}"),
            ("sha\n::stop-commands::x", "sha\\n::stop-commands::x"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            (
                "\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}",
                "\\u{0}\\u{1b}[2J\\u{7f}\\u{85}\\u{9b}",
            ),
            (
                "\u{2028}\u{2029}\u{202e}\u{2066}\u{61c}",
                "\\u{2028}\\u{2029}\\u{202e}\\u{2066}\\u{61c}",
            ),
        ] {
            assert_eq!(in_one_line(text), want, "{text:?}");
        }
        for c in (0..=0x2fff).filter_map(char::from_u32) {
            let text = format!("a{c}::b");
            let shown = in_one_line(&text);
            assert_eq!(shown.lines().count(), 1, "{c:?}");
            assert!(!shown.contains(char::is_control), "{c:?}");
        }
    }

    #[test]
    fn character_that_looks_like_another_one_is_named_by_its_code_point() {
        for (text, want) in [
            ("a\u{a0}b", Some("the space here is U+00A0, which only looks like one")),
            ("a\u{200b}b", Some("the character U+200B here cannot be seen")),
            ("\u{feff}b", Some("the character U+FEFF here cannot be seen")),
            ("\u{201c}b\u{201d}", Some("`\u{201c}` (U+201C) is not a quote in YAML")),
            ("Caf\u{e9} \u{201c}b\u{201d}", None),
            ("b ", Some("the text begins or ends with white space")),
            ("b", None),
        ] {
            assert_eq!(unseen(text).map(|fault| fault.message).as_deref(), want, "{text:?}");
        }
    }
}

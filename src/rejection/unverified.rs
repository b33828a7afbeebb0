//! What a client claims, for operators: cut, escaped, and apart from what is verified.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// The most items of a list that are shown.
const MAX_ITEMS: usize = 8;

/// The most bytes of an item, after it is escaped.
const MAX_BYTES: usize = 64;

/// Marks an item that is cut.
const CUT: char = '…';

/// Values that nothing verified, each with its name. They are safe to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unverified(Vec<(Cow<'static, str>, String)>);

impl Unverified {
    /// Adds a value. Values beyond the most that are shown are left out.
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, value: &str) {
        if self.0.len() < MAX_ITEMS {
            self.0.push((name.into(), shown(value)));
        }
    }

    /// Returns whether it has no values.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the names and the values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// As in `iss: "https://a.example", kid: "7"`: in quotes, a value cannot be taken for another field.
impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}{name}: \"{value}\"")?;
        }
        Ok(())
    }
}

impl Serialize for Unverified {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Escapes a text, and cuts it to at most 64 bytes.
pub fn shown(text: &str) -> String {
    shown_within(text, MAX_BYTES)
}

/// Escapes a text, and cuts it to a number of bytes.
pub fn shown_within(text: &str, bytes: usize) -> String {
    let (mut shown, mut whole) = (String::new(), 0);
    for c in text.chars() {
        if shown.len() + CUT.len_utf8() <= bytes {
            whole = shown.len();
        }
        match c {
            '\'' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
        if shown.len() > bytes {
            shown.truncate(whole);
            shown.push(CUT);
            break;
        }
    }
    shown
}

/// Describes the type of a value, which tells nothing of its content.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Lists at most eight texts, and counts the others. An empty list is `none`.
pub fn list<'t>(items: impl IntoIterator<Item = &'t str>) -> String {
    let mut items = items.into_iter();
    let first: Vec<_> = items.by_ref().take(MAX_ITEMS).map(shown).collect();
    match (first.is_empty(), items.count()) {
        (true, _) => "none".to_owned(),
        (false, 0) => first.join(", "),
        (false, more) => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_short_and_has_no_control() {
        for (text, want) in [
            ("", ""),
            ("https://a.example/x?y", "https://a.example/x?y"),
            ("it's \"\\", "it's \\\"\\\\"),
            ("a\r\n\t\0b", "a\\r\\n\\t\\0b"),
            ("\u{1b}[2J\u{9b}", "\\u{1b}[2J\\u{9b}"),
            ("\u{202e}\u{2066}\u{2028}", "\\u{202e}\\u{2066}\\u{2028}"),
            ("ä€", "ä€"),
        ] {
            assert_eq!(shown(text), want, "{text:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shown(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(61)));
        for unit in ["x", "ä", "€", "😀", "\n", "\u{1b}", "\u{202e}", "\"", "ab\u{7f}"] {
            let shown = shown(&unit.repeat(10_000));
            assert!(shown.len() <= MAX_BYTES && shown.ends_with(CUT), "{shown}");
            let whole = shown.trim_end_matches(CUT);
            assert!(whole.len() > MAX_BYTES - 16, "{shown}");
        }
    }

    #[test]
    fn long_list_is_cut_and_counted() {
        let many: Vec<_> = (0..10_000).map(|at| at.to_string()).collect();
        let items = |count| many.iter().take(count).map(String::as_str);
        assert_eq!(list(items(0)), "none");
        assert_eq!(list(items(2)), "0, 1");
        assert_eq!(list(items(8)), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(list(items(10_000)), "0, 1, 2, 3, 4, 5, 6, 7 and 9992 more");
    }

    #[test]
    fn values_are_bounded_in_number() {
        let mut unverified = Unverified::default();
        for _ in 0..100 {
            unverified.add("kid", "\"1\"");
        }
        assert_eq!(unverified.iter().count(), MAX_ITEMS);
        assert!(unverified.to_string().starts_with("kid: \"\\\"1\\\"\", kid: "));
    }
}

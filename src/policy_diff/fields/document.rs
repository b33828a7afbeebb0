//! A YAML file as written: its values by their paths, and where they stand.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::document::masks::{HIDDEN, is_secret_text, shown_url};
use crate::document::problem::{Location, SourceFile};
use crate::document::yaml::{self, Node, Value};

/// A step from a value to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// An item of a list.
    Item(usize),
}

/// A YAML file as written.
#[derive(Debug)]
pub struct Document {
    source: Arc<SourceFile>,
    root: Node,
}

impl Document {
    /// Reads a file that was read before.
    pub fn new(source: &Arc<SourceFile>) -> Option<Self> {
        let root = yaml::parse(&source.text).ok()?.node;
        Some(Self {
            source: Arc::clone(source),
            root,
        })
    }

    /// Returns the value at the top.
    pub const fn root(&self) -> &Node {
        &self.root
    }

    /// Returns where a value stands.
    pub fn location(&self, node: &Node) -> Location {
        Location::new(&self.source, &node.span)
    }

    /// Returns the value at the end of a path.
    pub fn at(&self, path: &[Step]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, step| below(node, step))
    }

    /// Returns where the value at the end of a path stands, or else the nearest value around it.
    pub fn nearest(&self, path: &[Step]) -> Location {
        let mut node = &self.root;
        for step in path {
            match below(node, step) {
                Some(found) => node = found,
                None => break,
            }
        }
        self.location(node)
    }
}

fn below<'n>(node: &'n Node, step: &Step) -> Option<&'n Node> {
    match (step, &node.value) {
        (Step::Key(key), _) => field(node, key),
        (Step::Item(index), Value::Sequence(items)) => items.get(*index),
        (Step::Item(_), _) => None,
    }
}

/// Returns the value of a key.
pub fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Mapping(entries) => entries.iter().find(|((key, _), _)| key == name).map(|(_, value)| value),
        _ => None,
    }
}

/// Iterates over the keys of a mapping.
pub fn keys(node: &Node) -> impl Iterator<Item = &str> {
    let entries = match &node.value {
        Value::Mapping(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|((key, _), _)| key.as_str())
}

/// Writes a path as in `routes[3].auth`.
pub fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Item(index) => _ = write!(text, "[{index}]"),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                match key.is_empty() || key.contains(['.', '[', ']', ' ', '"']) {
                    true => text.push_str(&quoted(key)),
                    false => text.push_str(key),
                }
            }
        }
    }
    text
}

/// Writes a path without the places in lists, as in `routes[].auth`.
pub fn kind_text(path: &[Step]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Item(_) => Step::Item(0),
        Step::Key(_) => step.clone(),
    });
    path_text(&steps.collect::<Vec<_>>()).replace("[0]", "[]")
}

/// Writes a value in one line, as YAML, without secrets.
pub fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) if text.contains("://") => plain_or_quoted(&shown_url(text)),
        Value::Text(text) if is_secret_text(text) => HIDDEN.to_owned(),
        Value::Text(text) => plain_or_quoted(text),
        Value::Sequence(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Mapping(entries) => {
            let entries = entries
                .iter()
                .map(|((key, _), value)| format!("{}: {}", plain_or_quoted(key), flow(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn plain_or_quoted(text: &str) -> String {
    match is_plain(text) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// Whether a text stands without quotes, also between braces, and is not read as a number or a word.
fn is_plain(text: &str) -> bool {
    let is_word = ["true", "false", "null", "~", "yes", "no", "on", "off"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let starts_well = text.starts_with(|first: char| first.is_alphabetic() || first == '/' || first == '_');
    let is_measure = text.starts_with(|first: char| first.is_ascii_digit()) && text.parse::<f64>().is_err();
    let holds_well = !text.contains(['{', '}', '[', ']', ',', '"', '\'', '`', '\\'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.chars().any(char::is_control);
    (starts_well || is_measure) && holds_well && !is_word && !text.ends_with([':', ' '])
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Tells whether two values say the same: the order of the keys of a mapping says nothing.
pub fn says_the_same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Sequence(one), Value::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| says_the_same(one, other))
        }
        (Value::Mapping(entries), Value::Mapping(others)) => {
            entries.len() == others.len()
                && entries
                    .iter()
                    .all(|((key, _), value)| field(other, key).is_some_and(|other| says_the_same(value, other)))
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::new(&Arc::new(SourceFile::new("a.yaml", text))).unwrap()
    }

    #[test]
    fn value_is_written_in_one_line_that_reads_as_the_same_value() {
        for (text, want) in [
            ("jwt", "jwt"),
            ("any:\n  - jwt\n  - public\n", "{ any: [jwt, public] }"),
            ("'/docs/{id}'", "\"/docs/{id}\""),
            ("'true'", "\"true\""),
            ("'7'", "\"7\""),
            ("7", "7"),
            ("30s", "30s"),
            ("{ from: roles, separator: '|' }", "{ from: roles, separator: \"|\" }"),
            ("'*.example.com'", "\"*.example.com\""),
            ("'@tenant'", "\"@tenant\""),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
            ("{}", "{}"),
            ("[a, [b, c]]", "[a, [b, c]]"),
        ] {
            let document = document(text);
            let written = flow(document.root());
            assert_eq!(written, want);
            let again = super::tests::document(&written);
            assert!(says_the_same(document.root(), again.root()), "{written}");
        }
    }

    #[test]
    fn path_leads_to_a_value_and_is_written_as_a_path() {
        let document = document("routes:\n  - { path: /a, auth: jwt }\n  - { path: /b, auth: { any: [jwt] } }\n");
        let key = |key: &str| Step::Key(key.to_owned());
        let path = [key("routes"), Step::Item(1), key("auth")];
        assert_eq!(flow(document.at(&path).unwrap()), "{ any: [jwt] }");
        assert_eq!(document.nearest(&path).to_string(), "a.yaml:3:23");
        assert_eq!(path_text(&path), "routes[1].auth");
        assert_eq!(kind_text(&path), "routes[].auth");
        assert_eq!(path_text(&[key("roles"), key("a.b")]), "roles.\"a.b\"");
        let absent = [key("routes"), Step::Item(1), key("mode")];
        assert!(document.at(&absent).is_none());
        assert_eq!(document.nearest(&absent).to_string(), "a.yaml:3:5");
    }

    #[test]
    fn order_of_keys_says_nothing_and_order_of_items_does() {
        for (one, other, want) in [
            ("{ a: 1, b: 2 }", "{ b: 2, a: 1 }", true),
            ("[a, b]", "[b, a]", false),
            ("{ a: 1 }", "{ a: 1, b: 2 }", false),
            ("a: [x]", "a:\n  - x\n", true),
            ("a", "'a'", true),
            ("7", "'7'", false),
        ] {
            assert_eq!(
                says_the_same(document(one).root(), document(other).root()),
                want,
                "{one} {other}"
            );
        }
    }
}

//! YAML text to a tree of values that know their place. The only module that names the YAML
//! library. Nothing is lost on the way: duplicate keys are kept for the reader to reject.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Spanned, Tagged};

/// The longest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 2 * 1024 * 1024;

/// The most values that one file may have, aliases expanded.
const MAX_NODES: usize = 50_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its bytes in the file, cut to the first line.
    pub span: Range<usize>,
    /// All bytes of a scalar where it is written, which for an alias is elsewhere.
    pub defined: Range<usize>,
}

/// A key of a mapping and where it stands.
pub type Key = (String, Range<usize>);

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// Any other scalar.
    Text(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file, duplicates included.
    Mapping(Vec<(Key, Node)>),
}

impl Value {
    /// What the value is, for a problem.
    pub const fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// A document, and where it has tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The document.
    pub node: Node,
    /// The values that have a tag, which is not read.
    pub tags: Vec<Range<usize>>,
}

/// Why a text cannot be read as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// The bytes where reading failed.
    pub span: Range<usize>,
    /// What is wrong.
    pub kind: YamlErrorKind,
}

/// What is wrong with a text that cannot be read as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum YamlErrorKind {
    /// It has more than [`MAX_FILE_BYTES`].
    TooLong,
    /// It has too many values, or nests them too deeply.
    TooComplex,
    /// It has more than one document.
    SeveralDocuments,
    /// It has a merge key.
    MergeKey,
    /// It is not YAML, in the words of the library.
    Syntax(String),
}

/// Parses a text with one document. Merge keys are an error: programs differ in what they merge, and
/// a duplicate key would not show.
pub fn parse(text: &str) -> Result<Parsed, YamlError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(YamlError {
            span: 0..0,
            kind: YamlErrorKind::TooLong,
        });
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_events: 2 * MAX_NODES, max_depth: 32 },
    };
    let raw = serde_saphyr::from_str_with_options::<Spanned<Tagged<Raw>>>(text, options);
    let raw = raw.map_err(|error| syntax_error(error.without_snippet(), text))?;
    let mut tags = Vec::new();
    let node = place(raw, text, &mut tags);
    Ok(Parsed { node, tags })
}

/// Tells the kinds of the library's errors apart.
fn syntax_error(error: &serde_saphyr::Error, text: &str) -> YamlError {
    let words = error.to_string();
    let kind = match error {
        _ if words.contains("budget") => YamlErrorKind::TooComplex,
        serde_saphyr::Error::MultipleDocuments { .. } => YamlErrorKind::SeveralDocuments,
        serde_saphyr::Error::MergeKeyNotAllowed { .. } => YamlErrorKind::MergeKey,
        _ => YamlErrorKind::Syntax(words),
    };
    YamlError {
        span: error.location().map_or(0..0, |location| bytes(&location, text)),
        kind,
    }
}

/// An entry of a mapping as the library hands it over.
type RawEntry = (Spanned<Tagged<String>>, Spanned<Tagged<Raw>>);

/// The tree as the library hands it over, before places are turned into bytes.
enum Raw {
    Null,
    Bool(bool),
    Number,
    Text(String),
    Sequence(Vec<Spanned<Tagged<Raw>>>),
    Mapping(Vec<RawEntry>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}

/// Turns places into bytes, and collects tags.
fn place(raw: Spanned<Tagged<Raw>>, text: &str, tags: &mut Vec<Range<usize>>) -> Node {
    let defined = whole(&raw.defined, text);
    let span = first_line(whole(&raw.referenced, text), text);
    let Tagged(value, tag) = raw.value;
    tags.extend(tag.map(|_| span.clone()));
    let value = match value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        // A digest of digits only looks like a number; what was written is what counts.
        Raw::Number => Value::Number(text.get(defined.clone()).unwrap_or_default().trim().to_owned()),
        Raw::Text(value) => Value::Text(value),
        Raw::Sequence(items) => Value::Sequence(items.into_iter().map(|item| place(item, text, tags)).collect()),
        Raw::Mapping(entries) => Value::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let at = bytes(&key.referenced, text);
                    let Tagged(key, tag) = key.value;
                    tags.extend(tag.map(|_| at.clone()));
                    ((key, at), place(value, text, tags))
                })
                .collect(),
        ),
    };
    Node { value, span, defined }
}

/// The bytes of a place, cut to its first line so that a caret stays readable.
fn bytes(location: &Location, text: &str) -> Range<usize> {
    first_line(whole(location, text), text)
}

fn first_line(span: Range<usize>, text: &str) -> Range<usize> {
    let start = span.start;
    let line = text.get(span).and_then(|t| t.lines().next()).unwrap_or_default();
    start..start + line.trim_end().len()
}

/// The bytes of a place.
fn whole(location: &Location, text: &str) -> Range<usize> {
    let span = location.span();
    let known = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    let start = known(span.byte_offset())
        .unwrap_or_else(|| offset(location, text))
        .min(text.len());
    start..(start + known(span.byte_len()).unwrap_or_default()).min(text.len())
}

/// The byte at a line and column, which is all that a syntax error comes with.
fn offset(location: &Location, text: &str) -> usize {
    let number = |value: u64| usize::try_from(value.saturating_sub(1)).unwrap_or(usize::MAX);
    let (before, column) = (number(location.line()), number(location.column()));
    let mut lines = text.split_inclusive('\n');
    let start: usize = lines.by_ref().take(before).map(str::len).sum();
    let line = lines.next().unwrap_or_default().trim_end();
    start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::problem::{Problem, Problems, SourceFile};
    use super::super::read;
    use super::*;

    fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
        let source = SourceFile::new("t.yaml", text);
        let mut problems = Problems::of(Arc::new(source));
        let node = read(&mut problems);
        (node, problems.into_sorted())
    }

    #[test]
    fn values_know_their_place_and_keep_their_spelling() {
        let text = "a: 12e45\nb:\n  - 0123\n  - 'x y'\n  - ~\na: true\n";
        let (node, problems) = parse(text);
        assert_eq!(problems, []);
        let Value::Mapping(entries) = node.unwrap().value else {
            panic!()
        };
        let keys: Vec<_> = entries
            .iter()
            .map(|((k, at), _)| (k.as_str(), text.get(at.clone()).unwrap()))
            .collect();
        assert_eq!(keys, [("a", "a"), ("b", "b"), ("a", "a")]);
        assert_eq!(entries[0].1.value, Value::Number("12e45".into()));
        assert_eq!(text.get(entries[0].1.span.clone()), Some("12e45"));
        let Value::Sequence(items) = &entries[1].1.value else {
            panic!()
        };
        assert_eq!(items[0].value, Value::Number("0123".into()));
        assert_eq!(items[1].value, Value::Text("x y".into()));
        assert_eq!(items[2].value, Value::Null);
        assert_eq!(entries[2].1.value, Value::Bool(true));
    }

    #[test]
    fn what_is_not_one_yaml_document_is_one_problem() {
        for (text, line) in [("a: [1\n", 2), ("a: 1\n---\nb: 2\n", 2), ("a: &x\nb: *y\n", 2)] {
            let (node, problems) = parse(text);
            assert!(node.is_none(), "{text:?}");
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].location().line().abs_diff(line) <= 1,
                "{text:?}: {}",
                problems[0]
            );
        }
    }

    #[test]
    fn a_slip_gets_its_own_help() {
        for (text, message, help) in [
            (
                "a: 1\n---\nb: 2\n",
                "more than one document",
                "one document in each file",
            ),
            ("a:\n\t- b\n", "tab", "indent with spaces"),
            ("a: @b\n", "cannot start with `@`", "in quotes"),
            ("a: { b: /{c}/d }\n", "`{`", "in quotes"),
            ("a: { b: ${C_URL} }\n", "`{`", "write `{ env: C_URL }`"),
        ] {
            let problem = parse(text).1.remove(0);
            assert!(problem.message().contains(message), "{text:?}: {problem}");
            assert!(problem.fix().contains(help), "{text:?}: {problem}");
        }
    }

    #[test]
    fn tab_is_shown_in_the_line_that_it_indents() {
        for (text, line) in [
            ("a:\n\tb: 1\n", 2),
            ("a:\n  - b: c\n\td: e\n", 3),
            ("a:\n  b: c\n\td: e\nf: 1\n", 3),
            ("a:\n  b: c\n\n\t# d\n\te: 1\n", 5),
        ] {
            let problem = parse(text).1.remove(0);
            assert_eq!(problem.message(), "the line is indented with a tab", "{text:?}");
            assert_eq!(problem.location().line(), line, "{text:?}");
        }
    }

    #[test]
    fn merge_key_is_a_problem_wherever_it_stands() {
        for text in [
            "a: { <<: { b: 1 }, c: 2 }\n",
            "<<: { b: 1 }\n",
            "x: &x { b: 1 }\na: { <<: *x }\n",
            "x: &x { b: 1 }\na:\n  - <<: [*x, *x]\n    b: 2\n",
        ] {
            let (node, problems) = parse(text);
            assert!(node.is_none(), "{text}");
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert_eq!(problems[0].message(), "the merge key `<<` is not read", "{text}");
        }
    }

    #[test]
    fn tag_is_a_problem_at_its_value() {
        for (text, tagged) in [
            ("a: !!binary cHVibGlj\n", 1),
            ("a: !ENV b\n", 1),
            ("!x a: b\n", 1),
            ("a: !!pairs [b]\n", 1),
            ("a: !x { b: !y c }\n", 2),
            ("a: [!!str 1, b]\n", 1),
            ("a: '!x'\n", 0),
        ] {
            let problems = parse(text).1;
            assert_eq!(problems.len(), tagged, "{text}: {problems:?}");
            assert!(problems.iter().all(Problem::is_error), "{text}");
        }
    }

    #[test]
    fn bombs_and_huge_files_are_a_clear_error() {
        let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
        for (name, of) in ["ba", "cb", "dc", "ed", "fe", "gf", "hg"].iter().map(|p| p.split_at(1)) {
            let items = vec![format!("*{of}"); 10].join(", ");
            bomb = format!("{bomb}{name}: &{name} [{items}]\n");
        }
        let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
        let huge = format!("a: {}\n", "x".repeat(10_000_000));
        for (text, want) in [(bomb, "too many"), (deep, ""), (huge, "longer than 2 MiB")] {
            let (node, problems) = parse(&text);
            assert!(node.is_none());
            assert!(problems[0].message().contains(want), "{}", problems[0].message());
        }
    }
}

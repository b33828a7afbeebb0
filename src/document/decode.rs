//! From a YAML tree to the documents as written: every problem is noted, none ends the reading.
//!
//! A document is declared with `document!`: a struct whose fields are the keys of a mapping.
//! `Option` fields may be absent. Unknown and duplicate keys are problems.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::characters::unseen;
use super::problem::{Field, ProblemCode, Problems, Reported};
use super::suggestion::suggest;
use super::yaml::{Key, Node, Value};
use super::{shapes, unknown_field};

/// A value that can be read from a YAML node.
pub trait FromNode: Sized {
    /// Reads the value, or reports what is wrong with it.
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported>;

    /// The value where the key is absent; `None` if it must be there.
    fn missing() -> Option<Self> {
        None
    }
}

/// A value and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

impl<T: FromNode> FromNode for Spanned<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        let value = T::from_node(node, problems)?;
        let span = node.span.clone();
        Ok(Self { value, span })
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Reports what a value should have been, and how it is written.
pub fn expected<T>(node: &Node, what: &str, help: impl Into<String>, problems: &mut Problems) -> Result<T, Reported> {
    let message = format!("expected {what}, found {}", node.value.describe());
    Err(problems.add(&node.span, ProblemCode::WrongType, message, help))
}

impl<T: FromNode> FromNode for Option<T> {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        if node.value == Value::Null {
            let help = "write a value, or leave the field out";
            return Err(problems.add(&node.span, ProblemCode::EmptyValue, "the field has no value", help));
        }
        T::from_node(node, problems).map(Some)
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

/// One of a few words: reads it, or says which there are.
pub fn one_of<T: Copy>(node: &Node, words: &[(&str, T)], problems: &mut Problems) -> Result<T, Reported> {
    let Value::Text(text) = &node.value else {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let help = format!("write `{}`", known.join("` or `"));
        return expected(node, "a word", help, problems);
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| word == text) {
        return Ok(*value);
    }
    let help = suggest(text, words.iter().map(|(word, _)| *word));
    Err(problems.add(
        &node.span,
        ProblemCode::UnknownWord,
        format!("unknown word `{text}`"),
        help,
    ))
}

/// Reports a mapping that has none or several of some fields, and needs one.
pub fn not_one_of(span: &Range<usize>, fields: &[&str], found: usize, help: &str, problems: &mut Problems) -> Reported {
    let found = match found {
        0 => "none is written",
        _ => "several are written",
    };
    if let Some(reported) = problems.unknown_field_in(span.start) {
        return reported;
    }
    let (last, others) = fields.split_last().unwrap_or((&"", &[]));
    let message = format!(
        "exactly one of `{}` and `{last}` is needed, and {found}",
        others.join("`, `")
    );
    problems.add(span, ProblemCode::OneOfFields, message, help)
}

/// What is wrong with a thing that is written twice.
pub fn twice(name: &str) -> String {
    format!("`{name}` is written twice")
}

/// The keys of a mapping while a document takes its fields from them.
#[derive(Debug)]
pub struct Fields<'n> {
    node: &'n Node,
    entries: &'n [(Key, Node)],
    /// Absent names that an unknown key was reported as a misspelling of.
    misspelled: Vec<(&'static str, Reported)>,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; reports keys that are unknown or there twice.
    pub fn open(node: &'n Node, known: &[&'static str], problems: &mut Problems) -> Result<Self, Reported> {
        let Value::Mapping(entries) = &node.value else {
            return expected(node, "a mapping", shapes::mapping(&node.value, known), problems);
        };
        let present: BTreeSet<&str> = entries.iter().map(|((key, _), _)| key.as_str()).collect();
        let absent = |name: &&'static str| !present.contains(name);
        let (mut seen, mut misspelled) = (BTreeSet::new(), Vec::new());
        for ((key, span), value) in entries {
            let is_repeated = !seen.insert(key);
            if !known.contains(&key.as_str()) {
                problems.hide(span.end + 1..value.defined.end.max(value.span.end));
                let (meant, message, help) = match problems.has_room() {
                    true => unknown_field::explain((key, value), known, absent),
                    false => (None, String::new(), String::new()),
                };
                let reported = match unseen(key) {
                    Some(fault) => problems.add_fault(span, &fault),
                    None => problems.add(span, ProblemCode::UnknownField, message, help),
                };
                problems.note_unknown_field(node.span.start, reported);
                misspelled.extend(meant.map(|name| (name, reported)));
            } else if is_repeated {
                problems.add(span, ProblemCode::DuplicateField, twice(key), "leave one of them out");
            }
        }
        Ok(Self {
            node,
            entries,
            misspelled,
        })
    }

    /// Reads one field. An error if it is required and absent, or cannot be read.
    pub fn take<T: FromNode>(&self, name: &'static str, problems: &mut Problems) -> Result<T, Reported> {
        if let Some((_, value)) = self.entries.iter().find(|((key, _), _)| key == name) {
            let is_required = T::missing().is_none();
            return problems.within(Field { name, is_required }, |problems| T::from_node(value, problems));
        }
        let misspelled = self.misspelled.iter().find(|(meant, _)| *meant == name);
        match (T::missing(), misspelled) {
            (Some(value), _) => Ok(value),
            (None, Some((_, reported))) => Err(*reported),
            (None, None) => {
                let help = shapes::field(name);
                let message = format!("`{name}` is missing here");
                Err(problems.add(&self.node.span, ProblemCode::MissingField, message, help))
            }
        }
    }
}

/// Decides what becomes of a field: an optional one that cannot be read counts as absent where the
/// document does not have to be whole.
pub fn settle<T: FromNode>(taken: Result<T, Reported>, whole: bool) -> Result<T, Reported> {
    match taken {
        Err(reported) if !whole => T::missing().ok_or(reported),
        taken => taken,
    }
}

/// The name of a field by its name in Rust, in which `r#` stands before a keyword.
pub const fn field_name(written: &'static str) -> &'static str {
    match written.as_bytes() {
        [b'r', b'#', ..] => written.split_at(2).1,
        _ => written,
    }
}

/// Declares a struct that is read from a mapping, with its JSON Schema. An optional field that
/// cannot be read counts as absent, so that the rest is checked too; with `[whole]` it spoils the
/// struct, where absence would be a problem of its own.
macro_rules! document {
    ($($(#[$meta:meta])* pub struct $name:ident $([$mode:ident])? { $($(#[$about:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Debug, Clone, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(deny_unknown_fields)]
        pub struct $name { $($(#[$about])* pub $field: $type,)* }

        impl $crate::document::decode::FromNode for $name {
            fn from_node(
                node: &$crate::document::yaml::Node,
                problems: &mut $crate::document::problem::Problems,
            ) -> Result<Self, $crate::document::problem::Reported> {
                const KNOWN: &[&str] = &[$($crate::document::decode::field_name(stringify!($field))),*];
                const WHOLE: bool = !concat!($(stringify!($mode))?).is_empty();
                let fields = $crate::document::decode::Fields::open(node, KNOWN, problems)?;
                $(let $field = fields.take::<$type>($crate::document::decode::field_name(stringify!($field)), problems);)*
                Ok(Self { $($field: $crate::document::decode::settle($field, WHOLE)?,)* })
            }
        }
    )*};
}

/// Declares a closed set of words, with its JSON Schema: the comment of a word is its description.
macro_rules! string_enum {
    ($($(#[doc = $meta:literal])* pub enum $name:ident { $($(#[doc = $about:literal])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[doc = $meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $about])* $variant,)* }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                const ABOUT: &str = concat!($($meta, "\n"),*);
                $crate::document::schema::words_schema(ABOUT, &[$(($word, concat!($($about, "\n"),*))),*])
            }
        }

        impl $crate::document::decode::FromNode for $name {
            fn from_node(
                node: &$crate::document::yaml::Node,
                problems: &mut $crate::document::problem::Problems,
            ) -> Result<Self, $crate::document::problem::Reported> {
                $crate::document::decode::one_of(node, &[$(($word, Self::$variant)),*], problems)
            }
        }
    )*};
}

pub(crate) use {document, string_enum};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::time::Duration;

    use super::super::collections::List;
    use super::super::problem::SourceFile;
    use super::super::read as read_yaml;
    use super::super::scalars::{HumanDuration, Size};
    use super::*;

    #[expect(unreachable_pub, reason = "`document!` declares public documents")]
    mod thing {
        use super::*;

        document! {
        /// A thing.
        pub struct Thing {
            name: String,
            size: Option<Size>,
            wait: Option<HumanDuration>,
            tags: Option<List<String>>,
        }
        }
    }

    use thing::Thing;

    fn read(text: &str) -> (Option<Thing>, Vec<String>) {
        let source = SourceFile::new("t", text);
        let mut problems = Problems::of(Arc::new(source));
        let thing = read_yaml(&mut problems).and_then(|node| Thing::from_node(&node, &mut problems).ok());
        (
            thing,
            problems.into_sorted().iter().map(|p| p.message().to_owned()).collect(),
        )
    }

    #[test]
    fn a_document_reads_its_fields() {
        let (thing, problems) = read("name: '007'\nsize: 32KiB\nwait: 500ms\ntags: [a, \"1\"]\n");
        assert_eq!(problems, Vec::<String>::new());
        let thing = thing.unwrap();
        assert_eq!(thing.name, "007");
        assert_eq!(thing.size, Some(Size(32768)));
        assert_eq!(thing.wait, Some(HumanDuration(Duration::from_millis(500))));
        assert_eq!(thing.tags, Some(List(vec!["a".into(), "1".into()])));
    }

    #[test]
    fn value_of_an_unknown_field_is_in_no_excerpt() {
        for text in [
            "{ name: x, requirepass: MARKER }",
            "name: x\npw: MARKER\n",
            "name: x\ncredential: [MARKER, { a: MARKER }]\n",
        ] {
            let mut problems = Problems::of(Arc::new(SourceFile::new("t", text)));
            let node = read_yaml(&mut problems).unwrap();
            assert!(Thing::from_node(&node, &mut problems).is_ok());
            let found = problems.into_sorted();
            let [problem] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert!(problem.message().starts_with("unknown field"));
            let shown = problem.render(false);
            assert!(!shown.contains("MARKER"), "{shown}");
        }
    }

    #[test]
    fn a_number_where_text_is_expected_is_a_problem_with_its_fix() {
        assert_eq!(read("name: 007\n").1, ["expected text, found a number"]);
        assert_eq!(read("{ name: x, tags: [a, 1] }").1, ["expected text, found a number"]);
    }

    #[test]
    fn a_missing_field_beside_a_similar_known_one_is_a_problem() {
        for (text, want) in [
            ("{ size: 1 }", &["`name` is missing here"][..]),
            // An unknown key that is a misspelling of the missing one is one problem, not two.
            ("{ nmae: x }", &["unknown field `nmae`"]),
            (
                "{ namee: x, nme: y }",
                &["unknown field `namee`", "unknown field `nme`"],
            ),
            // One that is taken for another field, or for none, excuses nothing.
            ("{ siez: 1 }", &["`name` is missing here", "unknown field `siez`"]),
            ("{ colour: x }", &["`name` is missing here", "unknown field `colour`"]),
            // `tames` is as close to `tags` as to `name`, and excuses one of them at most.
            ("{ tags: [a], tame: x }", &["unknown field `tame`"]),
            ("{ name: x, nmae: y }", &["unknown field `nmae`"]),
        ] {
            let (thing, problems) = read(text);
            assert_eq!(problems, want, "{text}");
            assert_eq!(thing.is_some(), text.contains("name:"), "{text}");
        }
    }

    #[test]
    fn every_problem_is_noted() {
        let (thing, problems) = read("nmae: x\nname: [1]\nsize: 5kb\nwait: 3\ntags: []\nsize: 1\n");
        assert!(thing.is_none());
        assert_eq!(
            problems,
            [
                "unknown field `nmae`",
                "expected text, found a list",
                "expected a number of bytes such as `10MiB`, found `5kb`",
                "expected a length of time such as `30s`, found `3`",
                "the list is empty",
                "`size` is written twice",
            ]
        );
        assert_eq!(read("size:\n").1, ["`name` is missing here", "the field has no value"]);
    }
}

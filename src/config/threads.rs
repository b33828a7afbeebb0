//! How many threads serve requests: a number, or `auto` for as many as the process has processors.

use std::borrow::Cow;
use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::document::decode::{FromNode, Spanned};
use crate::document::problem::{ProblemCode, Problems, Reported};
use crate::document::schema::words_schema;
use crate::document::yaml::{Node, Value};

/// The most threads that serve.
const MOST: u32 = 256;

/// The number of threads as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadsDocument {
    /// `auto`
    Auto,
    /// The number.
    Number(Spanned<u32>),
}

impl FromNode for ThreadsDocument {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) if text == "auto" => Ok(Self::Auto),
            Value::Text(text) if text.starts_with(char::is_alphabetic) => {
                let message = format!("unknown word `{text}`");
                let help = "write `auto`, or a number such as `2`";
                Err(problems.add(&node.span, ProblemCode::UnknownWord, message, help))
            }
            _ => Spanned::from_node(node, problems).map(Self::Number),
        }
    }
}

impl JsonSchema for ThreadsDocument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Threads".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let auto =
            "As many as the process has processors, by its CPU affinity and the quota of its cgroup, rounded down.";
        json_schema!({
            "anyOf": [words_schema("", &[("auto", auto)]), { "type": "integer", "minimum": 1, "maximum": MOST }]
        })
    }
}

/// Returns how many processors this process may use: by its CPU affinity and the quota of its cgroup, version 1 or 2,
/// rounded down, and at least 1.
pub fn processors() -> io::Result<usize> {
    available_parallelism().map(NonZero::get)
}

/// Returns the number of threads, and whether it is that of the processors.
pub(super) fn check(written: Option<ThreadsDocument>, problems: &mut Problems) -> (usize, bool) {
    let number = match written {
        None => return (1, false),
        Some(ThreadsDocument::Auto) => return (automatic(&processors()), true),
        Some(ThreadsDocument::Number(number)) => number,
    };
    if !(1..=MOST).contains(&number.value) {
        let message = format!("between 1 and {MOST} threads are possible, found {}", number.value);
        let help = "write the number of cores that Sidegate may use, or `auto`";
        problems.add(&number.span, ProblemCode::OutOfRange, message, help);
    }
    (number.value as usize, false)
}

/// Returns how many threads serve with `auto`: one if the number of processors is unknown.
fn automatic(processors: &io::Result<usize>) -> usize {
    processors.as_ref().map_or(1, |count| (*count).clamp(1, MOST as usize))
}

/// Returns what a start warns of: more threads than processors, or `auto` where the number of processors is unknown.
pub fn warning(threads: usize, is_auto: bool, processors: &io::Result<usize>) -> Option<String> {
    match processors {
        Err(error) if is_auto => Some(format!(
            "`threads` is `auto`, and the number of processors cannot be read, so one thread serves: {error}"
        )),
        Ok(processors) if !is_auto && threads > *processors => Some(format!(
            "`threads` is {threads}, but the process has {processors} processors by its CPU affinity and cgroup; `threads: auto` starts as many threads"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown() -> io::Result<usize> {
        Err(io::Error::other("no /proc"))
    }

    #[test]
    fn automatic_threads_are_as_many_as_processors_within_the_limit() {
        for (processors, want) in [
            (Ok(1), 1),
            (Ok(2), 2),
            (Ok(256), 256),
            (Ok(384), 256),
            (Ok(0), 1),
            (unknown(), 1),
        ] {
            assert_eq!(automatic(&processors), want, "{processors:?}");
        }
    }

    #[test]
    fn start_warns_of_more_threads_than_processors_and_of_an_unknown_number() {
        for (threads, is_auto, processors, want) in [
            (1, false, Ok(1), None),
            (4, false, Ok(4), None),
            (4, false, Ok(8), None),
            (4, false, Ok(2), Some("has 2 processors")),
            (256, true, Ok(384), None),
            // The quota was lowered since.
            (4, true, Ok(2), None),
            (4, false, unknown(), None),
            (1, true, unknown(), Some("one thread serves: no /proc")),
        ] {
            let found = warning(threads, is_auto, &processors);
            match (&found, want) {
                (Some(found), Some(want)) => assert!(found.contains(want), "{found}"),
                _ => assert_eq!(found.as_deref(), want, "{threads} of {processors:?}"),
            }
        }
    }
}

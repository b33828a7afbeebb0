//! Recognizes files of tests where a policy or a configuration belongs.

use super::problem::{Fault, ProblemCode};
use super::yaml::{Node, Value};

/// Fields that test files alone have.
const FIELDS: [&str; 2] = ["tests", "callers"];

/// Returns what is wrong with a file of tests, by its name, where another file belongs.
pub fn test_file(node: &Node, file: &str) -> Option<Fault> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let is_test = entries.iter().any(|((key, _), _)| FIELDS.contains(&key.as_str()));
    is_test.then(|| {
        Fault::new(
            ProblemCode::NotAPolicy,
            "this is a test file: it says what policies are expected to do",
            format!("run it with `sidegate test {file}`, and name the policies themselves here"),
        )
    })
}

/// Returns whether a text seems to be a file of tests.
pub fn reads_as_tests(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| {
        FIELDS
            .iter()
            .any(|field| line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':')))
    })
}

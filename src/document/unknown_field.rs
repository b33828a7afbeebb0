//! What an unknown field is meant for.

use super::suggestion::{closest, did_you_mean, suggest};
use super::yaml::{Node, Value};
use super::{aliases, levels, syntax};

/// Explains an unknown field of a mapping: the absent field that it is meant for, what is wrong, and the help.
pub(super) fn explain(
    (key, value): (&str, &Node),
    known: &[&'static str],
    absent: impl Fn(&&'static str) -> bool,
) -> (Option<&'static str>, String, String) {
    if let Some(name) = without_space(key, value, known) {
        let (message, help) = syntax::no_space(name);
        return (Some(name), message, help);
    }
    let (meant, help) = what_was_meant(key, known, absent);
    (meant, format!("unknown field `{key}`"), help)
}

/// A known field that is written as `field:value` in braces, which is one key without a value.
fn without_space(key: &str, value: &Node, known: &[&'static str]) -> Option<&'static str> {
    let (name, _) = key.split_once(':').filter(|_| value.value == Value::Null)?;
    known.iter().copied().find(|known| *known == name)
}

/// The absent field that an unknown one was meant for, and the help.
fn what_was_meant(
    key: &str,
    known: &[&'static str],
    absent: impl Fn(&&'static str) -> bool,
) -> (Option<&'static str>, String) {
    if let Some((ours, help)) = levels::belongs(key, known).or_else(|| aliases::meant(key, known)) {
        return (Some(ours).filter(|ours| absent(ours)), help);
    }
    match closest(key, known.iter().copied().filter(absent)) {
        Some(field) => (Some(field), did_you_mean(field)),
        None => (None, suggest(key, known.iter().copied())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::decode::Fields;
    use super::super::problem::{Problem, Problems, SourceFile};
    use super::super::read;

    fn problem(text: &str) -> Problem {
        let mut problems = Problems::of(Arc::new(SourceFile::new("t", text)));
        let node = read(&mut problems).unwrap();
        assert!(Fields::open(&node, &["name", "size"], &mut problems).is_ok());
        let mut found = problems.into_sorted();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn field_without_space_in_braces_is_named_without_its_value() {
        for (text, message, help) in [
            (
                "{ name:MARKER }",
                "no space follows the colon after `name`",
                "write `name: …`",
            ),
            (
                "{ name: x, size:MARKER }",
                "no space follows the colon after `size`",
                "write `size: …`",
            ),
            ("{ colour:MARKER }", "unknown field `***`", "known: name, size"),
            ("{ name:MARKER: x }", "unknown field `***`", "did you mean `name`?"),
        ] {
            let problem = problem(text);
            assert_eq!((problem.message(), problem.fix()), (message, help), "{text}");
            assert!(!problem.render(false).contains("MARKER"), "{text}");
        }
    }
}

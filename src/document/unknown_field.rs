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
    let (meant, help) = what_was_meant(key, &value.value, known, absent);
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
    value: &Value,
    known: &[&'static str],
    absent: impl Fn(&&'static str) -> bool,
) -> (Option<&'static str>, String) {
    if let Some((ours, help)) = levels::belongs(key, known).or_else(|| aliases::meant(key, known)) {
        // `public: false` does not ask for a public route, nor `dry_run: false` for shadow mode.
        let help = match is_off(value) && ["auth", "mode"].contains(&ours) {
            true => "leave it out".to_owned(),
            false => help,
        };
        return (Some(ours).filter(|ours| absent(ours)), help);
    }
    match closest(key, known.iter().copied().filter(absent)) {
        Some(field) => (Some(field), did_you_mean(field)),
        None => (None, suggest(key, known.iter().copied())),
    }
}

/// Whether a value switches something off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Text(text) | Value::Number(text) => ["false", "off", "no", "none", "0"].contains(&text.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::super::decode::Fields;
    use super::super::problem::{Problem, Problems, SourceFile};
    use super::super::read;
    use super::super::suggestion::tests::COMPARISONS;
    use super::super::yaml::Value;
    use super::what_was_meant;

    fn problem(text: &str) -> Problem {
        let mut problems = Problems::of(Arc::new(SourceFile::new("t", text)));
        let node = read(&mut problems).unwrap();
        assert!(Fields::open(&node, &["name", "size"], &mut problems).is_ok());
        let mut found = problems.into_sorted();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn number_of_comparisons_is_bounded_by_the_problems_that_are_shown() {
        let count = |fields: usize| {
            let lines = (0..fields).map(|number| format!("field_with_a_name_{number:05}: 1\n"));
            let text = lines.collect::<Vec<_>>().concat();
            let mut problems = Problems::of(Arc::new(SourceFile::new("t", text)));
            let node = read(&mut problems).unwrap();
            COMPARISONS.with(|count| count.set(0));
            assert!(
                Fields::open(
                    &node,
                    &["field_with_a_name_of_it", "field_with_another_name"],
                    &mut problems
                )
                .is_ok()
            );
            assert!(problems.has_errors());
            (COMPARISONS.with(Cell::get), problems.into_sorted().len())
        };
        let (few, shown) = count(1000);
        assert!(few >= 1000, "{few}");
        assert_eq!((count(10_000), shown), ((few, 1001), 1000));
    }

    #[test]
    fn field_that_is_switched_off_is_left_out() {
        for (key, value, want) in [
            ("public", Value::Bool(false), "leave it out"),
            ("dry_run", Value::Text("off".into()), "leave it out"),
            ("public", Value::Bool(true), "write `auth: public`"),
        ] {
            let (_, help) = what_was_meant(key, &value, &["path", "auth", "mode"], |_| true);
            assert_eq!(help, want, "{key}");
        }
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
            ("{ name:MARKER: x }", "unknown field `***`", "known: name, size"),
        ] {
            let problem = problem(text);
            assert_eq!((problem.message(), problem.fix()), (message, help), "{text}");
            assert!(!problem.render(false).contains("MARKER"), "{text}");
        }
    }
}

//! Variables as shells write them, and how they are written here.

/// The name in a variable as shells write it, at the start of a text: `$NAME`, `${NAME}` or `${NAME:-default}`.
pub(super) fn shell_variable(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let (name, is_braced) = match rest.strip_prefix('{') {
        Some(inside) => (inside.split_once('}')?.0, true),
        None => (rest, false),
    };
    let length = name
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    let (name, behind) = name.split_at_checked(length)?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_name && (is_braced || behind.is_empty())).then_some(name)
}

/// How a variable is written.
pub(super) fn from_environment(name: &str) -> String {
    format!("write `{{ env: {name} }}`: shell variables are not read here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_of_a_shell_gives_its_name() {
        for (text, name) in [
            ("$ORDERS_URL", Some("ORDERS_URL")),
            ("${ORDERS_URL}", Some("ORDERS_URL")),
            ("${ORDERS_URL:-http://127.0.0.1:3000}", Some("ORDERS_URL")),
            ("${ORDERS_URL} }", Some("ORDERS_URL")),
            ("$HOST:3000", None),
            ("$", None),
            ("${}", None),
            ("${ORDERS_URL", None),
            ("$1", None),
            ("http://$HOST", None),
        ] {
            assert_eq!(shell_variable(text), name, "{text}");
        }
    }
}

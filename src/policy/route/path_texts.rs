//! Paths as policies write them: what no normalized path can hold, and what was likely meant.

use super::{PathPattern, Segment};
use crate::document::problem::{Fault, ProblemCode};

/// The wildcards that there are.
pub(super) const WILDCARDS: &str = "write `{name}` for one segment, and `/*` at the end for all paths below";

/// Checks the prefix of a policy: a plain path.
pub fn check_prefix(text: &str) -> Result<(), Fault> {
    let plain = || {
        let path = suggestion(text).unwrap_or_else(|| text.to_owned());
        let literal = path.split('/').filter(|segment| !segment.is_empty());
        let literal = literal.take_while(|segment| !segment.contains(['*', '{', '}']));
        literal.fold(String::new(), |path, segment| format!("{path}/{segment}"))
    };
    let help = |fault: Fault| match plain().as_str() {
        "" => "leave `prefix` out for all paths".to_owned(),
        path if check_literal(path).is_ok() => format!("write `{path}`: a prefix is for all paths below it"),
        _ => fault.help,
    };
    let wildcard = || {
        let message = format!("`{text}` has a wildcard, and a prefix has none");
        Fault::new(ProblemCode::InvalidPrefix, message, "")
    };
    let found = check_literal(text).and_then(|()| match text.contains(['*', '{', '}']) {
        true => Err(wildcard()),
        false => Ok(()),
    });
    found.map_err(|fault| Fault::new(ProblemCode::InvalidPrefix, fault.message.clone(), help(fault)))
}

/// One segment of a pattern.
pub(super) fn segment(text: &str) -> Result<Segment, Fault> {
    let wildcard = |message: String| Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
    if text.starts_with(':') {
        return wildcard(format!("`{text}` would be these very characters, not any segment"));
    }
    match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        Some(name) if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') => Ok(Segment::Any),
        Some(_) => wildcard(format!(
            "`{text}` is not a name in braces: a name has letters, digits and `_`"
        )),
        None if text.chars().all(|c| c == '*') && !text.is_empty() => {
            wildcard("`*` stands at the end of a path only, and for all segments behind it".to_owned())
        }
        None if text.contains(['{', '}', '*']) => wildcard(format!(
            "`{text}` mixes literal characters with a wildcard; a wildcard is a whole segment"
        )),
        None => Ok(Segment::Literal(text.to_owned())),
    }
}

/// Rejects what no normalized path can hold, so that the rule would never match.
pub(super) fn check_literal(text: &str) -> Result<(), Fault> {
    let invalid = |message: String, help: &str| Err(Fault::new(ProblemCode::InvalidPath, message, help));
    if is_regex(text) {
        let message = format!("`{text}` is a regular expression, and paths are matched by whole segments");
        return Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
    }
    if !text.starts_with('/') {
        return invalid(
            format!("`{text}` does not start with `/`"),
            "write the path alone, such as `/orders`",
        );
    }
    for (bad, help) in [
        ("//", "write one slash between two segments"),
        ("%", "write the character itself: a path is matched after decoding"),
        ("?", "leave the query out: a route matches the path alone"),
        ("#", "leave the fragment out: clients do not send it"),
        ("\\", "write `/` between segments"),
        (";", "leave out `;` and what follows: requests with it are rejected"),
        ("\"", "leave the quotes out"),
    ] {
        if text.contains(bad) {
            return invalid(format!("`{bad}` cannot stand in a path here"), help);
        }
    }
    if text.split('/').any(|s| s == "." || s == "..") {
        let message = "requests with `.` and `..` segments are rejected, so this never matches";
        return invalid(message.to_owned(), "write the path that they lead to");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return invalid(
            "white space cannot stand in a path".to_owned(),
            "take the white space out",
        );
    }
    Ok(())
}

/// Whether a path has what only regular expressions have.
fn is_regex(text: &str) -> bool {
    let special = |c: char| "[]()|^<>`$+".contains(c);
    text.starts_with('^')
        || text.contains(".*")
        || text.contains(|c| special(c) && c != '$' && c != '+' && c != '(' && c != ')')
}

/// The path that was likely meant, if it is one: in the wildcards of other programs, without what
/// does not belong to a path.
pub(super) fn suggestion(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| {
        rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or("/"))
    });
    let text = text
        .trim_start_matches('^')
        .trim_end_matches('$')
        .replace("[^/]", "[x]");
    let text = match is_regex(&text) {
        true => text,
        false => text
            .split(['?', '#', ';'])
            .next()
            .unwrap_or_default()
            .replace('\\', "/"),
    };
    let written: Vec<_> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut path = String::new();
    for (at, segment) in written.iter().enumerate() {
        let is_last = at + 1 == written.len();
        path.push('/');
        path.push_str(&meant(segment, is_last));
    }
    let path = match path.as_str() {
        "" => "/".to_owned(),
        _ => path,
    };
    (path != text && PathPattern::read(&path).is_ok()).then_some(path)
}

/// What a segment of another program's path is here.
fn meant(segment: &str, is_last: bool) -> String {
    let name = |text: &str| {
        let name: String = text
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
            .collect();
        match name.as_str() {
            "" => "{name}".to_owned(),
            name => format!("{{{}}}", name.replace('-', "_")),
        }
    };
    let all = ["*", "**", ".*", "(.*)", ".+", "(.+)"].contains(&segment);
    if let Some(rest) = segment.strip_prefix(':').or_else(|| segment.strip_prefix('{')) {
        return name(rest);
    }
    if let Some(rest) = segment.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return name(rest.rsplit(':').next().unwrap_or_default());
    }
    match segment.strip_suffix('*') {
        _ if all && is_last => "*".to_owned(),
        _ if all => "{name}".to_owned(),
        Some(literal) if is_last && literal.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_')) => {
            format!("{literal}/*")
        }
        _ if is_regex(segment) || segment.contains(['*', '{', '}']) => "{name}".to_owned(),
        _ => segment.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_another_program_is_shown_as_it_is_written_here() {
        for (text, want) in [
            ("/orders/*/items", "write `/orders/{name}/items`"),
            ("^/orders/[0-9]+$", "write `/orders/{name}`"),
            ("/orders/{id:[0-9]+}", "write `/orders/{id}`"),
            ("/orders/{id:[^/]+}/items", "write `/orders/{id}/items`"),
            ("/orders/:id", "write `/orders/{id}`"),
            ("/orders/<int:id>", "write `/orders/{id}`"),
            ("/orders/{order-id}", "write `/orders/{order_id}`"),
            ("/orders/**", "write `/orders/*`"),
            ("/orders/.*", "write `/orders/*`"),
            ("/orders*", "write `/orders/*`"),
            ("orders", "write `/orders`"),
            ("https://api.example.com/orders", "write `/orders`"),
            ("/orders?page=1", "write `/orders`"),
            ("/orders//items", "write `/orders/items`"),
            ("/a/../b", "write the path that they lead to"),
            ("/a%20b", "write the character itself: a path is matched after decoding"),
        ] {
            assert_eq!(PathPattern::parse(text).unwrap_err().help, want, "{text}");
        }
    }

    #[test]
    fn prefix_with_a_wildcard_is_shown_without_it() {
        for (text, want) in [
            ("/x/*", "write `/x`: a prefix is for all paths below it"),
            ("x", "write `/x`: a prefix is for all paths below it"),
            ("/x/{tenant}/y", "write `/x`: a prefix is for all paths below it"),
            ("/*", "leave `prefix` out for all paths"),
        ] {
            let fault = check_prefix(text).unwrap_err();
            assert_eq!(
                (fault.code, fault.help.as_str()),
                (ProblemCode::InvalidPrefix, want),
                "{text}"
            );
        }
        assert_eq!(check_prefix("/x/y"), Ok(()));
    }
}

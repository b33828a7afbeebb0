//! Paths as policies write them: what no normalized path can hold, and what was likely meant.

use super::path_pattern::{PathPattern, check_literal, is_regex};
use crate::document::problem::{Fault, ProblemCode};

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

/// Adds the whole path as it should be to what is wrong with it, where that can be shown.
pub fn with_suggestion(text: &str, fault: Fault) -> Fault {
    let wider = "write a route for each path, such as `/orders/health`, or `{name}` for any segment";
    match suggestion(text) {
        Some(path) if text.contains(['[', '\\', '+']) && path.contains('{') => {
            let help = format!("write `{path}` if any segment may stand there: `{{name}}` has no pattern");
            Fault::new(fault.code, fault.message, help)
        }
        Some(path) => Fault::new(fault.code, fault.message, format!("write `{path}`")),
        None if is_regex(text) || text.contains('*') => Fault::new(fault.code, fault.message, wider),
        None => fault,
    }
}

/// The path that was likely meant, if it is one: in the wildcards of other programs, without what
/// does not belong to a path.
fn suggestion(written: &str) -> Option<String> {
    let text = written.trim();
    // No path here matches what an alternative does, or what a look-ahead leaves out; a user may have a password.
    if text.contains(['|', '@']) || text.contains("(?") {
        return None;
    }
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
    let segments: Vec<_> = text.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut path = String::new();
    for (at, segment) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        path.push('/');
        path.push_str(&meant(segment, is_last)?);
    }
    let path = match path.as_str() {
        "" => "/".to_owned(),
        _ => path,
    };
    (path != written && PathPattern::parse(&path).is_ok()).then_some(path)
}

/// What a segment of another program's path is here; `None` where it would match more than is written.
fn meant(segment: &str, is_last: bool) -> Option<String> {
    let all = ["*", "**", ".*", "(.*)", ".+", "(.+)"].contains(&segment);
    if let Some(rest) = segment.strip_prefix(':') {
        let end = rest.find(|c| !is_named(c)).unwrap_or(rest.len());
        let (written, suffix) = rest.split_at_checked(end)?;
        // A second parameter may follow.
        let suffix = if suffix.contains(':') { "" } else { suffix };
        return Some(named(written) + literal_end(suffix));
    }
    if let Some(rest) = segment.strip_prefix('{') {
        // The braces of `{id:[0-9]{2}}` are within others.
        let (written, suffix) = rest.rsplit_once('}').unwrap_or((rest, ""));
        return Some(named(written) + literal_end(suffix));
    }
    if let Some((written, suffix)) = segment.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        return Some(named(written.rsplit(':').next().unwrap_or_default()) + literal_end(suffix));
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let literal = segment.trim_end_matches('*');
    let suffix = segment.strip_prefix('*').unwrap_or_default();
    match segment {
        _ if all && is_last => Some("*".to_owned()),
        _ if all || is_class(segment) => Some("{name}".to_owned()),
        _ if is_last && literal != segment && literal.chars().all(plain) => Some(format!("{literal}/*")),
        _ if is_regex(segment) => None,
        _ if !suffix.is_empty() && suffix == literal_end(suffix) => Some(format!("{{name}}{suffix}")),
        _ if segment.contains(['*', '{', '}']) => None,
        _ => Some(segment.to_owned()),
    }
}

/// A wildcard with a name as near to what is written as one is here.
fn named(written: &str) -> String {
    let name: String = written.chars().take_while(|c| is_named(*c)).collect();
    match name.as_str() {
        "" => "{name}".to_owned(),
        name => format!("{{{}}}", name.replace('-', "_")),
    }
}

fn is_named(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// What stands behind a wildcard, where it is a literal.
fn literal_end(suffix: &str) -> &str {
    match is_regex(suffix) || suffix.contains(['*', '{', '}', '(', ')', '+']) {
        true => "",
        false => suffix,
    }
}

/// Whether a segment is one class of characters of a regular expression, as in `[0-9]+` and `(\\d+)`.
fn is_class(segment: &str) -> bool {
    let inner = segment.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    let inner = inner.unwrap_or(segment).trim_end_matches(['+', '*']);
    let in_brackets = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    ["\\d", "\\w"].contains(&inner) || in_brackets.is_some_and(|class| !class.contains(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVERAL: &str = "write a route for each path, such as `/orders/health`, or `{name}` for any segment";

    #[test]
    fn path_of_another_program_is_shown_as_it_is_written_here() {
        for (text, want) in [
            ("/orders/*/items", "write `/orders/{name}/items`"),
            (
                "^/orders/[0-9]+$",
                "write `/orders/{name}` if any segment may stand there: `{name}` has no pattern",
            ),
            ("/docs**", "write `/docs/*`"),
            ("/*.css", "write `/{name}.css`"),
            ("/api/(?!admin).*", SEVERAL),
            ("/orders/(health|ready)", SEVERAL),
            ("^/static/[a-z]+[.]css$", SEVERAL),
            (
                "/orders/{id:[0-9]+}",
                "write `/orders/{id}` if any segment may stand there: `{name}` has no pattern",
            ),
            (
                "/orders/{id:[^/]+}/items",
                "write `/orders/{id}/items` if any segment may stand there: `{name}` has no pattern",
            ),
            ("/orders/:id", "write `/orders/{id}`"),
            ("/orders/:id.json", "write `/orders/{id}.json`"),
            (
                "/orders/:id([0-9]+)",
                "write `/orders/{id}` if any segment may stand there: `{name}` has no pattern",
            ),
            ("/orders/:from-:to", "write `/orders/{from_}`"),
            ("/orders/{order-id}:cancel", "write `/orders/{order_id}:cancel`"),
            (
                "/orders/{id:[0-9]{2}}:cancel",
                "write `/orders/{id}:cancel` if any segment may stand there: `{name}` has no pattern",
            ),
            ("/orders/<int:id>.json", "write `/orders/{id}.json`"),
            ("/orders/{a}-{b}", "write `/orders/{a}`"),
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
            let fault = PathPattern::parse(text).unwrap_err();
            assert_eq!(with_suggestion(text, fault).help, want, "{text}");
        }
    }

    #[test]
    fn wildcard_of_any_depth_is_one_star_too_many() {
        for text in ["/**", "/orders/**"] {
            let fault = PathPattern::parse(text).unwrap_err();
            assert_eq!(fault.code, ProblemCode::InvalidWildcard, "{text}");
            let message = format!("`{text}` has one `*` too many: `/*` already matches everything below");
            assert_eq!(fault.message, message);
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

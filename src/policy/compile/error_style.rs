//! How a service writes its errors: `errors` of a policy, and `defaults.errors` of `sidegate.yaml`.

use crate::document::decode::Spanned;
use crate::document::problem::{ProblemCode, Problems};
use crate::policy::document::ErrorsDocument;
use crate::policy::{ErrorFormat, ErrorStyle};

/// The longest `type_base`, in bytes.
const MAX_TYPE_BASE: usize = 512;

/// Checks how errors are written. `prefix` makes the default prefix of the code.
pub fn check(errors: ErrorsDocument, prefix: impl Fn() -> String, problems: &mut Problems) -> ErrorStyle {
    if let Some(written) = &errors.code_prefix {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if written.value.is_empty() || !written.value.chars().all(fine) {
            let message = "a code prefix has letters, digits and `_` only";
            let help = format!("write `{}`", prefix());
            problems.add(&written.span, ProblemCode::InvalidName, message, help);
        }
    }
    let format = errors.format.unwrap_or(ErrorFormat::Flat);
    if let Some(base) = &errors.type_base {
        check_type_base(base, format, problems);
    }
    let prefix = errors.code_prefix.map_or_else(prefix, |prefix| prefix.value);
    let style = ErrorStyle::new(format, prefix);
    ErrorStyle {
        scope_challenge: errors.scope_challenge.unwrap_or(style.scope_challenge),
        reason_header: errors.reason_header.unwrap_or(style.reason_header),
        type_base: errors.type_base.map(|base| base.value),
        ..style
    }
}

fn check_type_base(base: &Spanned<String>, format: ErrorFormat, problems: &mut Problems) {
    if format != ErrorFormat::Problem {
        problems.add(
            &base.span,
            ProblemCode::FieldNeedsOther,
            "`type_base` has no effect with this format: only `problem` has a `type`",
            "write `format: problem`, or remove `type_base`",
        );
    }
    if base.value.len() > MAX_TYPE_BASE {
        let found = base.value.len();
        let message = format!("the URL has {found} bytes; at most {MAX_TYPE_BASE} are accepted");
        let help = "write a shorter URL, such as `https://docs.example.com/rejections#`";
        problems.add(&base.span, ProblemCode::InvalidUrl, message, help);
    } else if !is_url(&base.value) {
        problems.add(
            &base.span,
            ProblemCode::InvalidUrl,
            "`type_base` is not an absolute `http` or `https` URL",
            "write `https://docs.example.com/rejections#`",
        );
    }
}

/// Returns whether a text is a URL with a host, and without a user (RFC 3986, 3). A fragment may be empty.
fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    let in_path = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    !host.is_empty() && host.bytes().all(in_host) && path.bytes().all(in_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_base_is_an_absolute_url_without_a_user() {
        for (text, fine) in [
            ("https://docs.example.com/rejections#", true),
            ("http://docs.example.com:8080/a?b=", true),
            ("https://docs.example.com", true),
            ("https://[::1]/#", true),
            ("docs.example.com/#", false),
            ("ftp://docs.example.com/#", false),
            ("HTTPS://docs.example.com/#", false),
            ("https:///#", false),
            ("https://", false),
            ("https://user:password@docs.example.com/#", false),
            ("https://docs.example.com/a b#", false),
            ("https://docs.example.com/\"#", false),
            ("https://docs.example.com/\u{e9}#", false),
            ("", false),
        ] {
            assert_eq!(is_url(text), fine, "{text}");
        }
    }

    #[test]
    fn faulty_style_is_a_problem_in_its_line() {
        const POLICY: &str =
            "version: 1\nservice: s\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: public }]\n";
        let long = format!("{{ format: problem, type_base: 'https://a/{}' }}", "x".repeat(512));
        for (errors, want) in [
            ("{ format: problem, type_base: 'https://a.example/#' }", None),
            ("{ reason_header: false }", None),
            (
                "{ type_base: 'https://a.example/#' }",
                Some("`type_base` has no effect with this format: only `problem` has a `type`"),
            ),
            (
                "{ format: flat, type_base: 'https://a.example/#' }",
                Some("`type_base` has no effect with this format: only `problem` has a `type`"),
            ),
            (
                "{ format: problem, type_base: /rejections# }",
                Some("`type_base` is not an absolute `http` or `https` URL"),
            ),
            (&long, Some("the URL has 522 bytes; at most 512 are accepted")),
            (
                "{ format: flat, code_prefix: a-b }",
                Some("a code prefix has letters, digits and `_` only"),
            ),
        ] {
            let found = crate::testing::parse(&[&format!("{POLICY}errors: {errors}\n")]);
            let found: Vec<_> = found.err().unwrap_or_default();
            let found: Vec<_> = found.iter().map(|p| (p.location().line(), p.message())).collect();
            assert_eq!(
                found,
                want.map(|want| (5, want)).into_iter().collect::<Vec<_>>(),
                "{errors}"
            );
        }
    }
}

//! Shows how a value is written in the form that was expected: text as a list, as a mapping.

use super::yaml::Value;

/// How a list with the found value is written.
pub fn list(found: &Value) -> String {
    match found {
        Value::Text(text) | Value::Number(text) => {
            let items: Vec<_> = text
                .split([',', ' '])
                .filter(|item| !item.is_empty())
                .map(quoted)
                .collect();
            format!("write `[{}]`", items.join(", "))
        }
        Value::Mapping(_) => "write `- ` before each item, or put the mapping in `[…]`".to_owned(),
        _ => "write `[a, b]`, or one item a line, each after `- `".to_owned(),
    }
}

/// How a required field is written.
pub(super) fn field(name: &str) -> String {
    let example = match name {
        "version" => "version: 1",
        "service" => "service: my-service",
        "upstream" => "upstream: { url: http://host:port }",
        "routes" => "routes: [{ path: /*, auth: jwt }]",
        "path" => "path: /*",
        "auth" => "auth: jwt`, or `auth: public` for every client",
        "issuers" => "issuers: [{ issuer: …, audience: […], algorithms: […], keys: … }]",
        "issuer" => "issuer: https://idp.example.com`, as the `iss` of the tokens has it",
        "audience" => "audience: [my-service]",
        "algorithms" => "algorithms: [RS256]",
        "keys" => "keys: { oidc: https://idp.example.com }",
        "claims" => "claims: [tenant_id]",
        "address" => "address: 0.0.0.0:8080",
        "url" => "url: …",
        "format" => "format: flat",
        "size" => "size: 256MiB",
        "limit" => "limit: 100",
        "window" => "window: 1m",
        "per" => "per: subject",
        _ => return format!("add `{name}: …`"),
    };
    match example.contains('`') {
        true => format!("add `{example}"),
        false => format!("add `{example}`"),
    }
}

/// How a text is written.
pub(super) fn text(found: &Value) -> String {
    match found {
        Value::Sequence(items) => match items.as_slice() {
            [only] => match &only.value {
                Value::Text(text) => format!("write `{}`, without brackets", quoted(text)),
                _ => "write one text, without brackets".to_owned(),
            },
            _ => "write one text, without brackets".to_owned(),
        },
        Value::Bool(value) => format!("write it in quotes: `\"{value}\"`"),
        _ => "write one text".to_owned(),
    }
}

/// How a whole number is written.
pub(super) fn number(found: &Value) -> String {
    let digits = match found {
        Value::Text(text) | Value::Number(text) => {
            let plain = text.replace(['_', '+', ' '], "");
            let end = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
            plain.get(..end).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    let plain = digits.trim_start_matches('0');
    match !plain.is_empty() && plain.parse::<u32>().is_ok() {
        true => format!("write `{plain}`"),
        false => "write digits only, such as `8`".to_owned(),
    }
}

/// What a field of a mapping holds, to guess which field a lone value is meant for.
type Holds = fn(&Value) -> bool;

/// The fields that a value is most often meant for where it stands in place of the whole mapping.
const LONE: [(&str, Holds); 11] = [
    ("url", |value| {
        is_text(value, |text| text.contains("://") || text.starts_with("unix:"))
    }),
    ("address", |value| is_text(value, |text| text.contains(':'))),
    ("path", |value| is_text(value, |text| text.starts_with('/'))),
    ("file", |value| is_text(value, |_| true)),
    ("format", |value| {
        is_text(value, |text| {
            ["json", "text", "flat", "envelope", "problem"].contains(&text)
        })
    }),
    ("level", |value| {
        is_text(value, |text| {
            ["error", "warn", "info", "debug", "trace"].contains(&text)
        })
    }),
    ("size", |value| is_text(value, |_| true)),
    ("grace", |value| is_text(value, |_| true)),
    ("issuers", |value| matches!(value, Value::Sequence(_))),
    ("allow", |value| matches!(value, Value::Sequence(_))),
    ("keys", |value| matches!(value, Value::Sequence(_))),
];

fn is_text(value: &Value, fits: fn(&str) -> bool) -> bool {
    matches!(value, Value::Text(text) | Value::Number(text) if fits(text))
}

/// How a mapping with the found value is written, by the fields that it may have.
pub(super) fn mapping(found: &Value, known: &[&str]) -> String {
    let meant = LONE.iter().find(|(field, holds)| known.contains(field) && holds(found));
    match (meant, found) {
        (Some((field, _)), Value::Text(text) | Value::Number(text)) => {
            format!("write `{{ {field}: {} }}`", quoted(text))
        }
        (Some((field, _)), _) => format!("write `{{ {field}: […] }}`"),
        // Where the keys of an issuer are.
        (None, _) if known.contains(&"oidc") => {
            "write `{ oidc: https://… }`, `{ jwks: { url: https://… } }`, `{ pem: { file: PATH } }` or `{ secret: { env: NAME } }`".to_owned()
        }
        (None, Value::Bool(_)) => format!("write `{{}}` for the defaults, or a mapping of {}", known.join(", ")),
        (None, _) => format!("write a mapping of {}", known.join(", ")),
    }
}

/// The longest text that is shown again.
const SHOWN: usize = 60;

/// A text as it is written in a list or mapping in one line: in quotes where it needs them.
fn quoted(text: &str) -> String {
    let special = |c: char| matches!(c, '{' | '}' | '[' | ']' | ',' | '#' | '"' | '\'' | '`');
    let starts = text.starts_with(['*', '&', '!', '@', '%', '|', '>', '?', '-']);
    if text.len() > SHOWN || text.contains(char::is_control) {
        return "…".to_owned();
    }
    match starts || text.contains(special) || text.contains(": ") || text.ends_with(':') {
        true => format!("'{}'", text.replace('\'', "''")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        super::super::yaml::parse(text).unwrap().node.value
    }

    #[test]
    fn lone_value_in_place_of_a_list_is_shown_as_a_list() {
        for (text, want) in [
            ("GET", "write `[GET]`"),
            ("GET, POST", "write `[GET, POST]`"),
            ("read write", "write `[read, write]`"),
            ("'*.example.com'", "write `['*.example.com']`"),
            ("{ a: b }", "write `- ` before each item, or put the mapping in `[…]`"),
        ] {
            assert_eq!(list(&value(text)), want, "{text}");
        }
    }

    #[test]
    fn lone_value_in_place_of_a_mapping_is_shown_in_its_field() {
        for (text, known, want) in [
            ("http://a:1", &["url", "timeout"][..], "write `{ url: http://a:1 }`"),
            (
                "127.0.0.1:9090",
                &["address", "probe"],
                "write `{ address: 127.0.0.1:9090 }`",
            ),
            ("json", &["format", "level"], "write `{ format: json }`"),
            ("debug", &["format", "level"], "write `{ level: debug }`"),
            ("key.pem", &["file"], "write `{ file: key.pem }`"),
            ("[a]", &["issuers"], "write `{ issuers: […] }`"),
            ("x", &["uri", "dns"], "write a mapping of uri, dns"),
            ("true", &["file"], "write `{}` for the defaults, or a mapping of file"),
        ] {
            assert_eq!(mapping(&value(text), known), want, "{text}");
        }
    }

    #[test]
    fn number_that_programs_read_differently_is_shown_plainly() {
        for (text, want) in [
            ("0571", "write `571`"),
            ("1_000", "write `1000`"),
            ("'8'", "write `8`"),
            ("60/min", "write `60`"),
            ("-1", "write digits only, such as `8`"),
            ("many", "write digits only, such as `8`"),
        ] {
            assert_eq!(number(&value(text)), want, "{text}");
        }
    }
}

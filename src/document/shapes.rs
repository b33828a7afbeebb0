//! Shows how a value is written in the form that was expected: text as a list, as a mapping.

use super::problem::Field;
use super::yaml::Value;

/// How a list with the found value is written in a field.
pub fn list(found: &Value, field: Option<Field>) -> String {
    match found {
        Value::Text(text) | Value::Number(text) => {
            // A name may have spaces, a method has none.
            let is_method = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
            let by_space = !text.contains(',') && text.split(' ').all(is_method);
            let items = text.split(|c| c == ',' || (by_space && c == ' ')).map(str::trim);
            let items: Vec<_> = items.filter(|item| !item.is_empty()).map(quoted).collect();
            format!("write `[{}]`", items.join(", "))
        }
        _ => match (field.and_then(list_example), found) {
            (Some(example), _) => format!("write `{example}`{}", each_item(example)),
            (None, Value::Mapping(_)) => "write `- ` before each item, or put the mapping in `[…]`".to_owned(),
            (None, _) => "write `[a, b]`, or one item a line, each after `- `".to_owned(),
        },
    }
}

/// What a list without items needs.
pub(super) fn empty_list(field: Option<Field>) -> String {
    match field.filter(|field| field.is_required).map(list_example) {
        Some(Some(example)) => format!("write at least one item, as in `{example}`"),
        Some(None) => "write at least one item".to_owned(),
        None => "name at least one item, or leave the field out".to_owned(),
    }
}

fn each_item(example: &str) -> &'static str {
    match example.starts_with('-') {
        true => " for each item",
        false => "",
    }
}

/// A list as it is written in a field: one item of a list of mappings, else the whole list.
fn list_example(field: Field) -> Option<&'static str> {
    Some(match field.name {
        "routes" => "- { path: /health, auth: public }",
        "issuers" => "- { issuer: …, audience: […], algorithms: […], keys: … }",
        "keys" => "- { name: …, secret: { env: NAME } }",
        "quotas" => "- { name: calls, per: subject, limit: 100, window: 1m }",
        "listeners" => "- { address: '0.0.0.0:8080' }",
        "certificates" => "- { certificate: PATH, key: PATH }",
        // The names in certificates are required, and the ambiguities of paths are not.
        "allow" if field.is_required => "- { dns: jobs.internal }",
        "allow" => "[double_slash]",
        "audience" => "[my-service]",
        "algorithms" => "[RS256]",
        "claims" => "[tenant_id]",
        "required_claims" => "[sub]",
        "hosts" => "[api.example.com]",
        "methods" => "[GET, POST]",
        "roles" => "[admin]",
        "scopes" => "['orders:write']",
        "content_types" => "[application/json]",
        "pass" => "[x-userinfo]",
        "when" => "- { claim: email_verified, equals: true }",
        "sources" => "[authorization, { cookie: __Host-session }]",
        "trusted_proxies" => "[10.0.0.0/8]",
        _ => return None,
    })
}

/// How a mapping with names of the user's choice is written in a field.
pub(super) fn map(field: Option<Field>) -> &'static str {
    match field.map(|field| field.name) {
        Some("roles") => "write `{ admin: [editor] }`: an admin may do what an editor may",
        Some("identity") => "write `{ x-account: sub }`: a header, and the claim that it is set from",
        Some("plans") => "write `{ free: 100 }`: a plan, and its limit",
        _ => "write `{ name: value }`",
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
        "address" => "address: 127.0.0.1:8080",
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
const LONE: [(&str, Holds); 12] = [
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
    ("claims", |value| matches!(value, Value::Sequence(_))),
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
        // The header of a tenant, or a claim.
        (None, Value::Text(text)) if known.contains(&"claims") => match text.to_ascii_lowercase().starts_with("x-") {
            true => format!("write `{{ header: {}, claims: [tenant_id] }}`", quoted(text)),
            false => format!("write `{{ claims: [{}] }}`", quoted(text)),
        },
        (Some((field, _)), _) => format!("write `{{ {field}: […] }}`"),
        // Where the keys of an issuer are.
        (None, _) if known.contains(&"oidc") => {
            "write `{ oidc: https://… }`, `{ jwks: { url: https://… } }`, `{ pem: { file: PATH } }` or `{ secret: { env: NAME } }`".to_owned()
        }
        (None, Value::Bool(_)) if known.contains(&"origins") => {
            "write `{ origins: [https://app.example.com] }`".to_owned()
        }
        (None, Value::Bool(_)) if known.contains(&"authorization_servers") => {
            "write `{ url: https://…, authorization_servers: [https://…] }`".to_owned()
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
            ("GET POST", "write `[GET, POST]`"),
            ("Super User", "write `[Super User]`"),
            ("'*.example.com'", "write `['*.example.com']`"),
            ("{ a: b }", "write `- ` before each item, or put the mapping in `[…]`"),
        ] {
            assert_eq!(list(&value(text), None), want, "{text}");
        }
    }

    #[test]
    fn list_of_a_known_field_is_shown_with_its_items() {
        let field = |name, is_required| Some(Field { name, is_required });
        for (text, field, want) in [
            (
                "{ /x: jwt }",
                field("routes", true),
                "write `- { path: /health, auth: public }` for each item",
            ),
            ("~", field("methods", false), "write `[GET, POST]`"),
            ("GET", field("methods", false), "write `[GET]`"),
            (
                "{ a: b }",
                field("allow", true),
                "write `- { dns: jobs.internal }` for each item",
            ),
            ("{ a: b }", field("allow", false), "write `[double_slash]`"),
        ] {
            assert_eq!(list(&value(text), field), want, "{text}");
        }
        for (field, want) in [
            (field("audience", true), "write at least one item, as in `[my-service]`"),
            (field("colours", true), "write at least one item"),
            (field("hosts", false), "name at least one item, or leave the field out"),
            (None, "name at least one item, or leave the field out"),
        ] {
            assert_eq!(empty_list(field), want, "{field:?}");
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
            ("tenantId", &["header", "claims"], "write `{ claims: [tenantId] }`"),
            (
                "X-Tenant",
                &["header", "claims"],
                "write `{ header: X-Tenant, claims: [tenant_id] }`",
            ),
            ("x", &["uri", "dns"], "write a mapping of uri, dns"),
            (
                "true",
                &["origins", "headers"],
                "write `{ origins: [https://app.example.com] }`",
            ),
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

//! Fields that stand at the wrong level, and where they belong. Those with a form to show are in `aliases.rs`.

use super::aliases::snake_case;

/// Some fields, and the mapping that they belong in.
struct Level {
    /// The field that leads to the mapping. The row counts where a mapping may have this field.
    through: &'static str,
    /// The mapping, as the documents name it; empty for the whole file.
    place: &'static str,
    fields: &'static [&'static str],
}

const fn level(through: &'static str, place: &'static str, fields: &'static [&'static str]) -> Level {
    Level { through, place, fields }
}

const ISSUER: &[&str] = &[
    "issuer",
    "issuer_values",
    "audience",
    "audience_claim",
    "algorithms",
    "types",
    "ignore_headers",
    "keys",
    "leeway",
    "required_claims",
    "roles_claim",
    "scopes_claim",
    "binding",
];
const TLS: &[&str] = &["certificate", "key", "certificates", "client_ca", "client_crl"];

#[rustfmt::skip]
const LEVELS: &[Level] = &[
    // A policy.
    level("jwt", "jwt.issuers[]", ISSUER),
    level("issuers", "jwt.issuers[]", ISSUER),
    level("routes", "routes[]", &["path", "methods", "auth", "scopes", "when"]),
    level("upstream", "upstream", &["ca_file", "client_certificate", "client_key", "spiffe_id"]),
    level("tenant", "tenant", &["claims"]),
    level("leeway", "jwt", &["sources"]),
    level("content_types", "",
        &["cors", "streams", "resource", "hosts", "prefix", "upstream", "jwt", "tenant", "revocation", "credentials"]),
    // sidegate.yaml
    level("listeners", "listeners[]", &["tls", "proxy_protocol"]),
    level("listeners", "listeners[].tls", TLS),
    level("tls", "listeners[].tls", TLS),
    level("log", "log", &["format", "level", "access"]),
    level("shutdown", "shutdown", &["delay", "grace"]),
    level("admin", "admin", &["probe", "ready"]),
    level("limits", "limits",
        &["header_bytes", "headers", "uri_bytes", "body_bytes", "header_timeout", "body_timeout", "idle_timeout"]),
    // Both.
    level("errors", "errors", &["format", "code_prefix", "scope_challenge", "reason_header", "type_base"]),
    level("defaults", "defaults.errors", &["code_prefix", "scope_challenge", "reason_header", "type_base"]),
];

/// Finds where a field belongs that is unknown in a mapping with some fields: the field that leads there, and
/// the help.
pub(super) fn belongs(name: &str, known: &[&'static str]) -> Option<(&'static str, String)> {
    let name = snake_case(name);
    let level = LEVELS
        .iter()
        .find(|level| known.contains(&level.through) && level.fields.contains(&name.as_str()))?;
    let place = match level.place {
        "" => "at the top of the file, beside `routes`".to_owned(),
        place => format!("in `{place}`"),
    };
    Some((level.through, format!("`{name}` belongs {place}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_at_the_wrong_level_leads_to_its_mapping() {
        const POLICY: &[&str] = &["service", "upstream", "errors", "jwt", "tenant", "routes", "roles"];
        const CONFIG: &[&str] = &["listeners", "admin", "log", "limits", "defaults"];
        for (name, known, want) in [
            (
                "roles_claim",
                POLICY,
                Some(("jwt", "`roles_claim` belongs in `jwt.issuers[]`")),
            ),
            (
                "rolesClaim",
                POLICY,
                Some(("jwt", "`roles_claim` belongs in `jwt.issuers[]`")),
            ),
            (
                "audience",
                &["issuers"],
                Some(("issuers", "`audience` belongs in `jwt.issuers[]`")),
            ),
            ("path", POLICY, Some(("routes", "`path` belongs in `routes[]`"))),
            ("ca_file", POLICY, Some(("upstream", "`ca_file` belongs in `upstream`"))),
            ("format", POLICY, Some(("errors", "`format` belongs in `errors`"))),
            ("format", CONFIG, Some(("log", "`format` belongs in `log`"))),
            (
                "code_prefix",
                CONFIG,
                Some(("defaults", "`code_prefix` belongs in `defaults.errors`")),
            ),
            ("tls", CONFIG, Some(("listeners", "`tls` belongs in `listeners[]`"))),
            ("key", CONFIG, Some(("listeners", "`key` belongs in `listeners[].tls`"))),
            (
                "certificate",
                &["address", "tls"],
                Some(("tls", "`certificate` belongs in `listeners[].tls`")),
            ),
            (
                "proxy_protocol",
                CONFIG,
                Some(("listeners", "`proxy_protocol` belongs in `listeners[]`")),
            ),
            (
                "cors",
                &["path", "auth", "content_types"],
                Some((
                    "content_types",
                    "`cors` belongs at the top of the file, beside `routes`",
                )),
            ),
            (
                "sources",
                &["issuer", "leeway"],
                Some(("leeway", "`sources` belongs in `jwt`")),
            ),
            ("path", CONFIG, None),
            ("audience", &["path", "auth"], None),
            ("colour", POLICY, None),
        ] {
            let found = belongs(name, known);
            assert_eq!(found, want.map(|(through, help)| (through, help.to_owned())), "{name}");
        }
    }
}

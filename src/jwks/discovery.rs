//! Reads the discovery document of an issuer, which names its key set (OIDC Discovery 1.0, 3 and 4.3). Fetches
//! nothing.

use http::Uri;
use serde_json::Value;

use crate::authn::json;
use crate::policy::issuer_names::Template;
use crate::policy::remote_keys::check_url;

/// Returns the URL of the key set in a document that names exactly this issuer. Placeholders of a pattern may have other
/// names there, as `{tenantid}` in that of Entra.
pub fn key_set_url(document: &[u8], issuer: &str, allow_http: bool) -> Result<Uri, String> {
    let document = json::object(document).ok_or("the document of the issuer is not a JSON object with unique names")?;
    let text = |name: &str| match document.get(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(format!("the document of the issuer has no `{name}`")),
    };
    let named = text("issuer")?;
    if named != issuer
        && !Template::parse(issuer).is_ok_and(|pattern| pattern.has_placeholders() && pattern.is_alike(named))
    {
        let named = named.escape_debug();
        return Err(format!(
            "the document is that of the issuer `{named}`, not of `{issuer}`"
        ));
    }
    check_url(text("jwks_uri")?, allow_http).map_err(|what| format!("`jwks_uri` of the document: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_valid_if_it_names_its_issuer_and_a_key_set() {
        let check = |document: &str, want: Result<&str, &str>| match (
            key_set_url(document.as_bytes(), "https://a.example", false),
            want,
        ) {
            (Ok(found), Ok(want)) => assert_eq!(found.to_string(), want),
            (Err(found), Err(want)) => assert!(found.contains(want), "{document}: {found}"),
            (found, _) => panic!("{document}: {found:?}"),
        };
        let of = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","x":[1]}}"#);
        check(
            &of("https://a.example", "https://b.example/k"),
            Ok("https://b.example/k"),
        );
        check(
            &of("https://a.example", "http://127.0.0.1:1/k"),
            Ok("http://127.0.0.1:1/k"),
        );
        check(
            &of("https://a.example/", "https://b.example/k"),
            Err("of the issuer `https://a.example/`"),
        );
        check(
            &of("https://A.example", "https://b.example/k"),
            Err("not of `https://a.example`"),
        );
        check(&of("https://a.example", "http://b.example/k"), Err("plain http"));
        check(&of("https://a.example", "/k"), Err("is not a URL"));
        check(&of("https://a.example", "file:///etc/passwd"), Err("`jwks_uri`"));
        check(r#"{"issuer":"https://a.example"}"#, Err("has no `jwks_uri`"));
        check(
            r#"{"issuer":["https://a.example"],"jwks_uri":"https://b/k"}"#,
            Err("has no `issuer`"),
        );
        check(
            r#"{"issuer":"x","issuer":"https://a.example","jwks_uri":"https://b/k"}"#,
            Err("unique"),
        );
        let pattern = |named: &str| {
            let document = of(named, "https://b.example/k");
            key_set_url(document.as_bytes(), "https://a.example/{tid}/v2.0", false).is_ok()
        };
        assert!(pattern("https://a.example/{tid}/v2.0") && pattern("https://a.example/{tenantid}/v2.0"));
        assert!(!pattern("https://a.example/t-1/v2.0") && !pattern("https://b.example/{tid}/v2.0"));
        check(
            &of("https://a.example/{x}", "https://b.example/k"),
            Err("of the issuer"),
        );
        check("[]", Err("not a JSON object"));
        check("", Err("not a JSON object"));
    }
}

//! The pages of other origins that may read the responses of a service.

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::compiler::Compiler;
use super::headers::HEADER_HELP;
use crate::document::collections::List;
use crate::document::decode::{Spanned, twice};
use crate::document::problem::{Fault, ProblemCode};
use crate::document::scalars::HumanDuration;
use crate::policy::cors::{AllowedOrigin, Cors};
use crate::policy::document::{CorsDocument, LONGEST_MAX_AGE, MAX_NAMES, MAX_ORIGINS};
use crate::policy::web_origin::{self, NoOrigin};

/// How long browsers keep the response to a preflight, if the policy does not say it.
const MAX_AGE: Duration = Duration::from_mins(10);

/// The word for all origins.
const ANY: &str = "*";

impl Compiler<'_> {
    pub(super) fn cors(&mut self, document: CorsDocument) -> Cors {
        self.any_origin_alone(&document);
        let List(written) = document.origins;
        self.at_most(MAX_ORIGINS, "origins", written.get(MAX_ORIGINS));
        self.origins_once(&written);
        let origins: Vec<_> = written.iter().filter_map(|text| self.allowed_origin(text)).collect();
        let headers = self.cors_headers(document.headers);
        let exposed = self.cors_headers(document.expose);
        let credentials = document.credentials.is_some_and(|credentials| credentials.value);
        let max_age = self.preflight_max_age(document.max_age.as_ref());
        Cors::new(origins, credentials, max_age, &headers, &exposed)
    }

    /// `*` includes every other origin, and browsers take it for none beside cookies (Fetch, 3.2.5).
    fn any_origin_alone(&mut self, document: &CorsDocument) {
        let Some(any) = document.origins.0.iter().find(|origin| origin.value == ANY) else {
            return;
        };
        if document.origins.0.len() > 1 {
            let message = "`*` is for all origins, and stands beside another one";
            let help = "write `origins: [\"*\"]`, or leave `*` out";
            self.problems
                .add(&any.span, ProblemCode::CorsContradiction, message, help);
        }
        if let Some(credentials) = document.credentials.as_ref().filter(|credentials| credentials.value) {
            let message =
                "`credentials: true` contradicts `origins: [\"*\"]`: every page could use the cookies of a user";
            let help = "list the origins of your pages, or leave `credentials` out";
            self.problems
                .add(&credentials.span, ProblemCode::CorsContradiction, message, help);
        }
    }

    fn origins_once(&mut self, origins: &[Spanned<String>]) {
        let mut seen = HashSet::new();
        for origin in origins.iter().filter(|origin| !seen.insert(&origin.value)) {
            self.problems.add(
                &origin.span,
                ProblemCode::DuplicateItem,
                twice(&origin.value),
                "leave one of them out",
            );
        }
    }

    fn allowed_origin(&mut self, text: &Spanned<String>) -> Option<AllowedOrigin> {
        allowed_origin(&text.value)
            .map_err(|NoOrigin { message, help }| {
                let fault = Fault::new(ProblemCode::InvalidOrigin, message, help);
                self.problems.add_fault(&text.span, &fault)
            })
            .ok()
    }

    fn cors_headers(&mut self, names: Option<List<Spanned<String>>>) -> Vec<HeaderName> {
        let names = names.map(|List(names)| names).unwrap_or_default();
        self.at_most(MAX_NAMES, "names", names.get(MAX_NAMES));
        let mut headers = Vec::new();
        for name in names {
            match HeaderName::from_bytes(name.value.as_bytes()) {
                Ok(header) if header.as_str() != ANY => headers.push(header),
                found => {
                    let message = match found {
                        Ok(_) => "`*` does not stand for `authorization`, nor for any header beside cookies".to_owned(),
                        Err(_) => format!("`{}` is not a header name", name.value),
                    };
                    self.problems
                        .add(&name.span, ProblemCode::InvalidHeaderName, message, HEADER_HELP);
                }
            }
        }
        headers
    }

    fn preflight_max_age(&mut self, max_age: Option<&Spanned<HumanDuration>>) -> Duration {
        let Some(Spanned { value, span }) = max_age else {
            return MAX_AGE;
        };
        if value.0 > LONGEST_MAX_AGE || value.0.subsec_millis() > 0 {
            let message = "`max_age` is a time of whole seconds, at most `24h`";
            let help =
                "write a time such as `10m`; Chromium keeps a response for two hours at most, Firefox for one day";
            self.problems.add(span, ProblemCode::OutOfRange, message, help);
        }
        value.0
    }
}

/// Reads an entry of the list of origins.
fn allowed_origin(text: &str) -> Result<AllowedOrigin, NoOrigin> {
    if text == ANY {
        return Ok(AllowedOrigin::Any);
    }
    if let Some(end) = text.strip_prefix("https://*.") {
        if end.contains('*') {
            let message = format!("`{text}` has a second `*`");
            return Err(NoOrigin::new(message, "write only one `*.`, at the start of the host"));
        }
        web_origin::check(&format!("https://{end}"))?;
        let host = end.split(':').next().unwrap_or_default();
        let is_name = !host.starts_with('[') && host.parse::<std::net::Ipv4Addr>().is_err();
        return match is_name && host.contains('.') {
            true => Ok(AllowedOrigin::Subdomain(format!(".{end}"))),
            false => Err(NoOrigin::new(
                format!("`{text}` is for hosts of others, too"),
                "write at least two labels behind `*.`, as in `https://*.example.com`",
            )),
        };
    }
    if text.contains('*') {
        let message = format!("`{text}` has a `*` that does not stand for one label at the start of a host");
        let help = match text.ends_with(":*") {
            true => "list the origin with each of its ports",
            false => "write `https://*.example.com`, or each origin by itself",
        };
        return Err(NoOrigin::new(message, help));
    }
    web_origin::check(text)?;
    let value = HeaderValue::try_from(text);
    value
        .map(AllowedOrigin::Exact)
        .map_err(|_| NoOrigin::new(format!("`{text}` is not an origin"), "write `https://app.example.com`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_an_origin_or_has_one_label_open() {
        for (text, want) in [
            ("*", Ok("any")),
            ("https://app.example.com", Ok("exact")),
            ("https://*.example.com", Ok(".example.com")),
            ("https://*.example.com:8443", Ok(".example.com:8443")),
            ("https://*.com", Err("`https://*.com` is for hosts of others, too")),
            (
                "https://*.1.2.3.4",
                Err("`https://*.1.2.3.4` is for hosts of others, too"),
            ),
            ("https://*.[::1]", Err("`https://*.[::1]` is for hosts of others, too")),
            (
                "https://*.example.com/",
                Err("`https://example.com/` has a path, and an origin ends with its host or port"),
            ),
            (
                "https://*.example.com:443",
                Err("browsers leave out `:443`, the default port of https"),
            ),
            (
                "https://*.*.example.com",
                Err("`https://*.*.example.com` has a second `*`"),
            ),
            (
                "https://*",
                Err("`https://*` has a `*` that does not stand for one label at the start of a host"),
            ),
            (
                "https://app*.example.com",
                Err("`https://app*.example.com` has a `*` that does not stand for one label at the start of a host"),
            ),
            (
                "https://app.*.com",
                Err("`https://app.*.com` has a `*` that does not stand for one label at the start of a host"),
            ),
            (
                "http://*.localhost",
                Err("`http://*.localhost` has a `*` that does not stand for one label at the start of a host"),
            ),
            (
                "**",
                Err("`**` has a `*` that does not stand for one label at the start of a host"),
            ),
            (
                "null",
                Err("any page can have the origin `null`, so it cannot be allowed"),
            ),
        ] {
            let found = allowed_origin(text).map(|entry| match entry {
                AllowedOrigin::Any => "any".to_owned(),
                AllowedOrigin::Exact(_) => "exact".to_owned(),
                AllowedOrigin::Subdomain(end) => end,
            });
            assert_eq!(found.as_deref().map_err(|fault| fault.message.as_str()), want, "{text}");
        }
    }

    #[test]
    fn faulty_block_is_a_problem_in_its_line() {
        const POLICY: &str =
            "version: 1\nservice: s\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: public }]\n";
        let app = "origins: ['https://a.example']";
        let names = vec!["x-a"; MAX_NAMES + 1].join(", ");
        let origins = (0..=MAX_ORIGINS).map(|number| format!("'https://a{number}.example'"));
        let origins = origins.collect::<Vec<_>>().join(", ");
        for (cors, want) in [
            (app.to_owned(), None),
            (format!("{app}, credentials: true, max_age: 24h"), None),
            (
                format!("{app}, max_age: 0s, headers: [Authorization], expose: [x-total]"),
                None,
            ),
            ("origins: ['*'], credentials: false".to_owned(), None),
            (
                "origins: ['*'], credentials: true".to_owned(),
                Some("`credentials: true` contradicts `origins: [\"*\"]`: every page could use the cookies of a user"),
            ),
            (
                "origins: ['*', 'https://a.example']".to_owned(),
                Some("`*` is for all origins, and stands beside another one"),
            ),
            (
                format!("{app}, headers: ['*']"),
                Some("`*` does not stand for `authorization`, nor for any header beside cookies"),
            ),
            (format!("{app}, expose: ['x y']"), Some("`x y` is not a header name")),
            (
                format!("{app}, max_age: 25h"),
                Some("`max_age` is a time of whole seconds, at most `24h`"),
            ),
            (
                format!("{app}, max_age: 1500ms"),
                Some("`max_age` is a time of whole seconds, at most `24h`"),
            ),
            (
                format!("{app}, expose: [{names}]"),
                Some("there are at most 64 names, and this is one more"),
            ),
            (
                format!("origins: [{origins}]"),
                Some("there are at most 256 origins, and this is one more"),
            ),
            (
                "origins: ['https://a.example', 'https://a.example']".to_owned(),
                Some("`https://a.example` is written twice"),
            ),
            ("origins: []".to_owned(), Some("the list is empty")),
            ("headers: [authorization]".to_owned(), Some("`origins` is missing here")),
        ] {
            let found = crate::testing::parse(&[&format!("{POLICY}cors: {{ {cors} }}\n")]);
            let found: Vec<_> = found.err().unwrap_or_default();
            let found: Vec<_> = found.iter().map(|p| (p.location().line(), p.message())).collect();
            assert_eq!(
                found,
                want.map(|want| (5, want)).into_iter().collect::<Vec<_>>(),
                "{cors}"
            );
        }
    }
}

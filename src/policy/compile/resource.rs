//! A service as a protected resource.

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::masks::without_user;
use crate::document::problem::{Location, ProblemCode};
use crate::policy::document::{BindingMode, CredentialsMode, MAX_SCOPES, MAX_SERVERS, ResourceDocument};
use crate::policy::issuer::Issuer;
use crate::policy::resource::{self, Metadata, Resource};
use crate::policy::token_sources::TokenSources;
use crate::policy::web_origin::{self, NoOrigin, Purpose};

impl Compiler<'_> {
    pub(super) fn resource(
        &mut self,
        document: ResourceDocument,
        issuers: &[Issuer],
        sources: &TokenSources,
    ) -> Option<Resource> {
        let List(servers) = document.authorization_servers;
        let scopes = document.scopes.map(|List(scopes)| scopes).unwrap_or_default();
        self.at_most(MAX_SERVERS, "authorization servers", servers.get(MAX_SERVERS));
        self.at_most(MAX_SCOPES, "scopes", scopes.get(MAX_SCOPES));
        let mut fine = self.is_resource_url(&document.url);
        for server in &servers {
            fine &= self.is_resource_url(server);
        }
        for scope in &scopes {
            self.scope_name(scope);
        }
        if fine {
            self.is_audience(&document.url, issuers);
        }
        let values = |texts: Vec<Spanned<String>>| texts.into_iter().map(|text| text.value).collect::<Vec<_>>();
        let (servers, scopes) = (values(servers), values(scopes));
        let metadata = Metadata {
            resource: &document.url.value,
            authorization_servers: &servers,
            scopes_supported: &scopes,
            bearer_methods_supported: &bearer_methods(sources),
            tls_client_certificate_bound_access_tokens: !issuers
                .iter()
                .any(|issuer| issuer.binding == BindingMode::Ignore),
        };
        let location = Location::new(self.problems.source(), &document.url.span);
        fine.then(|| Resource::new(&metadata, location))
    }

    fn is_resource_url(&mut self, url: &Spanned<String>) -> bool {
        let Err(NoOrigin { message, help }) = check_url(&url.value) else {
            return true;
        };
        self.problems.add(&url.span, ProblemCode::InvalidUrl, message, help);
        false
    }

    /// RFC 6749, 3.3.
    fn scope_name(&mut self, scope: &Spanned<String>) {
        let fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !scope.value.bytes().all(fine) {
            let message = format!(
                "`{}` is not a scope: it has a space, or a character that no scope has",
                scope.value
            );
            let help = "write one scope for each item, of visible ASCII characters without `\"` and `\\`";
            self.problems.add(&scope.span, ProblemCode::InvalidName, message, help);
        }
    }

    /// A token that names another audience was issued for another service (RFC 8707, 2).
    fn is_audience(&mut self, url: &Spanned<String>, issuers: &[Issuer]) {
        if !self.declared.contains_key("jwt") {
            let message = "the policy accepts no tokens: it has no `jwt:` block";
            let help = "add a `jwt:` block, or leave `resource` out";
            self.problems
                .add(&url.span, ProblemCode::AuthNotConfigured, message, help);
        }
        let names_it = |issuer: &&Issuer| {
            let mut audiences = issuer.audiences.iter().flatten();
            audiences.any(|audience| *audience == url.value)
        };
        if let Some(issuer) = issuers.iter().find(|issuer| !names_it(issuer)) {
            let message = format!(
                "the issuer `{}` does not list this URL as an audience: its tokens are for another service",
                issuer.label()
            );
            let help = format!(
                "write `audience: [{}]` for each issuer, and let it issue such tokens",
                url.value
            );
            self.problems
                .add(&url.span, ProblemCode::ResourceAudience, message, help);
        }
    }

    /// Decides whether `Authorization` reaches the service. A resource must not pass on a token that was issued for it,
    /// and what Sidegate does not read may name another caller than the verified one.
    pub(super) fn forwards_authorization(
        &mut self,
        credentials: Option<&Spanned<CredentialsMode>>,
        is_resource: bool,
        sources: &TokenSources,
    ) -> bool {
        let Some(Spanned { value, span }) = credentials else {
            return sources.authorization && !is_resource;
        };
        if *value == CredentialsMode::Strip {
            return false;
        }
        if !sources.authorization {
            let message =
                "the service gets an `Authorization` that Sidegate does not verify, beside the verified identity";
            let help = "leave `credentials` out, unless the service itself verifies `Authorization`";
            let code = ProblemCode::AuthorizationUnverified;
            self.problems.warn(span, code, message, help);
        } else if is_resource {
            let message = "the service gets a token that was issued for this resource, and could use it elsewhere";
            let help = "leave `credentials` out: the identity headers name the caller";
            self.problems.warn(span, ProblemCode::TokenPassedOn, message, help);
        }
        true
    }
}

/// Names the places of a token that RFC 6750, 2 knows: `Authorization`, and `access_token` of the query.
fn bearer_methods(sources: &TokenSources) -> Vec<&'static str> {
    let header = sources.authorization.then_some("header");
    let query = sources.read.is_query(b"access_token").then_some("query");
    header.into_iter().chain(query).collect()
}

/// Checks a URL that identifies a resource or an authorization server: an origin and a path in the form in which
/// clients write them, without query and fragment (RFC 9728, 1.2; RFC 8414, 2).
fn check_url(url: &str) -> Result<(), NoOrigin> {
    let (origin, path) = resource::split(url);
    if let Some((before, _)) = url.split_once(['?', '#']) {
        let message = "the URL has a query or a fragment, which cannot identify a resource";
        let help = format!("write `{}`", without_user(before));
        return Err(NoOrigin::new(message, help));
    }
    web_origin::check_for(origin, Purpose::Url(path))?;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@/".contains(&byte);
    let is_plain = |segment: &str| !matches!(segment, "." | "..");
    if path.bytes().all(fine) && !path.contains("//") && path.split('/').all(is_plain) {
        return Ok(());
    }
    let message = format!("`{path}` is not a plain path: it has `//`, a dot segment, an escape or another character");
    let help = format!("write letters, digits, `-`, `.`, `_` and `/`, as in `{origin}/mcp`");
    Err(NoOrigin::new(message, help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::problem::Problem;

    #[test]
    fn url_of_a_resource_is_absolute_and_in_one_form() {
        for (url, want) in [
            ("https://tools.example.com", None),
            ("https://tools.example.com/", None),
            ("https://tools.example.com:8443/mcp", None),
            ("https://tools.example.com/a/b/", None),
            ("https://tools.example.com/a@b:c", None),
            ("http://localhost:8080/mcp", None),
            ("http://127.0.0.1/mcp", None),
            ("http://[::1]:3000", None),
            (
                "http://tools.example.com/mcp",
                Some("write `https://tools.example.com/mcp`; `http://`"),
            ),
            ("tools.example.com/mcp", Some("write it from its scheme on")),
            ("/mcp", Some("write it from its scheme on")),
            ("null", Some("write it from its scheme on")),
            ("a/b://c/d", Some("write it from its scheme on")),
            ("ftp://tools.example.com/mcp", Some("only `https://` is")),
            (
                "https://Tools.example.com/Mcp",
                Some("write `https://tools.example.com/Mcp`"),
            ),
            (
                "HTTPS://tools.example.com/mcp",
                Some("write `https://tools.example.com/mcp`"),
            ),
            (
                "https://tools.example.com:443/mcp",
                Some("write `https://tools.example.com/mcp`"),
            ),
            ("https://*.example.com/mcp", Some("write a name such as")),
            (
                "https://user:password@tools.example.com/mcp",
                Some("leave the user out"),
            ),
            (
                "https://tools.example.com/mcp?x=1",
                Some("write `https://tools.example.com/mcp`"),
            ),
            (
                "https://tools.example.com/mcp#x",
                Some("write `https://tools.example.com/mcp`"),
            ),
            (
                "https://tools.example.com?x=/",
                Some("write `https://tools.example.com`"),
            ),
            ("https://tools.example.com//mcp", Some("write letters, digits")),
            ("https://tools.example.com/a/../mcp", Some("write letters, digits")),
            ("https://tools.example.com/m%63p", Some("write letters, digits")),
            ("https://tools.example.com/m\"p", Some("write letters, digits")),
            ("https://tools.example.com/m p", Some("write letters, digits")),
            ("https://tools.example.com/*", Some("write letters, digits")),
            ("https://tools.example.com/{id}", Some("write letters, digits")),
        ] {
            let found = check_url(url).map_err(|fault| {
                assert!(
                    !fault.message.contains("password") && !fault.help.contains("password"),
                    "{fault:?}"
                );
                fault.help
            });
            match want {
                None => assert_eq!(found, Ok(()), "{url}"),
                Some(help) => assert!(
                    found.as_ref().is_err_and(|found| found.starts_with(help)),
                    "{url}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn faulty_block_is_a_problem_in_its_line() {
        const POLICY: &str = "version: 1\nservice: s\nupstream: { url: 'http://127.0.0.1:1' }\nroutes: [{ path: /*, auth: jwt }]\n\
            jwt: { issuers: [{ issuer: i, audience: [$audience], algorithms: [HS256], keys: { secret: { env: SECRET } } }] }\n";
        let at = "url: 'https://a.example/mcp'";
        let servers = "authorization_servers: ['https://login.example']";
        let many = vec!["'https://login.example'"; MAX_SERVERS + 1].join(", ");
        for (resource, audience, want) in [
            (format!("{at}, {servers}"), "'https://a.example/mcp'", None),
            (
                format!("{at}, {servers}, scopes: ['a:b', c]"),
                "other, 'https://a.example/mcp'",
                None,
            ),
            (
                format!("{at}, {servers}"),
                "'https://a.example/mcp/'",
                Some("the issuer `i` does not list this URL as an audience: its tokens are for another service"),
            ),
            (
                at.to_owned(),
                "'https://a.example/mcp'",
                Some("`authorization_servers` is missing here"),
            ),
            (servers.to_owned(), "x", Some("`url` is missing here")),
            (
                format!("{at}, {servers}, scopes: ['a b']"),
                "'https://a.example/mcp'",
                Some("`a b` is not a scope: it has a space, or a character that no scope has"),
            ),
            (
                format!("{at}, authorization_servers: [login.example]"),
                "'https://a.example/mcp'",
                Some("`login.example` is not an absolute URL"),
            ),
            (
                format!("{at}, authorization_servers: [{many}]"),
                "'https://a.example/mcp'",
                Some("there are at most 16 authorization servers, and this is one more"),
            ),
        ] {
            let policy = format!("{POLICY}resource: {{ {resource} }}\n").replace("$audience", audience);
            let found = crate::testing::parse(&[&policy]).err().unwrap_or_default();
            let found: Vec<_> = found.iter().map(|p| (p.location().line(), p.message())).collect();
            assert_eq!(
                found,
                want.map(|want| (6, want)).into_iter().collect::<Vec<_>>(),
                "{resource}"
            );
        }
    }

    #[test]
    fn document_names_the_places_of_tokens_and_whether_bound_ones_are_verified() {
        for (sources, binding, methods, bound) in [
            ("", "", r#"["header"]"#, true),
            (
                "sources: [authorization, { query: access_token }], ",
                "",
                r#"["header","query"]"#,
                true,
            ),
            ("sources: [{ query: token }], ", "", "[]", true),
            (
                "sources: [{ cookie: __Host-s }, authorization], ",
                "",
                r#"["header"]"#,
                true,
            ),
            ("", "binding: required, ", r#"["header"]"#, true),
            ("", "binding: ignore, ", r#"["header"]"#, false),
        ] {
            let text = format!(
                "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\nroutes: [{{ path: /*, auth: jwt }}]\n\
                 jwt: {{ {sources}issuers: [{{ issuer: i, {binding}audience: ['https://a.example'], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
                 resource: {{ url: 'https://a.example', authorization_servers: ['https://login.example'] }}\n"
            );
            let policies = crate::testing::parse(&[&text]).unwrap_or_else(|problems| panic!("{problems:?}"));
            let document = policies.policies()[0].resource.as_ref().unwrap().document.clone();
            let document = String::from_utf8_lossy(&document).into_owned();
            let want = format!(
                r#""bearer_methods_supported":{methods},"tls_client_certificate_bound_access_tokens":{bound}}}"#
            );
            assert!(document.ends_with(&want), "{document}");
        }
    }

    #[test]
    fn unchecked_audience_and_a_policy_without_tokens_are_problems() {
        let resource = "resource: { url: 'https://a.example', authorization_servers: ['https://login.example'] }\n";
        let start = "version: 1\nservice: s\nupstream: { url: 'http://127.0.0.1:1' }\n";
        let unchecked = "jwt: { issuers: [{ issuer: i, audience: unchecked, algorithms: [HS256], keys: { secret: { env: SECRET } } }] }\n";
        for (rest, code) in [
            (
                format!("{unchecked}routes: [{{ path: /*, auth: jwt }}]"),
                ProblemCode::ResourceAudience,
            ),
            (
                "routes: [{ path: /*, auth: public }]".to_owned(),
                ProblemCode::AuthNotConfigured,
            ),
        ] {
            let found = crate::testing::parse(&[&format!("{start}{resource}{rest}\n")]).unwrap_err();
            let codes: Vec<_> = found.iter().map(Problem::code).collect();
            assert_eq!(codes, [code], "{rest}");
        }
    }

    #[test]
    fn authorization_of_a_resource_or_that_is_not_read_reaches_the_service_only_where_the_policy_says_so() {
        let policy = |sources: &str, more: &str| {
            let text = format!(
                "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\nroutes: [{{ path: /*, auth: jwt }}]\n\
                 jwt: {{ {sources}issuers: [{{ issuer: i, audience: ['https://a.example'], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n{more}\n"
            );
            crate::testing::parse(&[&text]).unwrap().policies()[0].clone()
        };
        let resource = "resource: { url: 'https://a.example', authorization_servers: ['https://login.example'] }\n";
        let (passed_on, unverified) = (ProblemCode::TokenPassedOn, ProblemCode::AuthorizationUnverified);
        let elsewhere = "sources: [{ cookie: __Host-a }, { header: x-a }], ";
        let both = "sources: [authorization, { query: a }], ";
        for (sources, resource, credentials, forwards, warning) in [
            ("", "", "", true, None),
            ("", "", "credentials: forward", true, None),
            ("", "", "credentials: strip", false, None),
            ("", resource, "", false, None),
            ("", resource, "credentials: forward", true, Some(passed_on)),
            ("", resource, "credentials: strip", false, None),
            (both, "", "", true, None),
            (both, "", "credentials: forward", true, None),
            (both, resource, "credentials: forward", true, Some(passed_on)),
            (elsewhere, "", "", false, None),
            (elsewhere, "", "credentials: forward", true, Some(unverified)),
            (elsewhere, "", "credentials: strip", false, None),
            (elsewhere, resource, "", false, None),
            (elsewhere, resource, "credentials: forward", true, Some(unverified)),
        ] {
            let policy = policy(sources, &format!("{resource}{credentials}"));
            let warnings: Vec<_> = policy.warnings.iter().map(Problem::code).collect();
            let found = (policy.forward_authorization, &*warnings);
            assert_eq!(
                found,
                (forwards, warning.as_slice()),
                "{sources}{resource}{credentials}"
            );
        }
    }
}

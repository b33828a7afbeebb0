//! The places that the tokens of a service may be in.

use http::HeaderName;

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::policy::document::TokenSourceDocument;
use crate::policy::identity::Identity;
use crate::policy::token_sources::{SourceKind, TokenPlaces, TokenSources};
use crate::request::listed::is_standard;
use crate::request::names::{FoldedName, fold, is_token};

/// What browsers ask of a cookie of such a name: https, no domain, and the path `/` (RFC 6265bis, 4.1.3.2).
const HOST_PREFIX: &str = "__Host-";

/// Fields of one connection that a policy cannot name otherwise.
const OF_THE_HOP: [&str; 2] = ["proxy-authenticate", "proxy-connection"];

impl Compiler<'_> {
    /// The places of tokens. Those that clients may not have are noted.
    pub(super) fn token_sources(
        &mut self,
        documents: Option<&List<Spanned<TokenSourceDocument>>>,
        (identity, key): (&Identity, &HeaderName),
    ) -> TokenSources {
        let Some(List(documents)) = documents else {
            return TokenSources::default();
        };
        let (mut authorization, mut read) = (false, TokenPlaces::default());
        for document in documents {
            match &document.value {
                TokenSourceDocument::Authorization if authorization => self.source_twice(document),
                TokenSourceDocument::Authorization => authorization = true,
                TokenSourceDocument::Header(name) => {
                    let Some(header) = self.source_header(name, (identity, key)) else {
                        continue;
                    };
                    match FoldedName::with(header.as_str(), |folded| read.is_header(&folded)) {
                        true => self.source_twice(document),
                        false => read.headers.push(header),
                    }
                }
                TokenSourceDocument::Cookie(name) => {
                    self.source_cookie(name);
                    self.add_source(&mut read.cookies, name, document);
                }
                TokenSourceDocument::Query(name) => {
                    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                    self.source_name(SourceKind::Query, name, name.value.bytes().all(fine));
                    self.add_source(&mut read.queries, name, document);
                }
                TokenSourceDocument::WebSocketProtocol(name) => {
                    self.source_name(SourceKind::WebSocketProtocol, name, is_token(name.value.as_bytes()));
                    self.add_source(&mut read.protocols, name, document);
                }
            }
        }
        TokenSources::new(authorization, read)
    }

    fn add_source(&mut self, names: &mut Vec<String>, name: &Spanned<String>, document: &Spanned<TokenSourceDocument>) {
        match names.contains(&name.value) {
            true => self.source_twice(document),
            false => names.push(name.value.clone()),
        }
    }

    fn source_twice(&mut self, document: &Spanned<TokenSourceDocument>) {
        let message = "the place is listed before, perhaps in another spelling";
        self.problems.add(
            &document.span,
            ProblemCode::DuplicateItem,
            message,
            "leave one of them out",
        );
    }

    /// A header that has nothing but tokens.
    fn source_header(
        &mut self,
        name: &Spanned<String>,
        (identity, key): (&Identity, &HeaderName),
    ) -> Option<HeaderName> {
        let folded = fold(&name.value);
        if folded == "authorization" {
            let message = "`authorization` is a place of its own: it has a scheme before the token";
            let help = "write `authorization`, without `header`";
            self.problems
                .add(&name.span, ProblemCode::ReservedHeader, message, help);
            return None;
        }
        let header = self.header_name(Some(name.clone()), "")?;
        if is_standard(&folded) || OF_THE_HOP.contains(&folded.as_str()) {
            let message = format!("`{header}` has a meaning of its own, and cannot have a token");
            let help = "choose another header, such as one that begins with `x-`";
            self.problems
                .add(&name.span, ProblemCode::ReservedHeader, message, help);
            return None;
        }
        let is_taken = |folded: FoldedName<'_>| identity.is_reserved(&folded) || folded.spells(key);
        if FoldedName::with(header.as_str(), is_taken) {
            let message = format!("`{header}` is a header that Sidegate reads or sets for something else");
            let help = "choose another header for the token, or for the identity, the tenant or the internal key";
            self.problems
                .add(&name.span, ProblemCode::HeaderConflict, message, help);
            return None;
        }
        Some(header)
    }

    fn source_cookie(&mut self, name: &Spanned<String>) {
        let is_name = is_token(name.value.as_bytes());
        self.source_name(SourceKind::Cookie, name, is_name);
        if is_name && !name.value.starts_with(HOST_PREFIX) {
            let message = format!(
                "other hosts of the domain can set the cookie `{}`, also over http",
                name.value
            );
            let help = format!("name it `{}`, where it is set and here", with_host_prefix(&name.value));
            self.problems
                .warn(&name.span, ProblemCode::CookieWithoutPrefix, message, help);
        }
    }

    fn source_name(&mut self, kind: SourceKind, name: &Spanned<String>, is_name: bool) {
        if is_name {
            return;
        }
        let (message, help) = match kind {
            SourceKind::Query => (
                "has other characters than letters, digits, `-`, `_`, `.` and `~`",
                "write the name as it is after decoding, such as `access_token`",
            ),
            SourceKind::Header | SourceKind::Cookie | SourceKind::WebSocketProtocol => (
                "has characters that such a name cannot have",
                "write letters, digits, `-` and `_`, without spaces",
            ),
        };
        let message = format!("`{}` is not the name of a {}: it {message}", name.value, kind.noun());
        self.problems
            .add(&name.span, ProblemCode::InvalidTokenSource, message, help);
    }
}

/// Returns a name of a cookie with the prefix in place of another one, or of the same in another case.
fn with_host_prefix(name: &str) -> String {
    let rest = ["__host-", "__secure-"].iter().find_map(|prefix| {
        let (start, rest) = name.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then_some(rest)
    });
    format!("{HOST_PREFIX}{}", rest.unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_another_prefix_gets_one_prefix() {
        for (name, want) in [
            ("session", "__Host-session"),
            ("__Secure-session", "__Host-session"),
            ("__host-session", "__Host-session"),
            ("__SECURE-session", "__Host-session"),
            ("__session", "__Host-__session"),
        ] {
            assert_eq!(with_host_prefix(name), want, "{name}");
        }
    }
}

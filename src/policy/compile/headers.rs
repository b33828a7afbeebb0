//! The headers that a policy names: those that tell who is calling, and those that callers send.

use std::ops::Range;

use http::HeaderName;

use super::compiler::Compiler;
use crate::document::collections::Map;
use crate::document::decode::Spanned;
use crate::document::problem::ProblemCode;
use crate::document::suggestion::suggest;
use crate::policy::document::{ClaimPath, GrantsDocument, IdentityHeaderDocument, IdentityOptionsDocument};
use crate::policy::identity::{Identity, IdentityHeader, IdentitySource, SPECIAL, ValueFormat, default_headers};
use crate::request::listed::EXACT_ONLY;
use crate::request::names::{fold, is_alias};

/// How the name of a header is written.
pub(super) const HEADER_HELP: &str = "write letters, digits and `-`, as in `x-tenant-id`";

impl Compiler<'_> {
    pub(super) fn identity(
        &mut self,
        identity: Option<Map<IdentityHeaderDocument>>,
        tenant_header: Option<&HeaderName>,
    ) -> Identity {
        let owned: Vec<_> = tenant_header.cloned().into_iter().collect();
        let Some(Map(entries)) = identity else {
            return Identity::new(default_headers(tenant_header), &owned);
        };
        let mut headers = Vec::new();
        for (name, IdentityHeaderDocument(options)) in entries {
            let source = self.identity_source(&options.from);
            let format = self.value_format(&options, source.as_ref());
            let name = self.identity_name(&name, &headers);
            headers.extend(
                name.zip(source)
                    .map(|(name, source)| IdentityHeader { name, source, format }),
            );
        }
        Identity::new(headers, &owned)
    }

    fn identity_source(&mut self, path: &Spanned<ClaimPath>) -> Option<IdentitySource> {
        self.likely_path(path);
        match path.value.0.as_slice() {
            [word] if word.starts_with('@') => self.special_source(word, &path.span),
            [word] if word == "roles" => Some(IdentitySource::Roles),
            [word] if word == "scopes" => Some(IdentitySource::Scopes),
            names => Some(IdentitySource::Claim(names.to_vec())),
        }
    }

    /// How a header is written. What cannot have an effect is a slip: another header is meant.
    fn value_format(&mut self, options: &IdentityOptionsDocument, source: Option<&IdentitySource>) -> ValueFormat {
        let mut format = ValueFormat::default();
        let mut unfit = |span: &Range<usize>, field: &str, what: &str| {
            let from = source.map(IdentitySource::written).unwrap_or_default();
            let message = format!("`{field}` has no effect: `{from}` is {what}");
            let help = format!("leave `{field}` out");
            self.problems.add(span, ProblemCode::InvalidHeaderFormat, message, help);
        };
        if let Some(encoding) = &options.encoding {
            format.encoding = encoding.value;
            if let Some(what) = source.and_then(not_encoded) {
                unfit(&encoding.span, "encoding", what);
            }
        }
        if let Some(separator) = &options.separator {
            format.separator = separator.value.0;
            if source.is_some_and(|source| !can_be_list(source)) {
                unfit(&separator.span, "separator", "never a list");
            }
        }
        format
    }

    /// The names that lead to a claim, or to the one that is meant where nothing is written.
    pub(super) fn claim_path(&mut self, path: Option<Spanned<ClaimPath>>, default: &str) -> Vec<String> {
        let Some(path) = path else {
            return vec![default.to_owned()];
        };
        self.likely_path(&path);
        path.value.0
    }

    /// The names that lead to each of some claims.
    pub(super) fn claim_paths(&mut self, grants: Option<GrantsDocument>) -> Option<Vec<Vec<String>>> {
        let GrantsDocument(paths) = grants?;
        for path in &paths {
            self.likely_path(path);
        }
        Some(paths.into_iter().map(|path| path.value.0).collect())
    }

    /// Warns of a name that other programs read as a path.
    pub(super) fn likely_path(&mut self, path: &Spanned<ClaimPath>) {
        if let [name] = path.value.0.as_slice()
            && let Some(names) = dotted(name)
        {
            let message = format!("`{name}` is taken for the name of one claim, with its dots");
            let help = format!("write `[{}]` for a claim inside another one", names.join(", "));
            self.problems.warn(&path.span, ProblemCode::DottedClaim, message, help);
        }
    }

    fn special_source(&mut self, word: &str, span: &Range<usize>) -> Option<IdentitySource> {
        let found = SPECIAL.into_iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let help = suggest(word, SPECIAL.iter().map(|(name, _)| *name));
            let message = format!("unknown source `{word}`");
            self.problems.add(span, ProblemCode::UnknownWord, message, help);
        }
        found.map(|(_, source)| source)
    }

    /// A header that Sidegate may set.
    fn identity_name(&mut self, name: &Spanned<String>, earlier: &[IdentityHeader]) -> Option<HeaderName> {
        let header = self.header_name(Some(name.clone()), "")?;
        if earlier
            .iter()
            .any(|other| is_alias(header.as_str(), &fold(other.name.as_str())))
        {
            let message = format!("`{header}` is written twice, in two spellings");
            let help = "leave one of them out: many upstreams read `-` and `_` alike";
            self.problems
                .add(&name.span, ProblemCode::DuplicateField, message, help);
        }
        Some(header)
    }

    pub(super) fn header_name(&mut self, name: Option<Spanned<String>>, default: &'static str) -> Option<HeaderName> {
        let Some(name) = name else {
            return Some(HeaderName::from_static(default));
        };
        match HeaderName::from_bytes(name.value.as_bytes()) {
            Ok(header) if is_reserved(header.as_str()) => {
                let message = format!("`{header}` frames, routes or authenticates a request, and cannot serve here");
                let help = "choose another header, such as one that begins with `x-`";
                self.problems
                    .add(&name.span, ProblemCode::ReservedHeader, message, help);
                None
            }
            Ok(header) => Some(header),
            Err(_) => {
                let message = format!("`{}` is not a header name", name.value);
                self.problems
                    .add(&name.span, ProblemCode::InvalidHeaderName, message, HEADER_HELP);
                None
            }
        }
    }
}

/// Claims that are numbers (RFC 7519, 4.1).
const TIMES: [&str; 3] = ["exp", "nbf", "iat"];

/// Claims that are one text (RFC 7519, 4.1).
const TEXTS: [&str; 3] = ["iss", "sub", "jti"];

/// Returns what a source is that is always visible ASCII, so that no encoding changes it.
fn not_encoded(source: &IdentitySource) -> Option<&'static str> {
    match source {
        IdentitySource::AuthMethod => Some("a word"),
        IdentitySource::Claim(path) => match path.as_slice() {
            [name] if TIMES.contains(&name.as_str()) => Some("a number"),
            _ => None,
        },
        IdentitySource::Tenant | IdentitySource::Roles | IdentitySource::Scopes | IdentitySource::ClientId => None,
    }
}

/// Whether a source can have several items.
fn can_be_list(source: &IdentitySource) -> bool {
    match source {
        IdentitySource::Roles | IdentitySource::Scopes => true,
        IdentitySource::Tenant | IdentitySource::AuthMethod | IdentitySource::ClientId => false,
        IdentitySource::Claim(path) => match path.as_slice() {
            [name] => !TIMES.contains(&name.as_str()) && !TEXTS.contains(&name.as_str()),
            _ => true,
        },
    }
}

/// The names in a text such as `realm_access.roles`; `None` for a name of a namespace, which is a URL or
/// a domain with a path, and may well have dots.
pub(super) fn dotted(name: &str) -> Option<Vec<&str>> {
    // In the tokens of every Kubernetes cluster, at the top.
    if name == "kubernetes.io" {
        return None;
    }
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    let names: Vec<_> = name.split('.').collect();
    (names.len() > 1 && names.iter().all(|part| is_name(part))).then_some(names)
}

/// Headers that have a meaning of their own, in any spelling.
fn is_reserved(name: &str) -> bool {
    const ALSO: [&str; 5] = [
        "date",
        "forwarded",
        "http2-settings",
        "proxy-authorization",
        "x-real-ip",
    ];
    let folded = fold(name);
    let begins = ["x-forwarded-", "sec-websocket-"]
        .iter()
        .any(|start| folded.starts_with(start));
    begins || EXACT_ONLY.iter().chain(&ALSO).any(|known| is_alias(name, known))
}

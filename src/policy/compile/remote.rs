//! Key sets that are fetched: where they are, and what may be sent there.

use std::ops::Range;
use std::time::Duration;

use http::Uri;

use super::compiler::{Compiler, period};
use crate::document::decode::Spanned;
use crate::document::masks::without_user;
use crate::document::problem::{Fault, ProblemCode};
use crate::document::scalars::HumanDuration;
use crate::document::secret::EnvString;
use crate::policy::document::values::OidcOptionsDocument;
use crate::policy::document::{JwksDocument, OidcDocument};
use crate::policy::issuer_names::IssuerNames;
use crate::policy::remote_keys::{KeySource, RemoteKeys, check_url, discovery_url, is_protected, issuer_of};

/// How long keys serve after the last fetch that went well.
const MAX_STALE: Duration = Duration::from_hours(1);

/// How often keys are fetched.
const REFRESH: Duration = Duration::from_mins(5);

/// What the two ways to name a key set have in common.
struct Options {
    refresh: Option<Spanned<HumanDuration>>,
    max_stale: Option<Spanned<HumanDuration>>,
    ca_file: Option<Spanned<String>>,
    bearer_token_file: Option<Spanned<String>>,
    allow_http: bool,
}

impl Compiler<'_> {
    /// A key set behind a URL of its own.
    pub(super) fn key_set(&mut self, jwks: JwksDocument) -> Option<RemoteKeys> {
        let place = jwks.url?;
        let options = Options {
            refresh: jwks.refresh,
            max_stale: jwks.max_stale,
            ca_file: jwks.ca_file,
            bearer_token_file: jwks.bearer_token_file,
            allow_http: jwks.allow_http.unwrap_or(false),
        };
        let url = self.references().url(&place, ProblemCode::InvalidUrl);
        let default = self.references().unused_default(&place.value);
        if let Some(default) = default {
            let source = KeySource::Set {
                url: default.to_owned(),
            };
            self.default_url(&source, &place.span, &options);
        }
        let source = url.map(|url| (KeySource::Set { url: url.text }, place.span));
        self.remote(source, options)
    }

    /// Checks the URL of a default that is not used here, as it is checked where the variable is not set.
    fn default_url(&mut self, source: &KeySource, span: &Range<usize>, options: &Options) {
        if let Err(fault) = fetched(source, options.allow_http) {
            self.problems.add_fault(span, &fault);
        }
    }

    /// A key set where the document of an issuer says. What is wrong with the names of the issuer, if there are none,
    /// has been reported.
    pub(super) fn discovery(&mut self, oidc: Spanned<OidcDocument>, names: Option<&IssuerNames>) -> Option<RemoteKeys> {
        let OidcDocument(OidcOptionsDocument {
            issuer,
            url,
            refresh,
            max_stale,
            ca_file,
            bearer_token_file,
            allow_http,
        }) = oidc.value;
        let options = Options {
            refresh,
            max_stale,
            ca_file,
            bearer_token_file,
            allow_http: allow_http.unwrap_or(false),
        };
        let Some(first) = issuer.as_ref().or(url.as_ref()) else {
            let help = "add `issuer: …`, exactly as the `iss` of the tokens has it";
            self.problems
                .add(&oidc.span, ProblemCode::MissingField, "`issuer` is missing here", help);
            return None;
        };
        let written = self.name_of_issuer(first);
        let (base, text) = match url.as_ref().filter(|_| issuer.is_some()) {
            Some(url) => (url, self.name_of_issuer(url)),
            None => (first, written.clone()),
        };
        // A pattern has no document of its own, so that what stands alone is where one is.
        let pattern = names
            .and_then(IssuerNames::pattern)
            .map(|pattern| pattern.template().text());
        let name = match pattern {
            Some(pattern) if std::ptr::eq(base, first) => Some(pattern.to_owned()),
            _ => written,
        };
        let is_unknown = self.references().is_unknown(&first.value);
        if let (Some(name), Some(names)) = (name.as_ref().filter(|_| !is_unknown), names) {
            self.document_of(name, names, &first.span);
        }
        self.url_of_document(base, text.as_deref(), names.is_some());
        self.default_names((first, base), names, &options);
        let source = name.zip(text).map(|(issuer, text)| {
            let url = discovery_url(&text);
            (KeySource::Discovery { issuer, url }, base.span.clone())
        });
        self.remote(source, options)
    }

    /// Checks the defaults of the name of an issuer and of the URL below which its document is, as they are checked where the
    /// variables are not set.
    fn default_names(
        &mut self,
        (first, base): (&Spanned<EnvString>, &Spanned<EnvString>),
        names: Option<&IssuerNames>,
        options: &Options,
    ) {
        let is_alone = std::ptr::eq(first, base);
        let (of_name, of_base) = {
            let references = self.references();
            (
                references.unused_default(&first.value),
                references.unused_default(&base.value),
            )
        };
        if let Some(default) = of_name {
            let default = self.without_document(default, &first.span);
            let is_pattern = names.is_some_and(|names| names.pattern().is_some());
            if let Some(names) = names.filter(|_| !is_alone || !is_pattern) {
                self.document_of(&default, names, &first.span);
            }
        }
        if let Some(default) = of_base {
            let default = match is_alone {
                true => issuer_of(default).unwrap_or(default).to_owned(),
                false => self.without_document(default, &base.span),
            };
            self.url_of_document(base, Some(&default), names.is_some());
            let source = KeySource::Discovery {
                url: discovery_url(&default),
                issuer: if is_alone { default } else { String::new() },
            };
            self.default_url(&source, &base.span, options);
        }
    }

    /// Notes a document of another issuer than that of the tokens.
    fn document_of(&mut self, issuer: &str, names: &IssuerNames, span: &Range<usize>) {
        let pattern = names.pattern().map(|pattern| pattern.template().text());
        if names.has(issuer) || pattern == Some(issuer) {
            return;
        }
        let issuer = without_user(issuer);
        let message = format!("these are the keys of `{issuer}`, and the tokens are those of `{names}`");
        let slash = |name: &&str| name.trim_end_matches('/') == issuer.trim_end_matches('/');
        let help = match (names.texts().find(slash), pattern, names) {
            (Some(name), ..) => format!(
                "a slash at the end counts: write `issuer: {issuer}` or `oidc: {name}`, as the `iss` of the tokens has it"
            ),
            (None, Some(pattern), _) => format!("write `oidc: {{ issuer: \"{pattern}\", url: … }}`"),
            (None, None, IssuerNames::Exact(names)) if names.texts().len() > 1 => {
                "write `oidc: { issuer: …, url: … }` with one of these issuers".to_owned()
            }
            (None, None, names) => {
                format!("write `oidc: {{ issuer: {names}, url: {issuer} }}` if they are served there")
            }
        };
        self.problems.add(span, ProblemCode::IssuerMismatch, message, help);
    }

    /// Notes a URL that has no document below it.
    fn url_of_document(&mut self, base: &Spanned<EnvString>, text: Option<&str>, names_are_fine: bool) {
        let Some(text) = text else { return };
        if text.contains(['?', '#']) {
            let help = "leave out `?` and `#` with all behind them";
            let message = "an issuer has neither a query nor a fragment";
            self.problems.add(&base.span, ProblemCode::InvalidIssuer, message, help);
        }
        if text.contains(['{', '}']) && names_are_fine {
            let message = "the document of an issuer is not below a URL with placeholders";
            let help = "write the URL below which it is, as in `oidc: { url: https://login.example.com/common/v2.0 }`";
            self.problems.add(&base.span, ProblemCode::InvalidIssuer, message, help);
        }
    }

    /// The name of an issuer, to which discovery appends the path of its document.
    fn name_of_issuer(&mut self, text: &Spanned<EnvString>) -> Option<String> {
        let written = self.references().url(text, ProblemCode::InvalidUrl)?.text;
        Some(self.without_document(&written, &text.span))
    }

    /// Returns the name of an issuer, and notes that it is written as its document.
    fn without_document(&mut self, written: &str, span: &Range<usize>) -> String {
        let Some(issuer) = issuer_of(written) else {
            return written.to_owned();
        };
        let message = format!("`{}` is the document of an issuer, not its name", without_user(written));
        let help = format!("leave the suffix out: `{}`", without_user(issuer));
        self.problems.add(span, ProblemCode::InvalidIssuer, message, help);
        issuer.to_owned()
    }

    fn remote(&mut self, source: Option<(KeySource, Range<usize>)>, options: Options) -> Option<RemoteKeys> {
        let ca = options
            .ca_file
            .as_ref()
            .and_then(|file| self.references().ca_bundle(file));
        let (refresh, max_stale) = self.periods(options.refresh, options.max_stale);
        let bearer_token_file = options.bearer_token_file.as_ref();
        let token_place = bearer_token_file.map(|file| self.references().path(&file.value));
        let (source, span) = source?;
        let remote = RemoteKeys {
            source,
            refresh,
            max_stale,
            ca,
            bearer_token_file: token_place,
            allow_http: options.allow_http,
        };
        match fetched(&remote.source, options.allow_http) {
            Ok(uri) => self.bearer_token(&uri, bearer_token_file),
            Err(fault) => {
                self.problems.add_fault(&span, &fault);
                return None;
            }
        }
        Some(remote)
    }

    fn periods(
        &mut self,
        refresh: Option<Spanned<HumanDuration>>,
        max_stale: Option<Spanned<HumanDuration>>,
    ) -> (Duration, Duration) {
        if let Some(refresh) = refresh.as_ref().filter(|r| r.value.0 < Duration::from_secs(10)) {
            let message = "keys are refreshed every `10s` at the most";
            let help = "write `10s` or more; an unknown key id is fetched at once anyway";
            self.problems.add(&refresh.span, ProblemCode::OutOfRange, message, help);
        }
        let refresh = period(refresh.map(|refresh| refresh.value), REFRESH);
        if let Some(stale) = max_stale.as_ref().filter(|stale| stale.value.0 < refresh) {
            let message = "`max_stale` is shorter than `refresh`, so keys would expire between two fetches";
            let help = "make `max_stale` at least twice `refresh`";
            self.problems.add(&stale.span, ProblemCode::OutOfRange, message, help);
        }
        let max_stale = period(max_stale.map(|stale| stale.value), MAX_STALE.max(refresh * 2));
        (refresh, max_stale)
    }

    /// Checks the file of a token, which must not be sent over plain http.
    fn bearer_token(&mut self, uri: &Uri, file: Option<&Spanned<String>>) {
        let Some(file) = file else { return };
        let mut references = self.references();
        if !references.reads_nothing() {
            references.file(&file.value, &file.span);
        }
        if !is_protected(uri) {
            let fault = Fault::new(
                ProblemCode::InsecureUrl,
                "a bearer token is sent over https, or to this machine, only",
                "write an `https://` URL, or leave `bearer_token_file` out",
            );
            self.problems.add_fault(&file.span, &fault);
        }
    }
}

/// Reads the URL that keys are fetched from.
fn fetched(source: &KeySource, allow_http: bool) -> Result<Uri, Fault> {
    let (KeySource::Set { url } | KeySource::Discovery { url, .. }) = source;
    check_url(url, allow_http).map_err(|fault| match fault.code {
        ProblemCode::InsecureUrl => Fault {
            help: over_http(source),
            ..fault
        },
        _ => fault,
    })
}

/// How keys come over TLS, or else over http. Shows no URL, which may come from the environment.
fn over_http(source: &KeySource) -> String {
    let accepted = match source {
        KeySource::Set { .. } => "jwks: { url: http://…, allow_http: true }",
        KeySource::Discovery { issuer, url } if *url == discovery_url(issuer) => {
            "oidc: { issuer: http://…, allow_http: true }"
        }
        KeySource::Discovery { .. } => "oidc: { issuer: …, url: http://…, allow_http: true }",
    };
    format!("write `https://…`; or, if the network is trusted, `{accepted}`")
}

//! The issuers of tokens and their keys.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::algorithm_hint::suggest_algorithm;
use super::compiler::{Compiler, period};
use super::issuer_names::TakenNames;
use crate::document::collections::List;
use crate::document::decode::{Spanned, not_one_of};
use crate::document::key_reference::KeyReference;
use crate::document::problem::{Fault, Location, Problem, ProblemCode};
use crate::document::secret::EnvString;
use crate::keys::{self, Algorithm, KeyProblem, KeySet, Material, jwk};
use crate::policy::document::{IssuerDocument, JwksDocument, JwtDocument, KeysDocument, OidcDocument};
use crate::policy::issuer::GrantClaims;
use crate::policy::issuer_names::IssuerNames;
use crate::policy::lint::Lint;
use crate::policy::origin::Origin;
use crate::policy::{BindingMode, Issuer, IssuerKeys};

const LEEWAY_HELP: &str = "write how far clocks may differ, such as `30s`";

impl Compiler<'_> {
    pub(super) fn issuers(&mut self, jwt: JwtDocument) -> Vec<Issuer> {
        let List(documents) = jwt.issuers;
        let alone = documents.len() == 1;
        let mut taken = TakenNames::default();
        let mut issuers: Vec<Issuer> = Vec::new();
        for document in documents {
            let names = self.issuer_names(&document.value, alone);
            if let Some(names) = &names {
                self.told_apart(names, document.value.issuer.texts(), &mut taken);
            }
            issuers.extend(self.issuer(document.value, names));
        }
        issuers
    }

    fn issuer(&mut self, document: IssuerDocument, names: Option<IssuerNames>) -> Option<Issuer> {
        let algorithms = self.algorithms(document.algorithms);
        if let Some(leeway) = document.leeway.as_ref().filter(|l| l.value.0 > Duration::from_mins(5)) {
            let message = "a leeway is at most `5m`";
            self.problems
                .add(&leeway.span, ProblemCode::OutOfRange, message, LEEWAY_HELP);
        }
        if let Some(leeway) = document.leeway.as_ref().filter(|l| l.value.0.subsec_millis() > 0) {
            let message = "a leeway has whole seconds";
            self.problems
                .add(&leeway.span, ProblemCode::OutOfRange, message, LEEWAY_HELP);
        }
        let (audiences, audience_claim) = self.audience(document.audience, document.audience_claim);
        let types = self.token_types(document.types);
        let ignored_headers = self.ignored_headers(document.ignore_headers);
        let required_claims = self.required_claims(document.required_claims);
        let when = self.issuer_conditions(document.when);
        let signer = signer(&document.keys.value);
        let keys = self.keys(document.keys, names.as_ref(), &algorithms);
        let leeway = period(document.leeway.map(|leeway| leeway.value), Duration::ZERO);
        let (binding, binding_location) = self.binding(document.binding);
        Some(Issuer {
            names: names?,
            audiences,
            audience_claim,
            algorithms,
            types,
            ignored_headers,
            keys: keys?,
            signer: signer?,
            leeway: i64::try_from(leeway.as_secs()).unwrap_or_default(),
            required_claims,
            roles_claim: GrantClaims::roles(self.claim_paths(document.roles_claim)),
            scopes_claim: GrantClaims::scopes(self.claim_paths(document.scopes_claim)),
            binding,
            binding_location: Origin(binding_location),
            when,
        })
    }

    /// What becomes of bound tokens, and where the file says so.
    fn binding(&mut self, binding: Option<Spanned<BindingMode>>) -> (BindingMode, Option<Location>) {
        let Some(Spanned { value: mode, span }) = binding else {
            return (BindingMode::Verify, None);
        };
        if mode == BindingMode::Ignore {
            let message = "a token that is bound to a key is accepted without the key, so a stolen one works";
            let help = "leave `binding` out, unless a proxy in front of Sidegate verifies bound tokens";
            self.problems.warn(&span, ProblemCode::BindingIgnored, message, help);
        }
        (mode, Some(Location::new(self.problems.source(), &span)))
    }

    fn algorithms(&mut self, List(names): List<Spanned<String>>) -> Vec<Algorithm> {
        let mut read = Vec::new();
        for name in names {
            let known: Result<Algorithm, _> = name.value.parse();
            if known.is_err() {
                let message = format!("unknown algorithm `{}`", name.value);
                self.problems.add(
                    &name.span,
                    ProblemCode::UnknownAlgorithm,
                    message,
                    suggest_algorithm(&name.value),
                );
            }
            read.extend(known);
        }
        read
    }

    fn keys(
        &mut self,
        keys: Spanned<KeysDocument>,
        issuer: Option<&IssuerNames>,
        algorithms: &[Algorithm],
    ) -> Option<IssuerKeys> {
        let set = match keys.value {
            KeysDocument {
                secret: Some(place),
                pem: None,
                jwks: None,
                oidc: None,
            } => {
                let secret = self.references().secret(&place)?;
                if secret.starts_with(b"-----BEGIN") {
                    let message = "the secret is a PEM file, whose key may be known to all";
                    let help = "write `keys: { pem: { file: … } }`, and an algorithm such as `RS256`";
                    self.problems
                        .add(&place.span, ProblemCode::SecretIsPublic, message, help);
                }
                let set = KeySet::from_secret(&secret, algorithms);
                self.key(set, &place.span, algorithms)?
            }
            KeysDocument {
                secret: None,
                pem: Some(pem),
                jwks: None,
                oidc: None,
            } => {
                if self.references().reads_nothing() {
                    return self.unread_key(&pem.file.span, algorithms);
                }
                let block = self.references().pem_block(&pem.file)?;
                let loaded = keys::pem::parse(&block, algorithms);
                if let Some(expires) = loaded.as_ref().ok().and_then(|loaded| loaded.expires) {
                    self.certificate_expires(expires, &pem.file);
                }
                self.key(loaded.map(|loaded| loaded.set), &pem.file.span, algorithms)?
            }
            KeysDocument {
                secret: None,
                pem: None,
                jwks: Some(jwks),
                oidc: None,
            } => return self.jwks(jwks, algorithms),
            KeysDocument {
                secret: None,
                pem: None,
                jwks: None,
                oidc: Some(oidc),
            } => {
                self.no_shared_secret(algorithms, &oidc.span);
                let remote = self.discovery(oidc, issuer)?;
                return Some(IssuerKeys::Remote(remote));
            }
            KeysDocument {
                secret,
                pem,
                jwks,
                oidc,
            } => {
                let found = [secret.is_some(), pem.is_some(), jwks.is_some(), oidc.is_some()];
                let found = found.into_iter().filter(|is_written| *is_written).count();
                let fields = ["secret", "pem", "jwks", "oidc"];
                let help = "write where the keys are, such as `keys: { oidc: https://idp.example.com }`";
                not_one_of(&keys.span, &fields, found, help, self.problems);
                return None;
            }
        };
        Some(IssuerKeys::Local(Arc::new(set)))
    }

    /// Checks that a public key which is not read can fit the algorithms.
    fn unread_key(&mut self, span: &Range<usize>, algorithms: &[Algorithm]) -> Option<IssuerKeys> {
        let set = keys::check_public(algorithms).map(|()| KeySet::default());
        let set = self.key(set, span, algorithms)?;
        Some(IssuerKeys::Local(Arc::new(set)))
    }

    /// Notes what is wrong with a key; with no algorithm to fit, that has been said already.
    fn key(
        &mut self,
        set: Result<KeySet, KeyProblem>,
        span: &Range<usize>,
        algorithms: &[Algorithm],
    ) -> Option<KeySet> {
        match set {
            Ok(set) => Some(set),
            Err(_) if algorithms.is_empty() => None,
            Err(problem) => {
                self.problems.add_fault(span, problem.fault());
                None
            }
        }
    }

    fn jwks(&mut self, jwks: Spanned<JwksDocument>, algorithms: &[Algorithm]) -> Option<IssuerKeys> {
        match (&jwks.value.file, &jwks.value.url) {
            (Some(_), None) if self.references().reads_nothing() => Some(IssuerKeys::default()),
            (Some(file), None) => {
                let json = self.references().file(&file.value, &file.span)?;
                let set = self.jwks_file(&json, file, algorithms)?;
                Some(IssuerKeys::Local(Arc::new(set)))
            }
            (None, Some(_)) => {
                self.no_shared_secret(algorithms, &jwks.span);
                self.key_set(jwks.value).map(IssuerKeys::Remote)
            }
            (file, url) => {
                let found = usize::from(file.is_some()) + usize::from(url.is_some());
                let help = "write `jwks: { url: https://… }`, or `jwks: { file: PATH }`";
                not_one_of(&jwks.span, &["file", "url"], found, help, self.problems);
                None
            }
        }
    }

    /// Notes an algorithm that needs a secret, for keys from a URL, which are not secret.
    fn no_shared_secret(&mut self, algorithms: &[Algorithm], span: &Range<usize>) {
        let hmac = |algorithm: &Algorithm| algorithm.material() == Material::Secret && algorithms.contains(algorithm);
        if let Some(algorithm) = Algorithm::ALL.into_iter().find(hmac) {
            let message = format!(
                "{} needs a shared secret, which cannot come from a URL",
                algorithm.name()
            );
            let help = "write `keys: { secret: { env: NAME } }`, or an algorithm such as `RS256`";
            self.problems.add(span, ProblemCode::SecretIsPublic, message, help);
        }
    }

    fn jwks_file(&mut self, json: &[u8], file: &Spanned<String>, algorithms: &[Algorithm]) -> Option<KeySet> {
        let loaded = match jwk::parse(json, algorithms, jwk::Secrets::Allow) {
            Ok(loaded) => loaded,
            Err(problem) => {
                let help = "name a file with `{ \"keys\": [ … ] }`, as the issuer serves it";
                let fault = Fault::new(ProblemCode::InvalidKey, problem.to_string(), help);
                self.problems.add_fault(&file.span, &fault);
                return None;
            }
        };
        for problem in &loaded.refused {
            self.problems.add_fault(&file.span, problem.fault());
        }
        if !loaded.set.is_empty() {
            for note in &loaded.notes {
                let Fault { code, message, help } = note.fault().clone();
                self.problems.warn(&file.span, code, message, help);
            }
        } else if loaded.refused.is_empty() && !algorithms.is_empty() {
            let help = "list the algorithms that its keys are for, or name another file";
            let help = loaded.notes.first().map_or(help, |note| &note.fault().help);
            self.problems
                .add(&file.span, ProblemCode::AlgorithmKeyMismatch, loaded.why_empty(), help);
        }
        Some(loaded.set)
    }

    /// Warns of a certificate from when on it has expired. Its key is still used: the policy trusts the key.
    fn certificate_expires(&mut self, expires: i64, file: &Spanned<String>) {
        let message = format!(
            "the certificate in `{}` has expired, and its key still verifies tokens",
            file.value
        );
        let help = "name the certificate that the issuer signs with now";
        let location = Location::new(self.problems.source(), &file.span);
        let fault = Fault::new(ProblemCode::CertificateExpired, message, help);
        self.lints.push(Lint {
            since: expires + 1,
            problem: Problem::warning(location, &fault),
        });
    }
}

/// Returns where the keys of an issuer are, if the file names one place.
fn signer(keys: &KeysDocument) -> Option<KeyReference> {
    match keys {
        KeysDocument {
            secret: Some(secret), ..
        } => Some(KeyReference::secret(&secret.value)),
        KeysDocument { pem: Some(pem), .. } => Some(KeyReference::pem(&pem.file.value)),
        KeysDocument { jwks: Some(jwks), .. } => match (&jwks.value.file, &jwks.value.url) {
            (Some(file), _) => Some(KeyReference::set_file(&file.value)),
            (None, url) => url.as_ref().map(|url| KeyReference::set_url(&url.value)),
        },
        KeysDocument { oidc, .. } => oidc.as_ref().map(|oidc| {
            let OidcDocument(options) = &oidc.value;
            let text = |place: &Option<Spanned<EnvString>>| place.as_ref().map(|place| place.value.clone());
            KeyReference::oidc(text(&options.issuer).as_ref(), text(&options.url).as_ref())
        }),
    }
}

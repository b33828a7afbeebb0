//! Reads what a document names: texts and secrets from variables, files, PEM. One reader for
//! policies and `sidegate.yaml`; each problem stands at the value that names the thing.

use std::ops::Range;
use std::path::PathBuf;

use super::decode::Spanned;
use super::environment::{Environment, fix};
use super::key_reference::{KeyReference, plain_path};
use super::masks::without_user;
use super::pem::{PemBlock, PemFile};
use super::problem::{Fault, ProblemCode, Problems};
use super::secret::{EnvString, SecretDocument, SecretPlace, SecretSource};
use super::shell_variable::{from_environment, shell_variable};
use super::tls_material::{CaBundle, Side, TlsIdentity};

/// Reads what one document names.
pub struct References<'n> {
    /// The folder that relative paths start at.
    pub folder: PathBuf,
    /// Where variables and files come from.
    pub environment: &'n dyn Environment,
    /// Where problems go.
    pub problems: &'n mut Problems,
}

/// A text, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedText {
    /// The text.
    pub text: String,
    /// Whether it stands in the document itself.
    pub literal: bool,
}

impl References<'_> {
    /// Reads a URL that may come from the environment. A variable as shells write it is a problem with the code of a
    /// bad URL.
    pub fn url(&mut self, url: &Spanned<EnvString>, invalid: ProblemCode) -> Option<ResolvedText> {
        if let EnvString::Literal(text) = &url.value
            && let Some(name) = shell_variable(text)
        {
            let message = format!("`{}` is not a URL", without_user(text));
            self.problems.add(&url.span, invalid, message, from_environment(name));
            return None;
        }
        self.text(url)
    }

    /// Returns the default of a variable that is set, so that it is not used here: elsewhere it is, and must be as good.
    pub fn unused_default<'t>(&self, text: &'t EnvString) -> Option<&'t str> {
        let EnvString::Variable { env, default } = text else {
            return None;
        };
        let is_set = self.environment.variable(env).is_some_and(|value| !value.is_empty());
        default.as_deref().filter(|_| is_set)
    }

    /// Returns whether a text comes from a variable that is not read, so that nothing is known of it.
    pub fn is_unknown(&self, text: &EnvString) -> bool {
        let unset = matches!(text, EnvString::Variable { default: None, .. });
        unset && self.reads_nothing()
    }

    /// Returns whether variables and files are not to be read, so that nothing can be wrong with them.
    pub fn reads_nothing(&self) -> bool {
        self.environment.stand_ins().is_some()
    }

    /// Reads a text that may come from the environment.
    fn text(&mut self, text: &Spanned<EnvString>) -> Option<ResolvedText> {
        let (found, literal) = match &text.value {
            EnvString::Literal(text) => (Some(text.clone()), true),
            EnvString::Variable { env, default: None } if self.environment.stand_ins().is_some() => {
                (Some(url_named(env)), false)
            }
            EnvString::Variable { env, default } => {
                let value = self.environment.variable(env).filter(|value| !value.is_empty());
                let literal = value.is_none();
                if literal && default.is_none() {
                    let help = format!("set `{env}`, or write `{{ env: {env}, default: … }}`");
                    self.not_set(env, &text.span, help);
                }
                (value.or_else(|| default.clone()), literal)
            }
        };
        found.map(|text| ResolvedText { text, literal })
    }

    /// Reads a secret and decodes it.
    pub fn secret(&mut self, secret: &SecretDocument) -> Option<Vec<u8>> {
        if let Some(stand_ins) = self.environment.stand_ins() {
            return Some(stand_ins.secret(&KeyReference::secret(&secret.value)));
        }
        let SecretSource { place, encoding } = &secret.value;
        let (bytes, what) = match place {
            SecretPlace::Env { env } => {
                let value = self.environment.variable(env).map(String::into_bytes);
                if value.is_none() {
                    let help = format!("set `{env}`, or take the secret from a file");
                    self.not_set(env, &secret.span, help);
                }
                (value?, format!("the variable `{env}`"))
            }
            SecretPlace::File { file } => (self.file(file, &secret.span)?, format!("the file `{file}`")),
        };
        let Some(bytes) = encoding.decode(&bytes) else {
            // Without the place of the fault, which would tell of the secret.
            let message = format!("{what} is not {}", encoding.describe());
            let help = "write the secret in that encoding and in one line, or name the encoding that it has";
            self.problems
                .add(&secret.span, ProblemCode::SecretEncoding, message, help);
            return None;
        };
        if bytes.is_empty() {
            let help = "write the secret into it";
            self.problems
                .add(&secret.span, ProblemCode::SecretEmpty, format!("{what} is empty"), help);
            return None;
        }
        Some(bytes)
    }

    /// Where a path leads; the path as it stands, if nothing is read.
    pub fn path(&self, path: &str) -> PathBuf {
        match self.reads_nothing() {
            true => plain_path(path).into(),
            false => self.folder.join(path),
        }
    }

    /// Reads a file that is not empty. Without [`References::reads_nothing`] only.
    pub fn file(&mut self, path: &str, span: &Range<usize>) -> Option<Vec<u8>> {
        let full = self.path(path);
        let fault = match self.environment.file(&full) {
            Ok(bytes) if !bytes.is_empty() => return Some(bytes),
            Ok(_) => Fault::new(
                ProblemCode::SecretEmpty,
                format!("the file `{path}` is empty"),
                "write its content into it, or name another file",
            ),
            Err(error) => Fault::new(
                ProblemCode::NamedFileUnreadable,
                format!("the file `{path}` cannot be read: {error}"),
                match fix(&error) {
                    Some(fix) => fix.to_owned(),
                    None => format!("let Sidegate read `{}`, or name another file", full.display()),
                },
            ),
        };
        self.problems.add_fault(span, &fault);
        None
    }

    /// Reads a file with one PEM block.
    pub fn pem_block(&mut self, file: &Spanned<String>) -> Option<PemBlock> {
        let bytes = self.file(&file.value, &file.span)?;
        let pem = PemFile {
            name: &file.value,
            bytes: &bytes,
        };
        pem.only_block()
            .map_err(|fault| self.problems.add_fault(&file.span, &fault))
            .ok()
    }

    /// Reads the CAs in a file.
    pub fn ca_bundle(&mut self, file: &Spanned<String>) -> Option<CaBundle> {
        if self.reads_nothing() {
            return Some(CaBundle::stand_in(&plain_path(&file.value)));
        }
        let bytes = self.file(&file.value, &file.span)?;
        let parsed = CaBundle::parse(PemFile {
            name: &file.value,
            bytes: &bytes,
        });
        parsed.map_err(|fault| self.problems.add_fault(&file.span, &fault)).ok()
    }

    /// Reads `client_certificate` and `client_key`, which need each other.
    pub fn client_identity(
        &mut self,
        certificate: Option<&Spanned<String>>,
        key: Option<&Spanned<String>>,
    ) -> Option<TlsIdentity> {
        let (certificate, key) = match (certificate, key) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(lonely), None) => {
                self.lonely(("client_certificate", "client_key"), &lonely.span);
                return None;
            }
            (None, Some(lonely)) => {
                self.lonely(("client_key", "client_certificate"), &lonely.span);
                return None;
            }
        };
        if self.reads_nothing() {
            return Some(TlsIdentity::stand_in(
                &plain_path(&certificate.value),
                &plain_path(&key.value),
            ));
        }
        let chain = self.file(&certificate.value, &certificate.span);
        let bytes = self.file(&key.value, &key.span);
        let (chain, bytes) = (chain?, bytes?);
        let chain = PemFile {
            name: &certificate.value,
            bytes: &chain,
        };
        let private = PemFile {
            name: &key.value,
            bytes: &bytes,
        };
        let faults = match TlsIdentity::parse(chain, private) {
            Ok(identity) => return Some(identity),
            Err(faults) => faults,
        };
        for (side, fault) in faults {
            let named = match side {
                Side::Certificate => certificate,
                Side::Key => key,
            };
            self.problems.add_fault(&named.span, &fault);
        }
        None
    }

    fn not_set(&mut self, variable: &str, span: &Range<usize>, help: String) {
        let message = format!("the variable `{variable}` is not set");
        self.problems.add(span, ProblemCode::VariableNotSet, message, help);
    }

    /// Notes one of two fields that need each other.
    fn lonely(&mut self, (found, missing): (&str, &str), span: &Range<usize>) {
        let message = format!("`{found}` needs `{missing}`");
        let help = format!("add `{missing}: PATH`, or leave `{found}` out");
        self.problems.add(span, ProblemCode::FieldNeedsOther, message, help);
    }
}

/// Makes the URL that stands for a variable which is not read. No other variable has it.
fn url_named(variable: &str) -> String {
    let is_usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let name = match variable.bytes().all(is_usual) && !variable.is_empty() {
        true => variable.to_ascii_lowercase(),
        false => variable
            .bytes()
            .map(|byte| format!("x{byte:02x}"))
            .collect::<Vec<_>>()
            .join("-"),
    };
    format!("https://{name}.variable.invalid")
}

impl std::fmt::Debug for References<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("References")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

//! Where state is kept that replicas share, as configured. Connects to nothing.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use crate::policy::decode::Placed;
use crate::policy::document::{SecretDocument, SecretPlace, Text};
use crate::policy::problem::Problems;
use crate::policy::sources::Sources;

pub mod document;
pub mod url;

use document::{RedisDocument, StoreDocument};
use url::{RedisUrl, Servers};

/// How long an operation may take.
const TIMEOUT: Duration = Duration::from_millis(250);

/// The longest that it may be allowed to take: a request waits for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the name of every key begins with.
const PREFIX: &str = "sidegate";

/// The longest such prefix, in bytes.
const LONGEST_PREFIX: usize = 100;

/// Where state is kept that replicas share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StoreConfig {
    /// In this process.
    #[default]
    Memory,
    /// In a Redis.
    Redis(Box<RedisConfig>),
}

/// A Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is.
    pub servers: Servers,
    /// As whom it is spoken to.
    pub username: Option<String>,
    /// What proves it.
    pub password: Option<Secret>,
    /// How TLS is spoken, if it is.
    pub tls: Option<RedisTls>,
    /// How long an operation may take.
    pub timeout: Duration,
    /// What the name of every key begins with.
    pub prefix: String,
}

/// How TLS is spoken to a Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The CAs of the server as PEM, if they are not those of the system.
    pub ca: Option<Vec<u8>>,
    /// What this side shows.
    pub client: Option<ClientIdentity>,
}

/// A client certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate chain.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Secret<Vec<u8>>,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Secret<Vec<u8>> {
    /// The secret itself.
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl StoreConfig {
    /// `memory`, or the URL of a Redis. What is wrong is said without quoting it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            _ => text.parse().map(|url| Self::Redis(Box::new(RedisConfig::at(url)))),
        }
    }

    /// What holds if another store is named on the command line: all that does not say where it
    /// is stays as the file says.
    pub(super) fn replaced_by(&mut self, other: &Self) {
        let kept = match (std::mem::take(self), other) {
            (Self::Redis(kept), Self::Redis(_)) => Some(kept),
            _ => None,
        };
        self.clone_from(other);
        if let (Self::Redis(new), Some(kept)) = (self, kept) {
            let RedisConfig {
                timeout, prefix, tls, ..
            } = *kept;
            (new.timeout, new.prefix) = (timeout, prefix);
            new.tls = new.tls.take().map(|plain| tls.unwrap_or(plain));
        }
    }
}

impl RedisConfig {
    /// A Redis of which no more is known than its URL.
    pub fn at(url: RedisUrl) -> Self {
        Self {
            servers: url.servers,
            username: url.username,
            password: url.password,
            tls: url.tls.then(RedisTls::default),
            timeout: TIMEOUT,
            prefix: PREFIX.to_owned(),
        }
    }
}

/// Reads what a store is made of; paths begin at a folder.
pub(super) fn check(
    document: Option<StoreDocument>,
    (base, sources): (&Path, &dyn Sources),
    problems: &mut Problems,
) -> Option<StoreConfig> {
    match document {
        None | Some(StoreDocument::Memory) => Some(StoreConfig::Memory),
        Some(StoreDocument::Redis(redis)) => {
            let mut reader = Reader {
                base,
                sources,
                problems,
            };
            let redis = reader.redis(*redis).map(Box::new);
            redis.map(StoreConfig::Redis)
        }
    }
}

struct Reader<'r> {
    base: &'r Path,
    sources: &'r dyn Sources,
    problems: &'r mut Problems,
}

impl Reader<'_> {
    fn redis(&mut self, document: RedisDocument) -> Option<RedisConfig> {
        let url = self.url(&document.url);
        let password = document.password.as_ref().map(|place| self.password(place));
        let tls = self.tls(&document);
        if let Some(timeout) = document.timeout.as_ref().filter(|t| t.value.0 > LONGEST_TIMEOUT) {
            let message = format!("a request waits for it: `{}s` at the most", LONGEST_TIMEOUT.as_secs());
            self.problems.add(&timeout.span, message);
        }
        let prefix = document.prefix.map(|prefix| self.prefix(prefix));
        let mut config = RedisConfig::at(url?);
        if let Some(password) = password {
            self.said_once(config.password.is_some(), document.password.as_ref(), "password");
            config.password = Some(password?);
        }
        if let Some(username) = document.username {
            self.said_once(config.username.is_some(), Some(&username), "user");
            if config.password.is_none() {
                self.problems.add(&username.span, "`username` needs a password");
            }
            config.username = Some(username.value);
        }
        let of_tls = [&document.ca_file, &document.client_certificate, &document.client_key];
        for file in of_tls.into_iter().flatten().filter(|_| config.tls.is_none()) {
            let help = "write `rediss://`, or leave this out";
            self.problems
                .add_with_help(&file.span, "the URL is not one of TLS", help);
        }
        config.tls = config.tls.map(|_| tls);
        config.timeout = document.timeout.map_or(TIMEOUT, |timeout| timeout.value.0);
        config.prefix = prefix.unwrap_or(config.prefix);
        Some(config)
    }

    fn url(&mut self, text: &Placed<Text>) -> Option<RedisUrl> {
        let (value, literal) = match &text.value {
            Text::Literal(url) => (url.clone(), true),
            Text::Variable { env, default } => {
                let value = self.sources.variable(env).filter(|value| !value.is_empty());
                let literal = value.is_none();
                let Some(value) = value.or_else(|| default.clone()) else {
                    self.problems
                        .add(&text.span, format!("the variable `{env}` is not set"));
                    return None;
                };
                (value, literal)
            }
        };
        let url = value.parse::<RedisUrl>();
        let url = url.map_err(|message| self.problems.add(&text.span, message)).ok()?;
        if literal && url.password.is_some() {
            let help = "write `url: { env: NAME }`, or `password: { env: NAME }` beside a URL without one";
            self.problems
                .add_with_help(&text.span, "a password does not belong in a file of settings", help);
        }
        Some(url)
    }

    fn said_once<T>(&mut self, twice: bool, at: Option<&Placed<T>>, what: &str) {
        if let Some(at) = at.filter(|_| twice) {
            self.problems.add(&at.span, format!("the URL has a {what} already"));
        }
    }

    fn password(&mut self, place: &SecretDocument) -> Option<Secret> {
        let (bytes, what) = match &place.value {
            SecretPlace::Env { env } => {
                let what = format!("the variable `{env}`");
                let Some(value) = self.sources.variable(env) else {
                    self.problems.add(&place.span, format!("{what} is not set"));
                    return None;
                };
                (value.into_bytes(), what)
            }
            SecretPlace::File { file } => (self.file(file, &place.span)?, format!("the file `{file}`")),
        };
        let Ok(text) = String::from_utf8(bytes) else {
            self.problems.add(&place.span, format!("{what} is not UTF-8"));
            return None;
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            self.problems.add(&place.span, format!("{what} is empty"));
            return None;
        }
        Some(Secret(text.to_owned()))
    }

    fn tls(&mut self, document: &RedisDocument) -> RedisTls {
        let ca = document.ca_file.as_ref().map(|file| self.certificates(file));
        let certificate = document.client_certificate.as_ref().map(|file| self.certificates(file));
        let key = document
            .client_key
            .as_ref()
            .map(|file| self.file(&file.value, &file.span));
        let one = document.client_certificate.as_ref().xor(document.client_key.as_ref());
        if let Some(file) = one {
            let message = "`client_certificate` and `client_key` need each other";
            self.problems.add(&file.span, message);
        }
        RedisTls {
            ca: ca.flatten(),
            client: certificate
                .flatten()
                .zip(key.flatten())
                .map(|(certificate, key)| ClientIdentity {
                    certificate,
                    key: Secret(key),
                }),
        }
    }

    fn certificates(&mut self, file: &Placed<String>) -> Option<Vec<u8>> {
        let pem = self.file(&file.value, &file.span)?;
        let mut blocks = x509_parser::pem::Pem::iter_from_buffer(&pem).filter_map(Result::ok);
        if !blocks.any(|block| block.label == "CERTIFICATE" && block.parse_x509().is_ok()) {
            self.problems
                .add(&file.span, format!("the file `{}` has no certificate", file.value));
            return None;
        }
        Some(pem)
    }

    fn file(&mut self, file: &str, span: &Range<usize>) -> Option<Vec<u8>> {
        let read = self.sources.file(&self.base.join(file));
        read.map_err(|error| {
            self.problems
                .add(span, format!("the file `{file}` cannot be read: {error}"));
        })
        .ok()
    }

    fn prefix(&mut self, prefix: Placed<String>) -> String {
        if let Err(message) = checked_prefix(&prefix.value) {
            self.problems.add(&prefix.span, message);
        }
        prefix.value
    }
}

/// The beginning of the names of keys, if it can be one.
pub fn checked_prefix(prefix: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    match prefix.len() <= LONGEST_PREFIX && !prefix.is_empty() && prefix.bytes().all(fine) {
        true => Ok(prefix.to_owned()),
        false => Err(format!(
            "a prefix has letters, digits, `-`, `_`, `.` and `:`, {LONGEST_PREFIX} at the most"
        )),
    }
}

#[cfg(test)]
mod tests;

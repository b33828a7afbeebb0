//! Where state is kept that replicas share, as configured. Connects to nothing.

use std::path::Path;
use std::time::Duration;

use crate::document::decode::Spanned;
use crate::document::environment::Environment;
use crate::document::problem::{Fault, ProblemCode, Problems};
use crate::document::references::{References, ResolvedText};
use crate::document::secret::{EnvString, SecretDocument};
use crate::document::tls_material::{CaBundle, TlsIdentity};

pub mod document;
mod secret;
pub mod url;

pub use secret::Secret;

use document::{MemoryDocument, RedisDocument, StoreDocument};
use url::{RedisUrl, Servers};

/// The most that responses in memory may take, in bytes.
const MEMORY: usize = 256 * 1024 * 1024;

/// The least that they may be given.
const LEAST_MEMORY: u64 = 1024 * 1024;

/// How long an operation may take.
const TIMEOUT: Duration = Duration::from_millis(250);

/// The longest that it may be allowed to take: a request waits for it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the name of every key begins with.
const PREFIX: &str = "sidegate";

/// The longest such prefix, in bytes.
const LONGEST_PREFIX: usize = 100;

/// Where state is kept that replicas share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// In this process.
    Memory(MemoryConfig),
    /// In a Redis.
    Redis(Box<RedisConfig>),
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self::Memory(MemoryConfig::default())
    }
}

/// The memory of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// The most that responses to requests with an idempotency key may take, in bytes.
    pub size: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { size: MEMORY }
    }
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
    /// The CAs of the server, if they are not those of the system.
    pub ca: Option<CaBundle>,
    /// What this side shows.
    pub client: Option<TlsIdentity>,
}

impl StoreConfig {
    /// `memory`, or the URL of a Redis. What is wrong is said without quoting it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "memory" => Ok(Self::default()),
            _ => text.parse().map(|url| Self::Redis(Box::new(RedisConfig::at(url)))),
        }
    }

    /// What holds if another store is named on the command line: all that does not say where it
    /// is stays as the file says.
    pub(super) fn replaced_by(&mut self, other: &Self) {
        let kept = match (std::mem::take(self), other) {
            (Self::Redis(kept), Self::Redis(_)) => Some(kept),
            (kept @ Self::Memory(_), Self::Memory(_)) => {
                *self = kept;
                return;
            }
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
    (base, environment): (&Path, &dyn Environment),
    problems: &mut Problems,
) -> Option<StoreConfig> {
    match document {
        None | Some(StoreDocument::Memory(None)) => Some(StoreConfig::default()),
        Some(StoreDocument::Memory(Some(memory))) => Some(StoreConfig::Memory(size(&memory, problems))),
        Some(StoreDocument::Redis(redis)) => {
            let mut reader = Reader(References {
                folder: base.to_owned(),
                environment,
                problems,
            });
            let redis = reader.redis(*redis).map(Box::new);
            redis.map(StoreConfig::Redis)
        }
    }
}

fn size(document: &MemoryDocument, problems: &mut Problems) -> MemoryConfig {
    let size = &document.size;
    if size.value.0 < LEAST_MEMORY {
        let message = "the memory for responses must be at least `1MiB`";
        let help = "write `1MiB` or more; the default is `256MiB`";
        problems.add(&size.span, ProblemCode::OutOfRange, message, help);
    }
    MemoryConfig {
        size: usize::try_from(size.value.0).unwrap_or(usize::MAX),
    }
}

/// What stands for the URL of a variable which is not read. It has TLS where the document has a file for that.
fn of_variable(document: &RedisDocument) -> RedisUrl {
    let files = [&document.ca_file, &document.client_certificate, &document.client_key];
    RedisUrl {
        servers: Servers::Cluster(Vec::new()),
        username: None,
        password: None,
        tls: files.iter().any(|file| file.is_some()),
    }
}

struct Reader<'r>(References<'r>);

impl Reader<'_> {
    fn redis(&mut self, document: RedisDocument) -> Option<RedisConfig> {
        let url = match self.0.is_unknown(&document.url.value) {
            true => Some(of_variable(&document)),
            false => self.url(&document.url),
        };
        let password = document.password.as_ref().map(|place| self.password(place));
        let tls = self.tls(&document);
        if let Some(timeout) = document.timeout.as_ref().filter(|t| t.value.0 > LONGEST_TIMEOUT) {
            let message = format!(
                "`timeout` must be at most `{}s`: requests wait for it",
                LONGEST_TIMEOUT.as_secs()
            );
            let help = "write `10s` or less; the default is `250ms`";
            self.0
                .problems
                .add(&timeout.span, ProblemCode::OutOfRange, message, help);
        }
        let prefix = document.prefix.map(|prefix| self.prefix(prefix));
        let mut config = RedisConfig::at(url?);
        if let Some(password) = password {
            self.said_once(config.password.is_some(), document.password.as_ref(), "password");
            config.password = Some(password?);
        }
        if let Some(username) = document.username {
            self.said_once(config.username.is_some(), Some(&username), "user");
            if config.password.is_none() && !self.0.is_unknown(&document.url.value) {
                let help = "add `password: { env: NAME }`, or leave `username` out";
                let message = "`username` needs a password";
                self.0
                    .problems
                    .add(&username.span, ProblemCode::FieldNeedsOther, message, help);
            }
            config.username = Some(username.value);
        }
        let of_tls = [&document.ca_file, &document.client_certificate, &document.client_key];
        for file in of_tls.into_iter().flatten().filter(|_| config.tls.is_none()) {
            let help = "write `rediss://`, or leave this out";
            let message = "the file has an effect with TLS only, and the URL does not use TLS";
            self.0.problems.add(&file.span, ProblemCode::TlsOnly, message, help);
        }
        config.tls = config.tls.map(|_| tls);
        config.timeout = document.timeout.map_or(TIMEOUT, |timeout| timeout.value.0);
        config.prefix = prefix.unwrap_or(config.prefix);
        Some(config)
    }

    fn url(&mut self, text: &Spanned<EnvString>) -> Option<RedisUrl> {
        if let Some(default) = self.0.unused_default(&text.value) {
            self.parsed(text, default, true);
        }
        let ResolvedText { text: value, literal } = self.0.url(text, ProblemCode::InvalidRedisUrl)?;
        self.parsed(text, &value, literal)
    }

    /// Reads a URL that stands at a place, perhaps literally.
    fn parsed(&mut self, text: &Spanned<EnvString>, value: &str, literal: bool) -> Option<RedisUrl> {
        let url = value.parse::<RedisUrl>();
        let url = url
            .map_err(|fault| self.0.problems.add_fault(&text.span, &fault))
            .ok()?;
        if literal && url.password.is_some() {
            let help = "write `url: { env: NAME }`, or `password: { env: NAME }` beside a URL without one";
            let message = "a password does not belong in this file";
            self.0
                .problems
                .add(&text.span, ProblemCode::SecretInFile, message, help);
        }
        Some(url)
    }

    fn said_once<T>(&mut self, twice: bool, at: Option<&Spanned<T>>, what: &str) {
        if let Some(at) = at.filter(|_| twice) {
            let message = format!("the URL has a {what} already");
            let help = format!("take the {what} out of the URL, or leave this field out");
            self.0.problems.add(&at.span, ProblemCode::DuplicateItem, message, help);
        }
    }

    fn password(&mut self, place: &SecretDocument) -> Option<Secret> {
        let text = String::from_utf8(self.0.secret(place)?);
        text.map(Secret)
            .map_err(|_| {
                let help = "set a password of UTF-8 text";
                self.0
                    .problems
                    .add(&place.span, ProblemCode::NotUtf8, "the secret is not UTF-8", help)
            })
            .ok()
    }

    fn tls(&mut self, document: &RedisDocument) -> RedisTls {
        let (certificate, key) = (document.client_certificate.as_ref(), document.client_key.as_ref());
        RedisTls {
            ca: document.ca_file.as_ref().and_then(|file| self.0.ca_bundle(file)),
            client: self.0.client_identity(certificate, key),
        }
    }

    fn prefix(&mut self, prefix: Spanned<String>) -> String {
        if let Err(fault) = checked_prefix(&prefix.value) {
            self.0.problems.add_fault(&prefix.span, &fault);
        }
        prefix.value
    }
}

/// The beginning of the names of keys, if it can be one.
pub fn checked_prefix(prefix: &str) -> Result<String, Fault> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    match prefix.len() <= LONGEST_PREFIX && !prefix.is_empty() && prefix.bytes().all(fine) {
        true => Ok(prefix.to_owned()),
        false => Err(Fault::new(
            ProblemCode::InvalidName,
            format!("a prefix of keys has letters, digits, `-`, `_`, `.` and `:`, {LONGEST_PREFIX} at the most"),
            "write a short name, such as `sidegate-staging`",
        )),
    }
}

#[cfg(test)]
mod tests;

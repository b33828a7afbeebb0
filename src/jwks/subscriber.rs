//! One issuer of one policy that takes its keys from a source.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};

use jiff::Timestamp;

use super::fetch::Fetched;
use crate::authn::key_rings::KeyRing;
use crate::document::problem::ProblemCode;
use crate::keys::{Algorithm, jwk};
use crate::policy::Issuer;
use crate::policy::remote_keys::RemoteKeys;

/// Why an issuer has no keys from a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The server sent no key set.
    Unreachable(String),
    /// The key set has no key for the issuer, and why.
    NoKeys(String),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::NoKeys(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FetchError {}

/// The status of an issuer's keys, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerStatus {
    /// The issuer as in metrics and logs.
    pub issuer: String,
    /// The URL that the policies name for its keys, without the values of its query.
    pub url: String,
    /// The proxy that this URL is fetched through, or the key set that it leads to, without user and password.
    pub proxy: Option<String>,
    /// The services whose policies take these keys.
    pub services: BTreeSet<String>,
    /// The number of its keys in force.
    pub keys: usize,
    /// The result of the last fetch. `None` until the first one ends.
    pub last: Option<Result<(), FetchError>>,
    /// By how many seconds Sidegate's clock was ahead of the server's at the last fetch, if the server sends its time.
    pub clock_ahead: Option<i64>,
    /// When the keys were last fetched, and when they expire without another fetch.
    pub fetched: Option<(Timestamp, Timestamp)>,
}

impl IssuerStatus {
    /// Compares everything but the services.
    pub fn is_same(&self, other: &Self) -> bool {
        let alone = |status: &Self| Self {
            services: BTreeSet::new(),
            ..status.clone()
        };
        alone(self) == alone(other)
    }
}

impl IssuerStatus {
    /// The issuer and the services.
    pub fn name(&self) -> String {
        format!("issuer {}, for {}", self.issuer, self.names_of_services())
    }

    fn names_of_services(&self) -> String {
        let services: Vec<_> = self.services.iter().map(String::as_str).collect();
        services.join(", ")
    }
}

impl fmt::Display for IssuerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            issuer,
            keys,
            last,
            proxy,
            ..
        } = self;
        let s = if *keys == 1 { "" } else { "s" };
        write!(f, "issuer {issuer}: {keys} key{s}")?;
        match last {
            None => f.write_str(", first fetch under way")?,
            Some(Ok(())) => {}
            Some(Err(error)) => write!(f, ", last fetch failed: {error}")?,
        }
        if let Some(proxy) = proxy {
            write!(f, "; through the proxy {proxy}")?;
        }
        write!(f, "; for {}", self.names_of_services())
    }
}

/// One issuer that takes its keys from a source, for as long as its policy exists.
#[derive(Debug)]
pub struct Subscriber {
    label: String,
    service: String,
    algorithms: Vec<Algorithm>,
    ring: Weak<KeyRing>,
    last: Option<Result<(), FetchError>>,
    last_success: Option<Timestamp>,
    clock_ahead: Option<i64>,
    replaced: bool,
    notes: Vec<(KeyNote, String)>,
}

/// What is odd about a key of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyNote {
    /// It is not used.
    NotUsed,
    /// It is used, and not written as the standard has it.
    Misspelt,
}

impl Subscriber {
    /// An issuer of a service's policy that waits for keys.
    pub fn of(service: &str, issuer: &Issuer, ring: &Arc<KeyRing>) -> Self {
        Self {
            label: issuer.label().into_owned(),
            service: service.to_owned(),
            algorithms: issuer.algorithms.clone(),
            ring: Arc::downgrade(ring),
            last: None,
            last_success: None,
            clock_ahead: None,
            replaced: false,
            notes: Vec::new(),
        }
    }

    /// Returns the issuer as in metrics and logs.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns what is odd about keys of the last set that was read.
    pub fn notes(&self) -> &[(KeyNote, String)] {
        &self.notes
    }

    /// Returns whether the issuer's policy still exists.
    pub fn is_alive(&self) -> bool {
        self.ring.strong_count() > 0
    }

    /// Notes that other policies are in force. Requests that began before still need the keys.
    pub fn replace(&mut self) {
        self.replaced = true;
    }

    /// Returns whether the issuer's policy is in force.
    pub fn is_in_force(&self) -> bool {
        !self.replaced && self.is_alive()
    }

    /// Returns the status of the issuer's keys, which are fetched through a proxy or not.
    pub fn status(&self, remote: &RemoteKeys, proxy: Option<String>) -> IssuerStatus {
        let ring = self.ring.upgrade();
        let expiry = |at: Timestamp| (at, at.saturating_add(remote.max_stale).unwrap_or(Timestamp::MAX));
        IssuerStatus {
            issuer: self.label.clone(),
            url: remote.shown_url().into_owned(),
            proxy,
            services: BTreeSet::from([self.service.clone()]),
            keys: ring.map_or(0, |ring| ring.load().as_ref().map_or(0, |set| set.count())),
            last: self.last.clone(),
            clock_ahead: self.clock_ahead,
            fetched: self.last_success.map(expiry),
        }
    }

    /// Puts the fetched keys in force. If the key set is the same as before, the keys stay untouched.
    pub fn take(&mut self, fetched: &Result<Fetched, String>, same: bool) -> &Result<(), FetchError> {
        self.clock_ahead = fetched.as_ref().ok().and_then(|fetched| fetched.clock_ahead);
        let taken = match fetched {
            Err(error) => Err(FetchError::Unreachable(error.clone())),
            Ok(_) if same && self.has_keys() => Ok(()),
            Ok(fetched) => self.read(&fetched.json),
        };
        if let (Ok(fetched), Ok(())) = (fetched, &taken) {
            self.last_success = Some(fetched.at);
            if let Some(ring) = self.ring.upgrade() {
                ring.record_fetch(fetched.at.as_second());
            }
        }
        self.last.insert(taken)
    }

    /// Puts the keys of a set in force that this issuer can use. A set without any is in force,
    /// too: its server withdrew the keys.
    fn read(&mut self, json: &[u8]) -> Result<(), FetchError> {
        let loaded = jwk::parse(json, &self.algorithms, jwk::Secrets::Refuse)
            .map_err(|problem| FetchError::Unreachable(problem.to_string()))?;
        let refused = loaded.refused.iter().map(|problem| (KeyNote::NotUsed, problem));
        let odd = loaded.notes.iter().map(|note| match note.fault().code {
            ProblemCode::KeyNotUsed => (KeyNote::NotUsed, note),
            _ => (KeyNote::Misspelt, note),
        });
        self.notes = refused
            .chain(odd)
            .map(|(kind, problem)| (kind, problem.to_string()))
            .collect();
        let Some(ring) = self.ring.upgrade() else { return Ok(()) };
        if loaded.set.is_empty() {
            ring.clear();
            return Err(FetchError::NoKeys(loaded.why_empty()));
        }
        ring.replace(loaded.set);
        Ok(())
    }

    /// Removes keys that are too old to be trusted.
    pub fn withdraw(&self) {
        if self.has_keys()
            && let Some(ring) = self.ring.upgrade()
        {
            tracing::warn!(issuer = self.label, "the keys are too old, and no longer used");
            ring.clear();
        }
    }

    fn has_keys(&self) -> bool {
        self.ring.upgrade().is_some_and(|ring| ring.load().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_one_line_with_the_services() {
        let status = |services: &[&str], keys, last| IssuerStatus {
            issuer: "i".to_owned(),
            url: "https://a.example/keys".to_owned(),
            proxy: None,
            services: services.iter().copied().map(str::to_owned).collect(),
            keys,
            last,
            clock_ahead: None,
            fetched: None,
        };
        let line = status(&["s"], 0, None).to_string();
        assert_eq!(line, "issuer i: 0 keys, first fetch under way; for s");
        let one = status(&["s", "a"], 1, Some(Ok(())));
        assert_eq!(one.to_string(), "issuer i: 1 key; for a, s");
        let proxied = IssuerStatus {
            proxy: Some("http://***@proxy:3128".to_owned()),
            ..one
        };
        assert_eq!(
            proxied.to_string(),
            "issuer i: 1 key; through the proxy http://***@proxy:3128; for a, s"
        );
        let failed = Some(Err(FetchError::Unreachable("it took too long".into())));
        let other = status(&["t"], 1, failed);
        assert_eq!(
            other.to_string(),
            "issuer i: 1 key, last fetch failed: it took too long; for t"
        );
    }

    #[test]
    fn statuses_that_differ_in_services_only_are_equal() {
        let status = IssuerStatus {
            issuer: "i".to_owned(),
            url: "https://a.example/keys".to_owned(),
            proxy: None,
            services: BTreeSet::from(["s".to_owned()]),
            keys: 1,
            last: Some(Ok(())),
            clock_ahead: Some(0),
            fetched: None,
        };
        for (change, same) in [
            ((|other| other.services.clear()) as fn(&mut IssuerStatus), true),
            (|other| other.issuer.push('j'), false),
            (|other| other.url.push('/'), false),
            (|other| other.keys = 2, false),
            (|other| other.last = Some(Err(FetchError::NoKeys(String::new()))), false),
            (|other| other.clock_ahead = Some(60), false),
        ] {
            let mut other = status.clone();
            change(&mut other);
            assert_eq!(status.is_same(&other), same, "{other:?}");
        }
    }
}

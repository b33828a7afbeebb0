//! Tokens that are rejected although they are good: by `jti`, by subject or tenant issued before a
//! moment. Plain values; how replicas share them is `store.rs`'s.
//!
//! Revocations are only ever added, and two of one target become the stricter of both, so that
//! replicas agree in whatever order they hear of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::principal::TenantId;

/// The most revocations that are kept at a time.
pub const MAX_REVOCATIONS: usize = 1_000_000;

/// The longest `jti`, subject or issuer that can be revoked, in bytes. No header holds a longer one.
const MAX_NAME: usize = 64 * 1024;

/// The parts of a list: an addition copies one of them.
const SHARDS: usize = 256;

/// Milliseconds since the epoch.
pub type Millis = i64;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "lowercase", deny_unknown_fields)]
pub enum Target {
    /// One token, by its `jti`.
    Jti(String),
    /// All tokens of a subject.
    Subject(String),
    /// All tokens of a tenant.
    Tenant(TenantId),
}

impl Target {
    /// The word on the command line: `jti`, `subject` or `tenant`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Jti(_) => "jti",
            Self::Subject(_) => "subject",
            Self::Tenant(_) => "tenant",
        }
    }

    /// The name of what is revoked.
    pub fn value(&self) -> String {
        match self {
            Self::Jti(name) | Self::Subject(name) => name.clone(),
            Self::Tenant(tenant) => tenant.to_string(),
        }
    }
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What is revoked.
    pub target: Target,
    /// Only tokens with this `iss`; `None` for those of all issuers.
    pub issuer: Option<String>,
    /// Only tokens issued before this moment; `None` for all, which is what a `jti` has.
    pub before: Option<Millis>,
    /// When the last of the tokens has expired, and the revocation is forgotten.
    pub expires: Millis,
}

impl Revocation {
    /// What is wrong with it, if it comes from outside.
    pub fn problem(&self) -> Option<&'static str> {
        let fine = |name: &str| !name.is_empty() && name.len() <= MAX_NAME;
        match &self.target {
            Target::Jti(_) if self.before.is_some() => return Some("a `jti` is revoked whenever it was issued"),
            Target::Subject(_) | Target::Tenant(_) if self.before.is_none() => {
                return Some("a subject or tenant is revoked up to a moment");
            }
            Target::Jti(name) | Target::Subject(name) if !fine(name) => {
                return Some("the name is empty or too long");
            }
            _ => {}
        }
        let issuer_is_fine = self.issuer.as_deref().is_none_or(fine);
        (!issuer_is_fine).then_some("the issuer is empty or too long")
    }
}

/// What a token says of itself, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Token<'t> {
    /// Its `iss`.
    pub issuer: Option<&'t str>,
    /// Its `jti`.
    pub jti: Option<&'t str>,
    /// Its `sub`.
    pub subject: Option<&'t str>,
    /// The tenants that it names.
    pub tenants: &'t [TenantId],
    /// Its `iat`; without one it may always have been issued before.
    pub issued: Option<Millis>,
}

/// All revocations that are known. A clone costs little, and is not changed by an addition.
#[derive(Debug, Clone, Default)]
pub struct RevocationList {
    jti: Shards<Box<str>>,
    subject: Shards<Box<str>>,
    tenant: Shards<TenantId>,
}

/// What is known of one target. Few have more than one issuer.
type Rules = Vec<Rule>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    issuer: Option<Box<str>>,
    before: Option<Millis>,
    expires: Millis,
}

impl Rule {
    fn hits(&self, token: &Token<'_>, now: Millis) -> bool {
        let meant = self.issuer.as_deref().is_none_or(|issuer| token.issuer == Some(issuer));
        let earlier = match (self.before, token.issued) {
            (Some(before), Some(issued)) => issued < before,
            _ => true,
        };
        meant && earlier && now < self.expires
    }
}

impl RevocationList {
    /// Adds a revocation; whether that changed anything.
    pub fn add(&mut self, revocation: &Revocation) -> bool {
        let rule = Rule {
            issuer: revocation.issuer.as_deref().map(Into::into),
            before: revocation.before,
            expires: revocation.expires,
        };
        match &revocation.target {
            Target::Jti(name) => self.jti.add(name.as_str().into(), rule),
            Target::Subject(name) => self.subject.add(name.as_str().into(), rule),
            Target::Tenant(tenant) => self.tenant.add(tenant.clone(), rule),
        }
    }

    /// What a token is rejected by, if anything: the word of the target.
    pub fn find(&self, token: &Token<'_>, now: Millis) -> Option<&'static str> {
        let hit = |rules: Option<&Rules>| rules.is_some_and(|rules| rules.iter().any(|rule| rule.hits(token, now)));
        if token.jti.is_some_and(|jti| hit(self.jti.get(jti))) {
            return Some("jti");
        }
        if token.subject.is_some_and(|subject| hit(self.subject.get(subject))) {
            return Some("subject");
        }
        // A UUID is revoked in either case, also where policies read it as a text.
        let is_hit = |tenant: &TenantId| match tenant.as_uuid() {
            Some(uuid) => hit(self.tenant.get(&uuid)),
            None => hit(self.tenant.get(tenant)),
        };
        token.tenants.iter().any(is_hit).then_some("tenant")
    }

    /// Forgets those whose tokens have all expired.
    pub fn purge(&mut self, now: Millis) {
        self.jti.purge(now);
        self.subject.purge(now);
        self.tenant.purge(now);
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Revocation> {
        let jti = self
            .jti
            .iter()
            .map(|(name, rule)| revocation(Target::Jti(name.to_string()), rule));
        let subject = self.subject.iter();
        let subject = subject.map(|(name, rule)| revocation(Target::Subject(name.to_string()), rule));
        let tenant = self
            .tenant
            .iter()
            .map(|(tenant, rule)| revocation(Target::Tenant(tenant.clone()), rule));
        jti.chain(subject).chain(tenant)
    }

    /// What is in force of the target and issuer of a revocation.
    pub fn same(&self, revocation: &Revocation) -> Option<Revocation> {
        let known = match &revocation.target {
            Target::Jti(name) => self.jti.get(name.as_str()),
            Target::Subject(name) => self.subject.get(name.as_str()),
            Target::Tenant(tenant) => self.tenant.get(tenant),
        };
        let mut known = known.into_iter().flatten();
        let rule = known.find(|rule| rule.issuer.as_deref() == revocation.issuer.as_deref())?;
        Some(self::revocation(revocation.target.clone(), rule))
    }

    /// What is in force of one target and issuer once this revocation is added.
    pub fn with(&self, revocation: &Revocation) -> Revocation {
        let mut both = revocation.clone();
        if let Some(known) = self.same(revocation) {
            both.before = both.before.max(known.before);
            both.expires = both.expires.max(known.expires);
        }
        both
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jti.len + self.subject.len + self.tenant.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn revocation(target: Target, rule: &Rule) -> Revocation {
    Revocation {
        target,
        issuer: rule.issuer.as_deref().map(Into::into),
        before: rule.before,
        expires: rule.expires,
    }
}

/// A map in parts that clones share.
#[derive(Debug, Clone)]
struct Shards<K> {
    hasher: RandomState,
    parts: Vec<Arc<HashMap<K, Rules>>>,
    len: usize,
}

impl<K> Default for Shards<K> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            parts: Vec::new(),
            len: 0,
        }
    }
}

impl<K: Hash + Eq + Clone> Shards<K> {
    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Rules>
    where
        K: std::borrow::Borrow<Q>,
    {
        if self.len == 0 {
            return None;
        }
        self.parts.get(self.part(key))?.get(key)
    }

    fn add(&mut self, key: K, rule: Rule) -> bool {
        if self.parts.is_empty() {
            self.parts.resize_with(SHARDS, Arc::default);
        }
        let part = self.part(&key);
        let Some(part) = self.parts.get_mut(part) else {
            return false;
        };
        let known = part
            .get(&key)
            .and_then(|rules| rules.iter().find(|known| known.issuer == rule.issuer));
        let stricter = match known {
            Some(known) => Rule {
                issuer: rule.issuer,
                before: known.before.max(rule.before),
                expires: known.expires.max(rule.expires),
            },
            None => rule,
        };
        if known == Some(&stricter) {
            return false;
        }
        let added = known.is_none();
        let rules = Arc::make_mut(part).entry(key).or_default();
        rules.retain(|known| known.issuer != stricter.issuer);
        rules.push(stricter);
        self.len += usize::from(added);
        true
    }

    fn purge(&mut self, now: Millis) {
        let over = |rules: &Rules| rules.iter().any(|rule| rule.expires <= now);
        for part in self.parts.iter_mut().filter(|part| part.values().any(over)) {
            Arc::make_mut(part).retain(|_, rules| {
                rules.retain(|rule| rule.expires > now);
                !rules.is_empty()
            });
        }
        self.len = self.iter().count();
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &Rule)> {
        let entries = self.parts.iter().flat_map(|part| part.iter());
        entries.flat_map(|(key, rules)| rules.iter().map(move |rule| (key, rule)))
    }
}

/// What a decision knows of revocations.
#[derive(Debug, Clone, Copy)]
pub enum Revocations<'r> {
    /// Revocations are unknown: a request is only explained.
    Unasked,
    /// This list, which was complete so long ago; `None` if it never was.
    Known {
        /// The list.
        list: &'r RevocationList,
        /// How long ago it was complete.
        age: Option<Duration>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Millis = 1_800_000_000_000;

    fn tenant() -> TenantId {
        TenantId::parse("00000000-0000-4000-a000-000000000001").unwrap()
    }

    fn of(target: Target, issuer: Option<&str>, before: Option<Millis>, expires: Millis) -> Revocation {
        Revocation {
            target,
            issuer: issuer.map(Into::into),
            before,
            expires,
        }
    }

    #[test]
    fn token_is_rejected_by_its_id_subject_or_tenant() {
        let mut list = RevocationList::default();
        let subject = Target::Subject("u".into());
        assert!(list.add(&of(Target::Jti("j".into()), None, None, T + 10)));
        assert!(list.add(&of(subject, None, Some(T), T + 10)));
        assert!(list.add(&of(Target::Subject("v".into()), Some("a"), Some(T), T + 10)));
        assert!(list.add(&of(Target::Tenant(tenant()), None, Some(T), T + 10)));
        assert_eq!(list.len(), 4);
        let tenants = [tenant()];
        for (issuer, jti, subject, tenants, issued, now, want) in [
            (None, None, None, &[][..], Some(T - 1), T, None),
            (None, Some("j"), None, &[], Some(T - 1), T, Some("jti")),
            (None, Some("J"), None, &[], Some(T - 1), T, None),
            (None, Some("u"), None, &[], Some(T - 1), T, None),
            (None, Some("j"), None, &[], Some(T - 1), T + 10, None),
            (None, None, Some("u"), &[], Some(T - 1), T, Some("subject")),
            (None, None, Some("u"), &[], Some(T), T, None),
            (None, None, Some("u"), &[], None, T, Some("subject")),
            (Some("b"), None, Some("v"), &[], Some(T - 1), T, None),
            (Some("a"), None, Some("v"), &[], Some(T - 1), T, Some("subject")),
            (None, None, Some("v"), &[], Some(T - 1), T, None),
            (None, None, None, &tenants, Some(T - 1), T, Some("tenant")),
        ] {
            let token = Token {
                issuer,
                jti,
                subject,
                tenants,
                issued,
            };
            assert_eq!(list.find(&token, now), want, "{token:?} at {now}");
        }
        list.purge(T + 9);
        assert_eq!(list.len(), 4);
        list.purge(T + 10);
        assert!(list.is_empty());
    }

    #[test]
    fn two_of_one_target_are_the_stricter_of_both_in_any_order() {
        let late = of(Target::Subject("u".into()), None, Some(T + 5), T + 10);
        let long = of(Target::Subject("u".into()), None, Some(T), T + 20);
        let both = of(Target::Subject("u".into()), None, Some(T + 5), T + 20);
        for order in [[&late, &long], [&long, &late]] {
            let mut list = RevocationList::default();
            let before = list.clone();
            assert!(order.iter().all(|revocation| list.add(revocation)));
            assert_eq!(list.iter().collect::<Vec<_>>(), std::slice::from_ref(&both));
            assert!(!list.add(&both), "nothing new");
            assert_eq!(list.with(&late), both);
            assert_eq!(before.with(&late), late);
            assert!(before.is_empty(), "a clone stays as it is");
        }
    }

    #[test]
    fn what_comes_from_outside_is_looked_at() {
        for (revocation, fine) in [
            (of(Target::Jti("j".into()), None, None, T), true),
            (of(Target::Jti(String::new()), None, None, T), false),
            (of(Target::Jti("j".repeat(MAX_NAME + 1)), None, None, T), false),
            (of(Target::Jti("j".into()), None, Some(T), T), false),
            (of(Target::Subject("u".into()), None, None, T), false),
            (of(Target::Subject("u".into()), Some(""), Some(T), T), false),
            (of(Target::Tenant(tenant()), Some("i"), Some(T), T), true),
        ] {
            assert_eq!(revocation.problem().is_none(), fine, "{revocation:?}");
        }
    }

    #[test]
    fn the_written_form() {
        let revocation = of(Target::Tenant(tenant()), None, Some(1), 2);
        let text = r#"{"target":{"kind":"tenant","value":"00000000-0000-4000-a000-000000000001"},"issuer":null,"before":1,"expires":2}"#;
        assert_eq!(serde_json::to_string(&revocation).unwrap(), text);
        assert_eq!(serde_json::from_str::<Revocation>(text).unwrap(), revocation);
        assert!(serde_json::from_str::<Revocation>(&text.replace("-4000-", " 4000 ")).is_err());
    }
}

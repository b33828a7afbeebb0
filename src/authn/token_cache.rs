//! Tokens that were verified a moment ago, so that the same one is not verified again. Only what is
//! good comes in, by the digest of the whole token and the policy that it was good for. Whether it
//! still is, by time, key and revocation, is looked at each time.
//!
//! Each thread has its own, so that none waits for another, with an equal share of the memory. New policies have new ones.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use serde_json::Value;
use thread_local::ThreadLocal;

use crate::digest::Fingerprint;
use crate::keys::KeyFingerprint;
use crate::principal::{RenderedIdentity, VerifiedToken};

/// The most bytes that the tokens of all threads take, about.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// As many tokens of a common length that is.
const COMMON: usize = 4096;

/// What a token takes besides its claims and header fields, about; and each of those besides its text.
const TOKEN: usize = 512;
const ITEM: usize = 128;

/// What an object takes besides its members, about: it has room for more of them.
const OBJECT: usize = 512;

/// Which token, for which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKey(Fingerprint);

impl TokenKey {
    /// The name of a token that came with a request for a policy.
    pub fn of(policy: usize, token: &str) -> Self {
        Self(Fingerprint::of(&[&policy.to_be_bytes(), token.as_bytes()]))
    }
}

/// What is known of a token.
#[derive(Debug, Clone)]
pub struct KnownToken {
    /// What follows from its claims.
    pub token: Arc<VerifiedToken>,
    /// The identity headers of its bearer, unless the request proves more.
    pub identity: Option<RenderedIdentity>,
    /// The issuer, by its place in the policy.
    pub issuer: usize,
    /// The key that verified it.
    pub key: KeyFingerprint,
}

impl KnownToken {
    /// The memory that it takes, about.
    fn bytes(&self) -> usize {
        let token = &self.token;
        let claims = token.claims.iter().map(|(name, value)| name.len() + bytes_of(value));
        let names = token.roles.names().iter().chain(token.scopes.names());
        let faults = [token.roles.fault(), token.scopes.fault()].into_iter().flatten();
        let lists = names.map(String::as_str).chain(faults).map(|text| text.len() + ITEM);
        let identity = self.identity.iter().flat_map(|identity| identity.fields.iter());
        let identity = identity.map(|(name, value)| name.as_str().len() + value.len() + ITEM);
        claims.chain(lists).chain(identity).sum::<usize>() + TOKEN
    }
}

fn bytes_of(value: &Value) -> usize {
    let content = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(members) if !members.is_empty() => {
            let members = members.iter().map(|(name, value)| name.len() + bytes_of(value));
            members.sum::<usize>() + OBJECT
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    content + ITEM
}

/// What looking for a token in the cache led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// It was known, and its key is in force.
    Hit,
    /// It was not: it was verified, or rejected.
    Miss,
}

impl CacheResult {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Hit, Self::Miss];

    /// The word in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// The tokens that are known. Once there are too many, those go that were not asked for again; many
/// new ones do not push out those that are in use.
pub struct TokenCache {
    known: ThreadLocal<RefCell<Known>>,
    /// How many threads share the memory.
    threads: usize,
}

type Known = Cache<TokenKey, KnownToken, Bytes>;

#[derive(Debug, Clone, Copy)]
struct Bytes;

impl Weighter<TokenKey, KnownToken> for Bytes {
    fn weight(&self, _: &TokenKey, known: &KnownToken) -> u64 {
        known.bytes() as u64
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCache")
    }
}

impl TokenCache {
    /// Creates a cache for a number of serving threads, which share its memory in equal parts.
    pub fn for_threads(threads: usize) -> Self {
        Self {
            known: ThreadLocal::new(),
            threads: threads.max(1),
        }
    }

    /// What is known of a token.
    pub fn get(&self, key: &TokenKey) -> Option<KnownToken> {
        self.mine().borrow().get(key).cloned()
    }

    /// Remembers a token that was verified.
    pub fn insert(&self, key: TokenKey, known: KnownToken) {
        self.mine().borrow_mut().insert(key, known);
    }

    /// Forgets a token.
    pub fn remove(&self, key: &TokenKey) {
        self.mine().borrow_mut().remove(key);
    }

    fn mine(&self) -> &RefCell<Known> {
        let share = |of: usize| of / self.threads;
        let new = || Cache::with_weighter(share(COMMON), share(MOST_BYTES) as u64, Bytes);
        self.known.get_or(|| RefCell::new(new()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::{Algorithm, KeySet};

    /// A token with one claim.
    fn known(claim: Value) -> KnownToken {
        let secret = KeySet::from_secret(&[7; 32], &[Algorithm::HS256]).unwrap();
        let key = secret.candidates(None, Algorithm::HS256).unwrap();
        KnownToken {
            token: Arc::new(VerifiedToken {
                claims: std::iter::once(("c".to_owned(), claim)).collect(),
                ..VerifiedToken::default()
            }),
            identity: None,
            issuer: 0,
            key: secret.fingerprint(key.first().unwrap()),
        }
    }

    fn count(cache: &TokenCache, tokens: usize) -> usize {
        let is_known = |at: &usize| cache.get(&TokenKey::of(0, &at.to_string())).is_some();
        (0..tokens).filter(is_known).count()
    }

    #[test]
    fn a_token_is_known_for_its_policy_and_its_thread() {
        let (cache, key) = (TokenCache::for_threads(1), TokenKey::of(0, "a"));
        cache.insert(key, known(Value::Null));
        assert!(cache.get(&key).is_some());
        for other in [TokenKey::of(1, "a"), TokenKey::of(0, "a "), TokenKey::of(0, "")] {
            assert!(cache.get(&other).is_none());
        }
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| cache.get(&key).is_some()).join());
        assert!(!elsewhere.unwrap());
        cache.remove(&key);
        assert!(cache.get(&key).is_none());
    }

    #[test]
    fn there_is_an_end_to_what_is_known() {
        let text = |length| Value::from("x".repeat(length));
        let many = |count| Value::from(vec![1; count]);
        for (claim, most) in [
            (text(8000), 1950),
            (many(1000), 130),
            (Value::from(vec![Value::from(vec![Value::Null; 10]); 100]), 120),
            (Value::from(vec![json!({ "a": 0 }); 1000]), 22),
        ] {
            let cache = TokenCache::for_threads(1);
            for at in 0..most * 2 {
                cache.insert(TokenKey::of(0, &at.to_string()), known(claim.clone()));
            }
            let found = count(&cache, most * 2);
            assert!((most / 2..=most).contains(&found), "{found} of {most}");
        }
    }

    #[test]
    fn threads_share_the_memory_of_the_process() {
        let token = known(Value::from("x".repeat(8000)));
        for threads in [0, 1, 2, 4, 64] {
            let cache = TokenCache::for_threads(threads);
            let threads = threads.max(1);
            let share = 1950 / threads;
            let fill = || {
                for at in 0..share * 2 {
                    cache.insert(TokenKey::of(0, &at.to_string()), token.clone());
                }
                count(&cache, share * 2)
            };
            let found: Vec<_> = std::thread::scope(|scope| {
                let filled: Vec<_> = (0..threads).map(|_| scope.spawn(fill)).collect();
                filled.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(
                found.iter().all(|found| (share / 2..=share).contains(found)),
                "{found:?} of {share}"
            );
        }
    }

    #[test]
    fn many_tokens_that_come_once_do_not_push_out_one_that_comes_again() {
        let (cache, mine) = (TokenCache::for_threads(1), TokenKey::of(0, "mine"));
        let token = known(Value::from("x".repeat(500)));
        cache.insert(mine, token.clone());
        for at in 0..100_000 {
            cache.insert(TokenKey::of(0, &at.to_string()), token.clone());
            if at % 1000 == 0 {
                assert!(cache.get(&mine).is_some(), "after {at} others");
            }
        }
    }
}

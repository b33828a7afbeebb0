//! The metrics that requests count. Each serving thread has its own, so that threads do not write to the same memory.

use std::iter;
use std::sync::Arc;

use prometheus::{Error, IntCounter, IntCounterVec, IntGauge, Opts};

use super::registry::Registry;
use super::request_vectors::RequestVectors;
use super::store_features::StoreFeatureMetrics;
use super::sum::register_sum;
use crate::authn::token_cache::CacheResult;

/// What the requests of one serving thread count.
#[derive(Debug, Clone)]
pub struct ThreadMetrics {
    pub(super) requests: RequestVectors,
    pub(super) in_flight: IntGauge,
    pub(super) token_lookups: TokenLookups,
    pub(super) store_features: StoreFeatureMetrics,
}

impl ThreadMetrics {
    fn new() -> Result<Self, Error> {
        Ok(Self {
            requests: RequestVectors::new()?,
            in_flight: IntGauge::new("sidegate_requests_in_flight", "Requests without a complete response.")?,
            token_lookups: TokenLookups::new()?,
            store_features: StoreFeatureMetrics::new()?,
        })
    }
}

/// The metrics of all serving threads, of which there is at least one.
#[derive(Debug, Clone)]
pub(super) struct Threads {
    first: ThreadMetrics,
    others: Arc<[ThreadMetrics]>,
}

impl Threads {
    /// Creates the metrics of a number of threads.
    pub(super) fn new(threads: usize) -> Result<Self, Error> {
        Ok(Self {
            first: ThreadMetrics::new()?,
            others: (1..threads).map(|_| ThreadMetrics::new()).collect::<Result<_, _>>()?,
        })
    }

    /// Returns the metrics of a thread, or of the first one if there are not as many.
    pub(super) fn get(&self, index: usize) -> &ThreadMetrics {
        let other = index.checked_sub(1).and_then(|other| self.others.get(other));
        other.unwrap_or(&self.first)
    }

    /// Returns one part of the metrics of each thread.
    pub(super) fn each<T>(&self, part: impl Fn(&ThreadMetrics) -> &T) -> Vec<&T> {
        self.iter().map(part).collect()
    }

    /// Returns the metrics of each thread.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ThreadMetrics> {
        iter::once(&self.first).chain(&*self.others)
    }
}

/// How often a bearer token was known.
#[derive(Debug, Clone)]
pub(super) struct TokenLookups {
    lookups: IntCounterVec,
    results: [IntCounter; CacheResult::ALL.len()],
}

impl TokenLookups {
    fn new() -> Result<Self, Error> {
        let help = "Bearer tokens: `hit` if Sidegate knew the token from an earlier request, else `miss`.";
        let lookups = IntCounterVec::new(Opts::new("sidegate_token_cache_total", help), &["result"])?;
        let results = CacheResult::ALL.map(|result| lookups.with_label_values(&[result.label()]));
        Ok(Self { lookups, results })
    }

    /// Registers the sum of all threads.
    pub(super) fn register(registry: &Registry, threads: &[&Self]) -> Result<(), Error> {
        register_sum(registry, threads, |thread| &thread.lookups)
    }

    /// Counts a token that was looked for among those that are known.
    pub(super) fn count(&self, lookup: CacheResult) {
        let [hit, miss] = &self.results;
        match lookup {
            CacheResult::Hit => hit.inc(),
            CacheResult::Miss => miss.inc(),
        }
    }
}

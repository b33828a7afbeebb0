//! The policies in force and their upstreams: read without a lock, and replaced as a whole. Reads no file.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;

use super::upstream::Upstream;
use crate::admission::snapshot::Snapshot;
use crate::decision::Evaluator;
use crate::jwks::KeySources;
use crate::jwks::proxy::KeyProxy;
use crate::policy::{Policy, PolicySet};
use crate::telemetry::metrics::Metrics;

/// How long the first lookups of new upstreams may delay the start or a reload.
const RESOLVE_TIME: Duration = Duration::from_secs(1);

/// How often stale connections to upstreams are closed.
const EVICT_EVERY: Duration = Duration::from_secs(1);

/// How often to check whether requests still hold policies that are no longer in force.
const FREE_EVERY: Duration = Duration::from_secs(1);

/// Policies and their upstreams. A request holds one snapshot from its beginning to its end, so the index of a
/// policy stays valid.
#[derive(Debug)]
pub struct PolicySnapshot {
    /// The part of the snapshot that admission reads.
    pub admission: Arc<Snapshot>,
    /// The upstream of each policy.
    upstreams: Vec<Arc<Upstream>>,
}

impl PolicySnapshot {
    /// Prepares the upstreams. One that the snapshot before has, too, is shared with it.
    async fn prepare(policies: Arc<PolicySet>, before: Option<&Self>, metrics: &Metrics) -> Result<Self, String> {
        let known = |at, policy| before.and_then(|before| before.same_upstream(at, policy));
        let upstreams: Result<Vec<_>, _> = policies
            .policies()
            .iter()
            .enumerate()
            .map(|(at, policy)| known(at, policy).map_or_else(|| Upstream::start(&policy.upstream).map(Arc::new), Ok))
            .collect();
        let upstreams = upstreams?;
        let _ = tokio::time::timeout(RESOLVE_TIME, async {
            for upstream in &upstreams {
                upstream.first_lookup().await;
            }
        })
        .await;
        Ok(Self {
            admission: Arc::new(Snapshot::new(Arc::new(Evaluator::new(policies)), metrics.of_thread(0))),
            upstreams,
        })
    }

    /// Returns the policies.
    pub fn policies(&self) -> &Arc<PolicySet> {
        self.admission.policies()
    }

    /// Returns the upstream that a policy shares with this snapshot. Most often it has the same index.
    fn same_upstream(&self, at: usize, policy: &Policy) -> Option<Arc<Upstream>> {
        let known = self.policies().policies().iter().zip(&self.upstreams);
        let same = known
            .clone()
            .skip(at)
            .chain(known.take(at))
            .find(|(known, _)| known.upstream == policy.upstream);
        same.map(|(_, upstream)| Arc::clone(upstream))
    }

    /// Returns the upstream of a policy.
    pub(super) fn upstream(&self, policy: usize) -> Option<&Upstream> {
        self.upstreams.get(policy).map(|upstream| &**upstream)
    }
}

/// A handle to the policies in force.
#[derive(Debug)]
pub struct PolicyHandle {
    in_force: ArcSwap<PolicySnapshot>,
    keys: Arc<KeySources>,
    metrics: Metrics,
    replacing: Mutex<()>,
}

impl PolicyHandle {
    /// Puts the first policies in force, and begins to fetch their keys.
    pub async fn new(policies: Arc<PolicySet>, proxy: KeyProxy, metrics: &Metrics) -> Result<Arc<Self>, String> {
        let in_force = PolicySnapshot::prepare(policies, None, metrics).await?;
        let keys = Arc::new(KeySources::start_through(
            proxy,
            in_force.admission.evaluator(),
            metrics,
        ));
        let handle = Arc::new(Self {
            in_force: ArcSwap::from_pointee(in_force),
            keys,
            metrics: metrics.clone(),
            replacing: Mutex::default(),
        });
        tokio::spawn(evict_idle(Arc::downgrade(&handle)));
        Ok(handle)
    }

    /// Borrows the snapshot in force, for a short read.
    pub fn peek(&self) -> Guard<Arc<PolicySnapshot>> {
        self.in_force.load()
    }

    /// Returns the snapshot in force, to hold for a whole request.
    pub fn snapshot(&self) -> Arc<PolicySnapshot> {
        self.in_force.load_full()
    }

    /// Returns the key sets of the policies in force.
    pub fn keys(&self) -> &Arc<KeySources> {
        &self.keys
    }

    /// Puts new policies in force, all of them or none. They share the key sets and upstreams that did not
    /// change.
    pub async fn replace(&self, policies: PolicySet) -> Result<(), String> {
        let _one_at_a_time = self.replacing.lock().await;
        let before = self.snapshot();
        let next = PolicySnapshot::prepare(Arc::new(policies), Some(&before), &self.metrics).await?;
        // Before the first request: the new policies get the keys that are known, or wait for their first ones.
        self.keys.follow(next.admission.evaluator());
        self.in_force.store(Arc::new(next));
        tokio::spawn(drop_in_background(before));
        Ok(())
    }
}

/// Closes stale connections to upstreams again and again, until the handle is dropped.
async fn evict_idle(policies: Weak<PolicyHandle>) {
    loop {
        tokio::time::sleep(EVICT_EVERY).await;
        let Some(policies) = policies.upgrade() else { return };
        let now = Instant::now();
        for upstream in &policies.peek().upstreams {
            upstream.evict_expired(now);
        }
    }
}

/// Frees policies that are no longer in force, once no request holds them. Freeing thousands of routes takes a
/// while, and would delay the request that does it.
async fn drop_in_background(policies: Arc<PolicySnapshot>) {
    while Arc::strong_count(&policies) > 1 {
        tokio::time::sleep(FREE_EVERY).await;
    }
    let _ = tokio::task::spawn_blocking(move || drop(policies)).await;
}

//! The policies in force and their upstreams: read without a lock, and replaced as a whole. Reads no file.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;

use super::upstream::Upstream;
use crate::admission::snapshot::Snapshot;
use crate::decision::Evaluator;
use crate::jwks::KeySources;
use crate::jwks::proxy::KeyProxy;
use crate::policy::{Policy, PolicySet};
use crate::serving_threads;
use crate::telemetry::metrics::Metrics;

/// How long the first lookups of new upstreams may delay the start or a reload.
const RESOLVE_TIME: Duration = Duration::from_secs(1);

/// How often stale connections to upstreams are closed.
const EVICT_EVERY: Duration = Duration::from_secs(1);

/// How often to check whether requests still hold policies that are no longer in force.
const FREE_EVERY: Duration = Duration::from_secs(1);

/// Policies and their upstreams, with what each serving thread has of them.
#[derive(Debug)]
pub struct PolicySnapshot {
    evaluator: Arc<Evaluator>,
    /// The upstream of each policy.
    upstreams: Vec<Arc<ThreadUpstreams>>,
    first_thread: Arc<ThreadSnapshot>,
    other_threads: Vec<Arc<ThreadSnapshot>>,
}

/// The upstream of a policy, one for each thread.
type ThreadUpstreams = [Upstream];

/// The policies in force on one thread, with its own counters and connections. A request holds a snapshot from its
/// beginning to its end, so the index of a policy stays valid.
#[derive(Debug)]
pub struct ThreadSnapshot {
    /// The part of the snapshot that admission reads.
    pub admission: Arc<Snapshot>,
    upstreams: Vec<Arc<ThreadUpstreams>>,
    thread: usize,
}

impl ThreadSnapshot {
    /// Returns the upstream of a policy.
    pub(super) fn upstream(&self, policy: usize) -> Option<&Upstream> {
        self.upstreams.get(policy).and_then(|threads| threads.get(self.thread))
    }
}

impl PolicySnapshot {
    /// Prepares the upstreams. One that the snapshot before has, too, is shared with it.
    async fn prepare(policies: Arc<PolicySet>, before: Option<&Self>, metrics: &Metrics) -> Result<Self, String> {
        let threads = metrics.threads().count();
        let upstream = |(at, policy): (usize, &Policy)| match before.and_then(|before| before.same_upstream(at, policy))
        {
            Some(known) => Ok(known),
            None => Upstream::start(&policy.upstream, threads).map(Into::into),
        };
        let upstreams = policies.policies().iter().enumerate().map(upstream);
        let upstreams = upstreams.collect::<Result<Vec<_>, String>>()?;
        let _ = tokio::time::timeout(RESOLVE_TIME, async {
            for upstream in upstreams.iter().filter_map(|threads| threads.first()) {
                upstream.first_lookup().await;
            }
        })
        .await;
        let evaluator = Arc::new(Evaluator::for_threads(policies, threads));
        let thread = |thread| {
            Arc::new(ThreadSnapshot {
                admission: Arc::new(Snapshot::new(Arc::clone(&evaluator), metrics.of_thread(thread))),
                upstreams: upstreams.clone(),
                thread,
            })
        };
        Ok(Self {
            first_thread: thread(0),
            other_threads: (1..threads).map(thread).collect(),
            evaluator,
            upstreams,
        })
    }

    /// Returns the policies.
    pub fn policies(&self) -> &Arc<PolicySet> {
        self.evaluator.policies()
    }

    /// Returns the upstreams that a policy shares with this snapshot. Most often it has the same index.
    fn same_upstream(&self, at: usize, policy: &Policy) -> Option<Arc<ThreadUpstreams>> {
        let known = self.policies().policies().iter().zip(&self.upstreams);
        let same = known
            .clone()
            .skip(at)
            .chain(known.take(at))
            .find(|(known, _)| known.upstream == policy.upstream);
        same.map(|(_, upstream)| Arc::clone(upstream))
    }

    /// Returns the part of a thread.
    fn of_thread(&self, index: usize) -> &Arc<ThreadSnapshot> {
        let other = index.checked_sub(1).and_then(|other| self.other_threads.get(other));
        other.unwrap_or(&self.first_thread)
    }

    /// Returns whether a request holds it.
    fn is_held(&self) -> bool {
        let mut threads = self.other_threads.iter().chain([&self.first_thread]);
        threads.any(|thread| Arc::strong_count(thread) > 1)
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
    /// Puts the first policies in force, and begins to fetch their keys. Each thread that has metrics has a part of them.
    pub async fn new(policies: Arc<PolicySet>, proxy: KeyProxy, metrics: &Metrics) -> Result<Arc<Self>, String> {
        let in_force = PolicySnapshot::prepare(policies, None, metrics).await?;
        let keys = Arc::new(KeySources::start_through(proxy, &in_force.evaluator, metrics));
        Ok(Arc::new(Self {
            in_force: ArcSwap::from_pointee(in_force),
            keys,
            metrics: metrics.clone(),
            replacing: Mutex::default(),
        }))
    }

    /// Borrows the snapshot in force, for a short read.
    pub fn peek(&self) -> Guard<Arc<PolicySnapshot>> {
        self.in_force.load()
    }

    /// Returns the snapshot in force on this thread, to hold for a whole request.
    pub fn snapshot(&self) -> Arc<ThreadSnapshot> {
        Arc::clone(self.peek().of_thread(serving_threads::index()))
    }

    /// Returns the key sets of the policies in force.
    pub fn keys(&self) -> &Arc<KeySources> {
        &self.keys
    }

    /// Puts new policies in force, all of them or none. They share the key sets and upstreams that did not
    /// change.
    pub async fn replace(&self, policies: PolicySet) -> Result<(), String> {
        let _one_at_a_time = self.replacing.lock().await;
        let before = self.in_force.load_full();
        let next = PolicySnapshot::prepare(Arc::new(policies), Some(&before), &self.metrics).await?;
        // Before the first request: the new policies get the keys that are known, or wait for their first ones.
        self.keys.follow(&next.evaluator);
        self.in_force.store(Arc::new(next));
        tokio::spawn(drop_in_background(before));
        Ok(())
    }

    /// Closes stale connections of this thread to upstreams again and again. Never ends.
    pub async fn evict_idle(&self) -> Infallible {
        loop {
            tokio::time::sleep(EVICT_EVERY).await;
            let (snapshot, now) = (self.snapshot(), Instant::now());
            let policies = 0..snapshot.upstreams.len();
            policies
                .filter_map(|policy| snapshot.upstream(policy))
                .for_each(|upstream| upstream.evict_expired(now));
        }
    }
}

/// Frees policies that are no longer in force, once no request holds them. Freeing thousands of routes takes a
/// while, and would delay the request that does it.
async fn drop_in_background(policies: Arc<PolicySnapshot>) {
    while Arc::strong_count(&policies) > 1 || policies.is_held() {
        tokio::time::sleep(FREE_EVERY).await;
    }
    let _ = tokio::task::spawn_blocking(move || drop(policies)).await;
}

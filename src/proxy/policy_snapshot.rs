//! The policies in force, with what was prepared for them: replaced whole, read without a lock.
//! Reads no file.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use pingora::upstreams::peer::HttpPeer;
use tokio::sync::Mutex;

use super::upstream::Peer;
use crate::admission::snapshot::Snapshot;
use crate::jwks::KeySources;
use crate::policy::{Policy, PolicySet};
use crate::telemetry::metrics::Metrics;

/// How long the names of new services may hold up the start or a reload.
const RESOLVE_TIME: Duration = Duration::from_secs(1);

/// How often connections to services that nobody uses are looked over.
const LOOK_OVER_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether requests still hold policies that are no longer in force.
const FREE_EVERY: Duration = Duration::from_secs(1);

/// Policies and their services. A request holds one of these from its beginning to its end, so
/// that an index always means the same.
#[derive(Debug)]
pub struct PolicySnapshot {
    /// What admits requests by the policies.
    pub admission: Arc<Snapshot>,
    /// The service of each policy.
    peers: Vec<Arc<Peer>>,
}

impl PolicySnapshot {
    /// Prepares the services; those that are the same as before stay as they are.
    async fn prepare(policies: Arc<PolicySet>, before: Option<&Self>, metrics: &Metrics) -> Result<Self, String> {
        let known = |at, policy| before.and_then(|before| before.same_peer(at, policy));
        let peers: Result<Vec<_>, _> = policies
            .policies()
            .iter()
            .enumerate()
            .map(|(at, policy)| known(at, policy).map_or_else(|| Peer::start(&policy.upstream).map(Arc::new), Ok))
            .collect();
        let peers = peers?;
        let _ = tokio::time::timeout(RESOLVE_TIME, async {
            for peer in &peers {
                peer.tried().await;
            }
        })
        .await;
        Ok(Self {
            admission: Arc::new(Snapshot::new(policies, metrics)),
            peers,
        })
    }

    /// The policies.
    pub fn policies(&self) -> &Arc<PolicySet> {
        self.admission.policies()
    }

    /// The service of a policy, if it is here already: mostly in the same place.
    fn same_peer(&self, at: usize, policy: &Policy) -> Option<Arc<Peer>> {
        let known = self.policies().policies().iter().zip(&self.peers);
        let same = known
            .clone()
            .skip(at)
            .chain(known.take(at))
            .find(|(known, _)| known.upstream == policy.upstream);
        same.map(|(_, peer)| Arc::clone(peer))
    }

    /// The service of a policy as it can be reached now; `None` if its name has no address.
    pub(super) fn peer(&self, policy: usize) -> Option<Box<HttpPeer>> {
        self.service(policy)?.get()
    }

    /// The service of a policy.
    pub(super) fn service(&self, policy: usize) -> Option<&Peer> {
        self.peers.get(policy).map(|peer| &**peer)
    }

    /// Whether a connection to the service of a policy is of no use after one request.
    pub(super) fn serves_once(&self, policy: usize) -> bool {
        self.service(policy).is_some_and(Peer::serves_once)
    }
}

/// Which policies are in force, for everybody who asks.
#[derive(Debug)]
pub struct PolicyHandle {
    in_force: ArcSwap<PolicySnapshot>,
    keys: Arc<KeySources>,
    metrics: Metrics,
    replacing: Mutex<()>,
}

impl PolicyHandle {
    /// Puts the first policies in force, and begins to fetch their keys.
    pub async fn new(policies: Arc<PolicySet>, metrics: &Metrics) -> Result<Arc<Self>, String> {
        let in_force = PolicySnapshot::prepare(policies, None, metrics).await?;
        let keys = Arc::new(KeySources::start(in_force.admission.evaluator(), metrics));
        let handle = Arc::new(Self {
            in_force: ArcSwap::from_pointee(in_force),
            keys,
            metrics: metrics.clone(),
            replacing: Mutex::default(),
        });
        tokio::spawn(evict_idle(Arc::downgrade(&handle)));
        Ok(handle)
    }

    /// What is in force now, for a look.
    pub fn peek(&self) -> Guard<Arc<PolicySnapshot>> {
        self.in_force.load()
    }

    /// What is in force now, to be kept for a whole request.
    pub fn snapshot(&self) -> Arc<PolicySnapshot> {
        self.in_force.load_full()
    }

    /// The key sets that are fetched for them.
    pub fn keys(&self) -> &Arc<KeySources> {
        &self.keys
    }

    /// Puts other policies in force, all of them or none. Keys and services that are the same as
    /// before stay as they are.
    pub async fn replace(&self, policies: PolicySet) -> Result<(), String> {
        let _one_at_a_time = self.replacing.lock().await;
        let before = self.snapshot();
        let next = PolicySnapshot::prepare(Arc::new(policies), Some(&before), &self.metrics).await?;
        // They have the keys that are in force, or wait for their first ones, from the first request on.
        self.keys.follow(next.admission.evaluator());
        self.in_force.store(Arc::new(next));
        tokio::spawn(drop_in_background(before));
        Ok(())
    }
}

/// Looks over the connections to services, for as long as there are policies in force.
async fn evict_idle(policies: Weak<PolicyHandle>) {
    loop {
        tokio::time::sleep(LOOK_OVER_EVERY).await;
        let Some(policies) = policies.upgrade() else { return };
        let now = Instant::now();
        for plain in policies.peek().peers.iter().filter_map(|peer| peer.plain()) {
            plain.evict_expired(now);
        }
    }
}

/// Frees policies that are no longer in force, once no request holds them: thousands of routes take
/// a while, and no request should wait for it.
async fn drop_in_background(policies: Arc<PolicySnapshot>) {
    while Arc::strong_count(&policies) > 1 {
        tokio::time::sleep(FREE_EVERY).await;
    }
    let _ = tokio::task::spawn_blocking(move || drop(policies)).await;
}

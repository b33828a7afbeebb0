//! Fetches key sets in the background, each issuer's apart from those of the others. A request
//! waits for a fetch in two cases only, within bounds: for the very first key set of its token's
//! issuer, and for a key that its token names and the set in force does not have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::decision::Evaluator;
use crate::policy::remote_keys::RemoteKeys;
use crate::policy::{Issuer, PolicySet};
use crate::rejection::Rejection;
use crate::telemetry::metrics::{KeysInForce, Metrics};

mod apart;
mod connection;
pub mod discovery;
pub mod fetch;
pub mod progress;
pub mod proxy;
pub mod source;
mod stream;
pub mod subscriber;
pub mod timing;
mod tunnel;

use proxy::KeyProxy;
use source::Source;
use subscriber::{IssuerStatus, Subscriber};

/// All key sets that the policies in force take keys from, each fetched once for all issuers that
/// name it alike.
#[derive(Debug, Clone)]
pub struct KeySources {
    sources: Arc<ArcSwap<Sources>>,
    proxy: KeyProxy,
    metrics: Metrics,
}

type Sources = HashMap<RemoteKeys, Arc<Source>>;

impl KeySources {
    /// Begins to fetch what some policies need, without a proxy.
    pub fn start(evaluator: &Evaluator, metrics: &Metrics) -> Self {
        Self::start_through(KeyProxy::default(), evaluator, metrics)
    }

    /// Begins to fetch what some policies need.
    pub fn start_through(proxy: KeyProxy, evaluator: &Evaluator, metrics: &Metrics) -> Self {
        let sources = Self {
            sources: Arc::default(),
            proxy,
            metrics: metrics.clone(),
        };
        sources.follow(evaluator);
        sources
    }

    /// Fetches the key sets of policies once. Returns the status of all issuers' keys, or `None` if no fetch can be
    /// started. Blocks, so it must not be called in a task.
    pub fn once(evaluator: &Evaluator, proxy: KeyProxy) -> Option<Vec<IssuerStatus>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let metrics = Metrics::new().ok()?;
        let settled = async {
            let keys = Self::start_through(proxy, evaluator, &metrics);
            keys.settled().await;
            keys.status()
        };
        Some(runtime.ok()?.block_on(settled))
    }

    /// Fetches the key sets of these policies from now on, in place of others. Issuers of a known key set get its
    /// keys at once. Key sets that no policy needs are no longer fetched.
    pub fn follow(&self, evaluator: &Evaluator) {
        let mut wanted: HashMap<&RemoteKeys, Vec<Subscriber>> = HashMap::new();
        for (index, policy) in evaluator.policies().policies().iter().enumerate() {
            for (issuer, ring) in policy.issuers.iter().zip(evaluator.keys().of_policy(index)) {
                let Some(remote) = issuer.remote() else { continue };
                let subscriber = Subscriber::of(&policy.service, issuer, ring);
                wanted.entry(remote).or_default().push(subscriber);
            }
        }
        let known = self.sources.load();
        let start = |(remote, subscribers): (&RemoteKeys, _)| {
            let source = if let Some(source) = known.get(remote) {
                source.adopt(subscribers);
                Arc::clone(source)
            } else {
                let source = Source::start((remote.clone(), self.proxy.clone()), subscribers, self.metrics.clone());
                // Other settings do not make the keys of the same place unknown.
                if let Some((_, known)) = known.iter().find(|(known, _)| known.is_same_place(remote)) {
                    source.inherit(known);
                }
                Arc::new(source)
            };
            (remote.clone(), source)
        };
        let sources = wanted.into_iter().map(start).collect();
        self.sources.store(Arc::new(sources));
    }

    /// Waits, within bounds, for the keys without which a request was rejected, if it was. Tells
    /// whether to decide once more.
    pub async fn wait_for_keys(
        &self,
        policies: &PolicySet,
        policy: Option<usize>,
        rejection: Option<&Rejection>,
    ) -> bool {
        let wanted = rejection.and_then(|rejection| Some((rejection.reason(), rejection.wants_keys_of()?)));
        let Some((reason, index)) = wanted else { return false };
        let policy = policy.and_then(|policy| policies.get(policy));
        let Some(issuer) = policy.and_then(|policy| policy.issuers.get(index)) else {
            return false;
        };
        match self.source(issuer) {
            Some(source) => source.wait_for_keys(reason).await,
            None => false,
        }
    }

    /// Returns the proxy that key sets are fetched through.
    pub fn proxy(&self) -> &KeyProxy {
        &self.proxy
    }

    fn source(&self, issuer: &Issuer) -> Option<Arc<Source>> {
        self.sources.load().get(issuer.remote()?).map(Arc::clone)
    }

    /// Waits until every first fetch is over, well or not: no longer than one fetch may take.
    pub async fn settled(&self) {
        let sources: Vec<_> = self.sources.load().values().map(Arc::clone).collect();
        for source in sources {
            source.settled().await;
        }
    }

    /// How the keys of all issuers are, by their name, and for which services. Keys of the same name that
    /// are fetched apart have a status of their own.
    pub fn status(&self) -> Vec<IssuerStatus> {
        let mut all: Vec<IssuerStatus> = Vec::new();
        for status in self.sources.load().values().flat_map(|source| source.status()) {
            match all.iter_mut().find(|known| known.is_same(&status)) {
                Some(known) => known.services.extend(status.services),
                None => all.push(status),
            }
        }
        all.sort_by(|one, other| (&one.issuer, &one.services).cmp(&(&other.issuer, &other.services)));
        all
    }

    /// Sets the gauges of all issuers, each to the worst of its key sets in policies in force.
    pub fn update_metrics(&self) {
        let mut issuers: BTreeMap<String, KeysInForce> = BTreeMap::new();
        for IssuerStatus {
            issuer,
            keys,
            last,
            fetched,
            ..
        } in self.status()
        {
            let count = last.map(|_| keys);
            issuers.entry(issuer).or_default().worsen(count, fetched);
        }
        self.metrics.jwks().show(issuers);
    }
}

#[cfg(test)]
mod tests;

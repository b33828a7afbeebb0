//! One key set and the task that keeps it fresh, for all issuers that name it. The task ends when
//! the source is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::fetch::{Fetched, Fetcher};
use super::progress::{Progress, Wait};
use super::proxy::KeyProxy;
use super::subscriber::{FetchError, IssuerStatus, KeyNote, Subscriber};
use super::timing::{FETCH_TIMEOUT, Outcome, Timing};
use crate::background;
use crate::policy::remote_keys::RemoteKeys;
use crate::rejection::Reason;
use crate::telemetry::metrics::{KeyRefresh, Metrics};

/// The most requests that wait for one source at a time.
const WAITING: usize = 256;

/// One key set and the task that fetches it.
#[derive(Debug)]
pub struct Source {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    remote: RemoteKeys,
    proxy: KeyProxy,
    issuers: Mutex<Issuers>,
    progress: watch::Sender<Progress>,
    wanted: Notify,
    permits: Semaphore,
    metrics: Metrics,
}

/// The issuers that take keys from a source, and the newest set that has keys for one of them.
#[derive(Debug, Default)]
struct Issuers {
    subscribers: Vec<Subscriber>,
    latest: Option<Fetched>,
    /// The URL of the set, where a discovery document names it.
    named: Option<String>,
    /// What was logged of single keys, by issuer.
    noted: BTreeSet<(String, KeyNote, String)>,
}

impl Issuers {
    /// Logs what is odd about single keys, once for each issuer while it stays so.
    fn log_notes(&mut self) {
        let of = |issuer: &Subscriber| {
            let label = issuer.label().to_owned();
            let notes = issuer.notes().iter().cloned();
            notes
                .map(move |(kind, what)| (label.clone(), kind, what))
                .collect::<Vec<_>>()
        };
        let noted: BTreeSet<_> = self.subscribers.iter().flat_map(of).collect();
        for (issuer, kind, problem) in noted.difference(&self.noted) {
            match kind {
                KeyNote::NotUsed => tracing::warn!(issuer, problem, "a key is not used"),
                KeyNote::Misspelt => tracing::warn!(issuer, problem, "a key is not written as the standard has it"),
            }
        }
        self.noted = noted;
    }
}

impl Source {
    /// Starts the task that fetches.
    pub fn start((remote, proxy): (RemoteKeys, KeyProxy), subscribers: Vec<Subscriber>, metrics: Metrics) -> Self {
        let shared = Arc::new(Shared {
            remote,
            proxy,
            issuers: Mutex::new(Issuers {
                subscribers,
                latest: None,
                named: None,
                noted: BTreeSet::new(),
            }),
            progress: watch::Sender::default(),
            wanted: Notify::new(),
            permits: Semaphore::new(WAITING),
            metrics,
        });
        let task = background::spawn("keys", Arc::clone(&shared).run()).abort_handle();
        Self { shared, task }
    }

    /// Adds the issuers of new policies. They get the newest keys at once.
    pub fn adopt(&self, newcomers: Vec<Subscriber>) {
        let mut issuers = self.shared.issuers.lock();
        issuers.subscribers.iter_mut().for_each(Subscriber::replace);
        let latest = issuers.latest.clone();
        for mut subscriber in newcomers {
            if let Some(latest) = &latest {
                subscriber.take(&Ok(latest.clone()), true);
            }
            issuers.subscribers.push(subscriber);
        }
    }

    /// Takes the keys of another source of the same set.
    pub fn inherit(&self, known: &Self) {
        let latest = known.shared.issuers.lock().latest.clone();
        let mut issuers = self.shared.issuers.lock();
        if let (Some(latest), None) = (latest, &issuers.latest) {
            for issuer in &mut issuers.subscribers {
                issuer.take(&Ok(latest.clone()), true);
            }
            issuers.latest = Some(latest);
        }
    }

    /// Waits for the keys that a request misses, for a limited time and among a limited number of requests. Returns
    /// whether to check the keys again.
    pub async fn wait_for_keys(&self, reason: Reason) -> bool {
        let mut progress = self.shared.progress.subscribe();
        let (wait, over) = self.ask(reason);
        match wait {
            Wait::Nothing => return false,
            Wait::CheckAgain => return true,
            Wait::CurrentFetch => {}
            Wait::RequestFetch => self.shared.wanted.notify_one(),
        }
        let Ok(_permit) = self.shared.permits.try_acquire() else {
            return false;
        };
        let ended = tokio::time::timeout(FETCH_TIMEOUT, progress.wait_for(|progress| progress.over() > over)).await;
        matches!(ended, Ok(Ok(_)))
    }

    /// Returns what to wait for, and how many fetches have ended.
    fn ask(&self, reason: Reason) -> (Wait, u64) {
        let now = Instant::now();
        let mut asked = (Wait::Nothing, 0);
        self.shared.progress.send_if_modified(|progress| {
            let wait = match reason {
                Reason::KeysUnavailable => progress.first_keys(now),
                _ => progress.another_key(now),
            };
            asked = (wait, progress.over());
            false
        });
        asked
    }

    /// Waits until the first fetch ends, whatever its result.
    pub async fn settled(&self) {
        let mut progress = self.shared.progress.subscribe();
        let _ = progress.wait_for(|progress| progress.over() > 0).await;
    }

    /// Returns the status of the keys of its issuers in policies in force.
    pub fn status(&self) -> Vec<IssuerStatus> {
        let issuers = self.shared.issuers.lock();
        let in_force = issuers.subscribers.iter().filter(|issuer| issuer.is_in_force());
        let Shared { remote, proxy, .. } = &*self.shared;
        let proxy = proxy.shown_for_both(remote.url(), issuers.named.as_deref());
        in_force.map(|issuer| issuer.status(remote, proxy.clone())).collect()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut client = Fetcher::new(self.remote.clone(), self.proxy.clone());
        let mut timing = Timing::new(&self.remote, Instant::now());
        loop {
            self.progress.send_modify(Progress::begin);
            let began = Instant::now();
            let fetched = client.fetch().await;
            let over = Instant::now();
            if let Some(named) = client.named() {
                self.issuers.lock().named = Some(named);
            }
            let outcome = self.put_in_force(&fetched);
            if outcome == Outcome::Failed {
                client.forget();
            }
            let freshness = fetched.ok().and_then(|fetched| fetched.freshness);
            timing.fetched(outcome, freshness, (began, over));
            if timing.stale() <= over {
                self.withdraw();
            }
            self.progress.send_modify(|progress| progress.end(over));
            self.pause(&timing).await;
        }
    }

    /// Puts the fetched keys in force for every issuer. Logs and counts the results.
    fn put_in_force(&self, fetched: &Result<Fetched, String>) -> Outcome {
        let mut issuers = self.issuers.lock();
        issuers.subscribers.retain(Subscriber::is_alive);
        let before = issuers.latest.as_ref().map(|latest| &latest.json);
        let same = fetched.as_ref().is_ok_and(|fetched| Some(&fetched.json) == before);
        let mut outcome = Outcome::Failed;
        // Policies that trust the same issuer count as one.
        let mut results = BTreeSet::new();
        for issuer in &mut issuers.subscribers {
            let taken = issuer.take(fetched, same).clone();
            match &taken {
                Ok(()) => outcome = Outcome::Keys,
                Err(FetchError::NoKeys(_)) if outcome == Outcome::Failed => outcome = Outcome::NoKeys,
                Err(_) => {}
            }
            self.log(issuer, &taken, same);
            results.insert((issuer.label().to_owned(), result(fetched, &taken)));
        }
        issuers.log_notes();
        for (issuer, result) in results {
            self.metrics.jwks().refreshed(&issuer, result);
        }
        if outcome != Outcome::Failed {
            issuers.latest = fetched.as_ref().ok().cloned();
        }
        outcome
    }

    /// Logs the result for one issuer.
    fn log(&self, issuer: &Subscriber, taken: &Result<(), FetchError>, same: bool) {
        let IssuerStatus { issuer, url, keys, .. } = issuer.status(&self.remote, None);
        match taken {
            Ok(()) if same => {}
            Ok(()) => tracing::info!(url, issuer, keys, "a key set is in force"),
            Err(error) => tracing::warn!(url, issuer, %error, "failed to fetch the key set"),
        }
    }

    /// Waits until the next fetch is due or a request causes one. Withdraws keys that expire meanwhile.
    async fn pause(&self, timing: &Timing) {
        loop {
            let has_keys = self.issuers.lock().latest.is_some();
            tokio::select! {
                () = self.wanted.notified() => return,
                () = tokio::time::sleep_until(timing.next()) => return,
                () = tokio::time::sleep_until(timing.stale()), if has_keys => self.withdraw(),
            }
        }
    }

    fn withdraw(&self) {
        let mut issuers = self.issuers.lock();
        issuers.latest = None;
        for issuer in &issuers.subscribers {
            issuer.withdraw();
        }
    }
}

fn result(fetched: &Result<Fetched, String>, taken: &Result<(), FetchError>) -> KeyRefresh {
    match (fetched, taken) {
        (Ok(fetched), Ok(())) if fetched.not_modified => KeyRefresh::NotModified,
        (_, Ok(())) => KeyRefresh::Success,
        (_, Err(_)) => KeyRefresh::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::remote_keys::KeySource;

    #[tokio::test]
    async fn number_of_waiting_requests_is_limited() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", silent.local_addr().unwrap());
        let remote = RemoteKeys {
            source: KeySource::Set { url },
            refresh: FETCH_TIMEOUT,
            max_stale: FETCH_TIMEOUT,
            ca: None,
            bearer_token_file: None,
            allow_http: false,
        };
        let source = Arc::new(Source::start(
            (remote, KeyProxy::default()),
            Vec::new(),
            Metrics::new().unwrap(),
        ));
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..WAITING {
            let source = Arc::clone(&source);
            waiting.spawn(async move { source.wait_for_keys(Reason::KeysUnavailable).await });
        }
        while source.shared.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!source.wait_for_keys(Reason::KeysUnavailable).await);
        assert!(!source.wait_for_keys(Reason::TokenKeyUnknown).await);
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        assert_eq!(source.shared.permits.available_permits(), WAITING);
    }
}

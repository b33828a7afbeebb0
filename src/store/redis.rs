//! Shared state in a Redis, of any number of replicas. An invalid reply counts as a failure.
//!
//! Requests share one connection for short commands, so that it is quick, and one for stored
//! responses ([`connection`]). The revocations come over a third ([`follower`]), and requests read them
//! from memory. The process knows its own claims ([`leases`]), and writes them again to a Redis that lost
//! them. No key contains data of a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::revocation_cache::RevocationCache;
use super::{Claim, StoredResponse, Unavailable};
use crate::config::store::RedisConfig;
use crate::digest::Fingerprint;
use crate::quota::{Rate, Spent};
use crate::revocation::{MAX_REVOCATIONS, Revocation};
use crate::telemetry::metrics::Metrics;

mod connect;
mod connection;
mod failure;
mod follower;
mod health;
mod key_names;
mod leases;
mod record;
mod scripts;

use connect::Connector;
use connection::{Purpose, RequestConnection};
use failure::invalid_reply;
use follower::Follower;
use health::Health;
use key_names::KeyNames;
use leases::{Lease, Leases};
use record::{ANSWERED, ANSWERED_BY_UNKNOWN, CLAIMED, DIGEST_HEAD, OWNED_HEAD, claimed};
use scripts::{CLAIM, COMPLETE, READ, RELEASE, RENEW, REVOKE, SPEND, Script, millis};

/// How many revocations the log holds at least. A replica that misses some reads all of them.
const LOG: usize = 10_000;

/// The longest record that was ever stored: 16 MiB of a body, and a head.
const LONGEST_RECORD: usize = 17 * MEGABYTE;

/// How much longer a stored response may take on its way, for each MiB.
const EACH_MEGABYTE: Duration = Duration::from_millis(100);
const MEGABYTE: usize = 1024 * 1024;

/// The longest that it may take longer: for the longest response that can be stored.
const LARGE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many stored responses are on their way at a time.
const MAX_LARGE: usize = 4;

/// Shared state in a Redis. Its tasks end when it is dropped.
#[derive(Debug)]
pub(super) struct RedisStore {
    keys: KeyNames,
    timeout: Duration,
    requests: Arc<RequestConnection>,
    records: Arc<RequestConnection>,
    leases: Arc<Leases>,
    on_their_way: Semaphore,
    follower: Arc<Follower>,
    revocation_cache: Arc<RevocationCache>,
    tasks: [AbortHandle; 3],
}

impl RedisStore {
    /// Begins to connect. An error is one of the configuration, not of the network.
    pub(super) fn start(config: RedisConfig, metrics: &Metrics) -> Result<Self, String> {
        let keys = KeyNames::of(&config.prefix);
        let timeout = config.timeout;
        let connector = Arc::new(Connector::new(config)?);
        let revocation_cache = Arc::new(RevocationCache::incomplete());
        let leases = Arc::<Leases>::default();
        let connection = |purpose, longest| {
            let connector = Arc::clone(&connector);
            Arc::new(RequestConnection::new(
                connector,
                (keys.clone(), Arc::clone(&leases)),
                (timeout, longest),
                (purpose, metrics.clone()),
            ))
        };
        let (records, requests) = (
            connection(Purpose::Records, timeout + LARGE_TIMEOUT),
            connection(Purpose::Requests, timeout),
        );
        let follower = Arc::new(Follower::new(
            connector,
            keys.clone(),
            Arc::clone(&revocation_cache),
            metrics.clone(),
        ));
        let tasks = [
            for_ever(&requests, RequestConnection::keep),
            for_ever(&records, RequestConnection::keep),
            for_ever(&follower, Follower::run),
        ];
        Ok(Self {
            keys,
            timeout,
            requests,
            records,
            leases,
            on_their_way: Semaphore::new(MAX_LARGE),
            follower,
            revocation_cache,
            tasks,
        })
    }

    pub(super) fn revocation_cache(&self) -> &RevocationCache {
        &self.revocation_cache
    }

    /// How the connection is.
    pub(super) fn connection(&self) -> &Health {
        self.requests.health()
    }

    /// How the revocations are.
    pub(super) fn revocations(&self) -> &Health {
        self.follower.health()
    }

    /// How it is, in one line.
    pub(super) fn status(&self) -> String {
        let said = |health: &Health| match health.now() {
            None => "not asked yet".to_owned(),
            Some(Ok(())) => "ok".to_owned(),
            Some(Err(unavailable)) => unavailable.to_string(),
        };
        let (requests, revocations) = (said(self.connection()), said(self.revocations()));
        let known = self.revocation_cache.snapshot().list().len();
        format!("store: {requests}; revocations: {revocations}, {known} known")
    }

    pub(super) async fn revoke(&self, revocation: &Revocation) -> Result<(), Unavailable> {
        let known = self.revocation_cache.snapshot().list().same(revocation);
        // One for each target and issuer, so that many of one do not fill the set.
        let revocation = &self.revocation_cache.snapshot().list().with(revocation);
        let arguments = revoke_arguments(std::slice::from_ref(revocation), known.as_ref())?;
        let arguments: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
        let keys = [self.keys.set.as_str(), &self.keys.log, &self.keys.count];
        let answer: i64 = self.requests.run(&REVOKE, &keys, &arguments).await?;
        revoked(answer)?;
        let now = jiff::Timestamp::now().as_millisecond();
        self.revocation_cache.add(std::slice::from_ref(revocation), now)
    }

    pub(super) async fn claim(&self, key: Fingerprint, owner: Uuid, lease: Duration) -> Result<Claim, Unavailable> {
        let claim = Lease::new(key, owner, lease);
        // Redis may have lost it.
        if self.leases.of_another(&claim).is_some() {
            return Ok(Claim::Taken);
        }
        let asking = self.leases.ask(claim);
        let arguments: [&[u8]; 2] = [&claimed(owner), &millis(lease)];
        let found: Result<Option<(Vec<u8>, usize)>, _> = self.of_record(&CLAIM, key, &arguments).await;
        if !found.as_ref().is_err_and(Unavailable::may_be_done) {
            asking.settled();
        }
        let Some((found, bytes)) = found? else {
            return Ok(self.granted(claim).await);
        };
        match found.split_first() {
            Some((&CLAIMED, by)) if by.len() == owner.as_bytes().len() => Ok(Claim::Taken),
            Some((&(ANSWERED | ANSWERED_BY_UNKNOWN), digest)) if bytes <= LONGEST_RECORD => {
                let digest: [u8; 32] = digest.try_into().map_err(|_| invalid_reply())?;
                let digest = digest.into();
                Ok(Claim::Stored(StoredResponse { digest, bytes }))
            }
            _ => Err(invalid_reply()),
        }
    }

    /// A claim was granted, which Redis does twice if it loses the first one in between.
    async fn granted(&self, claim: Lease) -> Claim {
        let Some(first) = self.leases.hold(claim) else {
            return Claim::Granted;
        };
        // Where this fails, the lease is renewed, or the key given up, later.
        let _ = self.release(claim.key, claim.owner).await;
        let _ = self.renew(first.key, first.owner, first.time).await;
        Claim::Taken
    }

    pub(super) async fn read(&self, key: Fingerprint, answered: StoredResponse) -> Result<Option<Bytes>, Unavailable> {
        let found: Option<Vec<u8>> = self.run_large(&READ, key, &[], answered.bytes).await?;
        let Some(found) = found else { return Ok(None) };
        let head = match found.first() {
            // The response has expired, and another request holds the key.
            Some(&CLAIMED) => return Ok(None),
            Some(&ANSWERED) => OWNED_HEAD,
            Some(&ANSWERED_BY_UNKNOWN) => DIGEST_HEAD,
            _ => return Err(invalid_reply()),
        };
        let digest = found.get(1..DIGEST_HEAD);
        match digest == Some(answered.digest.as_bytes()) && found.len() >= head {
            true => Ok(Some(Bytes::from(found).slice(head..))),
            false => Err(invalid_reply()),
        }
    }

    pub(super) async fn renew(&self, key: Fingerprint, owner: Uuid, lease: Duration) -> Result<bool, Unavailable> {
        self.leases.prolong(Lease::new(key, owner, lease));
        self.of_record::<i64>(&RENEW, key, &[&claimed(owner), &millis(lease)])
            .await
            .and_then(was_owner)
    }

    pub(super) async fn complete(
        &self,
        key: Fingerprint,
        owner: Uuid,
        (digest, record): (Fingerprint, Bytes),
        ttl: Duration,
    ) -> Result<bool, Unavailable> {
        let head = [&[ANSWERED], digest.as_bytes().as_slice(), owner.as_bytes()].concat();
        let value = [head.as_slice(), record.as_ref()].concat();
        let arguments: [&[u8]; 3] = [&claimed(owner), &millis(ttl), &value];
        let done = self
            .run_large::<i64>(&COMPLETE, key, &arguments, value.len())
            .await
            .and_then(was_owner);
        if done.is_ok() {
            self.leases.forget(key, owner);
        }
        done
    }

    pub(super) async fn release(&self, key: Fingerprint, owner: Uuid) -> Result<(), Unavailable> {
        self.leases.forget(key, owner);
        let asking = self.leases.ask(Lease::new(key, owner, Duration::ZERO));
        let released = self.of_record::<i64>(&RELEASE, key, &[&claimed(owner)]).await;
        if released.as_ref().err().is_none_or(Unavailable::is_answer) {
            asking.settled();
        }
        released.and_then(done)
    }

    pub(super) async fn spend(&self, bucket: Fingerprint, rate: Rate) -> Result<Spent, Unavailable> {
        let key = self.keys.bucket(bucket);
        let (interval, full) = (rate.interval().to_string(), rate.full().to_string());
        let arguments = [interval.as_bytes(), full.as_bytes()];
        let (allowed, debt): (i64, i64) = self.requests.run(&SPEND, &[&key], &arguments).await?;
        match (allowed, u64::try_from(debt)) {
            (0, Ok(debt)) => Ok(Spent::of(rate, debt, false)),
            (1, Ok(debt)) if debt <= rate.full() => Ok(Spent::of(rate, debt, true)),
            _ => Err(invalid_reply()),
        }
    }

    async fn of_record<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        key: Fingerprint,
        arguments: &[&[u8]],
    ) -> Result<T, Unavailable> {
        let key = self.keys.record(key);
        self.requests.run(script, &[&key], arguments).await
    }

    /// Has a script run that moves so many bytes, when there is room for them.
    async fn run_large<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        key: Fingerprint,
        arguments: &[&[u8]],
        bytes: usize,
    ) -> Result<T, Unavailable> {
        let megabytes = u32::try_from(bytes.div_ceil(MEGABYTE)).unwrap_or(u32::MAX);
        let patience = self.timeout + EACH_MEGABYTE.saturating_mul(megabytes).min(LARGE_TIMEOUT);
        let deadline = Instant::now() + patience;
        let Ok(_room) = timeout_at(deadline, self.on_their_way.acquire()).await else {
            return Err(Unavailable::because("timeout", "too many answers are on their way"));
        };
        let key = self.keys.record(key);
        self.records.run_until(deadline, script, &[&key], arguments).await
    }
}

/// Has a task run that never ends; if it does all the same, by a fault of ours, it begins again.
fn for_ever<T, F>(of: &Arc<T>, task: fn(Arc<T>) -> F) -> AbortHandle
where
    T: Send + Sync + 'static,
    F: Future + Send + 'static,
    F::Output: Send,
{
    let of = Arc::clone(of);
    tokio::spawn(async move {
        loop {
            // Ends with this one.
            let mut running = JoinSet::new();
            running.spawn(task(Arc::clone(&of)));
            running.join_next().await;
            tracing::error!("a task of the store ended, and begins again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .abort_handle()
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What [`REVOKE`] takes besides its keys.
fn revoke_arguments(revocations: &[Revocation], in_place_of: Option<&Revocation>) -> Result<Vec<Vec<u8>>, Unavailable> {
    let written = |revocation: &Revocation| {
        serde_json::to_vec(revocation).map_err(|error| Unavailable::because("error", error.to_string()))
    };
    let mut arguments = vec![
        MAX_REVOCATIONS.to_string().into_bytes(),
        LOG.to_string().into_bytes(),
        in_place_of.map(written).transpose()?.unwrap_or_default(),
    ];
    for revocation in revocations {
        arguments.push(revocation.expires.to_string().into_bytes());
        arguments.push(written(revocation)?);
    }
    Ok(arguments)
}

/// Reads the reply of [`REVOKE`].
fn revoked(answer: i64) -> Result<(), Unavailable> {
    match answer {
        1 => Ok(()),
        0 => Err(Unavailable::full("there is no room for more revocations")),
        2 => Err(Unavailable::because(
            "error",
            "by the clock of Redis it is over already: one of the clocks is wrong",
        )),
        _ => Err(invalid_reply()),
    }
}

fn done(answer: i64) -> Result<(), Unavailable> {
    match answer {
        1 => Ok(()),
        _ => Err(invalid_reply()),
    }
}

/// Returns whether this owner had the key.
fn was_owner(answer: i64) -> Result<bool, Unavailable> {
    match answer {
        0 => Ok(false),
        answer => done(answer).map(|()| true),
    }
}

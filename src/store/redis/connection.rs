//! The connection that requests use, and the task that maintains it. A request waits only for its reply:
//! without a connection, it fails at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, Value};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::connect::{Connection, Connector, FIRST_PAUSE, LONGEST_PAUSE};
use super::failure::Failure;
use super::health::Health;
use super::key_names::KeyNames;
use super::leases::{Lease, Leases};
use super::record::claimed;
use super::scripts::{PROBE, RELEASE, RENEW, Script, millis};
use crate::backoff::Backoff;
use crate::digest::Fingerprint;
use crate::store::Unavailable;
use crate::telemetry::metrics::Metrics;

/// How often the connection is tried.
const HEALTH_CHECK: Duration = Duration::from_secs(1);

/// How many leases are written at a time.
const AT_A_TIME: usize = 256;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Short commands. Its health is that of the store.
    Requests,
    /// Stored responses.
    Records,
}

/// The connection that requests use.
#[derive(Debug)]
pub(super) struct RequestConnection {
    purpose: Purpose,
    connector: Arc<Connector>,
    keys: KeyNames,
    leases: Arc<Leases>,
    timeout: Duration,
    /// The longest that a question may take.
    longest: Duration,
    live: ArcSwapOption<Live>,
    suspected: Notify,
    health: Health,
    metrics: Metrics,
}

/// A connection that answered when it was last tried.
struct Live(Connection);

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Live")
    }
}

impl RequestConnection {
    /// A connection on which most questions take no longer than the first of two times, and none
    /// takes longer than the other.
    pub(super) fn new(
        connector: Arc<Connector>,
        (keys, leases): (KeyNames, Arc<Leases>),
        (timeout, longest): (Duration, Duration),
        (purpose, metrics): (Purpose, Metrics),
    ) -> Self {
        let what = match purpose {
            Purpose::Requests => "the store",
            Purpose::Records => "the store's connection for answers",
        };
        Self {
            purpose,
            health: Health::of(what, connector.servers()),
            connector,
            keys,
            leases,
            timeout,
            longest,
            live: ArcSwapOption::empty(),
            suspected: Notify::new(),
            metrics,
        }
    }

    /// Whether there is a connection: once the first attempt is over, well or not.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Has a script run.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<T, Unavailable> {
        let deadline = Instant::now() + self.timeout;
        self.run_until(deadline, script, keys, arguments).await
    }

    /// Has a script run, by a time.
    pub(super) async fn run_until<T: FromRedisValue>(
        &self,
        deadline: Instant,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<T, Unavailable> {
        let Some(live) = self.live.load_full() else {
            return Err(self.disconnected());
        };
        let mut connection = live.0.clone();
        let answer = async {
            match connection.query(&script.by_digest(keys, arguments)).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    connection.query(&script.by_text(keys, arguments)).await
                }
                answer => answer,
            }
        };
        let answer = in_time(deadline, answer).await;
        answer.map_err(|failure| {
            if failure.ends_connection {
                self.mark_suspect(&live);
            }
            failure.unavailable
        })
    }

    fn disconnected(&self) -> Unavailable {
        match self.health.now() {
            Some(Err(lost)) => Unavailable::because("disconnected", format!("not connected: {lost}")),
            _ => Unavailable::because("disconnected", "not connected"),
        }
        .unsent()
    }

    /// Withdraws a connection, so that no request uses it. That to a cluster stays: other nodes may reply.
    fn mark_suspect(&self, live: &Arc<Live>) {
        if !live.0.is_cluster() {
            self.withdraw(live);
        }
        self.suspected.notify_one();
    }

    fn withdraw(&self, live: &Arc<Live>) {
        self.live.compare_and_swap(&Some(Arc::clone(live)), None);
    }

    /// Keeps a connection for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let began = Instant::now();
            let lost = match self.connect().await {
                Ok(live) => {
                    self.publish(&live);
                    self.watch_over(live).await
                }
                Err(failure) => failure,
            };
            self.live.store(None);
            self.shows_up(false);
            self.health.set(Err(lost.unavailable));
            sleep(backoff.pause_after(began.elapsed())).await;
        }
    }

    async fn connect(&self) -> Result<Arc<Live>, Failure> {
        let connection = self.connector.connect(self.longest).await.map_err(Failure::from);
        let tried = match connection {
            Ok(connection) => {
                let live = Arc::new(Live(connection));
                self.prepare(&live).await.map(|()| live)
            }
            Err(failure) => Err(failure),
        };
        let result = tried
            .as_ref()
            .map_or_else(|failure| failure.unavailable.result, |_| "ok");
        self.metrics.store().operation("connect", result);
        tried
    }

    /// Tries a new connection, and puts the claims of this process right before any request uses it.
    async fn prepare(&self, live: &Live) -> Result<(), Failure> {
        self.check_health(live).await?;
        self.probe(live).await?;
        if self.purpose == Purpose::Requests {
            self.write_again(live).await?;
        }
        Ok(())
    }

    /// Runs a script, to see whether the user of this connection may.
    async fn probe(&self, live: &Live) -> Result<(), Failure> {
        let deadline = Instant::now() + self.longest;
        let key = self.keys.record(Fingerprint::of(&[b"probe"]));
        let probe = PROBE.by_text(&[&key], &[]);
        let mut connection = live.0.clone();
        in_time(deadline, connection.query(&probe)).await.map(|_: Value| ())
    }

    fn shows_up(&self, up: bool) {
        if self.purpose == Purpose::Requests {
            self.metrics.store().up(up);
        }
    }

    fn publish(&self, live: &Arc<Live>) {
        // What was said of the connection before says nothing of this one.
        self.live.store(Some(Arc::clone(live)));
        self.shows_up(true);
        self.health.set(Ok(()));
    }

    /// Checks the connection every second, and when a request suspects it, until it is lost.
    async fn watch_over(&self, mut live: Arc<Live>) -> Failure {
        loop {
            let suspected = tokio::select! {
                () = self.suspected.notified() => true,
                () = sleep(HEALTH_CHECK) => false,
            };
            let check_health = match self.check_health(&live).await {
                Ok(()) if self.purpose == Purpose::Requests => self.release_abandoned(&live).await,
                check_health => check_health,
            };
            match check_health {
                Err(failure) => return failure,
                Ok(()) if !suspected => {}
                // A request had withdrawn it, and it works again.
                Ok(()) if !live.0.is_cluster() => self.publish(&live),
                // A node may have gone for good: a new connection knows those that there are.
                Ok(()) => {
                    if let Ok(renewed) = self.connect().await {
                        self.publish(&renewed);
                        live = renewed;
                    }
                    sleep(HEALTH_CHECK).await;
                }
            }
        }
    }

    /// Checks that the server replies and is writable.
    async fn check_health(&self, live: &Live) -> Result<(), Failure> {
        let mut connection = live.0.clone();
        let deadline = Instant::now() + self.longest;
        let check_health = match connection.is_cluster() {
            true => in_time(deadline, connection.any_answers()).await,
            false => in_time(deadline, connection.query(&self.keys.touch()))
                .await
                .map(|_: Value| ()),
        };
        match check_health {
            Err(failure) if failure.ends_connection => Err(failure),
            // Questions will have the same answer, each by itself.
            _ => Ok(()),
        }
    }

    /// Releases what was claimed and is held by no request, and writes the leases of those that are
    /// held: a Redis that lost them would grant their keys again.
    async fn write_again(&self, live: &Live) -> Result<(), Failure> {
        self.release_abandoned(live).await?;
        let held = self.leases.held();
        if held.is_empty() {
            return Ok(());
        }
        let answers = self.of_each(live, (&RENEW, "renew"), &held).await?;
        let lost = answers.iter().filter(|answer| **answer == Some(0)).count();
        tracing::info!(
            leases = held.len(),
            lost,
            "the leases of requests in flight are written again"
        );
        // Some of the requests may have ended meanwhile.
        let over: Vec<_> = held.into_iter().filter(|lease| !self.leases.holds(lease)).collect();
        self.leases.abandon(&over);
        self.release_abandoned(live).await
    }

    /// Releases what was claimed and is held by no request. Where the connection breaks, the next one
    /// is used for it; of a cluster, each is tried once.
    async fn release_abandoned(&self, live: &Live) -> Result<(), Failure> {
        if !self.leases.has_abandoned() {
            return Ok(());
        }
        let abandoned = self.leases.take_abandoned();
        let released = self.of_each(live, (&RELEASE, "release"), &abandoned).await;
        if released.is_err() {
            // To release a claim twice does no harm.
            self.leases.abandon(&abandoned);
        }
        released.map(drop)
    }

    /// Runs a script for each of some leases, many at a time, and returns the replies. An error means that the
    /// connection is lost; single nodes of a cluster may be missing.
    async fn of_each(
        &self,
        live: &Live,
        (script, operation): (&'static Script, &str),
        leases: &[Lease],
    ) -> Result<Vec<Option<i64>>, Failure> {
        let mut answers = Vec::with_capacity(leases.len());
        for some in leases.chunks(AT_A_TIME) {
            let deadline = Instant::now() + self.longest;
            let mut asking = JoinSet::new();
            for lease in some {
                let key = self.keys.record(lease.key);
                let command = script.by_text(&[&key], &[&claimed(lease.owner), &millis(lease.time)]);
                let mut connection = live.0.clone();
                asking.spawn(async move { in_time(deadline, connection.query::<i64>(&command)).await });
            }
            for answer in asking.join_all().await {
                let result = match &answer {
                    Ok(0) => "lost",
                    Ok(_) => "ok",
                    Err(failure) => failure.unavailable.result,
                };
                self.metrics.store().operation(operation, result);
                match answer {
                    Err(failure) if failure.ends_connection && !live.0.is_cluster() => return Err(failure),
                    answer => answers.push(answer.ok()),
                }
            }
        }
        Ok(answers)
    }
}

async fn in_time<T>(deadline: Instant, answer: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
    match timeout_at(deadline, answer).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::late()),
    }
}

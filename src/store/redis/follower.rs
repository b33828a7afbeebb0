//! Follows the revocations in Redis, over connections of its own: the log from its end on, and beside
//! it a scan of the whole set ([`full_sync`]). After a failure, a loss of data in Redis or a gap in the
//! log, both begin again.
//!
//! The list counts as complete from the time of a request whose reply has no further entries. The server
//! must be writable: replicas may lag behind.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{Cmd, FromRedisValue};
use tokio::time::{sleep, timeout};

use super::connect::{Connection, Connector, FIRST_PAUSE, LONGEST_PAUSE};
use super::failure::Failure;
use super::health::Health;
use super::key_names::KeyNames;
use crate::backoff::Backoff;
use crate::revocation::Revocation;
use crate::store::Unavailable;
use crate::store::revocation_cache::RevocationCache;
use crate::telemetry::metrics::Metrics;

mod cursor;
mod full_sync;
mod scan;

use cursor::{Next, StreamCursor};

/// How long the server waits for the next entry of the log.
const BLOCK: Duration = Duration::from_millis(500);

/// How long a reply may take, besides.
const ANSWER: Duration = Duration::from_millis(1500);

/// How long it takes at least from one beginning to the next.
const SOONEST: Duration = Duration::from_secs(1);

/// How long until the next attempt where another connection would change nothing.
const RETRY_AFTER_BAD_DATA: Duration = Duration::from_secs(5);

/// The most entries that are read at a time.
const PAGE: usize = 1000;

/// Keeps the revocations complete.
#[derive(Debug)]
pub(super) struct Follower {
    connector: Arc<Connector>,
    keys: KeyNames,
    revocation_cache: Arc<RevocationCache>,
    health: Health,
    metrics: Metrics,
}

/// From one beginning to the next.
struct Session {
    epoch: Epoch,
    /// Whether all that there is beside the log was read, and understood.
    whole: AtomicBool,
}

/// What tells one life of the data from another.
type Epoch = Option<Vec<u8>>;

impl Follower {
    pub(super) fn new(
        connector: Arc<Connector>,
        keys: KeyNames,
        revocation_cache: Arc<RevocationCache>,
        metrics: Metrics,
    ) -> Self {
        Self {
            health: Health::of("the list of revocations", connector.servers()),
            connector,
            keys,
            revocation_cache,
            metrics,
        }
    }

    /// Whether the list is kept complete: once the first attempt is over, well or not.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Follows for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let began = Instant::now();
            let Err(failure) = self.follow().await;
            self.metrics.store().operation("follow", failure.unavailable.result);
            self.health.set(Err(failure.unavailable));
            // What another connection does not change is not tried so soon: it may be a long list.
            let pause = match failure.ends_connection {
                true => backoff.pause_after(began.elapsed()),
                false => RETRY_AFTER_BAD_DATA,
            };
            sleep(pause).await;
        }
    }

    async fn follow(&self) -> Result<Infallible, Failure> {
        let mut connection = self.connector.connect(BLOCK + ANSWER).await?;
        loop {
            let began = Instant::now();
            let (session, cursor) = self.begin(&mut connection).await?;
            tokio::select! {
                ended = self.read_log(&mut connection, cursor, &session) => ended?,
                failure = self.sync_fully(&session) => return Err(failure),
            }
            sleep(SOONEST.saturating_sub(began.elapsed())).await;
        }
    }

    /// Where the log ends, before anything else is read: what comes later is read from there.
    async fn begin(&self, connection: &mut Connection) -> Result<(Session, StreamCursor), Failure> {
        // Where this fails, so does what follows; or there is no epoch, and that is one, too.
        let _ = ask::<redis::Value>(connection, &self.new_epoch(), ANSWER).await;
        let session = Session {
            epoch: self.epoch(connection).await?,
            whole: AtomicBool::new(false),
        };
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&self.keys.log).arg("+").arg("-").arg("COUNT").arg(1);
        let end: StreamRangeReply = ask(connection, &command, ANSWER).await?;
        Ok((session, StreamCursor::after(end.ids.first())))
    }

    /// Follows the log until all has to begin anew.
    async fn read_log(
        &self,
        connection: &mut Connection,
        mut cursor: StreamCursor,
        session: &Session,
    ) -> Result<(), Failure> {
        loop {
            let (asked, whole) = (Instant::now(), session.whole.load(Ordering::Acquire));
            let read: Option<StreamReadReply> = ask(connection, &self.next(&cursor), BLOCK + ANSWER).await?;
            let revocations = match cursor.advance(&read.unwrap_or_default()) {
                Next::Revocations(revocations) => revocations,
                Next::Gap(what) => {
                    tracing::warn!(what, "all revocations are read again");
                    return Ok(());
                }
            };
            self.add(&revocations)?;
            if self.epoch(connection).await? != session.epoch {
                tracing::warn!("Redis lost what it had: all revocations are read again");
                return Ok(());
            }
            if revocations.len() < PAGE && whole {
                self.complete(asked);
            }
        }
    }

    async fn epoch(&self, connection: &mut Connection) -> Result<Epoch, Failure> {
        ask(connection, &self.keys.touch(), ANSWER).await
    }

    fn new_epoch(&self) -> Cmd {
        let mut command = redis::cmd("SET");
        let epoch = uuid::Uuid::new_v4().to_string();
        command.arg(&self.keys.epoch).arg(epoch).arg("NX");
        command
    }

    fn next(&self, cursor: &StreamCursor) -> Cmd {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(PAGE);
        command.arg("BLOCK").arg(BLOCK.as_millis().to_string());
        command.arg("STREAMS").arg(&self.keys.log).arg(&cursor.id);
        command
    }

    fn add(&self, revocations: &[Revocation]) -> Result<(), Unavailable> {
        match revocations.is_empty() {
            true => Ok(()),
            false => self.revocation_cache.add(revocations, now()),
        }
    }

    /// The list was complete at a moment.
    fn complete(&self, at: Instant) {
        self.revocation_cache.mark_complete(at);
        self.metrics.store().operation("follow", "ok");
        let ago = jiff::SignedDuration::try_from(at.elapsed()).unwrap_or_default();
        self.metrics.store().revocations(self.known());
        self.metrics.store().complete(jiff::Timestamp::now() - ago);
        self.health.set(Ok(()));
    }

    fn known(&self) -> usize {
        self.revocation_cache.snapshot().list().len()
    }
}

/// Asks, and waits no longer than that.
async fn ask<T: FromRedisValue>(connection: &mut Connection, command: &Cmd, within: Duration) -> Result<T, Failure> {
    match timeout(within, connection.query(command)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::late()),
    }
}

fn now() -> crate::revocation::Millis {
    jiff::Timestamp::now().as_millisecond()
}

//! Hears of revocations. Everything is read once, then the log is followed; after any trouble it
//! begins anew. So it does now and then, and whenever Redis has lost what it had.
//!
//! The list is complete at the moment in which a question was asked whose answer says that there is
//! nothing else. The server has to be one that can be written to: others may be behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::streams::{StreamRangeReply, StreamReadReply};
use redis::{Cmd, FromRedisValue};
use tokio::time::{sleep, timeout};

use super::connect::{Connection, Connector};
use super::keys::Keys;
use super::pause::{Pauses, jitter};
use super::position::{Next, Position};
use super::read::{Outcome, Read, finish};
use super::scripts::REVOKE;
use super::state::State;
use super::trouble::Trouble;
use crate::revocation::Revocation;
use crate::store::Unavailable;
use crate::store::ledger::Ledger;
use crate::telemetry::metrics::Metrics;

/// How long the server waits for the next entry of the log.
const BLOCK: Duration = Duration::from_millis(500);

/// How long an answer may take, besides.
const ANSWER: Duration = Duration::from_millis(1500);

/// How often everything is read, and how long it takes at least from one time to the next.
const ANEW: Duration = Duration::from_mins(1);
const SOONEST: Duration = Duration::from_secs(1);

/// How often everything is read while not all can be understood or put back.
const UNSOUND: Duration = Duration::from_secs(5);

/// Of so many revocations on, everything is read less often.
const MANY: u32 = 50_000;

/// How much is read, and written back, at a time.
const PAGE: usize = 1000;

/// Keeps the revocations complete.
#[derive(Debug)]
pub(super) struct Follower {
    connector: Arc<Connector>,
    keys: Keys,
    ledger: Arc<Ledger>,
    state: State,
    metrics: Metrics,
}

/// What a reading of everything found.
struct Found {
    position: Position,
    epoch: Epoch,
    /// Whether everything could be understood.
    sound: bool,
    /// When everything is read again.
    again: Instant,
}

/// What tells one life of the data from another.
type Epoch = Option<Vec<u8>>;

impl Follower {
    pub(super) fn new(connector: Arc<Connector>, keys: Keys, ledger: Arc<Ledger>, metrics: Metrics) -> Self {
        Self {
            state: State::of("the list of revocations", connector.servers()),
            connector,
            keys,
            ledger,
            metrics,
        }
    }

    /// Whether the list is kept complete: once the first attempt is over, well or not.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Follows for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut pauses = Pauses::default();
        loop {
            let began = Instant::now();
            let Err(Trouble { unavailable, .. }) = self.follow().await;
            self.metrics.store().operation("follow", unavailable.result);
            self.state.set(Err(unavailable));
            sleep(pauses.after(began.elapsed(), jitter())).await;
        }
    }

    async fn follow(&self) -> Result<std::convert::Infallible, Trouble> {
        let mut connection = self.connector.connect(BLOCK + ANSWER).await?;
        loop {
            let began = Instant::now();
            let found = self.read_everything(&mut connection).await?;
            self.read_log(&mut connection, found).await?;
            sleep(SOONEST.saturating_sub(began.elapsed())).await;
        }
    }

    /// Follows the log until everything is to be read again.
    async fn read_log(&self, connection: &mut Connection, mut found: Found) -> Result<(), Trouble> {
        while Instant::now() < found.again {
            let asked = Instant::now();
            let command = self.next(&found.position);
            let read: Option<StreamReadReply> = ask(connection, &command, BLOCK + ANSWER).await?;
            let read = read.unwrap_or_default();
            let revocations = match found.position.advance(&read) {
                Next::Revocations(revocations) => revocations,
                Next::Gap(what) => {
                    tracing::warn!(what, "all revocations are read again");
                    return Ok(());
                }
            };
            self.add(&revocations)?;
            if self.epoch(connection).await? != found.epoch {
                tracing::warn!("the store lost what it had; all revocations are read again");
                return Ok(());
            }
            if revocations.len() < PAGE && found.sound {
                self.complete(asked);
            }
        }
        Ok(())
    }

    async fn read_everything(&self, connection: &mut Connection) -> Result<Found, Trouble> {
        let asked = Instant::now();
        // Where this fails, so does what follows; or there is no epoch, and that is one, too.
        let _ = ask::<redis::Value>(connection, &self.new_epoch(), ANSWER).await;
        let epoch = self.epoch(connection).await?;
        let position = self.end_of_log(connection).await?;
        let read = self.read_set(connection).await?;
        let Outcome { lost, unreadable, .. } = finish(read, Arc::clone(&self.ledger)).await?;
        let sound = unreadable.count == 0;
        let whole = self.give_back(connection, &lost).await && sound;
        match unreadable.first {
            None => self.complete(asked),
            Some(what) => self.tell(unreadable.count, &what),
        }
        Ok(Found {
            position,
            epoch,
            sound,
            again: asked + if whole { self.anew() } else { UNSOUND },
        })
    }

    /// The end of the log, before anything else is read: what comes later is read from there.
    async fn end_of_log(&self, connection: &mut Connection) -> Result<Position, Trouble> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&self.keys.log).arg("+").arg("-").arg("COUNT").arg(1);
        let end: StreamRangeReply = ask(connection, &command, ANSWER).await?;
        Ok(Position::after(end.ids.first()))
    }

    /// Page by page in the order of when they are forgotten. Those that are forgotten meanwhile move
    /// the others only within one moment, of which none is left then.
    async fn read_set(&self, connection: &mut Connection) -> Result<Read, Trouble> {
        let mut read = Read::begin(&self.ledger, now());
        let (mut from, mut seen) = ("-inf".to_owned(), 0);
        loop {
            let page = self.page(connection, (&from, "+inf"), 0).await?;
            let Some((_, last)) = page.last().filter(|_| page.len() == PAGE) else {
                read.take_all(&page);
                return Ok(read);
            };
            let last = *last;
            let mut rest = page;
            while !rest.is_empty() {
                read.take_all(&rest);
                seen += rest.iter().filter(|(_, score)| score.total_cmp(&last).is_eq()).count();
                let moment = last.to_string();
                rest = self.page(connection, (&moment, &moment), seen).await?;
            }
            (from, seen) = (format!("({last}"), 0);
        }
    }

    async fn page(
        &self,
        connection: &mut Connection,
        (from, to): (&str, &str),
        skip: usize,
    ) -> Result<Vec<(Vec<u8>, f64)>, Trouble> {
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(&self.keys.set).arg(from).arg(to).arg("WITHSCORES");
        command.arg("LIMIT").arg(skip).arg(PAGE);
        ask(connection, &command, ANSWER).await
    }

    /// Writes back what Redis has lost. Says whether that is done.
    async fn give_back(&self, connection: &mut Connection, lost: &[Revocation]) -> bool {
        for batch in lost.chunks(PAGE) {
            if let Err(Trouble { unavailable, .. }) = self.write(connection, batch).await {
                tracing::warn!(cause = %unavailable, "revocations that Redis has lost cannot be written back");
                self.metrics.store().operation("follow", unavailable.result);
                return false;
            }
        }
        if !lost.is_empty() {
            tracing::warn!(count = lost.len(), "revocations that Redis had lost are written back");
        }
        true
    }

    async fn write(&self, connection: &mut Connection, batch: &[Revocation]) -> Result<(), Trouble> {
        let arguments = super::revoke_arguments(batch)?;
        let arguments: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
        let keys = [self.keys.set.as_str(), &self.keys.log, &self.keys.count];
        let answer: i64 = ask(connection, &REVOKE.by_text(&keys, &arguments), ANSWER).await?;
        Ok(super::revoked(answer)?)
    }

    async fn epoch(&self, connection: &mut Connection) -> Result<Epoch, Trouble> {
        ask(connection, &self.keys.touch(), ANSWER).await
    }

    fn new_epoch(&self) -> Cmd {
        let mut command = redis::cmd("SET");
        let epoch = uuid::Uuid::new_v4().to_string();
        command.arg(&self.keys.epoch).arg(epoch).arg("NX");
        command
    }

    fn next(&self, position: &Position) -> Cmd {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(PAGE);
        command.arg("BLOCK").arg(BLOCK.as_millis().to_string());
        command.arg("STREAMS").arg(&self.keys.log).arg(&position.id);
        command
    }

    fn add(&self, revocations: &[Revocation]) -> Result<(), Unavailable> {
        match revocations.is_empty() {
            true => Ok(()),
            false => self.ledger.add(revocations, now()),
        }
    }

    /// The list was complete at a moment.
    fn complete(&self, at: Instant) {
        self.ledger.complete(at);
        self.metrics.store().operation("follow", "ok");
        let ago = jiff::SignedDuration::try_from(at.elapsed()).unwrap_or_default();
        self.metrics.store().revocations(self.known());
        self.metrics.store().complete(jiff::Timestamp::now() - ago);
        self.state.set(Ok(()));
    }

    /// Some revocations cannot be read: nobody knows whom they concern.
    fn tell(&self, count: usize, what: &str) {
        self.metrics.store().operation("follow", "error");
        let cause = format!("revocations that cannot be read: {count}, the first for this: {what}");
        self.state.set(Err(Unavailable::because("error", cause)));
    }

    /// Until everything is read again.
    fn anew(&self) -> Duration {
        ANEW * (1 + u32::try_from(self.known()).unwrap_or(u32::MAX) / MANY)
    }

    fn known(&self) -> usize {
        self.ledger.snapshot().list().len()
    }
}

/// Asks, and waits no longer than that.
async fn ask<T: FromRedisValue>(connection: &mut Connection, command: &Cmd, within: Duration) -> Result<T, Trouble> {
    match timeout(within, connection.query(command)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::late()),
    }
}

fn now() -> crate::revocation::Millis {
    jiff::Timestamp::now().as_millisecond()
}

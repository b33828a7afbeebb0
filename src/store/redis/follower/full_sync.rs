//! All revocations that a Redis has, read once at the beginning and now and then, while the log is
//! followed. What this replica knows and Redis does not is written back: it was acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::scan::{FullScan, Outcome, finish};
use super::{ANSWER, Follower, PAGE, RETRY_AFTER_BAD_DATA, SOONEST, Session, ask, now};
use crate::revocation::Revocation;
use crate::store::Unavailable;
use crate::store::redis::connect::Connection;
use crate::store::redis::failure::Failure;
use crate::store::redis::scripts::REVOKE;
use crate::store::redis::{revoke_arguments, revoked};

/// How often everything is read.
const FULL_SYNC_INTERVAL: Duration = Duration::from_mins(1);

/// Of so many revocations on, it is less often.
const MANY: u32 = 50_000;

impl Follower {
    /// Reads everything now and then, until that fails.
    pub(super) async fn sync_fully(&self, session: &Session) -> Failure {
        loop {
            match self.read_once(session).await {
                Ok(pause) => sleep(pause).await,
                Err(failure) => return failure,
            }
        }
    }

    /// Reads everything once. Says how long it is until the next time.
    async fn read_once(&self, session: &Session) -> Result<Duration, Failure> {
        let asked = Instant::now();
        let mut connection = self.connector.connect(ANSWER).await?;
        let read = self.read_set(&mut connection).await?;
        let Outcome { lost, unreadable, .. } = finish(read, Arc::clone(&self.revocation_cache)).await?;
        // Another server, or the same one after a loss of its data: the follower of the log will see it.
        if self.epoch(&mut connection).await? != session.epoch {
            return Ok(SOONEST);
        }
        let restored = self.restore_lost(&mut connection, &lost).await;
        let whole = unreadable.first.is_none();
        let before = session.whole.swap(whole, Ordering::AcqRel);
        match unreadable.first {
            None if !before => self.complete(asked),
            None => {}
            Some(what) => self.tell(unreadable.count, &what),
        }
        let many = u32::try_from(self.known()).unwrap_or(u32::MAX) / MANY;
        Ok(if whole && restored {
            FULL_SYNC_INTERVAL * (1 + many)
        } else {
            RETRY_AFTER_BAD_DATA
        })
    }

    /// Page by page in the order of when they are forgotten. Those that are forgotten meanwhile move
    /// the others only within one moment, of which none is left then.
    async fn read_set(&self, connection: &mut Connection) -> Result<FullScan, Failure> {
        let mut read = FullScan::begin(&self.revocation_cache, now());
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
    ) -> Result<Vec<(Vec<u8>, f64)>, Failure> {
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(&self.keys.set).arg(from).arg(to).arg("WITHSCORES");
        command.arg("LIMIT").arg(skip).arg(PAGE);
        ask(connection, &command, ANSWER).await
    }

    /// Writes back what Redis has lost. Says whether that is done.
    async fn restore_lost(&self, connection: &mut Connection, lost: &[Revocation]) -> bool {
        for batch in lost.chunks(PAGE) {
            if let Err(Failure { unavailable, .. }) = self.write(connection, batch).await {
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

    async fn write(&self, connection: &mut Connection, batch: &[Revocation]) -> Result<(), Failure> {
        let arguments = revoke_arguments(batch, None)?;
        let arguments: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
        let keys = [self.keys.set.as_str(), &self.keys.log, &self.keys.count];
        let answer: i64 = ask(connection, &REVOKE.by_text(&keys, &arguments), ANSWER).await?;
        match answer {
            // What is over by the clock of the server, it does not need to know.
            2 => Ok(()),
            answer => Ok(revoked(answer)?),
        }
    }

    /// Logs that some revocations cannot be read. Their subjects are unknown.
    fn tell(&self, count: usize, what: &str) {
        self.metrics.store().operation("follow", "error");
        let cause = format!("revocations that cannot be read: {count}, the first for this: {what}");
        self.health.set(Err(Unavailable::because("error", cause)));
    }
}

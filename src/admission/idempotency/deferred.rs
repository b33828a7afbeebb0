//! Responses that could not be stored. One task retries all of them with backoff, and gives each up after a while.
//! Their size in memory is limited.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::lease::KeyLease;
use crate::backoff::Backoff;
use crate::digest::Fingerprint;
use crate::store::Unavailable;

/// How long to retry a response, and the pauses in between.
const KEEP_TRYING: Duration = Duration::from_mins(10);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The limit of all waiting responses in bytes, and the overhead of each.
static ROOM: Semaphore = Semaphore::const_new(64 * 1024 * 1024);
const EACH: usize = 1024;

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    responses: Vec::new(),
    is_tried: false,
});

/// Ends a pause.
static HURRY: Notify = Notify::const_new();

const LOST: &str = "a response could not be stored; the same request may be done twice";

/// Responses that wait, and whether there is a task that tries to store them.
struct Waiting {
    responses: Vec<Response>,
    is_tried: bool,
}

struct Response {
    lease: KeyLease,
    digest: Fingerprint,
    record: Bytes,
    deadline: Instant,
    _room: SemaphorePermit<'static>,
}

/// Queues a response that could not be stored. It is retried for a while.
pub fn store_later(lease: KeyLease, digest: Fingerprint, record: Bytes, unavailable: &Unavailable) {
    if unavailable.is_final() {
        tracing::error!(%unavailable, "{LOST}");
        return;
    }
    let bytes = u32::try_from(record.len() + EACH).unwrap_or(u32::MAX);
    let Ok(room) = ROOM.try_acquire_many(bytes) else {
        tracing::error!(%unavailable, "{LOST}");
        return;
    };
    tracing::warn!(%unavailable, "a response could not be stored; trying again");
    let response = Response {
        lease,
        digest,
        record,
        deadline: Instant::now() + KEEP_TRYING,
        _room: room,
    };
    let mut waiting = WAITING.lock();
    waiting.responses.push(response);
    if !std::mem::replace(&mut waiting.is_tried, true) {
        tokio::spawn(try_all());
    }
}

/// Waits until each response is stored or given up, for a process that drains. Meanwhile, the pauses are short.
pub async fn all_stored() {
    while WAITING.lock().is_tried {
        HURRY.notify_one();
        sleep(FIRST_PAUSE).await;
    }
}

/// Gives up the responses that still wait. Returns their number.
pub fn give_up() -> usize {
    std::mem::take(&mut WAITING.lock().responses).len()
}

/// Retries until no response waits.
async fn try_all() {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let _ = timeout(backoff.pause(), HURRY.notified()).await;
        let responses = std::mem::take(&mut WAITING.lock().responses);
        let left = round(responses, &mut backoff).await;
        let mut waiting = WAITING.lock();
        waiting.responses.extend(left);
        if waiting.responses.is_empty() {
            waiting.is_tried = false;
            return;
        }
    }
}

/// Retries each response once, and returns those that are left. If the store is unavailable, the rest of the
/// round is skipped.
async fn round(responses: Vec<Response>, backoff: &mut Backoff) -> Vec<Response> {
    let mut left = Vec::new();
    let mut is_away = false;
    for mut response in responses {
        if !is_away {
            match response.lease.try_store(response.digest, &response.record).await {
                Ok(()) => {
                    tracing::info!("a response is stored after all");
                    backoff.reset();
                    continue;
                }
                Err(unavailable) if unavailable.is_final() => {
                    tracing::error!(%unavailable, "{LOST}");
                    continue;
                }
                // Another one may be shorter.
                Err(unavailable) => is_away = !unavailable.is_full(),
            }
        }
        if Instant::now() < response.deadline {
            left.push(response);
        } else {
            tracing::error!("{LOST}");
        }
    }
    left
}

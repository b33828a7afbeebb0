//! Health of a background task; logs each transition once.

use tokio::sync::watch;

use crate::store::Unavailable;

/// `None` until the first attempt is over.
type Now = Option<Result<(), Unavailable>>;

/// The health of a background task.
#[derive(Debug)]
pub(in crate::store) struct Health {
    what: &'static str,
    servers: String,
    now: watch::Sender<Now>,
}

impl Health {
    /// Creates the health of a task that depends on some servers.
    pub(super) fn of(what: &'static str, servers: String) -> Self {
        Self {
            what,
            servers,
            now: watch::Sender::default(),
        }
    }

    /// Returns the health; `None` until the first attempt is over.
    pub(in crate::store) fn now(&self) -> Now {
        self.now.borrow().clone()
    }

    /// Waits for the end of the first attempt, and returns the health.
    pub(in crate::store) async fn settled(&self) -> Result<(), Unavailable> {
        let mut now = self.now.subscribe();
        let settled = now.wait_for(Option::is_some).await;
        settled.map_or(Ok(()), |now| now.clone().unwrap_or(Ok(())))
    }

    /// Sets the health, and logs a transition.
    pub(super) fn set(&self, next: Result<(), Unavailable>) {
        let (what, redis) = (self.what, &self.servers);
        let before = self.now.send_replace(Some(next.clone()));
        match (before, next) {
            (Some(Ok(())), Ok(())) => {}
            (_, Ok(())) => tracing::info!(redis, "{what} connected"),
            (Some(Err(_)), Err(cause)) => tracing::debug!(redis, %cause, "{what} still unavailable"),
            (_, Err(cause)) => tracing::warn!(redis, %cause, "{what} unavailable"),
        }
    }
}

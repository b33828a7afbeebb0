//! How something goes that goes on for ever. Changes are told to operators, once each.

use tokio::sync::watch;

use crate::store::Unavailable;

/// `None` until the first attempt is over.
type Now = Option<Result<(), Unavailable>>;

/// How something goes.
#[derive(Debug)]
pub(in crate::store) struct Health {
    what: &'static str,
    servers: String,
    now: watch::Sender<Now>,
}

impl Health {
    /// Of a thing that depends on some servers.
    pub(super) fn of(what: &'static str, servers: String) -> Self {
        Self {
            what,
            servers,
            now: watch::Sender::default(),
        }
    }

    /// How it goes; `None` until the first attempt is over.
    pub(in crate::store) fn now(&self) -> Now {
        self.now.borrow().clone()
    }

    /// How it goes, once the first attempt is over.
    pub(in crate::store) async fn settled(&self) -> Result<(), Unavailable> {
        let mut now = self.now.subscribe();
        let settled = now.wait_for(Option::is_some).await;
        settled.map_or(Ok(()), |now| now.clone().unwrap_or(Ok(())))
    }

    /// Notes how it goes from now on.
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

//! Requests that hold the lease of an idempotency key: the response is stored before the client receives its end, and
//! even if the client disconnects.

use std::time::Duration;

use pingora::{Error, ErrorType, Result};
use tokio::time::{Instant, timeout, timeout_at};

use super::recorder::ResponseRecorder;
use super::{Event, Exchange, RequestBody};
use crate::proxy::error_mapping::described;
use crate::proxy::upstream::UpstreamSession;

/// How long the rest of a response may take after the client disconnected, if the response is to be stored.
const DETACHED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a whole response waits for the end of the request's body, whose digest is stored with it.
const REQUEST_ENDS: Duration = Duration::from_secs(1);

impl Exchange<'_> {
    /// Waits for the next event of the upstream, as long as the response may be stored.
    pub(super) async fn next_event_detached(&mut self, service: &mut UpstreamSession) -> Result<Event> {
        let is_gone = |why| Err(Error::explain(ErrorType::ConnectionClosed, why).into_down());
        if !self.may_store() {
            return is_gone("the client is gone, and the response cannot be stored");
        }
        if self.ctx.record.response.upstream_status.is_none() {
            // The service may still be at work, and has its own time for that.
            return service.next(true).await.map(Event::Upstream);
        }
        let deadline = *self
            .detached_until
            .get_or_insert_with(|| Instant::now() + DETACHED_TIMEOUT);
        match timeout_at(deadline, service.next(true)).await {
            Ok(event) => event.map(Event::Upstream),
            Err(_) => is_gone("the client is gone, and the response is late"),
        }
    }

    fn may_store(&self) -> bool {
        self.recorder.as_ref().is_some_and(ResponseRecorder::may_store)
    }

    /// Receives the rest of the response without the client, if it is still to be stored.
    pub(super) fn tolerate_disconnect(&mut self, written: Result<()>) -> Result<()> {
        let Err(error) = written else { return Ok(()) };
        if !self.may_store() {
            return Err(error);
        }
        tracing::debug!(
            error = described(&error),
            "the client is gone; its response is still stored"
        );
        self.is_detached = true;
        Ok(())
    }

    /// Stores a whole response before the client receives its end.
    pub(super) async fn store_if_whole(&mut self, service: &mut UpstreamSession) {
        let Some(recorder) = self.recorder.as_ref().filter(|recorder| recorder.is_whole()) else {
            return;
        };
        if recorder.lacks_request()
            && Box::pin(timeout(REQUEST_ENDS, self.finish_request(service)))
                .await
                .is_err()
        {
            // A part may be half written.
            self.body = RequestBody::Aborted;
        }
        if let Some(recorder) = self.recorder.take() {
            Box::pin(recorder.store()).await;
        }
    }

    /// Reads the rest of the request's body after the response is complete. The upstream gets it as long as it takes
    /// it.
    async fn finish_request(&mut self, service: &mut UpstreamSession) -> Result<()> {
        while self.recorder.as_ref().is_some_and(ResponseRecorder::lacks_request) {
            if service.is_blocked() {
                self.body = RequestBody::Aborted;
            }
            let part = self.next_part(true).await?;
            self.send(service, part).await?;
        }
        Ok(())
    }
}

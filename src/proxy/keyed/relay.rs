//! Relays between the client and the subrequest: the body of the request one way, the response the other.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tokio::sync::mpsc;

use super::recorder::BodyTee;
use crate::proxy::context::{Report, RequestContext};
use crate::proxy::gateway::{Gateway, append_rate_limits};

/// The client's side of a subrequest.
pub(super) struct Relay<'g> {
    pub(super) gateway: &'g Gateway,
    pub(super) report: Arc<Mutex<Report>>,
    pub(super) upload: BodyTee,
    pub(super) response: mpsc::Receiver<HttpTask>,
}

/// What the relay waits for.
enum Event {
    /// A part of the body was read from the client.
    Read(Option<Bytes>),
    /// The subrequest can take a part of the body.
    Capacity,
    /// A part of the response arrived.
    Response(Option<HttpTask>),
}

impl Relay<'_> {
    /// Runs until the client has the whole response.
    pub(super) async fn run(mut self, session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
        let mut waiting: Option<HttpTask> = None;
        if session.as_downstream_mut().is_body_done() {
            waiting = Some(self.upload.task(None, true));
        }
        loop {
            match self.next(session, ctx, waiting.is_some()).await? {
                Event::Read(part) => {
                    let ends = part.is_none() || session.as_downstream_mut().is_body_done();
                    // pingora takes an empty part for the end.
                    let is_nothing = part.as_ref().is_some_and(Bytes::is_empty) && !ends;
                    waiting = (!is_nothing).then(|| self.upload.task(part, ends));
                }
                Event::Capacity => {
                    // The subrequest may have ended without the rest of the body.
                    if let (Some(task), Ok(permit)) = (waiting.take(), self.upload.input.try_reserve()) {
                        permit.send(task);
                    }
                }
                Event::Response(Some(part)) => {
                    if self.write(session, ctx, part).await? {
                        return Ok(());
                    }
                }
                Event::Response(None) => {
                    // The subrequest reports what failed.
                    ctx.record_report(self.report.lock().clone());
                    return Err(Error::explain(ErrorType::ConnectionClosed, "the response was cut off").into_up());
                }
            }
        }
    }

    async fn next(&mut self, session: &mut Session, ctx: &mut RequestContext, waiting: bool) -> Result<Event> {
        let reads = self.upload.is_open() && !waiting;
        tokio::select! {
            part = self.gateway.read_body(session.as_downstream_mut(), ctx), if reads => part.map(Event::Read),
            permit = self.upload.input.reserve(), if waiting && !self.upload.input.is_closed() => {
                drop(permit);
                Ok(Event::Capacity)
            }
            part = self.response.recv() => Ok(Event::Response(part)),
        }
    }

    /// Passes a part of the response to the client. Returns whether it was the last one.
    async fn write(&self, session: &mut Session, ctx: &mut RequestContext, mut part: HttpTask) -> Result<bool> {
        ctx.touch(&self.gateway.limits);
        if let HttpTask::Header(head, _) = &mut part
            && !head.status.is_informational()
        {
            self.begin(session, ctx, head)?;
        }
        let is_last = session.write_response_tasks(vec![part]).await?;
        ctx.record_sent(session.as_downstream(), 0);
        Ok(is_last)
    }

    /// Prepares the head of the final response.
    fn begin(&self, session: &mut Session, ctx: &mut RequestContext, head: &mut ResponseHeader) -> Result<()> {
        let report = self.report.lock().clone();
        if report.is_from_pingora() {
            // pingora rejected the head before it connected to the upstream.
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "pingora rejects it as malformed").into_down());
        }
        ctx.record_report(report);
        append_rate_limits(head, ctx)?;
        self.gateway.end_connection_if_stopping(session);
        Ok(())
    }
}

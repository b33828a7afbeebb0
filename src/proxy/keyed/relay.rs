//! The client's side of a request that was handed over: its body goes in, the answer comes out.

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

pub(super) struct Relay<'g> {
    pub(super) gateway: &'g Gateway,
    pub(super) report: Arc<Mutex<Report>>,
    pub(super) upload: BodyTee,
    pub(super) response: mpsc::Receiver<HttpTask>,
}

/// What happens next.
enum Event {
    Read(Option<Bytes>),
    Room,
    Answer(Option<HttpTask>),
}

impl Relay<'_> {
    /// Runs until the client has its answer.
    pub(super) async fn run(mut self, session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
        let mut waiting: Option<HttpTask> = None;
        if session.as_downstream_mut().is_body_done() {
            waiting = Some(self.upload.task(None, true));
        }
        loop {
            match self.next(session, ctx, waiting.is_some()).await? {
                Event::Read(part) => {
                    let ends = part.is_none() || session.as_downstream_mut().is_body_done();
                    // The engine takes an empty part for the end.
                    let is_nothing = part.as_ref().is_some_and(Bytes::is_empty) && !ends;
                    waiting = (!is_nothing).then(|| self.upload.task(part, ends));
                }
                Event::Room => {
                    // The service may have answered without the rest.
                    if let (Some(task), Ok(room)) = (waiting.take(), self.upload.input.try_reserve()) {
                        room.send(task);
                    }
                }
                Event::Answer(Some(part)) => {
                    if self.write(session, ctx, part).await? {
                        return Ok(());
                    }
                }
                Event::Answer(None) => {
                    // The request that was handed over reports what went wrong.
                    ctx.told(self.report.lock().clone());
                    return Err(Error::explain(ErrorType::ConnectionClosed, "the answer has no end").into_up());
                }
            }
        }
    }

    async fn next(&mut self, session: &mut Session, ctx: &mut RequestContext, waiting: bool) -> Result<Event> {
        let reads = self.upload.is_open() && !waiting;
        tokio::select! {
            part = self.gateway.read_body(session.as_downstream_mut(), ctx), if reads => part.map(Event::Read),
            room = self.upload.input.reserve(), if waiting && !self.upload.input.is_closed() => {
                drop(room);
                Ok(Event::Room)
            }
            part = self.response.recv() => Ok(Event::Answer(part)),
        }
    }

    /// Passes a part of the answer on. Whether it was the last.
    async fn write(&self, session: &mut Session, ctx: &mut RequestContext, mut part: HttpTask) -> Result<bool> {
        ctx.touch(&self.gateway.limits);
        if let HttpTask::Header(head, _) = &mut part
            && !head.status.is_informational()
        {
            self.begin(session, ctx, head)?;
        }
        session.write_response_tasks(vec![part]).await
    }

    fn begin(&self, session: &mut Session, ctx: &mut RequestContext, head: &mut ResponseHeader) -> Result<()> {
        let report = self.report.lock().clone();
        if report.is_of_the_engine() {
            // It has no standard body, and the service heard nothing.
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "the engine takes it for malformed").into_down());
        }
        ctx.told(report);
        append_rate_limits(head, ctx)?;
        self.gateway.end_connection_if_stopping(session);
        Ok(())
    }
}

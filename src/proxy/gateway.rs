//! What each request needs, however it is answered: admission, the limits of its body, rejections and failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use pingora::{Error, ErrorType, Result};

use super::context::RequestContext;
use super::deadline::ReusableTimer;
use super::error_mapping::{described, failure_of, reattribute_timeout};
use super::policy_snapshot::PolicyHandle;
use super::session::ClientSession;
use crate::admission::{Admission, AdmissionController};
use crate::config::Limits;
use crate::decision::BodyLimit;
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;

/// What limits a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// Its length, its rate and its pauses.
    Upload,
    /// Its length. It is a stream of gRPC, which may pause between messages.
    Stream,
    /// Its messages, which the service counts: it is a stream of gRPC over HTTP/2 from end to end.
    OpenStream,
}

/// The parts that all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// Admits or rejects requests.
    pub admission: AdmissionController,
    /// The policies in force.
    pub policies: Arc<PolicyHandle>,
    /// The limits of requests and connections.
    pub limits: Limits,
    /// Whether the process drains: each connection ends after its current request.
    pub stopping: AtomicBool,
}

impl Gateway {
    /// Reads the facts of a request, and admits or rejects it.
    pub(super) async fn admit(&self, session: &ClientSession, ctx: &mut RequestContext) -> Admission {
        let (target, double_framing) = session.target();
        let facts = RequestFacts {
            limits: self.limits.request,
            trusted_proxies: &self.admission.trusted_proxies,
            now: Timestamp::now().as_second(),
            ..session.facts((&target, double_framing), |peer| self.admission.trusts(peer))
        };
        ctx.record.describe(&facts, &target);
        ctx.record.host = session.host();
        self.admission.admit(&facts, &mut ctx.record).await
    }

    /// Responds to a request that is not forwarded.
    pub(super) async fn reject(
        &self,
        session: &mut ClientSession,
        rejection: &Rejection,
        ctx: &RequestContext,
    ) -> Result<()> {
        if rejection.reason() == Reason::RequestMalformed {
            // The end of a malformed request is unknown, so no other request can follow.
            session.close_after_response();
        } else {
            session.drain_request_body().await;
        }
        session.respond_with(ctx.record.rejection_response(rejection)).await
    }

    /// Reads the next part of a body. With `is_limited`, a client may not pause for too long.
    pub(super) async fn body_part(
        &self,
        session: &mut ClientSession,
        pause: &mut ReusableTimer,
        is_limited: bool,
    ) -> Result<Option<Bytes>> {
        if !is_limited {
            return session.read().await;
        }
        let read = pause.within(self.limits.body_timeout, session.read()).await;
        read.unwrap_or_else(|| {
            Err(Error::explain(
                ErrorType::ReadTimedout,
                "the body paused for longer than `limits.body_timeout`",
            )
            .into_down())
        })
    }

    /// Counts a part of a body. Fails if the body is too large or too slow for its kind.
    pub(super) fn check_body(&self, length: usize, kind: BodyKind, ctx: &mut RequestContext) -> Result<()> {
        let in_time = ctx.record_body(length, &self.limits) || kind != BodyKind::Upload;
        if kind != BodyKind::OpenStream && self.body_limit(ctx).is_exceeded_by(ctx.record.response.bytes_in) {
            return Err(Error::explain(ErrorType::HTTPStatus(413), "the body is too large").into_down());
        }
        match in_time {
            true => Ok(()),
            false => Err(Error::explain(
                ErrorType::ReadTimedout,
                "the body arrived more slowly than `limits.body_rate`",
            )
            .into_down()),
        }
    }

    /// Ends the connection after this request if the process drains.
    pub(super) fn end_connection_if_stopping(&self, session: &mut ClientSession) {
        if self.stopping.load(Ordering::Acquire) {
            session.close_after_response();
        }
    }

    fn body_limit(&self, ctx: &RequestContext) -> BodyLimit {
        BodyLimit::of(ctx.record.matched().route(), self.limits.request)
    }

    /// Adds the limit to the cause of a body that is too large.
    fn with_limit(&self, failure: Rejection, ctx: &RequestContext) -> Rejection {
        match failure.reason() {
            Reason::BodyTooLarge => self.body_limit(ctx).rejection(),
            _ => failure,
        }
    }

    /// Responds to a request that failed after it was admitted, unless the client is gone or its response has
    /// begun.
    pub(super) async fn fail(&self, session: &mut ClientSession, error: &Error, ctx: &mut RequestContext) {
        let failure = match session.has_malformed_body() {
            true => Some(Rejection::because(
                Reason::RequestMalformed,
                "the chunks of the body are malformed",
            )),
            false => failure_of(error, ctx.failed_upstream.as_deref(), ctx.timeouts)
                .map(|failure| reattribute_timeout(session, error, failure)),
        };
        let reason = failure.as_ref().map(|failure| failure.reason().code());
        tracing::debug!(error = described(error), reason, "request failed");
        session.close_after_response();
        ctx.record.count_decision();
        let Some(failure) = failure.map(|failure| self.with_limit(failure, ctx)) else {
            return;
        };
        ctx.record.fail(failure.clone());
        if !session.has_responded()
            && let Err(error) = session.respond_with(ctx.record.rejection_response(&failure)).await
        {
            tracing::debug!(error = described(&error), "the client is gone");
        }
    }
}

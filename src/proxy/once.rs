//! What only the store can tell, once a request is allowed: whether it was answered before, and
//! whether its caller may call so often.
//!
//! A request with an idempotency key is forwarded by a request of its own within the engine, whose
//! answer is kept before the client sees the end of it, and whether or not the client is there.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, Result};

use super::context::RequestContext;
use super::error_response::REQUEST_ID;
use super::{Gateway, answer, facts};
use crate::fingerprint::{Fingerprint, Running};
use crate::idempotency::{self, Record};
use crate::policy::Fallback;
use crate::rejection::{Reason, Rejection};
use crate::request::host_of;
use crate::store::{Claim, Unavailable};

mod claim;
mod handover;
mod keeper;
mod relay;

use claim::Held;

pub(super) use handover::take as take_handed_over;

/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a request is to the store.
enum Standing {
    /// One like any other.
    Ordinary,
    /// The first with its key.
    First(Held),
    /// One that was answered.
    Answered(Bytes),
}

impl Gateway {
    /// Asks the store about an allowed request. Whether it is answered by now; if not, it may have
    /// been refused.
    pub(super) async fn ask_store(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let held = match self.standing(session, ctx).await {
            Ok(Standing::Ordinary) => None,
            Ok(Standing::First(held)) => Some(held),
            Ok(Standing::Answered(record)) => return self.replay(session, &record, ctx).await,
            Err(rejection) => {
                ctx.refuse(rejection);
                return Ok(false);
            }
        };
        if let Err(rejection) = self.spend(session, ctx).await {
            ctx.refuse(rejection);
            return Ok(false);
        }
        match held {
            Some(held) => self.forward_once(session, held, ctx).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn standing(&self, session: &Session, ctx: &mut RequestContext) -> Result<Standing, Rejection> {
        let in_force = ctx.in_force.clone();
        let (Some(policy), Some(route)) = in_force.policies.found(ctx.policy, ctx.route) else {
            return Ok(Standing::Ordinary);
        };
        let header = session.req_header();
        let (Some(rule), Some(principal)) = (&route.idempotency, &ctx.principal) else {
            return Ok(Standing::Ordinary);
        };
        let Some(key) = idempotency::key(rule, &header.method, &header.headers)? else {
            return Ok(Standing::Ordinary);
        };
        let host = facts::authority(session).map_or("", host_of);
        let request = (&header.method, host, ctx.forward.as_slice());
        let bound = idempotency::bound((policy, route), principal, request, key)?;
        let count = |result| self.metrics.shared().idempotency(&policy.service, result);
        match Held::take(&self.store, bound, rule).await {
            Ok((Claim::Granted, held)) => {
                count("first");
                ctx.idempotency = Some("first");
                Ok(Standing::First(held))
            }
            Ok((Claim::Taken, _)) => {
                count("in_progress");
                Err(Rejection::from(Reason::IdempotencyInProgress).retry_after(claim::RETRY_AFTER))
            }
            Ok((Claim::Answered(record), _)) => Ok(Standing::Answered(record)),
            Err(unavailable) => {
                count("unavailable");
                match rule.when_unavailable {
                    Fallback::Allow => {
                        self.metrics.shared().failed_open(&policy.service, "idempotency");
                        Ok(Standing::Ordinary)
                    }
                    Fallback::Deny => Err(no_store(&unavailable)),
                }
            }
        }
    }

    /// Answers as before, if the body is the same as before. It is read and not kept.
    async fn replay(&self, session: &mut Session, record: &[u8], ctx: &mut RequestContext) -> Result<bool> {
        let Some(record) = Record::decode(record) else {
            ctx.refuse(no_store(&Unavailable::because(
                "error",
                "what the store has is no answer",
            )));
            return Ok(false);
        };
        if session.req_header().headers.contains_key(EXPECT) {
            session.as_downstream_mut().write_continue_response().await?;
        }
        let digest = self.digest_body(session, ctx).await?;
        let service = ctx.matched().0.map_or("", |policy| &policy.service);
        if !record.answers(digest) {
            self.metrics.shared().idempotency(service, "reused");
            ctx.refuse(Reason::IdempotencyKeyReused.into());
            return Ok(false);
        }
        self.metrics.shared().idempotency(service, "replayed");
        ctx.idempotency = Some("replayed");
        let Some(header) = replayed(&record, &ctx.ids.request_id)? else {
            ctx.refuse(no_store(&Unavailable::because(
                "error",
                "what the store has is no answer",
            )));
            return Ok(false);
        };
        let body = Bytes::from(record.into_body());
        let tasks = vec![
            HttpTask::Header(Box::new(header), body.is_empty()),
            HttpTask::Body(Some(body), true),
        ];
        session.write_response_tasks(tasks).await?;
        Ok(true)
    }

    async fn digest_body(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Fingerprint> {
        let mut digest = Running::default();
        while let Some(part) = self.read_body(session, ctx).await? {
            digest.add(&part);
        }
        Ok(digest.end())
    }

    /// The next part of the body, within the limits.
    async fn read_body(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Option<Bytes>> {
        ctx.moved(&self.limits);
        let part = session.as_downstream_mut().read_request_body().await;
        let part = part.map_err(Error::into_down)?;
        if let Some(part) = &part {
            self.check_body(part.len(), true, ctx)?;
        }
        Ok(part)
    }

    /// Has the request answered by the service, once. The client may go; the answer is kept.
    async fn forward_once(&self, session: &mut Session, held: Held, ctx: &mut RequestContext) -> Result<()> {
        let (child, report) = handover::prepare(session, ctx)?;
        let (upload, answer) = keeper::start(child, held, ctx.give_place());
        if !session.as_downstream_mut().is_body_done()
            && let Some(guard) = answer::guard_of(session)
        {
            guard.linger();
        }
        relay::Relay {
            gateway: self,
            report,
            upload,
            answer,
        }
        .run(session, ctx)
        .await
    }
}

/// The head of an answer that was given before; `None` if it cannot be one.
fn replayed(record: &Record, request_id: &str) -> Result<Option<ResponseHeader>> {
    let Some(fields) = record.headers() else {
        return Ok(None);
    };
    let mut header = ResponseHeader::build(record.status(), Some(fields.len() + 3))?;
    for (name, value) in fields {
        header.append_header(name, value)?;
    }
    if !matches!(record.status(), 204 | 304) {
        header.insert_header(CONTENT_LENGTH, record.body_len())?;
    }
    header.insert_header(REPLAYED, HeaderValue::from_static("true"))?;
    header.insert_header(REQUEST_ID, request_id)?;
    Ok(Some(header))
}

/// The refusal of a request of which the store has to tell something, and does not.
pub(super) fn no_store(unavailable: &Unavailable) -> Rejection {
    Rejection::because(Reason::StoreUnavailable, unavailable.cause().to_owned())
}

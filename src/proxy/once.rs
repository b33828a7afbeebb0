//! What only the store can tell, once a request is allowed: whether it was answered before, and
//! whether its caller may call so often.
//!
//! A request with an idempotency key is forwarded by a request of its own within the engine, whose
//! answer is kept before the client sees the end of it, and whether or not the client is there.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;

use super::context::RequestContext;
use super::deadline::ReusableTimer;
use super::{Gateway, facts, local_response};
use crate::admission::idempotency::{Held, RETRY_AFTER};
use crate::admission::rejection_response::REQUEST_ID;
use crate::caller_key;
use crate::digest::Fingerprint;
use crate::idempotency::{self, Record};
use crate::policy::Fallback;
use crate::policy::route::Route;
use crate::rejection::{Reason, Rejection};
use crate::request::host_of;
use crate::store::{Claim, RecordKey, StoredResponse, Unavailable};

mod handover;
mod keeper;
mod open_end;
mod relay;

use keeper::Keeper;

pub(super) use handover::take as take_handed_over;
pub(super) use open_end::look_at_end;

/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a request is to the store.
enum Standing {
    /// One like any other.
    Ordinary,
    /// The first with its key.
    First(Held),
    /// One that was answered.
    Answered(RecordKey, StoredResponse),
}

impl Gateway {
    /// Asks the store about an allowed request. Whether it is answered by now; if not, it may have
    /// been refused.
    pub(super) async fn ask_store(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let asks = |route: &Route| route.idempotency.is_some() || !route.quotas.is_empty();
        if !ctx.matched().route().is_some_and(asks) {
            return Ok(false);
        }
        // What the store takes is not the service's time.
        ctx.upstream_started = None;
        let held = match self.standing(session, ctx).await {
            Ok(Standing::Ordinary) => None,
            Ok(Standing::First(held)) => Some(held),
            Ok(Standing::Answered(key, answered)) => return self.replay(session, (key, answered), ctx).await,
            Err(rejection) => {
                ctx.refuse(rejection);
                return Ok(false);
            }
        };
        if !self.is_within_quotas(session, ctx).await {
            return Ok(false);
        }
        match held {
            Some(held) => self.forward_once(session, held, ctx).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn standing(&self, session: &Session, ctx: &mut RequestContext) -> Result<Standing, Rejection> {
        let in_force = ctx.in_force.clone();
        let matched = in_force.policies.matched(ctx.scope);
        let (Some(policy), Some(route)) = (matched.policy(), matched.route()) else {
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
        let request = (&header.method, host, &*ctx.forward);
        let name = idempotency::bound((policy, route), principal, request, &header.headers, key)?;
        let at = ctx.scope;
        let count = |result| in_force.metrics.idempotency(at, result);
        let share = caller_key::share(principal);
        let key = RecordKey { name, share };
        match Held::take(&self.store, key, rule).await {
            Ok((Claim::Granted, held)) => {
                count("first");
                ctx.idempotency = Some("first");
                Ok(Standing::First(held))
            }
            Ok((Claim::Taken, _)) => {
                count("in_progress");
                Err(Rejection::from(Reason::IdempotencyInProgress).retry_after(RETRY_AFTER))
            }
            Ok((Claim::Stored(answered), _)) => Ok(Standing::Answered(key, answered)),
            Err(unavailable) => {
                count("unavailable");
                match rule.when_unavailable {
                    Fallback::Allow => {
                        in_force.metrics.failed_open(at, "idempotency");
                        Ok(Standing::Ordinary)
                    }
                    Fallback::Deny => Err(no_store(&unavailable)),
                }
            }
        }
    }

    /// Answers as before, if the request is the same as before. Its body is read and not kept, and
    /// what is kept is had once that is known.
    async fn replay(
        &self,
        session: &mut Session,
        (key, answered): (RecordKey, StoredResponse),
        ctx: &mut RequestContext,
    ) -> Result<bool> {
        if session.req_header().headers.contains_key(EXPECT) {
            session.as_downstream_mut().write_continue_response().await?;
        }
        let digest = self.digest_body(session, ctx).await?;
        let (in_force, at) = (Arc::clone(&ctx.in_force), ctx.scope);
        let count = |result| in_force.metrics.idempotency(at, result);
        if answered.digest != digest {
            count("reused");
            ctx.refuse(Reason::IdempotencyKeyReused.into());
            return Ok(false);
        }
        let (header, body) = match self.record(key, answered, ctx.ids.request_id()).await {
            Ok(answer) => answer,
            Err(rejection) => {
                count("unavailable");
                ctx.refuse(rejection);
                return Ok(false);
            }
        };
        count("replayed");
        ctx.count_decision();
        ctx.idempotency = Some("replayed");
        let tasks = vec![
            HttpTask::Header(Box::new(header), body.is_empty()),
            HttpTask::Body(Some(body), true),
        ];
        session.write_response_tasks(tasks).await?;
        Ok(true)
    }

    /// What is kept, as it is answered again.
    async fn record(
        &self,
        key: RecordKey,
        answered: StoredResponse,
        request_id: &str,
    ) -> Result<(ResponseHeader, Bytes), Rejection> {
        let kept = self.store.read(key, answered).await;
        let Some(kept) = kept.map_err(|unavailable| no_store(&unavailable))? else {
            // Its time was up a moment ago; another request may have the key by now.
            return Err(Rejection::from(Reason::IdempotencyInProgress).retry_after(RETRY_AFTER));
        };
        let record = Record::decode(&kept);
        let header = record.as_ref().and_then(|record| replayed(record, request_id));
        match (header, record) {
            (Some(header), Some(record)) => Ok((header, Bytes::from(record.into_body()))),
            _ => Err(no_store(&Unavailable::because(
                "error",
                "what the store has is no answer",
            ))),
        }
    }

    async fn digest_body(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Fingerprint> {
        let mut digest = idempotency::digest(&session.req_header().headers);
        while let Some(part) = self.read_body(session, ctx).await? {
            digest.add(&part);
        }
        Ok(digest.end())
    }

    /// The next part of the body, within the limits.
    async fn read_body(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Option<Bytes>> {
        ctx.moved(&self.limits);
        let part = self
            .body_part(session.as_downstream_mut(), &mut ReusableTimer::default())
            .await?;
        if let Some(part) = &part {
            self.check_body(part.len(), true, ctx)?;
        }
        Ok(part)
    }

    /// Has the request answered by the service, once. The client may go; the answer is kept.
    async fn forward_once(&self, session: &mut Session, held: Held, ctx: &mut RequestContext) -> Result<()> {
        ctx.count_decision();
        let digest = idempotency::digest(&session.req_header().headers);
        let (child, report) = handover::prepare(session, ctx)?;
        let keeper = Keeper::of(held, Arc::clone(&report), ctx.give_presence());
        let (upload, answer) = keeper.start(child, digest);
        if !session.as_downstream_mut().is_body_done()
            && let Some(guard) = local_response::strict_stream_of(session)
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
fn replayed(record: &Record, request_id: &str) -> Option<ResponseHeader> {
    let fields = record.headers()?;
    let mut header = ResponseHeader::build(record.status(), Some(fields.len() + 3)).ok()?;
    for (name, value) in fields {
        header.append_header(name, value).ok()?;
    }
    if !matches!(record.status(), 204 | 304) {
        header.insert_header(CONTENT_LENGTH, record.body_len()).ok()?;
    }
    header.insert_header(REPLAYED, HeaderValue::from_static("true")).ok()?;
    header.insert_header(REQUEST_ID, request_id).ok()?;
    Some(header)
}

/// The refusal of a request of which the store has to tell something, and does not.
pub(super) fn no_store(unavailable: &Unavailable) -> Rejection {
    Rejection::because(Reason::StoreUnavailable, unavailable.cause().to_owned())
}

//! Requests with an idempotency key. The first request with a key is forwarded by a pingora subrequest, so that
//! its response is stored even if the client disconnects, and before the client receives the end of it. A later
//! request with the key gets the stored response.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, Result};

use super::context::RequestContext;
use super::deadline::ReusableTimer;
use super::gateway::Gateway;
use super::local_response;
use crate::admission::idempotency::lease::KeyLease;
use crate::admission::idempotency::{self as stored, StoredKey};
use crate::admission::rejection_response::REQUEST_ID;
use crate::digest::Fingerprint;
use crate::idempotency::{self, Record};

mod recorder;
mod relay;
mod subrequest;

use recorder::ResponseRecorder;

/// Marks a response that was stored.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

impl Gateway {
    /// Responds with the stored response if the body of the request is the same as that of the first one.
    pub(super) async fn replay(
        &self,
        session: &mut ServerSession,
        key: StoredKey,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if session.req_header().headers.contains_key(EXPECT) {
            session.write_continue_response().await.map_err(Error::into_down)?;
        }
        let digest = self.digest_body(session, ctx).await?;
        match stored::replay(&self.admission.store, key, digest, &mut ctx.record).await {
            Ok((fields, response)) => {
                let head = replayed_head(fields, &response, &ctx.record.ids.request_id_value())?;
                local_response::send(session, head, Bytes::from(response.into_body()))
                    .await
                    .map_err(Error::into_down)
            }
            Err(rejection) => self.reject(session, &rejection, ctx).await,
        }
    }

    async fn digest_body(&self, session: &mut ServerSession, ctx: &mut RequestContext) -> Result<Fingerprint> {
        let mut digest = idempotency::digest(&session.req_header().headers);
        while let Some(part) = self.read_body(session, ctx).await? {
            digest.add(&part);
        }
        Ok(digest.end())
    }

    /// Reads the next part of the body, within the limits.
    async fn read_body(&self, session: &mut ServerSession, ctx: &mut RequestContext) -> Result<Option<Bytes>> {
        ctx.touch(&self.limits);
        let part = self.body_part(session, &mut ReusableTimer::default()).await?;
        if let Some(part) = &part {
            self.check_body(part.len(), true, ctx)?;
        }
        Ok(part)
    }

    /// Forwards the first request with its key, and stores the response even if the client disconnects.
    pub(super) async fn forward_once(
        &self,
        session: &mut Session,
        lease: KeyLease,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let digest = idempotency::digest(&session.req_header().headers);
        let (subrequest, report) = subrequest::prepare(session, ctx)?;
        let recorder = ResponseRecorder::new(lease, Arc::clone(&report), ctx.record.take_in_flight());
        let (upload, response) = recorder.start(subrequest, digest);
        if !session.as_downstream_mut().is_body_done()
            && let Some(stream) = local_response::strict_stream_of(session)
        {
            stream.linger();
        }
        relay::Relay {
            gateway: self,
            report,
            upload,
            response,
        }
        .run(session, ctx)
        .await
    }
}

/// Makes the head of a stored response.
fn replayed_head(
    fields: Vec<(HeaderName, HeaderValue)>,
    stored: &Record,
    request_id: &HeaderValue,
) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(stored.status(), Some(fields.len() + 3))?;
    for (name, value) in fields {
        head.append_header(name, value)?;
    }
    if !matches!(stored.status(), 204 | 304) {
        head.insert_header(CONTENT_LENGTH, stored.body_len())?;
    }
    head.insert_header(REPLAYED, HeaderValue::from_static("true"))?;
    head.insert_header(REQUEST_ID, request_id)?;
    Ok(head)
}

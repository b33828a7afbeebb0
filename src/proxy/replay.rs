//! Sends the stored response to a later request with an idempotency key.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::context::RequestContext;
use super::cors;
use super::deadline::ReusableTimer;
use super::gateway::{BodyKind, Gateway};
use super::session::{ClientSession, may_have_body};
use crate::admission::idempotency::{self as stored, StoredKey};
use crate::admission::rejection_response::{REQUEST_ID, is_reason};
use crate::digest::Fingerprint;
use crate::idempotency::{self, Record};

/// Marks a response that was stored.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

impl Gateway {
    /// Responds with the stored response if the body of the request is the same as that of the first one.
    pub(super) async fn replay(
        &self,
        session: &mut ClientSession,
        key: StoredKey,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if session.request().headers.contains_key(EXPECT) {
            session.write_continue().await?;
        }
        let digest = self.digest_body(session, ctx).await?;
        match stored::replay(&self.admission.store, key, digest, &mut ctx.record).await {
            Ok((fields, response)) => {
                let mut head = replayed_head(fields, &response, &ctx.record.ids.request_id_value())?;
                cors::set_fields(&mut head, &ctx.record)?;
                ctx.keep_private(&mut head)?;
                session.respond(head, Bytes::from(response.into_body())).await
            }
            Err(rejection) => self.reject(session, &rejection, ctx).await,
        }
    }

    async fn digest_body(&self, session: &mut ClientSession, ctx: &mut RequestContext) -> Result<Fingerprint> {
        let mut digest = idempotency::digest(&session.request().headers, ctx.record.matched().route());
        let mut pause = ReusableTimer::default();
        while let Some(part) = self.body_part(session, &mut pause, true).await? {
            self.check_body(part.len(), BodyKind::Upload, ctx)?;
            digest.add(&part);
        }
        Ok(digest.end())
    }
}

/// Makes the head of a stored response.
fn replayed_head(
    fields: Vec<(HeaderName, HeaderValue)>,
    stored: &Record,
    request_id: &HeaderValue,
) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build(stored.status(), Some(fields.len() + 3))?;
    for (name, value) in fields.into_iter().filter(|(name, _)| !is_reason(name)) {
        head.append_header(name, value)?;
    }
    if StatusCode::from_u16(stored.status()).is_ok_and(may_have_body) {
        head.insert_header(CONTENT_LENGTH, stored.body_len())?;
    }
    head.insert_header(REPLAYED, HeaderValue::from_static("true"))?;
    head.insert_header(REQUEST_ID, request_id)?;
    Ok(head)
}

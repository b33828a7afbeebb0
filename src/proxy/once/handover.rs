//! Hands a decided request over to one of its own within the engine, which goes on where the first
//! one stopped: it has the permit, and the first one has not any more.

use std::sync::Arc;

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Version};
use parking_lot::Mutex;
use pingora::proxy::Session;
use pingora::proxy::subrequest::{BodyMode, Ctx};
use pingora::{Error, ErrorType, Result};

use super::keeper::Child;
use crate::proxy::context::{Report, RequestContext};
use crate::proxy::facts;
use crate::request::Body;

/// What the second request begins with. The engine shares it between threads, which a context is
/// not made for.
type HandedOver = Mutex<Option<RequestContext>>;

/// Makes the second request, and what it will tell about itself.
pub(super) fn prepare(session: &mut Session, ctx: &mut RequestContext) -> Result<(Child, Arc<Mutex<Report>>)> {
    let Some(spawner) = session.subrequest_spawner.take() else {
        return Error::e_explain(ErrorType::InternalError, "a request that cannot be handed over");
    };
    let report = Arc::<Mutex<Report>>::default();
    frame_as_http1(session)?;
    let handed: HandedOver = Mutex::new(Some(ctx.hand_over(&report)));
    let handed = Box::new(handed);
    let sub = Ctx::builder().body_mode(BodyMode::ExpectBody).user_ctx(handed).build();
    let (prepared, handle) = spawner.create_subrequest(session.as_downstream(), sub);
    Ok((Child { prepared, handle }, report))
}

/// The second request is written as HTTP/1.1 whatever the first one is: with a host, and with the
/// framing of the body.
fn frame_as_http1(session: &mut Session) -> Result<()> {
    if session.req_header().version != Version::HTTP_2 {
        return Ok(());
    }
    let authority = facts::authority(session).map(ToOwned::to_owned);
    let body = facts::body(session);
    let header = session.req_header_mut();
    if let Some(authority) = authority {
        header.insert_header(HOST, authority)?;
    }
    if body == Body::Streamed {
        header.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    header.set_version(Version::HTTP_11);
    Ok(())
}

/// What was handed over to a request, if it is a second one.
pub(in crate::proxy) fn take(session: &Session) -> Option<RequestContext> {
    let sub = session.subrequest_ctx.as_ref()?.user_ctx()?;
    sub.downcast_ref::<HandedOver>()?.lock().take()
}

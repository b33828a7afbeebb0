//! Hands a decided request over to one of its own within the engine, which goes on where the first
//! one stopped: it has the permit, and the first one has not any more.

use std::sync::Arc;

use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Version};
use parking_lot::Mutex;
use pingora::protocols::http::subrequest::server::SubrequestHandle;
use pingora::proxy::subrequest::{BodyMode, Ctx};
use pingora::proxy::{PreparedSubrequest, Session};
use pingora::{Error, ErrorType, Result};

use crate::proxy::context::{Report, RequestContext};
use crate::proxy::facts;
use crate::request::Body;

/// A request of its own that is about to be forwarded.
pub(super) struct Child {
    pub(super) prepared: PreparedSubrequest,
    pub(super) handle: SubrequestHandle,
    /// The permit, and all else that it is forwarded with.
    pub(super) ctx: Box<RequestContext>,
}

/// Makes the second request, and what it will tell about itself.
pub(super) fn prepare(session: &mut Session, ctx: &mut RequestContext) -> Result<(Child, Arc<Mutex<Report>>)> {
    let Some(spawner) = session.subrequest_spawner.take() else {
        return Error::e_explain(ErrorType::InternalError, "a request that cannot be handed over");
    };
    let report = Arc::<Mutex<Report>>::default();
    frame_as_http1(session)?;
    let ctx = Box::new(ctx.hand_over(&report));
    let sub = Ctx::builder().body_mode(BodyMode::ExpectBody).build();
    let (prepared, handle) = spawner.create_subrequest(session.as_downstream(), sub);
    Ok((Child { prepared, handle, ctx }, report))
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

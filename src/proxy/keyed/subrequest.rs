//! Creates the subrequest that forwards a request with an idempotency key. The permit moves from the client's
//! request to the subrequest.

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

/// A subrequest that is about to be forwarded.
pub(super) struct Subrequest {
    pub(super) prepared: PreparedSubrequest,
    pub(super) handle: SubrequestHandle,
    /// Its context, with the permit.
    pub(super) ctx: Box<RequestContext>,
}

/// Creates the subrequest, and the report that it will fill.
pub(super) fn prepare(session: &mut Session, ctx: &mut RequestContext) -> Result<(Subrequest, Arc<Mutex<Report>>)> {
    let Some(spawner) = session.subrequest_spawner.take() else {
        return Error::e_explain(ErrorType::InternalError, "no subrequest can be created");
    };
    let report = Arc::<Mutex<Report>>::default();
    frame_as_http1(session)?;
    let ctx = Box::new(ctx.subrequest(&report));
    let sub = Ctx::builder().body_mode(BodyMode::ExpectBody).build();
    let (prepared, handle) = spawner.create_subrequest(session.as_downstream(), sub);
    Ok((Subrequest { prepared, handle, ctx }, report))
}

/// Turns an HTTP/2 head into one of HTTP/1.1, in which pingora writes a subrequest: adds `Host` and the framing
/// of the body.
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

//! What an error after the decision is to the client, as a [`Rejection`]. Writes no response.

use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};

use crate::rejection::{Reason, Rejection};

/// What an error of the engine means to the client. `None`: the client is gone, or ended its stream.
pub(super) fn failure_of(error: &Error) -> Option<Rejection> {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectProxyFailure, ConnectRefused, ConnectTimedout, ConnectionClosed, H2Error,
        HTTPStatus, ReadError, ReadTimedout, SocketError, TLSHandshakeTimedout, WriteError, WriteTimedout,
    };
    let reason = match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Reason::BodyTooLarge,
        (_, HTTPStatus(502))
        | (ErrorSource::Upstream, ConnectError | ConnectRefused | ConnectNoRoute | ConnectProxyFailure | SocketError) => {
            Reason::UpstreamUnreachable
        }
        (ErrorSource::Upstream, ConnectTimedout | ReadTimedout | WriteTimedout | TLSHandshakeTimedout) => {
            Reason::UpstreamTimeout
        }
        (ErrorSource::Upstream, _) => Reason::UpstreamFailed,
        (ErrorSource::Downstream, ReadTimedout) => Reason::RequestTimeout,
        (ErrorSource::Downstream, WriteError | ReadError | ConnectionClosed | WriteTimedout | H2Error)
        | (ErrorSource::Unset, WriteError) => return None,
        (ErrorSource::Downstream, _) => Reason::RequestMalformed,
        (ErrorSource::Internal | ErrorSource::Unset, _) => Reason::InternalError,
    };
    Some(Rejection::because(reason, error.etype().as_str().to_owned()))
}

/// Over HTTP/2 the engine does not time the body, so the service's silence is the first sign of a
/// client that stopped sending.
pub(super) fn blame_client(session: &mut ServerSession, rejection: Rejection) -> Rejection {
    let http2 = session.is_http2();
    let stalled = rejection.reason() == Reason::UpstreamTimeout && http2;
    match stalled && !session.is_body_done() {
        true => Rejection::because(Reason::RequestTimeout, "the body did not arrive in time"),
        false => rejection,
    }
}

//! Maps an error after the decision to the [`Rejection`] that the client gets. Writes no response.

use futures_util::FutureExt as _;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};

use crate::rejection::{Reason, Rejection};

/// Maps an error of pingora. Returns `None` if the client is gone, or ended its stream.
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

/// Attributes a timeout to the client if it did not send the rest of the body: the upstream is silent as
/// long as it waits for that. If bytes of the body are ready, the upstream does not read, and is at fault.
pub(super) fn reattribute_timeout(session: &mut ServerSession, error: &Error, rejection: Rejection) -> Rejection {
    let service_is_silent = (error.esource(), error.etype()) == (&ErrorSource::Upstream, &ErrorType::ReadTimedout);
    if !service_is_silent || session.was_upgraded() || session.is_body_done() {
        return rejection;
    }
    match session.read_request_body().now_or_never() {
        Some(Ok(Some(_))) => rejection,
        _ => Rejection::because(Reason::RequestTimeout, "the body did not arrive in time"),
    }
}

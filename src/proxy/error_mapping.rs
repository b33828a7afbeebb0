//! Maps an error after the decision to the [`Rejection`] that the client gets. Writes no response.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};

use super::session::ClientSession;
use crate::rejection::{Reason, Rejection};

/// Maps an error of pingora. Returns `None` if the client is gone, or ended its stream.
pub(super) fn failure_of(error: &Error) -> Option<Rejection> {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectProxyFailure, ConnectRefused, ConnectTimedout, ConnectionClosed, H2Error,
        HTTPStatus, ReadError, ReadTimedout, SocketError, TLSHandshakeTimedout, WriteError, WriteTimedout,
    };
    let reason = match (error.esource(), error.etype()) {
        (_, HTTPStatus(413)) => Reason::BodyTooLarge,
        (ErrorSource::Upstream, ConnectError | ConnectRefused | ConnectNoRoute | ConnectProxyFailure | SocketError) => {
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
pub(super) fn reattribute_timeout(session: &mut ClientSession, error: &Error, rejection: Rejection) -> Rejection {
    let service_is_silent = (error.esource(), error.etype()) == (&ErrorSource::Upstream, &ErrorType::ReadTimedout);
    let is_upgraded = session.status() == Some(StatusCode::SWITCHING_PROTOCOLS);
    if !service_is_silent || is_upgraded || session.is_body_done() || session.has_readable_body() {
        return rejection;
    }
    Rejection::because(Reason::RequestTimeout, "the body did not arrive in time")
}

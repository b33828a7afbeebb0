//! Maps an error after the decision to the [`Rejection`] that the client gets. Writes no response.

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType, ImmutStr};

use super::context::TimeoutFields;
use super::session::ClientSession;
use super::upstream::NO_ADDRESS;
use crate::rejection::{Reason, Rejection, shown_within};

/// Explains that an upstream sent a `Content-Length` that is not one length.
pub(super) const INVALID_LENGTH: &str = "sent an invalid `content-length`";

/// The most bytes of an error text from below: certificates have long names.
const MAX_WHY: usize = 256;

/// Maps an error of pingora, with the address of the upstream and what limits it. Returns `None` if the client is gone,
/// or ended its stream.
pub(super) fn failure_of(error: &Error, upstream: Option<&str>, timeouts: TimeoutFields) -> Option<Rejection> {
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
    let cause = match (error.esource(), reason) {
        (ErrorSource::Upstream, _) => upstream_cause(error, upstream.unwrap_or("the upstream"), timeouts),
        (_, Reason::RequestMalformed) => "the body of the request is malformed".to_owned(),
        _ => context(error).unwrap_or("an operation failed").to_owned(),
    };
    Some(Rejection::because(reason, cause))
}

/// Describes how an exchange with an upstream failed.
fn upstream_cause(error: &Error, upstream: &str, timeouts: TimeoutFields) -> String {
    use ErrorType::{
        ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, H2Error, InvalidCert,
        InvalidHTTPHeader, ReadError, ReadTimedout, SocketError, TLSHandshakeFailure, WriteError, WriteTimedout,
    };
    let why = why(error);
    match error.etype() {
        ConnectRefused => format!("connection refused by {upstream}"),
        ConnectNoRoute if context(error) == Some(NO_ADDRESS) => NO_ADDRESS.to_owned(),
        ConnectTimedout => format!("no connection to {upstream} within `upstream.connect_timeout`"),
        ConnectNoRoute | ConnectError | SocketError => format!("connecting to {upstream} failed{why}"),
        TLSHandshakeFailure | InvalidCert => format!("the TLS handshake with {upstream} failed{why}"),
        ReadTimedout => format!("{upstream} sent nothing within {}", timeouts.silence),
        WriteTimedout => format!("{upstream} did not read the request within {}", timeouts.write),
        ConnectionClosed => format!("{upstream} closed the connection before the end of its response"),
        ReadError => format!("reading from {upstream} failed{why}"),
        WriteError => format!("writing to {upstream} failed{why}"),
        InvalidHTTPHeader if context(error) == Some(INVALID_LENGTH) => format!("{upstream} {INVALID_LENGTH}"),
        InvalidHTTPHeader => format!("{upstream} sent a response head that is not HTTP"),
        H2Error => format!("{upstream} ended the HTTP/2 stream or connection{why}"),
        _ => format!("the response of {upstream} is not complete or not valid{why}"),
    }
}

/// Returns the context of an error, unless it may have bytes of a message.
fn context(error: &Error) -> Option<&str> {
    let context = error.context.as_ref().filter(|context| !context.is_owned());
    context.map(ImmutStr::as_str)
}

/// Describes an error for the log, without bytes of a message.
pub(super) fn described(error: &Error) -> String {
    let parts = [
        error.esource().as_str(),
        error.etype().as_str(),
        context(error).unwrap_or_default(),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}{}", parts.join(" "), why(error))
}

/// Returns the error of the operating system or of a library that an error comes from, as `: connection reset`.
fn why(error: &Error) -> String {
    let root = error.root_cause();
    // An error of pingora itself has its own words.
    match root.is::<Error>() {
        true => String::new(),
        false => format!(": {}", shown_within(&root.to_string(), MAX_WHY)),
    }
}

/// Attributes a timeout to the client if it did not send the rest of the body: the upstream is silent as
/// long as it waits for that. If bytes of the body are ready, the upstream does not read, and is at fault.
pub(super) fn reattribute_timeout(session: &mut ClientSession, error: &Error, rejection: Rejection) -> Rejection {
    let service_is_silent = (error.esource(), error.etype()) == (&ErrorSource::Upstream, &ErrorType::ReadTimedout);
    let is_upgraded = session.status() == Some(StatusCode::SWITCHING_PROTOCOLS);
    if !service_is_silent || is_upgraded || session.is_body_done() || session.has_readable_body() {
        return rejection;
    }
    Rejection::because(Reason::RequestTimeout, "the rest of the body did not arrive in time")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn described_error_has_no_bytes_of_a_message() {
        let read = || {
            Error::because(
                ErrorType::InvalidHTTPHeader,
                "buf: GET /hush".to_owned(),
                io::Error::other("not a token"),
            )
        };
        for (error, want) in [
            (read(), "InvalidHTTPHeader: not a token"),
            (read().into_down(), "Downstream InvalidHTTPHeader: not a token"),
            (
                Error::because(ErrorType::ReadError, "while reading", read().into_up()),
                "ReadError while reading: not a token",
            ),
            (
                Error::explain(ErrorType::ConnectionClosed, format!("of {}", "hush")).into_up(),
                "Upstream ConnectionClosed",
            ),
        ] {
            assert_eq!(described(&error), want);
        }
    }

    #[test]
    fn failure_of_an_upstream_names_its_address_in_plain_words() {
        use ErrorType::{
            ConnectError, ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, InvalidHTTPHeader,
            ReadTimedout, TLSHandshakeFailure, WriteTimedout,
        };
        let reset = || Box::new(io::Error::from(io::ErrorKind::ConnectionReset));
        for (error, reason, cause) in [
            (
                Error::new(ConnectRefused),
                "upstream_unreachable",
                "connection refused by 127.0.0.1:1",
            ),
            (
                Error::explain(ConnectNoRoute, NO_ADDRESS),
                "upstream_unreachable",
                "the name of the upstream has no address",
            ),
            (
                Error::because(ConnectError, "x", reset()),
                "upstream_unreachable",
                "connecting to 127.0.0.1:1 failed: connection reset",
            ),
            (
                Error::new(ConnectTimedout),
                "upstream_timeout",
                "no connection to 127.0.0.1:1 within `upstream.connect_timeout`",
            ),
            (
                Error::new(ReadTimedout),
                "upstream_timeout",
                "127.0.0.1:1 sent nothing within `streams.idle_timeout`",
            ),
            (
                Error::new(WriteTimedout),
                "upstream_timeout",
                "127.0.0.1:1 did not read the request within `timeout` of the route",
            ),
            (
                Error::because(TLSHandshakeFailure, "x", "\u{1b}[2J unknown issuer"),
                "upstream_failed",
                "the TLS handshake with 127.0.0.1:1 failed: \\u{1b}[2J unknown issuer",
            ),
            (
                Error::explain(InvalidHTTPHeader, "buf: secret"),
                "upstream_failed",
                "127.0.0.1:1 sent a response head that is not HTTP",
            ),
            (
                Error::new(ConnectionClosed),
                "upstream_failed",
                "127.0.0.1:1 closed the connection before the end of its response",
            ),
        ] {
            let failure = failure_of(&error.into_up(), Some("127.0.0.1:1"), TimeoutFields::ROUTE.of_stream()).unwrap();
            assert_eq!((failure.reason().code(), failure.cause()), (reason, cause));
        }
    }

    #[test]
    fn client_that_is_gone_is_not_a_failure() {
        for kind in [ErrorType::WriteError, ErrorType::ReadError, ErrorType::ConnectionClosed] {
            assert_eq!(
                failure_of(&Error::new(kind).into_down(), None, TimeoutFields::POLICY),
                None
            );
        }
        let slow = Error::explain(ErrorType::ReadTimedout, "the body paused").into_down();
        let slow = failure_of(&slow, None, TimeoutFields::POLICY).unwrap();
        assert_eq!(
            (slow.reason().code(), slow.cause()),
            ("request_timeout", "the body paused")
        );
    }
}

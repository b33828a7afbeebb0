//! The little HTTP that the demo's services share: accept connections, read a bounded body, answer JSON.
//!
//! Nothing here knows what is served, and nothing here logs a header or a body.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The longest body that [`read_body`] accepts, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before accepting again after an error of `accept`, such as a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every handler answers: a response whose body is already complete.
pub type Answer = Response<Full<Bytes>>;

/// A request whose body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// The body is longer than [`MAX_BODY_BYTES`].
    TooLarge,
    /// The connection ended, or broke the protocol, before the body did.
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the body is longer than {MAX_BODY_BYTES} bytes"),
            Self::Broken => f.write_str("the body could not be read to its end"),
        }
    }
}

impl Error for BodyError {}

/// Answers every request that arrives at `listener`, in HTTP/1.1 with keep-alive or in HTTP/2 with prior knowledge.
///
/// Each connection is a task of its own. This never returns; dropping the future closes the listener and ends
/// the connections.
pub async fn serve<H, F>(listener: TcpListener, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, handler.clone()));
                }
                Err(cause) => pause_accepting(&cause).await,
            },
            // Finished connections are collected as they end, so that the set holds only live ones.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers with `value` as JSON.
pub fn json_response<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => json_text_response(status, text),
        Err(_) => json_text_response(StatusCode::INTERNAL_SERVER_ERROR, b"null".to_vec()),
    }
}

/// Reads a whole body of at most [`MAX_BODY_BYTES`].
pub async fn read_body<B>(body: B) -> Result<Bytes, BodyError>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(cause) if cause.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// Reads a body to its end, whatever its length, and keeps its first `limit` bytes.
///
/// A body that breaks off is what came of it until then.
pub async fn read_body_start<B>(body: B, limit: usize) -> Bytes
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut start = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let room = limit.saturating_sub(start.len());
        if let Some(data) = frame.data_ref() {
            start.extend_from_slice(&data.slice(..room.min(data.len())));
        }
    }
    start.freeze()
}

async fn serve_connection<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    if let Err(cause) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(cause, "a demo service's connection ended early");
    }
}

async fn pause_accepting(cause: &std::io::Error) {
    tracing::warn!(%cause, "a demo service could not accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn json_text_response(status: StatusCode, text: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use hyper_util::client::legacy::Client;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn hello_service() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, |request| async move {
            json_response(StatusCode::OK, &request.uri().path())
        }));
        address
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_request() {
        let mut stream = TcpStream::connect(hello_service().await).await.unwrap();
        stream
            .write_all(b"GET /one HTTP/1.1\r\nhost: a\r\n\r\nGET /two HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        assert!(
            answers.contains("\"/one\"") && answers.contains("\"/two\""),
            "{answers}"
        );
    }

    #[tokio::test]
    async fn http2_with_prior_knowledge_is_answered() {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http::<Full<Bytes>>();
        let uri = format!("http://{}/two", hello_service().await).parse().unwrap();
        let response = client.get(uri).await.unwrap();
        assert_eq!(response.version(), hyper::Version::HTTP_2);
        assert_eq!(read_body(response.into_body()).await.unwrap(), "\"/two\"");
    }

    #[tokio::test]
    async fn a_head_has_no_body() {
        let mut stream = TcpStream::connect(hello_service().await).await.unwrap();
        stream
            .write_all(b"HEAD /one HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("content-length: 6\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn dropping_the_server_ends_its_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, |_| async { json_response(StatusCode::OK, &1) }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        server.abort();
        // The kept connection ends, cleanly or not, instead of waiting for ever.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        for (length, outcome) in [
            (0, Ok(0)),
            (MAX_BODY_BYTES, Ok(MAX_BODY_BYTES)),
            (MAX_BODY_BYTES + 1, Err(BodyError::TooLarge)),
        ] {
            let body = Full::new(Bytes::from(vec![b'a'; length]));
            assert_eq!(read_body(body).await.map(|bytes| bytes.len()), outcome, "{length}");
        }
    }

    #[tokio::test]
    async fn the_start_of_a_body_is_kept() {
        for (text, limit, kept) in [("", 4, ""), ("abc", 4, "abc"), ("abcdef", 4, "abcd"), ("abc", 0, "")] {
            assert_eq!(
                read_body_start(Full::new(Bytes::from(text)), limit).await,
                kept,
                "{text} {limit}"
            );
        }
    }
}

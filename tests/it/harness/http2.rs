//! HTTP/2 on both sides of Sidegate: a client with and without TLS, and a service that speaks h2c.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http2::{self, SendRequest},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::{Answer, PATIENCE, Request, runtime, upstream::Recorded};

/// One HTTP/2 connection to Sidegate.
pub(crate) struct Http2 {
    sender: SendRequest<Payload>,
    /// Changes when the connection has ended: hyper can lose a request that is sent at that moment.
    ended: watch::Receiver<()>,
}

/// A body whose length is announced, or not: then an empty frame ends it.
pub(crate) struct Payload {
    body: Full<Bytes>,
    sized: bool,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.sized && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            self.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

impl Http2 {
    pub(crate) fn plain(port: u16) -> Self {
        runtime().block_on(async {
            let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            Self::over(socket).await.unwrap()
        })
    }

    pub(crate) fn tls(port: u16, config: Arc<ClientConfig>) -> io::Result<Self> {
        runtime().block_on(async {
            let socket = TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            Self::over(stream).await.map_err(io::Error::other)
        })
    }

    /// As [`Self::plain`] or, with a configuration, as [`Self::tls`], after bytes that come first.
    pub(crate) fn behind(port: u16, first: &[u8], config: Option<Arc<ClientConfig>>) -> io::Result<Self> {
        runtime().block_on(async {
            let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
            tokio::io::AsyncWriteExt::write_all(&mut socket, first).await?;
            let Some(config) = config else {
                return Self::over(socket).await.map_err(io::Error::other);
            };
            let name = ServerName::try_from("localhost").unwrap();
            let stream = tokio_rustls::TlsConnector::from(config).connect(name, socket).await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            Self::over(stream).await.map_err(io::Error::other)
        })
    }

    async fn over<S>(stream: S) -> hyper::Result<Self>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let (open, ended) = watch::channel(());
        tokio::spawn(async move {
            let _ = connection.await;
            drop(open);
        });
        Ok(Self { sender, ended })
    }

    pub(crate) fn exchange(&self, request: &Request) -> Answer {
        self.try_exchange(request)
            .unwrap_or_else(|error| panic!("{request}: {error:?}"))
    }

    /// As [`Self::exchange`], with a body without an announced length.
    pub(crate) fn exchange_unsized(&self, request: &Request) -> Answer {
        let mut message = message(request);
        message.body_mut().sized = false;
        self.try_message(message)
            .unwrap_or_else(|error| panic!("{request}: {error:?}"))
    }

    /// Whether the head of the response ends the stream, without an empty frame after it.
    pub(crate) fn ends_with_head(&self, request: &Request) -> bool {
        let mut sender = self.sender.clone();
        let message = message(request);
        runtime().block_on(async {
            let exchange = async {
                sender.ready().await?;
                sender.send_request(message).await
            };
            let answer = timeout(PATIENCE, exchange).await.expect("an answer in time").unwrap();
            answer.body().is_end_stream()
        })
    }

    pub(crate) fn try_exchange(&self, request: &Request) -> hyper::Result<Answer> {
        self.try_message(message(request))
    }

    fn try_message(&self, message: http::Request<Payload>) -> hyper::Result<Answer> {
        let (mut sender, mut lost) = (self.sender.clone(), self.sender.clone());
        let mut ended = self.ended.clone();
        runtime().block_on(async {
            let exchange = async {
                sender.ready().await?;
                let (head, body) = sender.send_request(message).await?.into_parts();
                let body = body.collect().await?;
                let trailers = body.trailers().map(pairs).unwrap_or_default();
                let (status, headers) = (head.status.as_u16(), pairs(&head.headers));
                Ok(Answer {
                    status,
                    headers,
                    body: body.to_bytes().to_vec(),
                    trailers,
                })
            };
            let is_lost = async {
                while ended.changed().await.is_ok() {}
                // What the connection has received is on its way to the exchange.
                tokio::time::sleep(Duration::from_secs(1)).await;
                lost.ready().await
            };
            let exchange = async {
                tokio::select! {
                    biased;
                    answer = exchange => answer,
                    Err(error) = is_lost => Err(error),
                }
            };
            timeout(PATIENCE, exchange).await.expect("an answer in time")
        })
    }
}

fn message(request: &Request) -> http::Request<Payload> {
    let mut message = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{}{}", request.host, request.target))
        .header("x-case", &request.case);
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    let body = Full::from(request.body.clone());
    message.body(Payload { body, sized: true }).unwrap()
}

pub(super) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// A service that speaks h2c and ends each response with trailers, as gRPC does. It answers with
/// the body that it got.
pub(crate) struct H2Upstream {
    pub(crate) url: String,
    seen: Seen,
}

impl H2Upstream {
    pub(crate) fn echo() -> Self {
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("h2c://{}", listener.local_addr().unwrap());
        let seen = Seen::default();
        let shared = seen.clone();
        runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = shared.clone();
                let service = service_fn(move |request| answer(request, seen.clone()));
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { url, seen }
    }

    /// What arrived for this `x-case`, and the trailers after it.
    pub(crate) fn seen(&self, case: &str) -> Vec<(Recorded, Vec<(String, String)>)> {
        let of_case = |(each, _): &&(Recorded, _)| each.values("x-case") == [case];
        self.seen.lock().iter().filter(of_case).cloned().collect()
    }
}

type Seen = Arc<Mutex<Vec<(Recorded, Vec<(String, String)>)>>>;

async fn answer(
    request: http::Request<Incoming>,
    seen: Seen,
) -> Result<http::Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().map(pairs).unwrap_or_default();
    let body = body.to_bytes();
    let recorded = Recorded {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        headers: pairs(&head.headers),
        body: body.to_vec(),
    };
    seen.lock().push((recorded, trailers));
    let mut end = HeaderMap::new();
    end.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
    end.insert(
        HeaderName::from_static("grpc-message"),
        HeaderValue::from_static("fine"),
    );
    let answer = http::Response::builder().header("content-type", "application/grpc");
    Ok(answer
        .body(Full::from(body).with_trailers(async { Some(Ok(end)) }))
        .unwrap())
}

//! A tunnel through a proxy (RFC 9110, 9.3.6). The proxy learns the host and port of the server, and nothing of what
//! is sent through the tunnel, which is TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::proxy::Proxy;
use super::stream::{Bounded, MAX_HEAD, Stream, cause};

/// Opens a tunnel to `host:port`, over a connection to the proxy.
pub(super) async fn open(
    proxy: &Proxy,
    socket: Bounded,
    tls: &Arc<ClientConfig>,
    target: &str,
) -> Result<Box<dyn Stream>, String> {
    let failed = |error: &dyn std::error::Error| format!("the proxy {proxy}: {}", cause(error));
    let stream: Box<dyn Stream> = if proxy.tls {
        let name = ServerName::try_from(proxy.host.clone()).map_err(|error| failed(&error))?;
        let tls = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
        Box::new(tls.map_err(|error| failed(&error))?)
    } else {
        Box::new(socket)
    };
    let mut request = Request::connect(target).header(HOST, target);
    if let Some(authorization) = &proxy.authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| failed(&error))?;
    let mut builder = http1::Builder::new();
    let opened = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| failed(&error))?;
    let mut upgraded = std::pin::pin!(async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        if !response.status().is_success() {
            return Err(rejected(proxy, response.status(), target));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(&error))?;
        Ok(Box::new(TokioIo::new(upgraded)) as Box<dyn Stream>)
    });
    tokio::select! {
        biased;
        opened = &mut upgraded => opened,
        // The head of the response that arrived before is still buffered.
        _ = connection.with_upgrades() => upgraded.await,
    }
}

fn rejected(proxy: &Proxy, status: StatusCode, target: &str) -> String {
    let number = status.as_u16();
    match (status, &proxy.authorization) {
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, None) => {
            format!("the proxy {proxy} asks for a user and a password ({number})")
        }
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, Some(_)) => {
            format!("the proxy {proxy} rejected the user and the password ({number})")
        }
        _ => format!("the proxy {proxy} answered {number} to `CONNECT {target}`"),
    }
}

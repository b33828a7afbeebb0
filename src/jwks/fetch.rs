//! Fetches one key set over HTTP, bounded in size and time. Follows no redirect, and sends a
//! bearer token to the server that the policy names and to no other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use rustls::ClientConfig;
use tokio::task::spawn_blocking;

use super::discovery;
use super::timing::{freshness, server_time};
use crate::policy::remote::{KeyPlace, RemoteKeys, check_url, is_protected, same_origin};
use crate::policy::sources::Sources;
use crate::policy::tls_material::CaBundle;
use crate::policy_files::OsSources;
use crate::system_roots;

/// How long one fetch may take, the document of the issuer included.
pub const FETCH_TIME: Duration = Duration::from_secs(5);

/// The longest key set or document, in bytes.
const MAX_BYTES: usize = 256 * 1024;

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// A key set as it came.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What the server sent, now or, if it says that nothing has changed since, before.
    pub json: Bytes,
    /// Whether the server says that nothing has changed.
    pub not_modified: bool,
    /// How long the server says that it is fresh.
    pub freshness: Option<Duration>,
    /// By how many seconds the clock here is ahead of the server's, if the server tells.
    pub clock_ahead: Option<i64>,
    /// When the response came.
    pub at: Timestamp,
}

/// Fetches one source, again and again.
#[derive(Debug)]
pub struct Fetcher {
    remote: RemoteKeys,
    client: Option<HttpClient>,
    document: Option<Cached>,
    set: Option<Cached>,
}

/// The last answer from a URL, if it can be asked for anew.
#[derive(Debug)]
struct Cached {
    uri: Uri,
    etag: HeaderValue,
    body: Bytes,
}

impl Fetcher {
    /// Fetches nothing yet.
    pub fn new(remote: RemoteKeys) -> Self {
        Self {
            remote,
            client: None,
            document: None,
            set: None,
        }
    }

    /// Fetches once, or says what went wrong.
    pub async fn fetch(&mut self) -> Result<Fetched, String> {
        let fetched = tokio::time::timeout(FETCH_TIME, self.all()).await;
        fetched.unwrap_or_else(|_| Err("it took too long".into()))
    }

    /// The last answer was no good: it is not to be had again as one that has not changed.
    pub fn forget(&mut self) {
        self.document = None;
        self.set = None;
    }

    async fn all(&mut self) -> Result<Fetched, String> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => self.client.insert(connect(self.remote.ca.clone()).await?).clone(),
        };
        let uri = check_url(self.remote.url(), self.remote.allow_http)?;
        let token = self.token().await?;
        let uri = match &self.remote.place {
            KeyPlace::Set { .. } => uri,
            KeyPlace::Discovery { issuer, .. } => {
                let token = self.for_server(token.as_ref(), &uri);
                let document = get(&client, &uri, token, &mut self.document).await?;
                discovery::key_set_url(&document.json, issuer, self.remote.allow_http)?
            }
        };
        let token = self.for_server(token.as_ref(), &uri);
        get(&client, &uri, token, &mut self.set).await
    }

    /// The token is for the server that the policy names, and for no other that its answer names.
    fn for_server<'t>(&self, token: Option<&'t HeaderValue>, uri: &Uri) -> Option<&'t HeaderValue> {
        let named = self.remote.url().parse();
        token.filter(|_| is_protected(uri) && named.is_ok_and(|named| same_origin(&named, uri)))
    }

    /// Tokens that Kubernetes projects are replaced before they expire, so it is read each time.
    async fn token(&self) -> Result<Option<HeaderValue>, String> {
        let Some(path) = self.remote.bearer_token_file.clone() else {
            return Ok(None);
        };
        let shown = path.display().to_string();
        let read = spawn_blocking(move || OsSources.file(&path)).await;
        let bytes = read.map_err(|error| error.to_string())?;
        let bytes = bytes.map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
        let no_token = || format!("`{shown}` has no bearer token");
        let text = String::from_utf8(bytes).map_err(|_| no_token())?;
        let text = Some(text.trim()).filter(|text| !text.is_empty()).ok_or_else(no_token)?;
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| no_token())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

async fn get(
    client: &HttpClient,
    uri: &Uri,
    token: Option<&HeaderValue>,
    cached: &mut Option<Cached>,
) -> Result<Fetched, String> {
    let known = cached.as_ref().filter(|known| known.uri == *uri);
    let mut request = Request::get(uri)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("sidegate/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, token);
    }
    if let Some(known) = known {
        request = request.header(IF_NONE_MATCH, &known.etag);
    }
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| cause(&error))?;
    let freshness = freshness(response.headers());
    let at = Timestamp::now();
    let clock_ahead = server_time(response.headers()).map(|time| at.as_second() - time);
    match (response.status(), known) {
        (StatusCode::OK, _) => {
            let etag = response.headers().get(ETAG).cloned();
            let json = read(response).await?;
            *cached = etag.map(|etag| Cached {
                uri: uri.clone(),
                etag,
                body: json.clone(),
            });
            Ok(Fetched {
                json,
                not_modified: false,
                freshness,
                clock_ahead,
                at,
            })
        }
        (StatusCode::NOT_MODIFIED, Some(known)) => Ok(Fetched {
            json: known.body.clone(),
            not_modified: true,
            freshness,
            clock_ahead,
            at,
        }),
        (status, _) => Err(refused(status)),
    }
}

fn refused(status: StatusCode) -> String {
    let redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let why = if redirect { "; redirects are not followed" } else { "" };
    format!("the server answered {}{why}", status.as_u16())
}

async fn read(response: Response<Incoming>) -> Result<Bytes, String> {
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|_| format!("the answer is longer than {} KiB, or was cut off", MAX_BYTES / 1024))
}

/// The innermost cause, which is the one that an operator can act on.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A client that keeps no connection from one fetch to the next: minutes lie between them.
async fn connect(ca: Option<CaBundle>) -> Result<HttpClient, String> {
    let roots = spawn_blocking(move || match ca {
        Some(ca) => ca.roots(),
        None => system_roots::authorities().roots(),
    });
    let roots = roots.await;
    let roots = roots.map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build();
    let mut builder = Client::builder(TokioExecutor::new());
    Ok(builder.pool_max_idle_per_host(0).build(connector))
}

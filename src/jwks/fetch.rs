//! Fetches one key set over HTTP, apart from requests, and bounded in bytes and time. Follows no
//! redirect, and sends a bearer token to the server that the policy names and to no other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use jiff::Timestamp;
use rustls::ClientConfig;
use tokio::task::spawn_blocking;

use super::connection::{Via, Waiting};
use super::proxy::{KeyProxy, Proxy};
use super::timing::{FETCH_TIMEOUT, freshness, server_time};
use super::{apart, connection, discovery};
use crate::document::environment::Environment;
use crate::document::tls_material::CaBundle;
use crate::policy::remote_keys::{KeySource, RemoteKeys, check_url, is_protected, same_origin};
use crate::policy_files::ProcessEnvironment;
use crate::system_roots;

/// A key set as it was received.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The JSON of this response or, if that is `304 Not Modified`, of the last one.
    pub json: Bytes,
    /// Whether the server responded with `304 Not Modified`.
    pub not_modified: bool,
    /// How long the response is fresh, if the server says so.
    pub freshness: Option<Duration>,
    /// By how many seconds Sidegate's clock is ahead of the server's, if the server sends its time.
    pub clock_ahead: Option<i64>,
    /// When the response arrived.
    pub at: Timestamp,
}

/// Fetches one source, again and again.
#[derive(Debug)]
pub struct Fetcher {
    remote: RemoteKeys,
    proxy: KeyProxy,
    known: Known,
}

/// The state between two fetches.
#[derive(Debug, Default)]
struct Known {
    tls: Option<Arc<ClientConfig>>,
    /// What verifies a proxy that speaks TLS.
    proxy_tls: Option<Arc<ClientConfig>>,
    document: Option<Cached>,
    set: Option<Cached>,
    /// The key set that the last discovery document names.
    named: Option<Uri>,
}

/// The last response from a URL, with its validators for a conditional request.
#[derive(Debug)]
struct Cached {
    uri: Uri,
    etag: HeaderValue,
    body: Bytes,
}

impl Fetcher {
    /// Creates a fetcher. It fetches nothing yet.
    pub fn new(remote: RemoteKeys, proxy: KeyProxy) -> Self {
        Self {
            remote,
            proxy,
            known: Known::default(),
        }
    }

    /// Fetches once.
    pub async fn fetch(&mut self) -> Result<Fetched, String> {
        let (remote, mut known) = (self.remote.clone(), std::mem::take(&mut self.known));
        let proxy = self.proxy.clone();
        let waiting = Arc::<Waiting>::default();
        let during = Arc::clone(&waiting);
        let fetch = async move {
            let fetched = known.fetch(&remote, &proxy, &during).await;
            (known, fetched)
        };
        let ended = apart::run(fetch, FETCH_TIMEOUT).await;
        let (known, fetched) = ended.map_err(|error| match waiting.get() {
            Some(what) => format!("{error}: {what}"),
            None => error,
        })?;
        self.known = known;
        fetched
    }

    /// Returns the URL of the key set that the last discovery document names.
    pub fn named(&self) -> Option<String> {
        self.known.named.as_ref().map(Uri::to_string)
    }

    /// Forgets the last response, which was not usable, so that the next one is fetched whole.
    pub fn forget(&mut self) {
        self.known.document = None;
        self.known.set = None;
    }
}

impl Known {
    async fn fetch(
        &mut self,
        remote: &RemoteKeys,
        proxy: &KeyProxy,
        waiting: &Arc<Waiting>,
    ) -> Result<Fetched, String> {
        let tls = match &self.tls {
            Some(tls) => Arc::clone(tls),
            None => Arc::clone(self.tls.insert(tls_config(remote.ca.clone()).await?)),
        };
        let uri = check_url(remote.url(), remote.allow_http).map_err(|fault| fault.to_string())?;
        let token = token(remote).await?;
        let uri = match &remote.source {
            KeySource::Set { .. } => uri,
            KeySource::Discovery { issuer, .. } => {
                let token = for_server(remote, token.as_ref(), &uri);
                let via = self.via(proxy.of(&uri), &tls, waiting).await?;
                let document = get((&tls, via), &uri, token, &mut self.document).await?;
                let named = discovery::key_set_url(&document.json, issuer, remote.allow_http)?;
                self.named.insert(named).clone()
            }
        };
        let token = for_server(remote, token.as_ref(), &uri);
        let via = self.via(proxy.of(&uri), &tls, waiting).await?;
        get((&tls, via), &uri, token, &mut self.set).await
    }

    /// Prepares the way through a proxy, whose own certificate the CAs of the system verify.
    async fn via<'p>(
        &mut self,
        proxy: Option<&'p Proxy>,
        tls: &Arc<ClientConfig>,
        waiting: &Arc<Waiting>,
    ) -> Result<Option<Via<'p>>, String> {
        let Some(proxy) = proxy else { return Ok(None) };
        let tls = match (&self.proxy_tls, proxy.tls) {
            // It is not used.
            (_, false) => Arc::clone(tls),
            (Some(known), true) => Arc::clone(known),
            (None, true) => Arc::clone(self.proxy_tls.insert(tls_config(None).await?)),
        };
        let waiting = Arc::clone(waiting);
        Ok(Some(Via { proxy, tls, waiting }))
    }
}

/// Returns the token if the URL is on the server that the policy names. A discovery document may name another
/// server, which must not receive it.
fn for_server<'t>(remote: &RemoteKeys, token: Option<&'t HeaderValue>, uri: &Uri) -> Option<&'t HeaderValue> {
    let named = remote.url().parse();
    token.filter(|_| is_protected(uri) && named.is_ok_and(|named| same_origin(&named, uri)))
}

/// Reads the bearer token. Kubernetes replaces a projected token before it expires, so it is read each time.
async fn token(remote: &RemoteKeys) -> Result<Option<HeaderValue>, String> {
    let Some(path) = remote.bearer_token_file.clone() else {
        return Ok(None);
    };
    let shown = path.display().to_string();
    let read = spawn_blocking(move || ProcessEnvironment.file(&path)).await;
    let bytes = read.map_err(|error| error.to_string())?;
    let bytes = bytes.map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
    let no_token = || format!("`{shown}` has no bearer token");
    let text = String::from_utf8(bytes).map_err(|_| no_token())?;
    let text = Some(text.trim()).filter(|text| !text.is_empty()).ok_or_else(no_token)?;
    let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| no_token())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn get(
    (tls, via): (&Arc<ClientConfig>, Option<Via<'_>>),
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
    let response = connection::send(request, tls, via.as_ref()).await?;
    let freshness = freshness(response.headers());
    let at = Timestamp::now();
    let clock_ahead = server_time(response.headers()).map(|time| at.as_second() - time);
    match (response.status(), known) {
        (StatusCode::OK, _) => {
            let etag = response.headers().get(ETAG).cloned();
            let json = response.into_body();
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
        (status, _) => Err(unexpected_status(status)),
    }
}

fn unexpected_status(status: StatusCode) -> String {
    let redirect = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let why = if redirect { "; redirects are not followed" } else { "" };
    format!("the server answered {}{why}", status.as_u16())
}

/// Makes the TLS configuration, with the CAs of the policy or with those of the system.
async fn tls_config(ca: Option<CaBundle>) -> Result<Arc<ClientConfig>, String> {
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
    Ok(Arc::new(config))
}

//! Fetches key sets in the background. A request never waits for a fetch, except for the very
//! first one of its issuer, within a bound.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::Algorithm;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::keys::{KeyRing, jwk};
use crate::policy::{PolicySet, RemoteKeys};
use crate::telemetry::metrics::Metrics;

/// How long one fetch may take, and so how long a request waits for the first.
const FETCH_TIME: Duration = Duration::from_secs(5);

/// The longest key set, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// The pause after a failed fetch: doubled each time, up to the refresh period.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Why a key set could not be had.
#[derive(Debug, Clone)]
pub enum FetchError {
    /// There was no answer that is a key set.
    Unreachable(String),
    /// There was, and it has no key for the issuer.
    NoKeys,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::NoKeys => f.write_str("the set has no key for the algorithms of the issuer"),
        }
    }
}

impl std::error::Error for FetchError {}

/// One URL, fetched once for all issuers that name it.
#[derive(Debug, Clone)]
pub struct Fetch {
    remote: RemoteKeys,
    issuers: Vec<Subscriber>,
}

/// One issuer that takes its keys from a URL.
#[derive(Debug, Clone)]
struct Subscriber {
    label: String,
    algorithms: Vec<Algorithm>,
    ring: Arc<KeyRing>,
}

/// All URLs that some policies take keys from.
pub fn fetches(policies: &PolicySet) -> Vec<Fetch> {
    let mut by_url: HashMap<(String, Option<Vec<u8>>), Fetch> = HashMap::new();
    for issuer in policies.policies().iter().flat_map(|policy| &policy.issuers) {
        let Some(remote) = &issuer.remote else { continue };
        let fetch = by_url
            .entry((remote.url.clone(), remote.ca.clone()))
            .or_insert_with(|| Fetch {
                remote: remote.clone(),
                issuers: Vec::new(),
            });
        fetch.remote.refresh = fetch.remote.refresh.min(remote.refresh);
        fetch.remote.max_stale = fetch.remote.max_stale.min(remote.max_stale);
        fetch.issuers.push(Subscriber {
            label: issuer.label().to_owned(),
            algorithms: issuer.algorithms.clone(),
            ring: Arc::clone(&issuer.keys),
        });
    }
    by_url.into_values().collect()
}

impl Fetch {
    /// Fetches once and puts the keys in force, for each issuer that finds some. Says what went
    /// wrong for which issuer.
    pub async fn once(&self) -> Vec<(&str, Result<(), FetchError>)> {
        let fetched = tokio::time::timeout(FETCH_TIME, get(&self.remote)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(FetchError::Unreachable("it took too long".into())));
        let took = |issuer: &Subscriber| match &fetched {
            Ok(json) => issuer.take(json),
            Err(error) => Err(error.clone()),
        };
        self.issuers
            .iter()
            .map(|issuer| (issuer.label.as_str(), took(issuer)))
            .collect()
    }

    /// Fetches for as long as it runs. Tells when the first attempt is over, well or not.
    async fn run(self, metrics: Metrics, settled: watch::Sender<usize>) {
        let mut pause = FIRST_PAUSE;
        let mut first = true;
        let mut fresh = Instant::now();
        loop {
            let asked = Instant::now();
            let results = self.once().await;
            // An answer without keys is an answer, too.
            if results
                .iter()
                .all(|(_, result)| !matches!(result, Err(FetchError::Unreachable(_))))
            {
                fresh = asked;
            }
            let now = jiff::Timestamp::now();
            for (issuer, result) in &results {
                metrics.jwks_refresh(issuer, result.is_ok(), now);
                if let Err(error) = result {
                    tracing::warn!(url = self.remote.url, issuer, %error, "a key set cannot be had");
                }
            }
            if std::mem::take(&mut first) {
                settled.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
            }
            let fine = results.iter().all(|(_, result)| result.is_ok());
            let next = Instant::now() + if fine { self.remote.refresh } else { pause };
            let stale = fresh + self.remote.max_stale;
            if !fine && stale < next {
                tokio::time::sleep_until(stale).await;
                self.withdraw();
            }
            tokio::time::sleep_until(next).await;
            pause = if fine {
                FIRST_PAUSE
            } else {
                (pause * 2).min(self.remote.refresh)
            };
        }
    }

    /// The keys are too old to be trusted.
    fn withdraw(&self) {
        for issuer in &self.issuers {
            if issuer.ring.load().is_some() {
                tracing::warn!(
                    url = self.remote.url,
                    issuer = issuer.label,
                    "the keys are too old, and no longer used"
                );
                issuer.ring.clear();
            }
        }
    }
}

impl Subscriber {
    /// Puts the keys of a set in force that this issuer can use. A set without any is in force,
    /// too: its server withdrew the keys.
    fn take(&self, json: &[u8]) -> Result<(), FetchError> {
        let loaded = jwk::parse(json, &self.algorithms, jwk::Secrets::Refuse)
            .map_err(|problem| FetchError::Unreachable(problem.to_string()))?;
        for problem in &loaded.refused {
            tracing::warn!(issuer = self.label, %problem, "a key is not used");
        }
        if loaded.set.is_empty() {
            self.ring.clear();
            return Err(FetchError::NoKeys);
        }
        self.ring.replace(loaded.set);
        Ok(())
    }
}

/// Waits for first key sets.
#[derive(Debug, Clone)]
pub struct KeyWaiter(watch::Receiver<usize>);

impl KeyWaiter {
    /// Starts all fetches.
    pub fn start(fetches: Vec<Fetch>, metrics: &Metrics) -> Self {
        let (settled, waiter) = watch::channel(fetches.len());
        for fetch in fetches {
            tokio::spawn(fetch.run(metrics.clone(), settled.clone()));
        }
        Self(waiter)
    }

    /// Listens for first key sets, on behalf of one request.
    pub fn listen(&self) -> FirstKeys {
        FirstKeys {
            waiting: self.0.clone(),
            deadline: Instant::now() + FETCH_TIME,
            asked: false,
        }
    }
}

/// One request's wait for a first key set.
#[derive(Debug)]
pub struct FirstKeys {
    waiting: watch::Receiver<usize>,
    deadline: Instant,
    asked: bool,
}

impl FirstKeys {
    /// Waits until another first attempt is over. Says whether it is worth looking at the keys
    /// again.
    pub async fn next(&mut self) -> bool {
        if *self.waiting.borrow_and_update() == 0 {
            // The last attempt may have been over just before this request began to listen.
            return !std::mem::replace(&mut self.asked, true);
        }
        let changed = tokio::time::timeout_at(self.deadline, self.waiting.changed()).await;
        matches!(changed, Ok(Ok(())))
    }
}

async fn get(remote: &RemoteKeys) -> Result<Bytes, FetchError> {
    let request = Request::get(&remote.url)
        .header(http::header::ACCEPT, "application/jwk-set+json, application/json")
        .header(
            http::header::USER_AGENT,
            concat!("sidegate/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Unreachable("the URL is not one".into()))?;
    let response = client(remote.ca.as_deref())?
        .request(request)
        .await
        .map_err(|error| FetchError::Unreachable(cause(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Unreachable(format!(
            "the server answered {}",
            response.status().as_u16()
        )));
    }
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| {
        FetchError::Unreachable(format!(
            "the set is longer than {} KiB, or was cut off",
            MAX_BYTES / 1024
        ))
    })
}

/// The innermost cause, which is the one that an operator can act on.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn client(ca: Option<&[u8]>) -> Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, FetchError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Unreachable(error.to_string()))?;
    let config = builder.with_root_certificates(roots(ca)).with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn roots(ca: Option<&[u8]>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<CertificateDer<'static>> = match ca {
        Some(pem) => CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect(),
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    roots
}

//! The program's own connection handling and engine in this process, with the service behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sidegate::admission::client_limit::{ClientConnections, ClientCounts};
use sidegate::admission::concurrency_limit::ConcurrencyLimit;
use sidegate::app;
use sidegate::config::{Overrides, ServerConfig};
use sidegate::decision::Evaluator;
use sidegate::jwks::proxy::KeyProxy;
use sidegate::proxy::connection_limit::{ConnectionLimit, ConnectionTracker};
use sidegate::proxy::policy_snapshot::PolicyHandle;
use sidegate::proxy::server::Server;
use sidegate::proxy::server::listener::Listener;
use sidegate::store::Store;
use sidegate::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::setup;
use crate::upstream::{Manner, Record, Upstream};

/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is in flight between client and gateway, in bytes.
const BUFFER: usize = 64 * 1024;

/// How the client sends.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'i> {
    /// All that it sends.
    pub bytes: &'i [u8],
    /// Where it pauses, in bytes.
    pub pause_at: usize,
    /// How the service behaves.
    pub manner: Manner,
}

/// What came of one connection.
#[derive(Debug)]
pub struct Round {
    /// What the service saw.
    pub record: Record,
    /// How often the gateway says that it forwarded for a service and a route, since it was asked last.
    pub forwarded: BTreeMap<(String, String), u64>,
    /// What the client read.
    pub answers: Vec<u8>,
}

/// A gateway with its service.
#[derive(Debug)]
pub struct Gateway {
    runtime: Runtime,
    upstream: Upstream,
    server: Arc<Server>,
    metrics: Metrics,
    counted: BTreeMap<(String, String), u64>,
    rounds: u64,
    /// The policies in force.
    pub evaluator: Evaluator,
    _stop: watch::Sender<bool>,
    stopping: watch::Receiver<bool>,
}

impl Gateway {
    /// Starts both.
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let metrics = Metrics::new().unwrap();
        let (upstream, policies, server) = runtime.block_on(async {
            let upstream = Upstream::start().unwrap();
            let policies = setup::policies(&upstream.url());
            let mut config = ServerConfig::without_file(&Overrides::default()).unwrap();
            config.log.access = false;
            let limits = config.limits;
            let connections = Arc::new(ConnectionTracker::new(&metrics));
            let clients = Arc::<ClientCounts>::default();
            let of_client = ClientConnections::new(limits.connections, &clients, &metrics);
            let slots = ConnectionLimit::new("fuzz", (limits.connections, of_client), &connections, &metrics);
            let in_force = PolicyHandle::new(Arc::clone(&policies), KeyProxy::default(), &metrics)
                .await
                .unwrap();
            let store = Store::memory(&metrics);
            let gateway = app::gateway(
                &config,
                (&in_force, &store),
                &metrics,
                (&ConcurrencyLimit::new(limits.requests), &clients),
            );
            let state = app::server_states(&gateway, 1).remove(0);
            let listener = Arc::new(Listener::new(slots, None, &metrics));
            (upstream, policies, Arc::new(Server::new(state, listener)))
        });
        let (stop, stopping) = watch::channel(false);
        Self {
            runtime,
            upstream,
            server,
            metrics,
            counted: BTreeMap::new(),
            rounds: 0,
            evaluator: Evaluator::new(policies),
            _stop: stop,
            stopping,
        }
    }

    /// How many connections were served.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Serves one connection to its end.
    pub fn serve(&mut self, sending: Sending<'_>) -> Round {
        self.rounds += 1;
        let (record, answers) = self.runtime.block_on(async {
            self.upstream.begin(sending.manner);
            let (client, stream) = duplex(BUFFER);
            let app = Arc::clone(&self.server);
            let stopping = self.stopping.clone();
            let served = tokio::spawn(async move { app.serve_stream(Box::new(stream), &stopping).await });
            let talk = async {
                let answers = talk(client, sending).await;
                let _ = served.await;
                while self.metrics.in_flight() > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                answers
            };
            let answers = tokio::time::timeout(PATIENCE, talk).await;
            let answers = answers.expect("the connection does not end");
            (self.upstream.end().await.unwrap(), answers)
        });
        // Asking takes longer than serving, and most connections lead nowhere.
        let forwarded = match record.requests.is_empty() {
            true => BTreeMap::new(),
            false => self.newly_forwarded(),
        };
        Round {
            record,
            forwarded,
            answers,
        }
    }

    fn newly_forwarded(&mut self) -> BTreeMap<(String, String), u64> {
        let (_, page) = self.metrics.page().unwrap();
        let total = forwarded(&String::from_utf8_lossy(&page));
        let before = std::mem::replace(&mut self.counted, total.clone());
        let news = total.into_iter().map(|(key, count)| {
            let count = count - before.get(&key).copied().unwrap_or_default();
            (key, count)
        });
        news.filter(|(_, count)| *count > 0).collect()
    }
}

/// Sends, closes its half, and reads to the end.
async fn talk(client: DuplexStream, sending: Sending<'_>) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(client);
    let (first, second) = sending.bytes.split_at(sending.pause_at.min(sending.bytes.len()));
    let write = async {
        let _ = writer.write_all(first).await;
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let _ = writer.write_all(second).await;
        let _ = writer.shutdown().await;
    };
    let mut answers = Vec::new();
    let ((), _) = tokio::join!(write, reader.read_to_end(&mut answers));
    answers
}

/// How often requests were forwarded, by service and route, on the metrics page.
fn forwarded(page: &str) -> BTreeMap<(String, String), u64> {
    let mut counts = BTreeMap::new();
    for line in page
        .lines()
        .filter(|line| line.starts_with("sidegate_decisions_total{"))
    {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let decision = label("decision").unwrap_or_default();
        let count = line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
        if let (Some(service), Some(route), Some(count), true) =
            (label("service"), label("route"), count, decision != "deny")
        {
            *counts.entry((service, route)).or_default() += count;
        }
    }
    counts
}

//! What Prometheus scrapes. Label values come from policies and closed sets, never from clients.

use prometheus::{Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder};

mod certificates;
mod connections;
mod gauge_value;
mod handshakes;
mod keys;
mod label_cache;
#[cfg(target_os = "linux")]
mod process;
mod proxy_headers;
mod registry;
mod request_vectors;
mod requests;
mod store;
mod store_features;
mod sum;
mod threads;

pub use certificates::CertificateEnds;
pub use connections::ClientLimit;
pub use handshakes::HandshakeFailure;
pub use keys::{KeyMetrics, KeyRefresh, KeysInForce};
pub use proxy_headers::ProxyHeaderFailure;
pub use registry::MetricFamily;
pub use requests::PolicyMetrics;
pub use store::{MemoryUsage, StoreMetrics};
pub use store_features::StoreFeatureMetrics;
pub use threads::ThreadMetrics;

use super::log_writer::LostLines;
use certificates::CertificateMetrics;
use connections::ConnectionMetrics;
use gauge_value::seconds;
use registry::{Registry, register};
use request_vectors::RequestVectors;
use sum::register_sum;
use threads::{Threads, TokenLookups};

/// The label of a request that no policy or route takes.
pub const NONE: &str = "none";

/// All metrics of a process.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: prometheus::Registry,
    threads: Threads,
    connections: ConnectionMetrics,
    jwks: KeyMetrics,
    policy_reloads: IntCounterVec,
    policy_last_success: Gauge,
    policy_last_successful: IntGauge,
    policy_info: GaugeVec,
    certificates: CertificateMetrics,
    certificate_reloads: IntCounterVec,
    certificate_last_successful: GaugeVec,
    store: StoreMetrics,
}

impl Metrics {
    /// Registers everything, for a process with one serving thread.
    pub fn new() -> Result<Self, prometheus::Error> {
        Self::for_threads(1)
    }

    /// Registers everything, for a process with so many serving threads: each has its own [`ThreadMetrics`].
    pub fn for_threads(threads: usize) -> Result<Self, prometheus::Error> {
        Self::register(&Registry::default(), threads)
    }

    /// Returns every metric as the documentation describes it, in the order of its table.
    pub fn families() -> Result<Vec<MetricFamily>, prometheus::Error> {
        let registry = Registry::describing();
        Self::register(&registry, 1)?;
        Ok(registry.families())
    }

    fn register(registry: &Registry, threads: usize) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge =
            |name: &str, help: &str, labels: &[&str]| register(registry, GaugeVec::new(Opts::new(name, help), labels)?);
        let single = |name: &str, help: &str| register(registry, Gauge::new(name, help)?);
        let integer = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        let threads = Threads::new(threads)?;
        RequestVectors::register(registry, &threads.each(|thread| &thread.requests))?;
        register_sum(registry, &threads.each(|thread| &thread.in_flight), |gauge| gauge)?;
        let connections = ConnectionMetrics::new(registry)?;
        TokenLookups::register(registry, &threads.each(|thread| &thread.token_lookups))?;
        let metrics = Self {
            connections,
            jwks: KeyMetrics::new(registry)?,
            policy_reloads: counter(
                "sidegate_policy_reloads_total",
                "Times that Sidegate read changed policies, the start included: `success` or `failure`.",
                &["result"],
            )?,
            policy_last_success: single(
                "sidegate_policy_last_reload_success_timestamp_seconds",
                "When Sidegate read the policies in force.",
            )?,
            policy_last_successful: integer(
                "sidegate_policy_last_reload_successful",
                "1 if the policies in force are those of the files, 0 if Sidegate rejected the changed files.",
            )?,
            policy_info: gauge(
                "sidegate_policy_info",
                "1, with the hash of the policies in force. Replicas with the same policies have the same hash.",
                &["hash"],
            )?,
            certificates: CertificateMetrics::new(registry)?,
            certificate_reloads: counter(
                "sidegate_certificate_reloads_total",
                "Times that Sidegate read the files of a TLS listener, the start included: `success` or `failure`.",
                &["listener", "result"],
            )?,
            certificate_last_successful: gauge(
                "sidegate_certificate_last_reload_successful",
                "1 if the certificates in force are those of the files, 0 if Sidegate rejected the changed files.",
                &["listener"],
            )?,
            store: StoreMetrics::new(registry)?,
            threads,
            registry: registry.metrics(),
        };
        let store_features = metrics.threads.each(|thread| &thread.store_features);
        StoreFeatureMetrics::register(registry, &store_features)?;
        register_constants(registry)?;
        // Alerts see the first failure only if there was a number before it.
        metrics.policy_reloads.with_label_values(&["failure"]);
        Ok(metrics)
    }

    /// The page that is scraped, and its content type.
    pub fn page(&self) -> Result<(String, Vec<u8>), prometheus::Error> {
        let encoder = TextEncoder::new();
        let mut page = Vec::new();
        encoder.encode(&self.registry.gather(), &mut page)?;
        Ok((encoder.format_type().to_owned(), page))
    }

    /// What the requests of one thread count. A thread beyond the last one counts with the first.
    pub fn of_thread(&self, index: usize) -> &ThreadMetrics {
        self.threads.get(index)
    }

    /// What the requests of each serving thread count.
    pub fn threads(&self) -> impl Iterator<Item = &ThreadMetrics> {
        self.threads.iter()
    }

    /// The number of requests that are not yet answered, of all threads.
    pub fn in_flight(&self) -> i64 {
        self.threads.iter().map(|thread| thread.in_flight.get()).sum()
    }

    /// The number of open client connections.
    pub fn connections(&self) -> &IntGauge {
        self.connections.open()
    }

    /// Counts the connections that a listener rejected.
    pub fn connections_refused(&self, listener: &str) -> IntCounter {
        self.connections.refused(listener)
    }

    /// Counts the TLS handshakes of a listener that failed, by their reasons, all of them from the start.
    pub fn tls_handshake_failures(&self, listener: &str) -> [IntCounter; HandshakeFailure::ALL.len()] {
        self.connections.tls_handshake_failures(listener)
    }

    /// Counts the connections of a listener that it closed without a valid PROXY header, by their reasons, all of them
    /// from the start.
    pub fn proxy_header_failures(&self, listener: &str) -> [IntCounter; ProxyHeaderFailure::ALL.len()] {
        self.connections.proxy_header_failures(listener)
    }

    /// Counts the connections and requests that were rejected because their client had its share.
    pub fn client_limit_refused(&self, limit: ClientLimit) -> IntCounter {
        self.connections.client_limit_refused(limit)
    }

    /// Notes how many requests may be with services at a time.
    pub fn requests_limit(&self, most: usize) {
        self.connections.requests_limit(most);
    }

    /// Notes how many connections a listener takes at a time.
    pub fn connections_limit(&self, listener: &str, most: usize) {
        self.connections.limit(listener, most);
    }

    /// What is counted of keys that are fetched.
    pub fn jwks(&self) -> &KeyMetrics {
        &self.jwks
    }

    /// Notes that policies came into force, and which ones they replace.
    pub fn policies_in_force(&self, hash: &str, before: Option<&str>, now: jiff::Timestamp) {
        self.policy_last_success.set(seconds(now.as_second()));
        self.policy_last_successful.set(1);
        self.policy_info.with_label_values(&[hash]).set(1.0);
        if let Some(before) = before.filter(|before| *before != hash) {
            let _ = self.policy_info.remove_label_values(&[before]);
        }
        self.policy_reloads.with_label_values(&["success"]).inc();
    }

    /// Counts changed files that did not come into force.
    pub fn policies_refused(&self) {
        self.policy_last_successful.set(0);
        self.policy_reloads.with_label_values(&["failure"]).inc();
    }

    /// Counts a time that the certificates of a listener were read.
    pub fn certificates_read(&self, listener: &str, success: bool) {
        // Both exist from the start, so that the first failure is an increase.
        let [good, bad] =
            ["success", "failure"].map(|result| self.certificate_reloads.with_label_values(&[listener, result]));
        let last = self.certificate_last_successful.with_label_values(&[listener]);
        last.set(f64::from(u8::from(success)));
        let counter = if success { good } else { bad };
        counter.inc();
    }

    /// What the first thread counts of shared state. What is shown from the start is shown there.
    pub fn store_features(&self) -> &StoreFeatureMetrics {
        &self.threads.get(0).store_features
    }

    /// What is counted of the store.
    pub fn store(&self) -> &StoreMetrics {
        &self.store
    }

    /// Notes when what a listener proves and believes with comes to its end.
    pub fn certificates_end(&self, listener: &str, ends: CertificateEnds) {
        self.certificates.end(listener, ends);
    }
}

/// What does not change while the process runs, and what other parts of the process count.
fn register_constants(registry: &Registry) -> Result<(), prometheus::Error> {
    let lost = match super::process_log::log() {
        Some((lines, _)) => lines.lost().clone(),
        None => LostLines::new()?,
    };
    registry.register(lost.dropped)?;
    registry.register(lost.unwritten)?;
    let version = env!("CARGO_PKG_VERSION");
    let options = Opts::new("sidegate_build_info", "1, with the version that runs.").const_label("version", version);
    register(registry, Gauge::with_opts(options)?)?.set(1.0);
    #[cfg(target_os = "linux")]
    registry.register(process::Process::new()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_has_what_was_counted() {
        let metrics = Metrics::new().unwrap();
        let mut keys = KeysInForce::default();
        for (count, at) in [(3, 0), (2, 60)] {
            let at = jiff::Timestamp::from_second(at).unwrap();
            keys.worsen(Some(count), Some((at, at + Duration::from_hours(1))));
        }
        keys.worsen(None, None);
        metrics.jwks().show([("i".to_owned(), keys)].into());
        metrics.jwks().refreshed("i", KeyRefresh::Success);
        metrics.requests_limit(7);
        metrics.connections_limit("l", 9);
        let page = page(&metrics);
        for line in [
            r#"sidegate_jwks_refreshes_total{issuer="i",result="success"} 1"#,
            r#"sidegate_jwks_keys{issuer="i"} 2"#,
            r#"sidegate_jwks_last_success_timestamp_seconds{issuer="i"} 0"#,
            r#"sidegate_jwks_expiry_timestamp_seconds{issuer="i"} 3600"#,
            "sidegate_requests_in_flight 0",
            "sidegate_requests_limit 7",
            r#"sidegate_connections_limit{listener="l"} 9"#,
            "process_resident_memory_bytes",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
        metrics.jwks().show([].into());
        assert!(!self::page(&metrics).contains("expiry_timestamp_seconds{issuer"));
    }

    #[test]
    fn a_failed_reload_shows_until_one_goes_well() {
        let metrics = Metrics::new().unwrap();
        let reads = [true, false, true];
        for (read, good) in reads.into_iter().enumerate() {
            metrics.certificates_read("l", good);
            match good {
                true => metrics.policies_in_force("h", None, jiff::Timestamp::UNIX_EPOCH),
                false => metrics.policies_refused(),
            }
            let (page, good) = (page(&metrics), u8::from(good));
            for line in [
                format!("sidegate_policy_last_reload_successful {good}"),
                format!(r#"sidegate_certificate_last_reload_successful{{listener="l"}} {good}"#),
            ] {
                assert!(page.contains(&line), "read {read}: {line} in {page}");
            }
        }
    }

    fn page(metrics: &Metrics) -> String {
        String::from_utf8(metrics.page().unwrap().1).unwrap()
    }
}

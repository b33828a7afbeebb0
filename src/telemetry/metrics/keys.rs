//! Metrics of key sets that are fetched.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounterVec, Opts};

use super::gauge_value::{number, seconds};
use super::registry::{Registry, register};

/// Counters and gauges of issuers' keys.
#[derive(Debug, Clone)]
pub struct KeyMetrics {
    refreshes: IntCounterVec,
    last_success: GaugeVec,
    expiry: GaugeVec,
    keys: GaugeVec,
    /// What the gauges show, by issuer.
    shown: Arc<Mutex<BTreeMap<String, KeysInForce>>>,
}

/// The keys of one issuer; of several key sets, the worst. `None` shows no gauge.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeysInForce {
    count: Option<f64>,
    last_success: Option<f64>,
    expiry: Option<f64>,
}

impl KeysInForce {
    /// Takes in another key set: the number of its keys, when it was last fetched and until when it serves.
    pub fn worsen(&mut self, count: Option<usize>, fetched: Option<(Timestamp, Timestamp)>) {
        let second = |at: Timestamp| seconds(at.as_second());
        for (known, other) in [
            (&mut self.count, count.map(number)),
            (&mut self.last_success, fetched.map(|(at, _)| second(at))),
            (&mut self.expiry, fetched.map(|(_, until)| second(until))),
        ] {
            *known = [*known, other].into_iter().flatten().reduce(f64::min);
        }
    }
}

impl KeyMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| register(registry, GaugeVec::new(Opts::new(name, help), &["issuer"])?);
        let refreshes = Opts::new(
            "sidegate_jwks_refreshes_total",
            "Fetches of key sets: `success`, `not_modified` or `failure`. An issuer that is not checked has the URL of its key set as label, without the values of its query.",
        );
        Ok(Self {
            refreshes: register(registry, IntCounterVec::new(refreshes, &["issuer", "result"])?)?,
            last_success: gauge(
                "sidegate_jwks_last_success_timestamp_seconds",
                "When Sidegate last fetched the key set with success. Of several key sets of one issuer, this gauge and the next two show the worst.",
            )?,
            expiry: gauge(
                "sidegate_jwks_expiry_timestamp_seconds",
                "Until when the keys are valid without another fetch: `max_stale`.",
            )?,
            keys: gauge("sidegate_jwks_keys", "Keys of a fetched set that are in force.")?,
            shown: Arc::default(),
        })
    }

    /// Counts a fetch of an issuer's key set.
    pub fn refreshed(&self, issuer: &str, result: KeyRefresh) {
        self.refreshes.with_label_values(&[issuer, result.label()]).inc();
    }

    /// Shows the keys of these issuers, and of no others.
    pub fn show(&self, issuers: BTreeMap<String, KeysInForce>) {
        let mut shown = self.shown.lock();
        let gone = shown.keys().filter(|issuer| !issuers.contains_key(*issuer));
        let none = KeysInForce::default();
        for (issuer, keys) in gone.map(|issuer| (issuer, &none)).chain(&issuers) {
            for (gauge, value) in [
                (&self.keys, keys.count),
                (&self.last_success, keys.last_success),
                (&self.expiry, keys.expiry),
            ] {
                match value {
                    Some(value) => gauge.with_label_values(&[issuer]).set(value),
                    // An error says that there was nothing to show.
                    None => drop(gauge.remove_label_values(&[issuer])),
                }
            }
        }
        *shown = issuers;
    }
}

/// What became of a fetch of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRefresh {
    /// A set came.
    Success,
    /// The server says that the last set has not changed.
    NotModified,
    /// No set came, or none with a key for the issuer.
    Failure,
}

impl KeyRefresh {
    const fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotModified => "not_modified",
            Self::Failure => "failure",
        }
    }
}

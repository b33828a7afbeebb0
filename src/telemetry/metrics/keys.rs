//! What is counted of key sets that are fetched.

use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use super::{number, register, seconds};

/// Counters and gauges of issuers' keys.
#[derive(Debug, Clone)]
pub struct KeyMetrics {
    refreshes: IntCounterVec,
    last_success: GaugeVec,
    expiry: GaugeVec,
    keys: GaugeVec,
}

impl KeyMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| register(registry, GaugeVec::new(Opts::new(name, help), &["issuer"])?);
        let refreshes = Opts::new(
            "sidegate_jwks_refreshes_total",
            "Fetches of key sets, by issuer and result.",
        );
        Ok(Self {
            refreshes: register(registry, IntCounterVec::new(refreshes, &["issuer", "result"])?)?,
            last_success: gauge(
                "sidegate_jwks_last_success_timestamp_seconds",
                "When the key set of an issuer was last had.",
            )?,
            expiry: gauge(
                "sidegate_jwks_expiry_timestamp_seconds",
                "Until when the keys of an issuer serve, if they cannot be fetched any more.",
            )?,
            keys: gauge("sidegate_jwks_keys", "Keys of an issuer that are in force.")?,
        })
    }

    /// Counts a fetch of a key set, and notes when it went well, and how long its keys serve.
    pub fn refreshed(&self, issuer: &str, result: KeyRefresh, now: jiff::Timestamp, max_stale: Duration) {
        self.refreshes.with_label_values(&[issuer, result.label()]).inc();
        if result != KeyRefresh::Failure {
            let now = seconds(now.as_second());
            self.last_success.with_label_values(&[issuer]).set(now);
            let expiry = now + max_stale.as_secs_f64();
            self.expiry.with_label_values(&[issuer]).set(expiry);
        }
    }

    /// Notes how many keys of an issuer are in force.
    pub fn in_force(&self, issuer: &str, count: usize) {
        self.keys.with_label_values(&[issuer]).set(number(count));
    }

    /// Shows an issuer's keys no longer: no policy trusts it.
    pub fn forget(&self, issuer: &str) {
        // An error says that there was nothing to show.
        let _ = self.keys.remove_label_values(&[issuer]);
        let _ = self.last_success.remove_label_values(&[issuer]);
        let _ = self.expiry.remove_label_values(&[issuer]);
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

//! What is counted of key sets that are fetched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use super::{number, register, seconds};

/// Counters and gauges of issuers' keys. An issuer whose keys come from several places in several policies
/// shows the worst of them.
#[derive(Debug, Clone)]
pub struct KeyMetrics {
    refreshes: IntCounterVec,
    last_success: GaugeVec,
    expiry: GaugeVec,
    keys: GaugeVec,
    /// By issuer and URL.
    places: Arc<Mutex<BTreeMap<(String, String), KeysOfPlace>>>,
}

/// What was had from one place.
#[derive(Debug, Clone, Copy, Default)]
struct KeysOfPlace {
    count: Option<f64>,
    last_success: Option<f64>,
    expiry: Option<f64>,
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
            places: Arc::default(),
        })
    }

    /// Counts a fetch of an issuer's key set from a URL, and notes when it went well, and how long its
    /// keys serve.
    pub fn refreshed(&self, place: (&str, &str), result: KeyRefresh, now: jiff::Timestamp, max_stale: Duration) {
        self.refreshes.with_label_values(&[place.0, result.label()]).inc();
        if result != KeyRefresh::Failure {
            let now = seconds(now.as_second());
            self.note(place, |keys| {
                keys.last_success = Some(now);
                keys.expiry = Some(now + max_stale.as_secs_f64());
            });
        }
    }

    /// Notes how many keys of an issuer, from a URL, are in force.
    pub fn in_force(&self, issuer: &str, url: &str, count: usize) {
        self.note((issuer, url), |keys| keys.count = Some(number(count)));
    }

    fn note(&self, (issuer, url): (&str, &str), change: impl FnOnce(&mut KeysOfPlace)) {
        let mut places = self.places.lock();
        change(places.entry((issuer.to_owned(), url.to_owned())).or_default());
        self.show(issuer, &places);
    }

    /// Shows keys from a URL no longer: no policy trusts them.
    pub fn forget(&self, issuer: &str, url: &str) {
        let mut places = self.places.lock();
        places.remove(&(issuer.to_owned(), url.to_owned()));
        self.show(issuer, &places);
    }

    fn show(&self, issuer: &str, places: &BTreeMap<(String, String), KeysOfPlace>) {
        let all: Vec<_> = places.iter().filter(|((name, _), _)| name == issuer).collect();
        for (gauge, part) in [
            (&self.keys, (|keys| keys.count) as fn(&KeysOfPlace) -> Option<f64>),
            (&self.last_success, |keys| keys.last_success),
            (&self.expiry, |keys| keys.expiry),
        ] {
            match all.iter().filter_map(|(_, keys)| part(keys)).reduce(f64::min) {
                Some(worst) => gauge.with_label_values(&[issuer]).set(worst),
                // An error says that there was nothing to show.
                None => drop(gauge.remove_label_values(&[issuer])),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_with_keys_from_two_places_shows_the_worse_one() {
        let registry = Registry::new();
        let metrics = KeyMetrics::new(&registry).unwrap();
        let shown = || [&metrics.keys, &metrics.last_success, &metrics.expiry].map(value);
        let had = |url, second| {
            let now = jiff::Timestamp::from_second(second).unwrap();
            metrics.refreshed(("i", url), KeyRefresh::Success, now, Duration::from_secs(100));
        };
        metrics.in_force("i", "a", 2);
        had("a", 1000);
        assert_eq!(shown(), [Some(2.0), Some(1000.0), Some(1100.0)]);
        metrics.in_force("i", "b", 0);
        metrics.refreshed(
            ("i", "b"),
            KeyRefresh::Failure,
            jiff::Timestamp::UNIX_EPOCH,
            Duration::ZERO,
        );
        assert_eq!(shown(), [Some(0.0), Some(1000.0), Some(1100.0)]);
        metrics.in_force("i", "a", 3);
        assert_eq!(shown()[0], Some(0.0), "keys of the one do not hide the other");
        metrics.in_force("i", "b", 5);
        had("b", 900);
        assert_eq!(shown(), [Some(3.0), Some(900.0), Some(1000.0)]);
        metrics.forget("i", "b");
        assert_eq!(shown(), [Some(3.0), Some(1000.0), Some(1100.0)]);
        metrics.forget("i", "a");
        assert_eq!(shown(), [None; 3]);
    }

    fn value(gauge: &GaugeVec) -> Option<f64> {
        use prometheus::core::Collector as _;
        let families = gauge.collect();
        let series = families.first()?.get_metric().first()?;
        Some(series.get_gauge().get_value())
    }
}

//! When the certificates of listeners, their client CAs and revocation lists come to an end.

use prometheus::{GaugeVec, Opts};

use super::gauge_value::seconds;
use super::registry::{Registry, register};

/// When what a listener proves and believes with comes to its end, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateEnds {
    /// The first of its own certificates.
    pub certificate: i64,
    /// The first of its client CAs that has not expired; `None` if it asks for no client certificate.
    pub client_ca: Option<i64>,
    /// The first of its revocation lists: when the CA meant to replace it. `None` if no list says so.
    pub client_crl: Option<i64>,
}

/// A gauge for each. Alerts on certificates do not hear of a list, which ends far more often.
#[derive(Debug, Clone)]
pub(super) struct CertificateMetrics {
    certificate: GaugeVec,
    client_ca: GaugeVec,
    client_crl: GaugeVec,
}

impl CertificateMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| register(registry, GaugeVec::new(Opts::new(name, help), &["listener"])?);
        Ok(Self {
            certificate: gauge(
                "sidegate_certificate_expiry_timestamp_seconds",
                "When the first of the listener's certificates expires.",
            )?,
            client_ca: gauge(
                "sidegate_client_ca_expiry_timestamp_seconds",
                "When the first CA in `client_ca` expires that has not expired yet. Computed when Sidegate reads the files, like the next one.",
            )?,
            client_crl: gauge(
                "sidegate_client_crl_next_update_timestamp_seconds",
                "When the first revocation list in `client_crl` is due to be replaced, by its `nextUpdate`.",
            )?,
        })
    }

    pub(super) fn end(&self, listener: &str, ends: CertificateEnds) {
        for (gauge, at) in [
            (&self.certificate, Some(ends.certificate)),
            (&self.client_ca, ends.client_ca),
            (&self.client_crl, ends.client_crl),
        ] {
            match at {
                Some(at) => gauge.with_label_values(&[listener]).set(seconds(at)),
                // An error says that there was nothing to show.
                None => drop(gauge.remove_label_values(&[listener])),
            }
        }
    }
}

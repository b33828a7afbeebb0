//! What a listener is made of. Serves nothing.

use std::sync::Arc;

use pingora::listeners::{L4BufferSettings, ListenerConfig, Listeners};

use super::StartError;
use crate::config::{ListenAddress, TlsFiles};
use crate::telemetry::metrics::Metrics;
use crate::tls::TlsListener;
use crate::watch_files::{FileWatch, Trigger};

/// The buffers of a connection, in bytes: reads and writes.
const BUFFERS: (usize, usize) = (16 * 1024, 4 * 1024);

/// What is wanted as far as there are file descriptors for it.
pub(super) fn at_most(wanted: usize, possible: usize, what: &str) -> usize {
    if wanted > possible {
        tracing::warn!(what, wanted, possible, "the limit on file descriptors is too low");
    }
    wanted.min(possible)
}

/// Where connections come in. The handshake is no business of the engine, which would not count
/// the connection until it is over.
pub(super) fn endpoint(address: &ListenAddress) -> Listeners {
    let config = match address {
        ListenAddress::Tcp(address) => ListenerConfig::tcp(address.to_string()),
        ListenAddress::Unix(path) => ListenerConfig::uds(path.to_string_lossy()),
    };
    let mut listeners = Listeners::new();
    listeners.add_listener(config.l4_buffer(L4BufferSettings::new(BUFFERS.0, BUFFERS.1)));
    listeners
}

/// Reads the certificates of a listener, now and whenever they change.
pub(super) fn secured(
    files: &TlsFiles,
    listener: &str,
    metrics: &Metrics,
    trigger: &Trigger,
) -> Result<Arc<TlsListener>, StartError> {
    let watch = FileWatch::new(files.paths(), trigger);
    let tls = Arc::new(TlsListener::open(files).map_err(StartError::because)?);
    metrics.certificates_read(listener, true);
    metrics.certificate_expires(listener, tls.expires());
    tokio::spawn(Arc::clone(&tls).keep_current(listener.to_owned(), watch, metrics.clone()));
    Ok(tls)
}

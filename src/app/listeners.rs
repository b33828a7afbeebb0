//! What a listener is made of. Serves nothing.

use std::sync::Arc;

use pingora::listeners::{L4BufferSettings, ListenerConfig, Listeners};

use super::start_error::StartError;
use crate::config::{ListenAddress, Listener, ServerConfig, TlsFiles};
use crate::fd_limit;
use crate::telemetry::metrics::Metrics;
use crate::tls::TlsListener;
use crate::watch_files::{FileWatch, Trigger};

/// What is written of a response at a time, in bytes.
const WRITE_BUFFER: usize = 4 * 1024;

/// The buffer for TLS records. In clear text, the reader above has a buffer of its own.
const TLS_READ_BUFFER: usize = 16 * 1024;

/// The buffer for a header of the PROXY protocol, which is read in small pieces.
const HEADER_BUFFER: usize = 256;

/// Says in one line what there are too few file descriptors for.
pub(super) fn tell_of_shortage(config: &ServerConfig, descriptors: u64) {
    if let Some(shortage) = fd_limit::shortage(descriptors, config.listeners.len(), config.wanted()) {
        tracing::warn!(
            "the limit on file descriptors is too low: {shortage}; raise the hard limit (`LimitNOFILE=`, `ulimit -Hn`), or lower `limits.connections` and `limits.requests`"
        );
    }
}

/// Returns the endpoint that accepts connections. The handshake happens here and not in pingora, which would
/// count the connection only after it.
pub(super) fn endpoint(address: &ListenAddress, listener: &Listener) -> Listeners {
    let config = match address {
        ListenAddress::Tcp(address) => ListenerConfig::tcp(address.to_string()),
        ListenAddress::Unix(path) => ListenerConfig::uds(path.to_string_lossy()),
    };
    let mut listeners = Listeners::new();
    let read_buffer = match (&listener.tls, listener.proxy_protocol) {
        (Some(_), _) => TLS_READ_BUFFER,
        (None, true) => HEADER_BUFFER,
        (None, false) => 0,
    };
    listeners.add_listener(config.l4_buffer(L4BufferSettings::new(read_buffer, WRITE_BUFFER)));
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
    metrics.certificates_end(listener, tls.ends());
    tokio::spawn(Arc::clone(&tls).keep_current(listener.to_owned(), watch, metrics.clone()));
    Ok(tls)
}

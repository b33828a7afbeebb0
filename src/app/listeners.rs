//! What a listener is made of. Serves nothing.

use std::sync::Arc;

use super::start_error::StartError;
use crate::admission::client_limit::{ClientConnections, ClientCounts};
use crate::background;
use crate::config::{self, ListenAddress, ServerConfig, TlsFiles, of_client};
use crate::fd_limit::{self, Capacity};
use crate::proxy::connection_limit::{ConnectionLimit, ConnectionTracker};
use crate::proxy::server::listener::Listener;
use crate::telemetry::metrics::Metrics;
use crate::tls::TlsListener;
use crate::watch_files::{FileWatch, Trigger};

/// Says in one line what there are too few file descriptors for.
pub(super) fn tell_of_shortage(config: &ServerConfig, descriptors: u64) {
    if let Some(shortage) = fd_limit::shortage(descriptors, (config.listeners.len(), config.threads), config.wanted()) {
        tracing::warn!(
            "the limit on file descriptors is too low: {shortage}; raise the hard limit (`LimitNOFILE=`, `ulimit -Hn`), or lower `limits.connections` and `limits.requests`"
        );
    }
}

/// What listeners share.
pub(super) struct Shared<'s> {
    pub(super) clients: &'s Arc<ClientCounts>,
    pub(super) connections: &'s Arc<ConnectionTracker>,
    pub(super) metrics: &'s Metrics,
    pub(super) reload: &'s Trigger,
}

/// Creates the listeners of a configuration at the addresses that were found for them.
pub(super) fn listeners(
    config: &ServerConfig,
    addresses: &[ListenAddress],
    capacity: Capacity,
    shared: &Shared<'_>,
) -> Result<Vec<Arc<Listener>>, StartError> {
    let listener = |(listener, address): (&config::Listener, &ListenAddress)| {
        let name = address.to_string();
        let most = listener.most_connections(&config.limits).min(capacity.connections);
        let of_client = of_client(config.limits.client_connections, most);
        let of_client = ClientConnections::new(of_client, shared.clients, shared.metrics);
        let slots = ConnectionLimit::new(&name, (most, of_client), shared.connections, shared.metrics);
        let tls = listener.tls.as_ref();
        let tls = tls.map(|files| secured(files, &name, shared.metrics, shared.reload));
        let made = Listener::new(slots, tls.transpose()?, shared.metrics);
        Ok(Arc::new(match listener.proxy_protocol {
            true => made.with_proxy_protocol(config.limits.header_timeout, shared.metrics),
            false => made,
        }))
    };
    config.listeners.iter().zip(addresses).map(listener).collect()
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
    let keep_current = Arc::clone(&tls).keep_current(listener.to_owned(), watch, metrics.clone());
    background::spawn("certificates", keep_current);
    Ok(tls)
}

//! Sidegate, a sidecar authorization proxy.

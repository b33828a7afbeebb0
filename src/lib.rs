//! Sidegate, a sidecar authorization proxy.

pub mod demo;

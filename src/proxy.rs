//! The proxy: sessions of clients to admission, and admitted requests to their upstreams.

pub mod body_rate;
mod buffered_socket;
pub mod connection_limit;
pub mod context;
mod cors;
pub mod deadline;
pub mod early_rejection;
mod error_mapping;
pub mod exchange;
mod failure_log;
pub mod gateway;
mod handler;
mod handshake_failures;
mod header_case;
mod linger;
pub mod overload;
mod peer;
pub mod policy_snapshot;
mod proxy_protocol;
mod replay;
pub mod server;
pub mod session;
pub mod strict_stream;
pub mod upstream;

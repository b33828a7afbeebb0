//! The proxy: pingora's sessions to admission, and admitted requests to their services.

pub mod body_rate;
pub mod connection_limit;
pub mod context;
pub mod deadline;
pub mod early_rejection;
mod error_mapping;
pub mod exchange;
pub mod facts;
pub mod gateway;
pub mod handler;
mod header_case;
pub mod http2_limits;
mod keyed;
pub mod local_response;
mod open_end;
pub mod overload;
pub mod pingora_proxy;
pub mod policy_snapshot;
pub mod server;
pub mod stall_watchdog;
pub mod strict_stream;
pub mod upstream;

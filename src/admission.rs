//! Decides for every front end whether a request is forwarded, and with what. Names neither pingora nor
//! a socket.

pub mod concurrency_limit;
pub mod forwarding;
pub mod header_edits;
pub mod idempotency;
pub mod rejection_response;
pub mod trace_context;

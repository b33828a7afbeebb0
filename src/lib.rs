//! Sidegate, a sidecar authorization proxy.
//!
//! The modules stand in layers, the blank-line groups below: words ← document ← policy ← engine ←
//! resources ← admission ← proof ← edges ← wiring. A module uses its own layer and those before it.
//! `tests/it/layers.rs` keeps that, and:
//!
//! * The layers up to the engine do no I/O and look at no clock: time is an argument.
//! * Admission names neither pingora nor a socket; only `tls`, `admin`, `proxy` and `app` name pingora.
//! * Only `document/yaml.rs` names the YAML library.
//! * Only `store/redis.rs` and what is below it name the Redis library.
//! * Only `keys` and `demo` name the library for tokens.
//! * Only `authz.rs` can make a [`authz::Permit`], and nothing is forwarded without one.
//! * Only `admission/rejection_response.rs` writes an error body.
//! * No files use each other in a circle.

// Words: plain values.
pub mod credential;
pub mod digest;
pub mod principal;
pub mod quota;
pub mod rejection;
pub mod request;

// Document: what YAML files share.
pub mod document;

// Policy: YAML text to an immutable, indexed policy.
pub mod keys;
pub mod policy;

// Engine: one request in, one decision out.
pub mod authn;
pub mod authz;
pub mod caller_key;
pub mod decision;
pub mod idempotency;
pub mod revocation;

// Resources: what is read, asked and written besides requests.
pub mod background;
pub mod backoff;
pub mod config;
pub mod fd_limit;
pub mod jwks;
pub mod policy_files;
pub mod read_file;
pub mod serving_threads;
pub mod store;
pub mod system_roots;
pub mod telemetry;
pub mod tls;
pub mod watch_files;

// Admission: one request in, and what becomes of it out, for every front end.
pub mod admission;

// Proof: policies tried out before they are in force.
pub mod policy_coverage;
pub mod policy_diff;
pub mod policy_test;
pub mod rehearsal;

// Edges: what serves clients and operators.
pub mod admin;
pub mod control;
pub mod proxy;
pub mod reload;
pub mod startup_log;

// Wiring: edges put together, and the command line.
pub mod app;
pub mod cli;
pub mod demo;
pub mod doctor;

#[cfg(test)]
mod testing;

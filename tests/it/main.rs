//! Sidegate as its users meet it: the built program, real sockets, real TLS, a real upstream.
//!
//! One file per feature that a user would name. Nothing here looks inside the program, except for
//! `schema.rs`, `diff_schema_walk.rs` and `store*.rs`, which ask the library; what is asserted stands in the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    missing_docs,
    missing_debug_implementations,
    reason = "a test that cannot go on says so by panicking, and has no readers outside of this crate"
)]

mod access_lines;
mod alpn;
mod any_all;
mod bodiless_responses;
mod bound_tokens;
mod busy_threads;
mod cause_fields;
mod causes;
mod cli_check;
mod cli_check_keys;
mod cli_check_without_secrets;
mod cli_diff;
mod cli_explain;
mod cli_explain_claims;
mod cli_routes;
mod cli_run;
mod client_chains;
mod client_limits;
mod compose_init;
mod conditions;
mod connections;
mod control_socket;
mod cors;
mod cut_responses;
mod demo;
mod diff_cases;
mod diff_schema_walk;
mod doctor;
mod document_links;
mod documented_commands;
mod early_bytes;
mod exchange;
mod explain_pages;
mod failures;
mod faulty_files;
mod forged_identity;
mod forwarding_headers;
mod fronts;
mod grpc;
mod h2_heads;
mod h2_windows;
mod handshake_failures;
mod harness;
mod hidden_targets;
mod hostile_bytes;
mod http10_clients;
mod http2;
mod http2_floods;
mod http2_tricks;
mod idempotency;
mod identity_headers;
mod identity_providers;
mod init;
mod internal_keys;
mod jwks_hostile;
mod jwks_shapes;
mod jwks_url;
mod jwt;
mod jwt_keys;
mod keep_alive;
mod kept_connections;
mod key_proxy;
mod keyed_clients;
mod kubernetes;
mod language;
mod layers;
mod malformed;
mod monitoring;
mod mtls;
mod observability;
mod oidc;
mod pem_files;
mod policy_coverage;
mod policy_tests;
mod provider_issuers;
mod provider_tokens;
mod proxy_protocol;
mod quotas;
mod readiness;
mod reason_header;
mod reference;
mod rejections;
mod reload;
mod reload_keys;
mod reload_kubernetes;
mod replicas;
mod resource_metadata;
mod response_framing;
mod response_streaming;
mod retries;
mod revocation;
mod revocation_redis;
mod roles_scopes_content;
mod rolling_restart;
mod route_limits;
mod routing;
mod schema;
mod secrets_in_output;
mod shadow;
mod shipped_copies;
mod shipped_limits;
mod shipped_policies;
mod shutdown;
mod slow_clients;
mod sni;
mod stalled_uploads;
mod statements;
mod store;
mod store_config;
mod store_faults;
mod store_revocations;
mod streams;
mod stripped_prefix;
mod systemd;
mod tenant;
mod tls_reload;
mod token_sources;
mod unprocessed_requests;
mod unread_responses;
mod unread_tokens;
mod unreadable_files;
mod upstream_addresses;
mod upstream_connections;
mod upstream_failures;
mod upstream_host;
mod upstream_pool;
mod upstream_probe;
mod upstream_tls;
mod upstreams;
mod websockets;

/// The independent readers of the fuzz targets. Their own tests run here, where they cost no build.
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the fuzz targets use them, in a package of their own"
)]
#[path = "../fuzz/src"]
mod readers {
    mod json;
    mod strict;
}

//! What the fuzz targets share: readers that are independent of the program, policies and
//! credentials, and a service that records what reaches it.
//!
//! The readers use nothing of the program and nothing that it uses, so that a mistake in the one
//! is not a mistake in the other.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a finding is a panic"
)]

pub mod gateway;
pub mod json;
pub mod mutate;
pub mod oracle;
pub mod setup;
pub mod strict;
pub mod upstream;

//! The parts of a request's way that are worth a number of their own. `micro` times them, and
//! `instructions` lets them be counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a measurement that cannot go on says so by panicking"
)]

pub mod cases;
mod setup;

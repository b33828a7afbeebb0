//! Policy tests: files that say what becomes of requests, and whether that is so. Each request is decided by the code that the
//! proxy runs, with throwaway keys, without a network, variables and secrets.
//!
//! [`Loader`] reads a file to a [`Suite`] of cases, whose requests and tokens are built once. A [`Judge`] decides them by any
//! policies, as often as needed.

mod asks;
pub mod callers;
pub mod case;
pub mod compile;
pub mod credentials;
pub mod document;
mod hints;
mod judge;
pub mod outcome;
mod paths;
mod read_claims;
mod served;
mod skipped;
mod steps;
mod suite;
mod thumbprint;

pub use asks::asks;
pub use case::Case;
pub use hints::hint;
pub use judge::{Judge, Miss, Verdict};
pub use outcome::{Expectation, Found};
pub use read_claims::read_claims;
pub use skipped::skipped;
pub use steps::StepLine;
pub use suite::{Loader, Suite, find};

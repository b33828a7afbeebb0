//! What changes for clients and upstreams if one set of policies takes the place of another: exactly, by one request for
//! each class of hosts, paths, methods and callers.

pub mod caller_class;
pub mod callers;
pub mod delta;
pub mod effects;
pub mod fields;
pub mod report;
pub mod settings;
pub mod types;

pub use types::{Case, Cell, Change, ClassCounts, Difference, Example, PathRegion, Region, SegmentCase, TooMany};

/// Stands in until regions are there.
pub fn compare(_: &crate::rehearsal::Rehearsal, _: &crate::rehearsal::Rehearsal) -> Result<Difference, TooMany> {
    Ok(Difference::default())
}

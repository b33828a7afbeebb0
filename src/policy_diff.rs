//! What changes for clients and upstreams if one set of policies takes the place of another: exactly, by one request for
//! each class of hosts, paths, methods and callers.

mod assembly;
pub mod caller_class;
pub mod callers;
mod cells;
pub mod delta;
pub mod effects;
pub mod fields;
mod hosts;
mod layers;
mod letters;
mod methods;
mod paths;
mod regions;
pub mod report;
pub mod settings;
mod shapes;
mod states;
mod trees;
pub mod types;
mod words;

use crate::rehearsal::Rehearsal;

use callers::Callers;

pub use types::{Case, Cell, Change, ClassCounts, Difference, Example, PathRegion, Region, SegmentCase, TooMany};

/// Finds all requests that two sets of policies answer differently. Both are rehearsed with the same keys.
pub fn compare(old: &Rehearsal, new: &Rehearsal) -> Result<Difference, TooMany> {
    let mut callers = Callers::new(old, new);
    let mut difference = assembly::difference([old, new], &mut |cell| callers.compare(cell))?;
    difference.classes.callers = callers.classes();
    Ok(difference)
}

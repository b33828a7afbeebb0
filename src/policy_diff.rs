//! What changes for clients and upstreams if one set of policies takes the place of another: exactly, by one request for
//! each class of hosts, paths, methods and callers.
//!
//! Out of the classes of paths are those with more than one reading, with letters that some take for ASCII letters where they
//! ignore case, and values of wildcards that conditions also compare by themselves. A header that occurs twice is judged by the
//! policy whose prefix the path begins with, also within a segment: that makes no class either.

mod assembly;
pub mod caller_class;
pub mod callers;
mod cells;
mod constants;
pub mod delta;
pub mod effects;
pub mod fields;
mod hosts;
mod layers;
mod letters;
mod methods;
pub mod openings;
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

pub use types::{Case, Cell, Change, ClassCounts, Difference, Example, Incomplete, PathRegion, Region, SegmentCase};

/// Finds all requests that two sets of policies answer differently. Both are rehearsed with the same keys.
pub fn compare(old: &Rehearsal, new: &Rehearsal) -> Result<Difference, Incomplete> {
    let mut callers = Callers::new(old, new);
    let mut difference = assembly::difference([old, new], &mut |cell| callers.compare(cell))?;
    difference.classes.callers = callers.classes();
    Ok(difference)
}

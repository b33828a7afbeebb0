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
pub mod shown;
mod states;
mod trees;
pub mod types;
mod words;

use std::collections::HashSet;
use std::rc::Rc;

use crate::rehearsal::Rehearsal;

use callers::Callers;

pub use types::{Case, Cell, Change, ClassCounts, Difference, Example, Incomplete, PathRegion, Region, SegmentCase};

/// For how many changes a caller is shown.
const MOST_SHOWN: usize = 256;

/// Finds all requests that two sets of policies answer differently. Both are rehearsed with the same keys.
pub fn compare(old: &Rehearsal, new: &Rehearsal) -> Result<Difference, Incomplete> {
    let mut callers = Callers::new(old, new);
    let mut difference = assembly::difference([old, new], &mut |cell| callers.compare(cell))?;
    difference.classes.callers = callers.classes();
    let mut known = HashSet::new();
    for change in &mut difference.changes {
        let is_new = known.len() < MOST_SHOWN && known.insert((Rc::as_ptr(&change.delta), change.was, change.now));
        change.shown = is_new.then(|| callers.shown(change)).flatten();
    }
    Ok(difference)
}

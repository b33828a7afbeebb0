//! From patterns that override each other to sets of paths, each a list of patterns without those of another list.

use super::shapes::Pattern;

/// A pattern whose paths are in a set, or out of it, whatever earlier patterns say of them.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Whether the paths are in the set.
    pub is_in: bool,
    /// The paths.
    pub pattern: Pattern,
    /// The segments of one of them.
    pub example: Vec<String>,
}

/// Some paths of a set.
#[derive(Debug, Default)]
pub(super) struct Layer<'i> {
    /// The paths.
    pub paths: Vec<&'i Item>,
    /// Paths that are left out.
    pub except: Vec<&'i Pattern>,
}

/// Splits a set into parts that do not overlap, each of them all paths of some patterns but those of others.
pub(super) fn layers(items: &[Item]) -> Vec<Layer<'_>> {
    let levels = levels(items);
    let top = levels.iter().copied().max().unwrap_or_default();
    let of_level = |wanted: usize| items.iter().zip(&levels).filter(move |(_, level)| **level == wanted);
    let parts = (1..=top).step_by(2).map(|level| {
        let paths: Vec<_> = of_level(level).map(|(item, _)| item).collect();
        let is_met = |pattern: &Pattern| paths.iter().any(|item| item.pattern.meets(pattern));
        let next: Vec<_> = of_level(level + 1)
            .map(|(item, _)| &item.pattern)
            .filter(|pattern| is_met(pattern))
            .collect();
        let above = items.iter().zip(&levels).filter(|(_, known)| **known > level + 1);
        let above = above.map(|(item, _)| &item.pattern).filter(|pattern| is_met(pattern));
        let above: Vec<_> = above
            .filter(|pattern| !next.iter().any(|next| next.covers(pattern)))
            .collect();
        Layer {
            except: next.into_iter().chain(above).collect(),
            paths,
        }
    });
    parts.filter(|layer| !layer.paths.is_empty()).collect()
}

/// Returns a level for each item, odd ones for what is in: of all items that fit a path, that with the highest level decides.
/// Items that change nothing have the level 0.
fn levels(items: &[Item]) -> Vec<usize> {
    let mut levels: Vec<usize> = Vec::new();
    // Items of one kind need not be held against each other.
    let mut known: [Vec<usize>; 2] = Default::default();
    for (at, item) in items.iter().enumerate() {
        let [outs, ins] = &mut known;
        let (own, others) = match item.is_in {
            true => (ins, outs),
            false => (outs, ins),
        };
        let met = others.iter().filter(|other| {
            let other = items.get(**other);
            other.is_some_and(|other| other.pattern.meets(&item.pattern))
        });
        let highest = met.filter_map(|other| levels.get(*other)).max();
        levels.push(match (item.is_in, highest) {
            (_, Some(level)) => level + 1,
            (true, None) => 1,
            (false, None) => 0,
        });
        own.push(at);
    }
    levels
}

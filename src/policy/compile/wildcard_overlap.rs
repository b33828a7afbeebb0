//! Patterns of one length that cross: some path matches both, and neither is the more specific.
//! Finds them without comparing each with each.

use std::collections::{BTreeMap, HashMap};

use crate::policy::route::{PathPattern, Segment};

/// Where a pattern has wildcards. Patterns that have them in the same places cannot cross.
type Shape = Vec<bool>;

/// The patterns of some shape by the segments that they have in some places.
type Index<'p> = HashMap<Vec<&'p Segment>, Vec<usize>>;

/// With more shapes than this, each pattern is compared with each: an index is not worth it.
const MANY: usize = 64;

/// Patterns of one length.
#[derive(Debug)]
pub(super) struct Crossings<'p> {
    patterns: Vec<&'p PathPattern>,
    shapes: BTreeMap<Shape, Vec<usize>>,
    /// For a shape, and the places where another one has literals too.
    indices: HashMap<(Shape, Shape), Index<'p>>,
}

fn shape(pattern: &PathPattern) -> Shape {
    pattern
        .segments
        .iter()
        .map(|segment| *segment == Segment::Any)
        .collect()
}

/// Whether a pattern of each shape has a literal where the other has a wildcard.
fn could_cross(a: &Shape, b: &Shape) -> bool {
    let more_literal = |a: &Shape, b: &Shape| a.iter().zip(b).any(|(a, b)| !*a && *b);
    more_literal(a, b) && more_literal(b, a)
}

fn key<'p>(pattern: &'p PathPattern, places: &Shape) -> Vec<&'p Segment> {
    let segments = pattern.segments.iter().zip(places);
    segments
        .filter(|(_, taken)| **taken)
        .map(|(segment, _)| segment)
        .collect()
}

impl<'p> Crossings<'p> {
    pub(super) fn of(patterns: Vec<&'p PathPattern>) -> Self {
        let mut shapes: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
        for (at, pattern) in patterns.iter().enumerate() {
            shapes.entry(shape(pattern)).or_default().push(at);
        }
        Self {
            patterns,
            shapes,
            indices: HashMap::new(),
        }
    }

    /// The patterns that cross another one, by their places in the list.
    pub(super) fn with(&mut self, pattern: &'p PathPattern) -> Vec<usize> {
        if self.shapes.len() > MANY {
            let each = self.patterns.iter().enumerate();
            return each
                .filter(|(_, other)| pattern.crosses(other))
                .map(|(at, _)| at)
                .collect();
        }
        let own = shape(pattern);
        let mut found = Vec::new();
        for (other, members) in self.shapes.iter().filter(|(other, _)| could_cross(&own, other)) {
            let literal_in_both: Shape = own.iter().zip(other).map(|(a, b)| !*a && !*b).collect();
            let wanted = key(pattern, &literal_in_both);
            let index = self.indices.entry((other.clone(), literal_in_both));
            let index = index.or_insert_with_key(|(_, places)| {
                let mut index = Index::new();
                for (at, member) in members.iter().filter_map(|&at| Some((at, self.patterns.get(at)?))) {
                    index.entry(key(member, places)).or_default().push(at);
                }
                index
            });
            found.extend(index.get(&wanted).into_iter().flatten());
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_those_that_a_look_at_each_finds(
            texts in prop::collection::vec("(/(a|b|\\{x\\})){3}", 0..40),
            long in prop::collection::vec("(/(a|\\{x\\})){8}", 0..200),
        ) {
            for texts in [texts, long] {
                let patterns: Vec<_> = texts.iter().map(|text| PathPattern::parse(text).unwrap()).collect();
                let mut crossings = Crossings::of(patterns.iter().collect());
                for pattern in &patterns {
                    let wanted: Vec<_> = (0..patterns.len()).filter(|&at| pattern.crosses(&patterns[at])).collect();
                    prop_assert_eq!(crossings.with(pattern), wanted);
                }
            }
        }
    }
}

//! Patterns of one length that cross: some path matches both, and neither is the more specific.
//! Finds them without comparing each with each.

use std::collections::{BTreeMap, HashMap};

use crate::policy::route::{PathPattern, Segment};

/// How specific each segment of a pattern is. Patterns that are alike in this cannot cross.
type Shape = Vec<usize>;

/// How much of each segment two shapes have in common: as many bytes at its end, or all of it.
type Shared = Vec<Option<usize>>;

/// The patterns of some shape by what they share with those of another one.
type Index<'p> = HashMap<Vec<&'p [u8]>, Vec<usize>>;

/// With more shapes than this, each pattern is compared with each: an index is not worth it.
const MANY: usize = 64;

/// Patterns of one length.
#[derive(Debug)]
pub(super) struct Crossings<'p> {
    patterns: Vec<&'p PathPattern>,
    shapes: BTreeMap<Shape, Vec<usize>>,
    /// For a shape, and what it shares with another one.
    indices: HashMap<(Shape, Shared), Index<'p>>,
}

fn shape(pattern: &PathPattern) -> Shape {
    pattern.segments.iter().map(Segment::rank).collect()
}

/// Whether a pattern of each shape has a segment that is more specific than that of the other.
fn could_cross(a: &Shape, b: &Shape) -> bool {
    let more_specific = |a: &Shape, b: &Shape| a.iter().zip(b).any(|(a, b)| a > b);
    more_specific(a, b) && more_specific(b, a)
}

/// Two literals are compared whole, others as far as the shorter literal behind a wildcard goes.
fn shared(a: &Shape, b: &Shape) -> Shared {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(a, b)| Some(*a.min(b)).filter(|length| *length < usize::MAX))
        .collect()
}

/// The parts of a pattern that have to equal those of another one; `None` where a literal is too short for a wildcard.
fn key<'p>(pattern: &'p PathPattern, shared: &Shared) -> Option<Vec<&'p [u8]>> {
    let segments = pattern.segments.iter().zip(shared);
    let part = |(segment, shared): (&'p Segment, &Option<usize>)| {
        let text = segment.text().as_bytes();
        let Some(length) = *shared else { return Some(text) };
        let least = length + usize::from(matches!(segment, Segment::Literal(_)));
        (text.len() >= least).then(|| text.get(text.len() - length..))?
    };
    segments.map(part).collect()
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
            let shared = shared(&own, other);
            let Some(wanted) = key(pattern, &shared) else { continue };
            let index = self.indices.entry((other.clone(), shared));
            let index = index.or_insert_with_key(|(_, shared)| {
                let mut index = Index::new();
                let members = members
                    .iter()
                    .filter_map(|&at| Some((at, key(self.patterns.get(at)?, shared)?)));
                for (at, key) in members {
                    index.entry(key).or_default().push(at);
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

    /// A path whose wildcards have names of their own.
    fn named(path: &str) -> String {
        let parts = path.split('/').enumerate();
        let parts: Vec<_> = parts
            .map(|(at, part)| part.replace("{x}", &format!("{{x{at}}}")))
            .collect();
        parts.join("/")
    }

    proptest! {
        #[test]
        fn they_are_those_that_a_look_at_each_finds(
            texts in prop::collection::vec("(/(a|b|\\{x\\})){3}", 0..40),
            long in prop::collection::vec("(/(a|\\{x\\})){8}", 0..200),
            suffixed in prop::collection::vec("(/(a|b|ab|aab|\\{x\\}|\\{x\\}b|\\{x\\}ab)){2}", 0..40),
        ) {
            for texts in [texts, long, suffixed] {
                let patterns: Vec<_> = texts.iter().map(|text| PathPattern::parse(&named(text)).unwrap()).collect();
                let mut crossings = Crossings::of(patterns.iter().collect());
                for pattern in &patterns {
                    let wanted: Vec<_> = (0..patterns.len()).filter(|&at| pattern.crosses(&patterns[at])).collect();
                    prop_assert_eq!(crossings.with(pattern), wanted);
                }
            }
        }
    }
}

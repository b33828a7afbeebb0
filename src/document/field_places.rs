//! The places of fields in a file that was read before, for what is said about it later.

use std::ops::Range;
use std::sync::Arc;

use super::problem::{Location, SourceFile};
use super::yaml::{Node, Value, parse};

/// The fields of a file, by names such as `jwt.issuers[0].audience`.
#[derive(Debug)]
pub struct FieldPlaces {
    source: Arc<SourceFile>,
    root: Option<Node>,
}

/// A part of the name of a field.
enum Part<'n> {
    Key(&'n str),
    Item(usize),
}

impl FieldPlaces {
    /// Reads a file. One that is not YAML has no fields.
    pub fn of(source: &Arc<SourceFile>) -> Self {
        Self {
            source: Arc::clone(source),
            root: parse(&source.text).ok().map(|parsed| parsed.node),
        }
    }

    /// Returns whether a field is written.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).1
    }

    /// Returns where a field stands: its key, or the item of a list. If it is not written, the place is that of the
    /// innermost field around it.
    pub fn place(&self, name: &str) -> Location {
        Location::new(&self.source, &self.find(name).0)
    }

    /// The place, and whether it is that of the whole name.
    fn find(&self, name: &str) -> (Range<usize>, bool) {
        let Some(mut node) = self.root.as_ref() else {
            return (0..0, false);
        };
        let mut place = 0..0;
        for part in parts(name) {
            match inner(node, &part) {
                Some((at, next)) => {
                    place = at.clone();
                    node = next;
                }
                None => return (place, false),
            }
        }
        (place, true)
    }
}

/// `a.b[0]` as `a`, `b` and 0.
fn parts(name: &str) -> impl Iterator<Item = Part<'_>> {
    name.split(['.', '[']).map(|text| {
        let index = text.strip_suffix(']').and_then(|index| index.parse().ok());
        index.map_or(Part::Key(text), Part::Item)
    })
}

fn inner<'n>(node: &'n Node, part: &Part<'_>) -> Option<(&'n Range<usize>, &'n Node)> {
    match (&node.value, part) {
        (Value::Mapping(entries), Part::Key(name)) => {
            let ((_, place), value) = entries.iter().find(|((key, _), _)| key == name)?;
            Some((place, value))
        }
        (Value::Sequence(items), Part::Item(index)) => items.get(*index).map(|item| (&item.span, item)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_has_the_place_of_its_key_or_item_and_else_of_what_is_around_it() {
        let text = "a: { b: [x, y], c: 1 }\nd:\n  - e: z\n    f: 2\n";
        let fields = FieldPlaces::of(&Arc::new(SourceFile::new("t.yaml", text)));
        for (name, place, has) in [
            ("a", "1:1", true),
            ("a.b", "1:6", true),
            ("a.b[1]", "1:13", true),
            ("a.b[2]", "1:6", false),
            ("a.x", "1:1", false),
            ("d[0]", "3:5", true),
            ("d[0].f", "4:5", true),
            ("d[0].g", "3:5", false),
            ("d[0].f.g", "4:5", false),
            ("x", "1:1", false),
        ] {
            assert_eq!(fields.place(name).to_string(), format!("t.yaml:{place}"), "{name}");
            assert_eq!(fields.has(name), has, "{name}");
        }
    }
}

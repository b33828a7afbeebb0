//! Where a reader of the log is. Entries are numbered without a gap, so that a reader knows when it
//! missed some.

use redis::Value;
use redis::streams::{StreamId, StreamReadReply};

use super::scan::parse;
use crate::revocation::Revocation;

/// The last entry that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamCursor {
    pub(super) id: String,
    /// Its number; `None` if it has none that can be read.
    number: Option<u64>,
}

/// What the next entries say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These revocations.
    Revocations(Vec<Revocation>),
    /// Something else, or not all of it: everything is to be read anew.
    Gap(String),
}

impl StreamCursor {
    /// At the end of a log with this last entry.
    pub(super) fn after(last: Option<&StreamId>) -> Self {
        match last {
            Some(last) => Self {
                id: last.id.clone(),
                number: number(last),
            },
            None => Self {
                id: "0-0".into(),
                number: Some(0),
            },
        }
    }

    /// Advances to the end of what was read.
    pub(super) fn advance(&mut self, read: &StreamReadReply) -> Next {
        let mut revocations = Vec::new();
        for entry in read.keys.iter().flat_map(|key| &key.ids) {
            let follows = self.number.is_none_or(|last| number(entry) == Some(last + 1));
            if !follows {
                return Next::Gap(format!("entry {} of the log does not follow {}", entry.id, self.id));
            }
            match entry.map.get("r").map(bytes).map(parse) {
                Some(Ok(revocation)) => revocations.push(revocation),
                Some(Err(what)) => return Next::Gap(format!("entry {} of the log cannot be read: {what}", entry.id)),
                None => return Next::Gap(format!("entry {} of the log is not a revocation", entry.id)),
            }
            *self = Self::after(Some(entry));
        }
        Next::Revocations(revocations)
    }
}

fn number(entry: &StreamId) -> Option<u64> {
    entry.get("n")
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use redis::streams::StreamKey;

    use super::*;
    use crate::revocation::Target;

    const TEXT: &str = r#"{"target":{"kind":"jti","value":"j"},"issuer":null,"before":null,"expires":1}"#;

    fn entry(id: &str, fields: &[(&str, &str)]) -> StreamId {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::BulkString((*value).into()));
        StreamId {
            id: id.into(),
            map: fields.iter().map(field).collect(),
            ..StreamId::default()
        }
    }

    fn advance(cursor: &mut StreamCursor, ids: Vec<StreamId>) -> Next {
        let key = String::new();
        cursor.advance(&StreamReadReply {
            keys: vec![StreamKey { key, ids }],
        })
    }

    #[test]
    fn entries_follow_each_other() {
        let mut cursor = StreamCursor::after(None);
        let first = entry("1-0", &[("n", "1"), ("r", TEXT)]);
        let second = entry("1-1", &[("n", "2"), ("r", TEXT)]);
        let Next::Revocations(revocations) = advance(&mut cursor, vec![first, second.clone()]) else {
            panic!("a gap")
        };
        assert_eq!(revocations[1].target, Target::Jti("j".into()));
        assert_eq!((cursor.id.as_str(), cursor.number), ("1-1", Some(2)));
        assert_eq!(advance(&mut cursor, Vec::new()), Next::Revocations(Vec::new()));
        for wrong in [
            second.clone(),
            entry("2-0", &[("n", "4"), ("r", TEXT)]),
            entry("2-0", &[("n", "x"), ("r", TEXT)]),
            entry("2-0", &[("r", TEXT)]),
            entry("2-0", &[("n", "3")]),
            entry("2-0", &[("n", "3"), ("r", "{}")]),
        ] {
            let gap = advance(&mut cursor.clone(), vec![wrong.clone()]);
            assert!(matches!(gap, Next::Gap(_)), "{wrong:?}");
        }
    }

    #[test]
    fn whatever_ends_a_log_something_may_follow() {
        let mut cursor = StreamCursor::after(Some(&entry("1-0", &[])));
        let next = advance(&mut cursor, vec![entry("2-0", &[("n", "7"), ("r", TEXT)])]);
        assert!(matches!(next, Next::Revocations(_)));
        assert_eq!(cursor.number, Some(7));
    }
}

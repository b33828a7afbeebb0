//! A claim as the value of a header: as it is, or percent-encoded.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Number, Value};

use crate::policy::document::HeaderEncoding;
use crate::principal::Grants;

/// How the value of an identity header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueFormat {
    /// What becomes of characters that a header value cannot have.
    pub encoding: HeaderEncoding,
    /// What stands between the items of a list.
    pub separator: char,
}

impl Default for ValueFormat {
    fn default() -> Self {
        Self {
            encoding: HeaderEncoding::None,
            separator: ',',
        }
    }
}

/// Why a value cannot stand in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The item of a list, from 1.
    item: Option<usize>,
    fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// A character by its position, from 1.
    Character(usize, char),
    /// The separator, in an item of a list.
    Separator(char),
    /// A space at the start or at the end.
    EdgeSpace,
    /// An item without any character.
    Empty,
    /// Neither text, number, boolean nor list.
    Type(&'static str),
    /// The claims with the roles or scopes are of another type.
    Grants(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Fault::Grants(fault) = &self.fault {
            return f.write_str(fault);
        }
        if let Some(item) = self.item {
            write!(f, "item {item} ")?;
        } else {
            f.write_str("it ")?;
        }
        match &self.fault {
            Fault::Character(at, character) => {
                let code = u32::from(*character);
                write!(
                    f,
                    "has the character U+{code:04X} at position {at}; a header value has visible ASCII only"
                )
            }
            Fault::Separator(separator) => write!(f, "contains `{separator}`, the separator of the list"),
            Fault::EdgeSpace => f.write_str("starts or ends with a space"),
            Fault::Empty => f.write_str("is empty"),
            Fault::Type(kind) => write!(f, "is {kind}"),
            Fault::Grants(_) => Ok(()),
        }
    }
}

impl Misfit {
    /// Returns the text that would make the value fit, for a header and what it is set from.
    pub(super) fn help(&self, header: &str, source: &str) -> String {
        let encode = format!("write `{header}: {{ from: {source}, encoding: percent }}`");
        match self.fault {
            Fault::Character(..) | Fault::EdgeSpace => encode,
            Fault::Separator(_) => format!("{encode}, or choose another `separator`"),
            Fault::Empty | Fault::Type(_) | Fault::Grants(_) => "set the header from another claim".to_owned(),
        }
    }
}

impl ValueFormat {
    /// Whether the header is a list, also where a claim is one text: the policy names a separator of its own. Commas are
    /// a part of many texts.
    fn is_list(self) -> bool {
        self.separator != ','
    }

    /// Writes a text; `None` if it is empty.
    pub(super) fn text(self, text: &str) -> Result<Option<Cow<'_, str>>, Misfit> {
        let written = match self.encoding {
            HeaderEncoding::Percent => self.percent(text).into(),
            HeaderEncoding::None => match unfit(text) {
                Some(fault) => return Err(Misfit { item: None, fault }),
                None => Cow::Borrowed(text),
            },
        };
        Ok(Some(written).filter(|text| !text.is_empty()))
    }

    /// Writes a list, each item by itself; `None` if it has none. One item that does not fit leaves no value at all:
    /// a list that lacks an item could say the opposite.
    pub(super) fn list<'v>(self, items: impl Iterator<Item = &'v str>) -> Result<Option<Cow<'v, str>>, Misfit> {
        let mut list = String::new();
        for (at, item) in items.enumerate() {
            let misfit = |fault| Misfit {
                item: Some(at + 1),
                fault,
            };
            if at > 0 {
                list.push(self.separator);
            }
            match self.encoding {
                _ if item.is_empty() => return Err(misfit(Fault::Empty)),
                HeaderEncoding::Percent => list.push_str(&self.percent(item)),
                HeaderEncoding::None if item.contains(self.separator) => {
                    return Err(misfit(Fault::Separator(self.separator)));
                }
                HeaderEncoding::None => match unfit(item) {
                    Some(fault) => return Err(misfit(fault)),
                    None => list.push_str(item),
                },
            }
        }
        Ok(Some(list.into()).filter(|list: &Cow<'_, str>| !list.is_empty()))
    }

    /// Writes roles or scopes.
    pub(super) fn grants(self, grants: Option<&Grants>) -> Result<Option<Cow<'_, str>>, Misfit> {
        let Some(grants) = grants else { return Ok(None) };
        match grants.fault() {
            Some(fault) => Err(Misfit {
                item: None,
                fault: Fault::Grants(fault.to_owned()),
            }),
            None => self.list(grants.names().iter().map(String::as_str)),
        }
    }

    /// Writes a claim: a text, a number or a boolean as it is written, or a list of texts.
    pub(super) fn claim(self, value: &Value) -> Result<Option<Cow<'_, str>>, Misfit> {
        let misfit = |item, kind| Misfit {
            item,
            fault: Fault::Type(kind),
        };
        match value {
            // Issuers write `null` for what they do not know.
            Value::Null => Ok(None),
            Value::String(text) if self.is_list() && text.contains(self.separator) => {
                self.list(std::iter::once(&**text))
            }
            Value::String(text) => self.text(text),
            Value::Bool(value) => Ok(Some(value.to_string().into())),
            Value::Number(number) if is_exact(number) => Ok(Some(number.to_string().into())),
            Value::Number(_) => Err(misfit(None, "a number with more digits than can be read exactly")),
            Value::Array(items) => match items.iter().position(|item| !item.is_string()) {
                Some(at) => Err(misfit(Some(at + 1), "not text")),
                None => self.list(items.iter().filter_map(Value::as_str)),
            },
            Value::Object(_) => Err(misfit(None, "an object")),
        }
    }

    /// Encodes all that is not visible ASCII, `%` and the separator, so that decoding gives back exactly the text.
    fn percent(self, text: &str) -> String {
        const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
        let encoded = utf8_percent_encode(text, UNSAFE).to_string();
        match encoded.contains(self.separator) {
            true => encoded.replace(self.separator, &format!("%{:02X}", u32::from(self.separator))),
            false => encoded,
        }
    }
}

/// Whether a number is written as it was read: beyond 2^53, two numbers become one.
fn is_exact(number: &Number) -> bool {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let is_small = || number.as_f64().is_some_and(|value| value.abs() < LARGEST);
    number.is_i64() || number.is_u64() || is_small()
}

/// What does not survive the way of a header value unchanged (RFC 9110, 5.5): anything but visible ASCII and inner
/// spaces.
fn unfit(text: &str) -> Option<Fault> {
    let unfit = |(_, c): &(usize, char)| !(c.is_ascii_graphic() || *c == ' ');
    match text.chars().enumerate().find(unfit) {
        Some((at, character)) => Some(Fault::Character(at + 1, character)),
        None => (text.trim().len() < text.len()).then_some(Fault::EdgeSpace),
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const PLAIN: ValueFormat = ValueFormat {
        encoding: HeaderEncoding::None,
        separator: ',',
    };

    const PERCENT: ValueFormat = ValueFormat {
        encoding: HeaderEncoding::Percent,
        ..PLAIN
    };

    fn written(format: ValueFormat, value: &Value) -> Result<Option<String>, String> {
        let written = format.claim(value);
        written
            .map(|text| text.map(Cow::into_owned))
            .map_err(|misfit| misfit.to_string())
    }

    #[test]
    fn claim_is_written_as_it_is_or_not_at_all() {
        let character = "has the character U+00E9 at position 4; a header value has visible ASCII only";
        for (value, want) in [
            (json!("a b"), Ok(Some("a b"))),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (json!(7), Ok(Some("7"))),
            (json!(-1.5), Ok(Some("-1.5"))),
            (json!(true), Ok(Some("true"))),
            (json!(["a", "b c"]), Ok(Some("a,b c"))),
            (json!([]), Ok(None)),
            (json!("a%2C"), Ok(Some("a%2C"))),
            (json!("jos\u{e9}@x"), Err(format!("it {character}"))),
            (json!(["a", "jos\u{e9}"]), Err(format!("item 2 {character}"))),
            (
                json!(["a", "b,c"]),
                Err("item 2 contains `,`, the separator of the list".into()),
            ),
            (json!("b,c"), Ok(Some("b,c"))),
            (json!(" a"), Err("it starts or ends with a space".into())),
            (json!(["a "]), Err("item 1 starts or ends with a space".into())),
            (json!(["a", ""]), Err("item 2 is empty".into())),
            (json!(["a", 1]), Err("item 2 is not text".into())),
            (json!([["a"]]), Err("item 1 is not text".into())),
            (json!({ "a": 1 }), Err("it is an object".into())),
        ] {
            let want = want.map(|text: Option<&str>| text.map(str::to_owned));
            assert_eq!(written(PLAIN, &value), want, "{value}");
        }
        for number in ["100000000000000000001", "9007199254740993.0", "-1e300"] {
            let value = serde_json::from_str(number).unwrap();
            let why = written(PLAIN, &value).unwrap_err();
            assert_eq!(
                why, "it is a number with more digits than can be read exactly",
                "{number}"
            );
        }
        let list = ValueFormat {
            separator: '|',
            ..PLAIN
        };
        let why = "item 1 contains `|`, the separator of the list";
        assert_eq!(written(list, &json!("x|admin")), Err(why.to_owned()));
        assert_eq!(written(list, &json!("x,y")), Ok(Some("x,y".to_owned())));
        for c in ["\r", "\n", "\0", "\t", "\u{7f}", "\u{80}"] {
            assert!(written(PLAIN, &json!(format!("a{c}b"))).is_err(), "{c:?}");
        }
    }

    #[test]
    fn percent_encodes_every_value_of_its_header() {
        for (value, want) in [
            (json!("jos\u{e9}@x"), "jos%C3%A9@x"),
            (json!("a%2Cb"), "a%252Cb"),
            (json!("Doe, Jane"), "Doe%2C%20Jane"),
            (json!(["a,b", "c d"]), "a%2Cb,c%20d"),
            (json!(" a\r\n"), "%20a%0D%0A"),
            (json!("a;b"), "a;b"),
            (json!(7), "7"),
        ] {
            assert_eq!(written(PERCENT, &value), Ok(Some(want.to_owned())), "{value}");
        }
        let semicolon = ValueFormat {
            separator: ';',
            ..PERCENT
        };
        assert_eq!(
            written(semicolon, &json!(["a;b", "c,d"])),
            Ok(Some("a%3Bb;c,d".to_owned()))
        );
        assert!(written(PERCENT, &json!(["a", 1])).is_err());
    }

    proptest! {
        #[test]
        fn decoding_gives_back_the_list(items in prop::collection::vec("\\PC{1,8}", 1..5), at in 0_usize..4) {
            let separator = [',', ';', ' ', '|'][at];
            let format = ValueFormat { separator, ..PERCENT };
            let text = format.list(items.iter().map(String::as_str)).unwrap().unwrap();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            let decoded: Vec<_> = text
                .split(separator)
                .map(|item| percent_decode_str(item).decode_utf8().unwrap().into_owned())
                .collect();
            prop_assert_eq!(decoded, items);
        }
    }
}

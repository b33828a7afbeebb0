//! A strict reader of JSON (RFC 8259), from nothing but the standard library. A name that comes twice in one
//! object is an error, at any depth.

use std::iter::Peekable;
use std::str::Chars;

/// How deep values may be nested.
const MAX_DEPTH: usize = 200;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object in the order of its members.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(each, _)| each == name).map(|(_, value)| value)
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a number, as near as it goes.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

/// Reads one value with nothing but white space around it.
pub fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader(std::str::from_utf8(bytes).ok()?.chars().peekable());
    let value = reader.value(0)?;
    reader.space();
    reader.0.next().is_none().then_some(value)
}

struct Reader<'t>(Peekable<Chars<'t>>);

impl Reader<'_> {
    fn space(&mut self) {
        while self.0.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
    }

    fn take(&mut self, wanted: char) -> Option<char> {
        self.0.next_if_eq(&wanted)
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        word.chars().all(|c| self.take(c).is_some()).then_some(value)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.space();
        match self.0.peek()? {
            _ if depth > MAX_DEPTH => None,
            'n' => self.word("null", Value::Null),
            't' => self.word("true", Value::Bool(true)),
            'f' => self.word("false", Value::Bool(false)),
            '"' => self.text().map(Value::Text),
            '[' => self.list(depth + 1),
            '{' => self.object(depth + 1),
            _ => self.number(),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.take('[')?;
        self.space();
        if self.take(']').is_some() {
            return Some(Value::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.take(']').is_some() {
                return Some(Value::List(items));
            }
            self.take(',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut members: Vec<(String, Value)> = Vec::new();
        self.take('{')?;
        self.space();
        if self.take('}').is_some() {
            return Some(Value::Object(members));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            self.take(':')?;
            if members.iter().any(|(each, _)| *each == name) {
                return None;
            }
            members.push((name, self.value(depth)?));
            self.space();
            if self.take('}').is_some() {
                return Some(Value::Object(members));
            }
            self.take(',')?;
        }
    }

    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        self.take('"')?;
        loop {
            match self.0.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                c if c < ' ' => return None,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        match self.0.next()? {
            c @ ('"' | '\\' | '/') => Some(c),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => self.code_point(),
            _ => None,
        }
    }

    /// One unit of UTF-16, or two that belong together.
    fn code_point(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.take('\\')?;
        self.take('u')?;
        let second = self.unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second)
    }

    fn unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.0.next()?.to_digit(16)?))
    }

    fn number(&mut self) -> Option<Value> {
        let mut digits = String::new();
        digits.extend(self.take('-'));
        match self.take('0') {
            Some(zero) => digits.push(zero),
            None => self.digits(&mut digits)?,
        }
        if let Some(point) = self.take('.') {
            digits.push(point);
            self.digits(&mut digits)?;
        }
        if let Some(e) = self.0.next_if(|c| matches!(c, 'e' | 'E')) {
            digits.push(e);
            digits.extend(self.0.next_if(|c| matches!(c, '+' | '-')));
            self.digits(&mut digits)?;
        }
        Some(Value::Number(digits))
    }

    /// One digit or more.
    fn digits(&mut self, into: &mut String) -> Option<()> {
        let before = into.len();
        while let Some(digit) = self.0.next_if(char::is_ascii_digit) {
            into.push(digit);
        }
        (into.len() > before).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_grammar_allows_is_read() {
        let value = read(br#" {"a":[1,-0.5e+3,null,true,{}],"\u0062":"\ud83d\ude00\n"} "#).unwrap();
        assert_eq!(value.get("b").and_then(Value::text), Some("\u{1f600}\n"));
        let Some(Value::List(items)) = value.get("a") else {
            panic!()
        };
        assert_eq!(items[1].number(), Some(-500.0));
    }

    #[test]
    fn invalid_json_is_an_error() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "nul",
            "'a'",
            "\"\u{1}\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "[1] 2",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "[{\"b\":{\"c\":1,\"c\":1}}]",
            "\u{feff}1",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}

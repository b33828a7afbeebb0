//! Which parts of a file may be secrets. They are in no excerpt and in no message.
//!
//! The rules err on the side of hiding. A value is hidden below a key that speaks of a secret
//! unless it is `{ env: NAME }` or `{ file: PATH }`, with an encoding at most, below `keys` where no known field
//! explains it, and anywhere if it is a URL with a user or PEM. A file that is not a mapping is
//! hidden as a whole. One that is not YAML has no values, so its lines are judged by their words;
//! those without a field are hidden.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::secret_bytes::SecretEncoding;
use super::suggestion::is_close;
use super::yaml::{self, Node, Value};

mod lines;
mod words;

use words::{CONTAINERS, EXPLAINED, REFERENCE, URL_FIELDS, has_password};
pub use words::{is_secret_key, is_secret_text};

/// What is shown in place of a secret.
pub const HIDDEN: &str = "***";

/// The shortest text that is taken out of messages: a shorter one is part of any word.
const SHORTEST: usize = 4;

/// The parts of one file that may be secrets.
#[derive(Debug, Default)]
pub struct Masks {
    /// Bytes that are not shown.
    ranges: Vec<Range<usize>>,
    /// The same as texts, by their first bytes.
    texts: HashMap<Vec<u8>, BTreeSet<String>>,
}

impl Masks {
    /// Finds them.
    pub fn of(text: &str) -> Self {
        let mut masks = Self::default();
        match yaml::parse(text) {
            Ok(parsed) => match parsed.node.value {
                Value::Mapping(_) => masks.node(&parsed.node, Context::Plain),
                // Sidegate reads no such file: it may be one with a key.
                _ => masks.outside(&parsed.node),
            },
            Err(_) => masks.ranges = lines::suspicious(text),
        }
        masks
    }

    /// Finds what is a secret by itself, in a file whose fields hold none.
    pub fn by_text(text: &str) -> Self {
        let mut masks = Self::default();
        if let Ok(parsed) = yaml::parse(text) {
            masks.texts_below(&parsed.node);
        }
        masks
    }

    /// Where the first hidden byte of a line is.
    pub fn first_in(&self, line: &Range<usize>) -> Option<usize> {
        let touching = self
            .ranges
            .iter()
            .filter(|hidden| hidden.start < line.end && hidden.end > line.start);
        touching.map(|hidden| hidden.start.max(line.start)).min()
    }

    /// Takes the secrets of the file out of a message about it.
    pub fn clean(&self, message: &str) -> String {
        let mut clean = String::with_capacity(message.len());
        let mut rest = message;
        while let Some(first) = rest.chars().next() {
            let length = if let Some(secret) = self.at_start(rest) {
                clean.push_str(HIDDEN);
                secret.len()
            } else {
                clean.push(first);
                first.len_utf8()
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        clean
    }

    /// The longest secret that a text begins with.
    fn at_start(&self, text: &str) -> Option<&str> {
        let start = text.as_bytes().get(..SHORTEST)?;
        let alike = self.texts.get(start)?.iter().map(String::as_str);
        alike
            .filter(|secret| text.starts_with(secret))
            .max_by_key(|secret| secret.len())
    }

    /// Hides all values of a document that is not a mapping. Keys are judged as elsewhere.
    fn outside(&mut self, node: &Node) {
        match &node.value {
            Value::Mapping(entries) => {
                for ((key, at), value) in entries {
                    self.entry((key, at), value, Context::Plain);
                    self.outside(value);
                }
            }
            Value::Sequence(items) => items.iter().for_each(|item| self.outside(item)),
            _ => self.hide_all(node),
        }
    }

    /// Hides the values that are secrets by themselves.
    fn texts_below(&mut self, node: &Node) {
        match &node.value {
            Value::Mapping(entries) => entries.iter().for_each(|(_, value)| self.texts_below(value)),
            Value::Sequence(items) => items.iter().for_each(|item| self.texts_below(item)),
            Value::Text(text) | Value::Number(text) if is_secret_text(text) => self.hide_all(node),
            _ => {}
        }
    }

    fn node(&mut self, node: &Node, context: Context) {
        match &node.value {
            Value::Mapping(entries) => {
                for ((key, at), value) in entries {
                    self.entry((key, at), value, context);
                }
            }
            Value::Sequence(items) => items.iter().for_each(|item| self.node(item, context)),
            Value::Text(text) | Value::Number(text) => {
                let by_place = context == Context::Keys || (context == Context::Url && has_password(text));
                if by_place || is_secret_text(text) {
                    self.hide_all(node);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn entry(&mut self, (key, at): (&str, &Range<usize>), value: &Node, context: Context) {
        let in_keys = matches!(context, Context::Keys | Context::Explained);
        // A key with a colon or `=` in it may be `secret:value`, without the space.
        if is_secret_text(key) || key.contains([':', '=']) {
            self.hide(at, key);
        }
        if is_secret_key(key) {
            self.secret(at, value);
        } else if key == "sha256" && !is_digest(value) {
            self.hide_value(at, value);
        } else if in_keys && !EXPLAINED.contains(&key) {
            // Without a value, the key itself may be what was meant as one.
            if value.value == Value::Null {
                self.hide(at, key);
            }
            self.hide_value(at, value);
        } else {
            self.node(value, below(key, context));
        }
    }

    /// Hides what is below a key that speaks of a secret, but for where that is.
    fn secret(&mut self, key: &Range<usize>, value: &Node) {
        let Value::Mapping(entries) = &value.value else {
            return self.hide_value(key, value);
        };
        for ((name, at), value) in entries {
            let is_place = match &value.value {
                Value::Text(text) | Value::Number(text) => match name.as_str() {
                    "env" => text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
                    "file" => !is_secret_text(text),
                    "encoding" => SecretEncoding::WORDS.iter().any(|word| is_close(text, word)),
                    _ => false,
                },
                _ => false,
            };
            if !REFERENCE.contains(&name.as_str()) {
                self.hide(at, name);
            }
            if !is_place {
                self.hide_value(at, value);
            }
        }
    }

    /// Hides a value with all that stands between it and its key: a tag or an anchor may be a
    /// secret without its quotes.
    fn hide_value(&mut self, key: &Range<usize>, value: &Node) {
        self.hide_all(value);
        self.ranges.push(key.end + 1..last(value).max(key.end + 2));
    }

    /// Hides all of a value, keys of mappings included.
    fn hide_all(&mut self, node: &Node) {
        self.ranges.extend([node.defined.clone(), node.span.clone()]);
        match &node.value {
            Value::Text(text) | Value::Number(text) => self.hide(&node.span, text),
            Value::Sequence(items) => items.iter().for_each(|item| self.hide_all(item)),
            Value::Mapping(entries) => {
                for ((key, at), value) in entries {
                    self.hide(at, key);
                    self.hide_all(value);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn hide(&mut self, at: &Range<usize>, text: &str) {
        self.ranges.push(at.clone());
        let forms = [text.to_owned(), text.escape_debug().to_string()].into_iter();
        // A message may quote a part of a URL.
        let user = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
        let user = user.map(|(user, _)| user.to_owned());
        for form in forms.chain(text.lines().map(|line| line.trim().to_owned())).chain(user) {
            if let Some(start) = form.as_bytes().get(..SHORTEST) {
                self.texts.entry(start.to_vec()).or_default().insert(form);
            }
        }
    }
}

/// What the keys above a value say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// Nothing.
    Plain,
    /// It is a key, or says where keys are.
    Keys,
    /// It stands among keys, in a field that holds none.
    Explained,
    /// It is a URL.
    Url,
}

fn below(key: &str, context: Context) -> Context {
    match context {
        _ if URL_FIELDS.contains(&key) => Context::Url,
        _ if CONTAINERS.contains(&key) => Context::Keys,
        Context::Plain => Context::Plain,
        Context::Keys | Context::Explained => Context::Explained,
        Context::Url => Context::Url,
    }
}

/// The end of the last part of a value.
fn last(node: &Node) -> usize {
    let own = node.span.end.max(node.defined.end);
    let parts = match &node.value {
        Value::Sequence(items) => items.iter().map(last).max(),
        Value::Mapping(entries) => entries.iter().map(|((_, at), value)| at.end.max(last(value))).max(),
        _ => None,
    };
    // An alias stands after what it is an alias of.
    own.max(parts.unwrap_or_default())
}

/// Whether a value is what `sha256` asks for, and not the key that it would be the digest of.
fn is_digest(value: &Node) -> bool {
    let (Value::Text(text) | Value::Number(text)) = &value.value else {
        return false;
    };
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A URL as a message may show it: without the user and the password.
pub fn without_user(url: &str) -> Cow<'_, str> {
    let Some((before, server)) = url.rsplit_once('@') else {
        return Cow::Borrowed(url);
    };
    let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
    let separator = if scheme.is_empty() { "" } else { "://" };
    Cow::Owned(format!("{scheme}{separator}{HIDDEN}@{server}"))
}

/// A URL as reports and logs may show it: without the user, the password and the values of its query.
pub fn shown_url(url: &str) -> Cow<'_, str> {
    let url = without_user(url);
    let Some((before, query)) = url.split_once('?') else {
        return url;
    };
    let (query, fragment) = query.split_at(query.find('#').unwrap_or(query.len()));
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None if parameter.is_empty() => String::new(),
        None => HIDDEN.to_owned(),
    });
    let parameters: Vec<_> = parameters.collect();
    Cow::Owned(format!("{before}?{}{fragment}", parameters.join("&")))
}

#[cfg(test)]
mod tests;

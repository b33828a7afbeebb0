//! Documents with one change: each value removed, renamed, of another kind, empty, doubled, misspelled, out of range.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The pointers of all values within one, itself left out.
pub(crate) fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (name, value) in children {
        found.push(format!("/{name}"));
        found.extend(pointers(value).into_iter().map(|below| format!("/{name}{below}")));
    }
    found
}

/// The value that has a value, and the name of the latter there.
pub(crate) fn parent<'d>(document: &'d mut Value, pointer: &str) -> (&'d mut Value, String) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    (
        document.pointer_mut(parent).unwrap(),
        name.replace("~1", "/").replace("~0", "~"),
    )
}

/// A document without one of its values.
pub(crate) fn without(document: &Value, pointer: &str) -> Value {
    let mut document = document.clone();
    match parent(&mut document, pointer) {
        (Value::Object(fields), name) => _ = fields.remove(&name),
        (Value::Array(items), at) => _ = items.remove(at.parse().unwrap()),
        _ => unreachable!("only mappings and lists have values"),
    }
    document
}

/// A document with another value at a place.
fn with(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    *document.pointer_mut(pointer).unwrap() = value;
    document
}

/// All documents that differ from one in one place, each once.
pub(crate) fn mutants(document: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for pointer in pointers(document) {
        found.push(without(document, &pointer));
        found.extend(renamed(document, &pointer));
        let value = document.pointer(&pointer).unwrap();
        let others = others(value).into_iter().filter(|other| other != value);
        found.extend(others.map(|other| with(document, &pointer, other)));
    }
    let mut seen = BTreeSet::new();
    found.retain(|mutant| seen.insert(mutant.to_string()));
    found
}

fn renamed(document: &Value, pointer: &str) -> Option<Value> {
    let mut changed = document.clone();
    let (Value::Object(fields), name) = parent(&mut changed, pointer) else {
        return None;
    };
    let value = fields.remove(&name)?;
    fields.insert(format!("{name}x"), value);
    Some(changed)
}

/// Other values in place of one.
fn others(value: &Value) -> Vec<Value> {
    let mut others = vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.5),
        json!(257),
        json!(4_294_967_296_u64),
        json!("?!"),
        json!(""),
        json!([]),
        json!([[]]),
        json!([null]),
        json!({}),
        json!({ "?": 1 }),
        json!([value]),
        json!({ "env": "UNSET_BUT_DEFAULT", "default": value }),
    ];
    match value {
        Value::String(text) => others.extend(texts(text).into_iter().map(Value::from)),
        Value::Array(items) => others.extend(items.iter().enumerate().map(|(at, item)| {
            let mut doubled = items.clone();
            doubled.insert(at, item.clone());
            Value::Array(doubled)
        })),
        Value::Number(number) => others.push(json!(number.to_string())),
        _ => {}
    }
    others
}

/// Other texts in place of one: letters changed, and what stands before and behind it.
fn texts(text: &str) -> Vec<String> {
    const PERIODS: [&str; 22] = [
        "0ms", "1ms", "999ms", "1s", "1s5", "1999ms", "2s", "5s", "5001ms", "9s", "10s", "11s", "299s", "5m", "301s",
        "1h", "24h", "30d", "31d", "721h", "1w", "5",
    ];
    const SIZES: [&str; 12] = [
        "0", "1", "0B", "1048575", "1023KiB", "1MiB", "16MiB", "17MiB", "16777217", "1GiB", "1MB", "1 MiB",
    ];
    let mut shorter = text.to_owned();
    let last = shorter.pop();
    let mut texts = vec![
        shorter.clone(),
        format!("{shorter}{}", last.map_or('a', |c| if c == 'q' { 'z' } else { 'q' })),
        text.chars().skip(1).collect(),
        text.to_uppercase(),
        text.to_lowercase(),
    ];
    texts.extend(
        [
            "x", "/", "/*", "*", "*/", "{id}", "/{id}", "?q", "#f", ":80", " ", "\u{200b}", "//", "/..", "é",
        ]
        .map(|end| format!("{text}{end}")),
    );
    texts.extend(["x", "/", "*.", "http://", "https://", " ", "@", ":", "unix:"].map(|start| format!("{start}{text}")));
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    if digits > 0 && text.len() <= digits + 3 {
        texts.extend(PERIODS.into_iter().chain(SIZES).map(str::to_owned));
    }
    texts
}

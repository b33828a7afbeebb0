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

/// A pointer without the positions in lists.
pub(crate) fn kind_of(pointer: &str) -> String {
    let names = pointer.split('/').filter(|name| name.parse::<usize>().is_err());
    names.collect::<Vec<_>>().join("/")
}

/// The value that has a value, and the name of the latter there.
fn parent<'d>(document: &'d mut Value, pointer: &str) -> (&'d mut Value, String) {
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

/// All documents that differ from one in one place. What is done to one item of a list is not done to its neighbours
/// again, unless it depends on what stands there.
pub(crate) fn mutants(document: &Value) -> Vec<Value> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for pointer in pointers(document) {
        let kind = kind_of(&pointer);
        let value = document.pointer(&pointer).unwrap();
        let form = if value.is_object() {
            fields_of(value)
        } else {
            String::new()
        };
        if seen.insert(format!("{kind} {form}")) {
            found.push(without(document, &pointer));
            found.extend(renamed(document, &pointer));
            found.extend(kinds(value).into_iter().map(|other| with(document, &pointer, other)));
        }
        if seen.insert(format!("{kind} = {value}")) {
            found.extend(variants(value).into_iter().map(|other| with(document, &pointer, other)));
        }
    }
    let mut known = BTreeSet::from([document.to_string()]);
    found.retain(|mutant| known.insert(mutant.to_string()));
    found
}

/// The names of the fields of an object.
fn fields_of(value: &Value) -> String {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect::<Vec<_>>()
        .join(",")
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

/// Values of other kinds in place of one.
fn kinds(value: &Value) -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(257),
        json!(4_294_967_296_u64),
        json!("?!"),
        json!(""),
        json!([]),
        json!([null]),
        json!({}),
        json!([value]),
    ]
}

/// Values that are nearly another one.
fn variants(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => texts(text).into_iter().map(Value::from).collect(),
        Value::Array(items) => {
            let doubled = |(at, item): (usize, &Value)| {
                let mut doubled = items.clone();
                doubled.insert(at, item.clone());
                Value::Array(doubled)
            };
            items.iter().enumerate().map(doubled).collect()
        }
        Value::Number(number) => vec![json!(number.to_string())],
        _ => Vec::new(),
    }
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
    let ends = [
        "x", "/*", "*", "{id}", "?q", "#f", ":80", " ", "\u{200b}", "//", "/..", "é",
    ];
    texts.extend(ends.map(|end| format!("{text}{end}")));
    texts.extend(["x", "/", "*.", "http://", " ", "@", "unix:"].map(|start| format!("{start}{text}")));
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    if digits > 0 && text.len() <= digits + 3 {
        texts.extend(PERIODS.into_iter().chain(SIZES).map(str::to_owned));
    }
    texts
}

//! The recipes of the page, and changes to a policy as text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::mistake::Mistake;
use crate::documented_commands::{Block, Document};

/// The head of a table of mistakes.
const TABLE: &str = "| the mistake | reason | what to do |";

/// A section of the page.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) title: String,
    pub(super) policy: String,
    /// `header` and `claims`.
    pub(super) token: Value,
    /// Method and path.
    pub(super) request: String,
    /// The identity headers that the service receives.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) mistakes: Vec<Mistake>,
}

/// The recipes of a page; each section has to be one.
pub(super) fn recipes(document: &Document) -> Vec<Recipe> {
    let headings: Vec<(usize, &str)> = document
        .prose()
        .filter_map(|(number, line)| Some((number, line.strip_prefix("## ")?)))
        .collect();
    let ends = headings.iter().skip(1).map(|(number, _)| *number);
    let ends = ends.chain([document.lines.len() + 1]);
    let sections = headings.iter().zip(ends);
    sections
        .map(|((start, title), end)| {
            recipe(document, title, *start..end).unwrap_or_else(|fault| panic!("{}: {title}: {fault}", document.path))
        })
        .collect()
}

fn recipe(document: &Document, title: &str, lines: std::ops::Range<usize>) -> Result<Recipe, String> {
    let block = |language: &str| -> Result<&Block, String> {
        let blocks = document.blocks.iter();
        let mut found = blocks.filter(|block| lines.contains(&block.line) && block.language == language);
        match (found.next(), found.next()) {
            (Some(block), None) => Ok(block),
            _ => Err(format!("a recipe has exactly one `{language}` block")),
        }
    };
    let lines = &lines;
    let prose = || document.prose().filter(move |(number, _)| lines.contains(number));
    let token: Value = serde_json::from_str(&block("json")?.lines.join("\n")).map_err(|error| error.to_string())?;
    if !["header", "claims"].iter().all(|part| token[part].is_object()) {
        return Err("the token has `header` and `claims`".to_owned());
    }
    let (request, headers) = request(block("text")?)?;
    let rows = prose().skip_while(|(_, line)| *line != TABLE).skip(2);
    let rows = rows.take_while(|(_, line)| line.starts_with('|'));
    let mistakes: Result<Vec<_>, String> = rows
        .map(|(number, line)| Mistake::parse(number, line).map_err(|fault| format!("line {number}: {fault}")))
        .collect();
    let mistakes = mistakes?;
    if mistakes.is_empty() || prose().filter(|(_, line)| line.starts_with('|')).count() != mistakes.len() + 2 {
        return Err(format!("a recipe has one table, of mistakes: {TABLE}"));
    }
    if !prose().any(|(_, line)| line.starts_with("Read more: [")) {
        return Err("a recipe has a line `Read more:` with a link to the provider".to_owned());
    }
    Ok(Recipe {
        title: title.to_owned(),
        policy: block("yaml")?.lines.join("\n") + "\n",
        token,
        request,
        headers,
        mistakes,
    })
}

/// The request and the headers in a block: a line, an empty line, and one line for each header.
fn request(block: &Block) -> Result<(String, BTreeMap<String, String>), String> {
    let [request, empty, headers @ ..] = &block.lines[..] else {
        return Err("the `text` block has a request and headers".to_owned());
    };
    let pair = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_owned(), value.to_owned()))
    };
    let pairs: Option<BTreeMap<_, _>> = headers.iter().map(pair).collect();
    match (request.split(' ').count(), empty.as_str(), pairs) {
        (2, "", Some(pairs)) => Ok((request.clone(), pairs)),
        _ => Err("the `text` block is `METHOD PATH`, an empty line and `name: value` lines".to_owned()),
    }
}

/// A policy with another value of a field that has a line of its own, or without it.
pub(super) fn with_field(policy: &str, field: &str, value: Option<&str>) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let is_field = |line: &&str| {
        line[indent(line)..]
            .strip_prefix(field)
            .is_some_and(|rest| rest.starts_with(':'))
    };
    let count = policy.lines().filter(is_field).count();
    assert_eq!(count, 1, "lines of `{field}` in\n{policy}");
    let mut lines = policy.lines().peekable();
    let mut changed = String::new();
    while let Some(line) = lines.next() {
        if !is_field(&line) {
            changed.extend([line, "\n"]);
            continue;
        }
        // A value on further lines stands deeper.
        while lines.next_if(|next| indent(next) > indent(line)).is_some() {}
        let start = &line[..indent(line)];
        match value {
            Some(value) => changed.extend([start, field, ": ", value, "\n"]),
            None => assert!(
                !start.contains('-'),
                "`{field}` begins an item, which cannot stand without it"
            ),
        }
    }
    changed
}

#[test]
fn field_of_a_policy_is_replaced_or_removed_with_all_of_its_lines() {
    let policy = "a:\n  - b: 1   # one\n    c:\n      d: 2\n    e: [3]\nf: 4\n";
    for (field, value, want) in [
        ("b", Some("x"), "a:\n  - b: x\n    c:\n      d: 2\n    e: [3]\nf: 4\n"),
        (
            "c",
            Some("{ y: z }"),
            "a:\n  - b: 1   # one\n    c: { y: z }\n    e: [3]\nf: 4\n",
        ),
        ("c", None, "a:\n  - b: 1   # one\n    e: [3]\nf: 4\n"),
        ("e", None, "a:\n  - b: 1   # one\n    c:\n      d: 2\nf: 4\n"),
    ] {
        assert_eq!(with_field(policy, field, value), want, "{field}");
    }
}

#[test]
fn section_that_lacks_a_part_is_not_a_recipe() {
    let parts = [
        "```yaml\nversion: 1\n```\n",
        "```json\n{ \"header\": {}, \"claims\": {} }\n```\n",
        "```text\nGET /x\n\na: b\n```\n",
        "| the mistake | reason | what to do |\n| --- | --- | --- |\n| token `\"a\": 1` | `role_missing` | Do b |\n",
        "Read more: [c](https://example.com/)\n",
    ];
    let read = |text: &str| {
        let document = Document::parse("x.md", &format!("# T\n\n## S\n\n{text}"));
        recipe(&document, "S", 3..document.lines.len() + 1)
    };
    let whole = read(&parts.join("\n")).unwrap();
    assert_eq!((whole.request.as_str(), whole.headers["a"].as_str()), ("GET /x", "b"));
    assert_eq!((whole.mistakes.len(), whole.policy.as_str()), (1, "version: 1\n"));
    for missing in 0..parts.len() {
        let others = parts.iter().enumerate().filter(|(at, _)| *at != missing);
        let text: Vec<&str> = others.map(|(_, part)| *part).collect();
        assert!(read(&text.join("\n")).is_err(), "without {}", parts[missing]);
    }
    let twice = format!("{}\n{}", parts.join("\n"), parts[3]);
    assert!(read(&twice).is_err(), "a second table would not be run");
}

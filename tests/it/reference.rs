//! The reference tables of the documentation come from the code: this compares them with it.
//!
//! `make reference` (`SIDEGATE_WRITE_DOCS=1`) writes them into their pages, between the comments that name them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sidegate::document::problem::ProblemCode;
use sidegate::rejection::Reason;
use sidegate::telemetry::metrics::Metrics;

mod command_line;
mod fields;

/// A table: its page, its name in the comments of the page, and what makes it.
type Table = (&'static str, &'static str, fn() -> String);

const TABLES: [Table; 7] = [
    ("docs/policy.md", "policy-fields", || fields::render("policy")),
    ("docs/configuration.md", "configuration-fields", || {
        fields::render("config")
    }),
    ("docs/policy-testing.md", "test-fields", || fields::render("test")),
    ("docs/rejections.md", "reasons", reasons),
    ("docs/metrics.md", "metrics", metrics),
    ("docs/problems.md", "problems", problems),
    ("docs/cli.md", "command-line", command_line::render),
];

const END: &str = "<!-- end of generated -->";

#[test]
fn reference_tables_are_those_of_the_code() {
    let mut stale = Vec::new();
    for (page, name, render) in TABLES {
        let path = root().join(page);
        let text = fs::read_to_string(&path).unwrap();
        let fresh = filled(&text, name, &render()).unwrap_or_else(|| panic!("{page} has no block `{name}`"));
        if fresh == text {
            continue;
        }
        match std::env::var_os("SIDEGATE_WRITE_DOCS") {
            Some(_) => fs::write(&path, fresh).unwrap(),
            None => stale.push(page),
        }
    }
    assert!(stale.is_empty(), "stale, `make reference` writes them: {stale:?}");
}

#[test]
fn every_generated_block_has_a_source() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let file = page.strip_prefix(root()).unwrap().to_str().unwrap();
        for name in text
            .split("<!-- generated: ")
            .skip(1)
            .filter_map(|rest| rest.split(" -->").next())
        {
            let known = TABLES.iter().any(|(page, table, _)| *page == file && *table == name);
            assert!(known, "{file}: no table fills the block `{name}`");
        }
    }
}

#[test]
fn every_reason_has_one_heading_with_fault_signs_and_remedy() {
    let text = fs::read_to_string(root().join("docs/rejections.md")).unwrap();
    let (_, after) = text.split_once(END).unwrap();
    let sections: Vec<_> = after.split("\n### ").skip(1).collect();
    for reason in Reason::ALL {
        let heading = format!("`{}`\n", reason.code());
        let mut found = sections.iter().filter(|section| section.starts_with(&heading));
        let section = found.next().unwrap_or_else(|| panic!("no heading for {heading}"));
        assert!(found.next().is_none(), "two headings for {heading}");
        let labels = ["**Who is at fault:**", "**What to look at:**", "**What to change:**"];
        let places: Vec<_> = labels.iter().map(|label| section.find(label)).collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{heading}: {places:?}"
        );
    }
    let codes = sections.iter().filter(|section| section.starts_with('`')).count();
    assert_eq!(codes, Reason::ALL.len(), "a heading for a code that does not exist");
}

/// A page with the text of one block replaced; `None` without such a block.
fn filled(text: &str, name: &str, content: &str) -> Option<String> {
    let begin = format!("<!-- generated: {name} -->\n");
    let start = text.find(&begin)? + begin.len();
    let end = start + text[start..].find(END)?;
    Some(format!("{}\n{}\n\n{}", &text[..start], content.trim(), &text[end..]))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The pages of `docs/`.
fn pages() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join("docs"), &mut found);
    found.sort();
    found
}

/// A table in Markdown: a `|` within a cell is escaped.
fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let header: Vec<_> = columns.iter().map(|&column| column.to_owned()).collect();
    let mut text = line(&header);
    text += &line(&vec!["---".to_owned(); columns.len()]);
    text.extend(rows.into_iter().map(|cells| line(&cells)));
    text
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn reasons() -> String {
    let rows = Reason::ALL.iter().map(|reason| {
        let link = format!("[`{0}`](#{0})", reason.code());
        vec![reason.status().to_string(), link, reason.meaning().to_owned()]
    });
    table(&["status", "reason", "meaning"], rows)
}

fn metrics() -> String {
    let families = Metrics::families().unwrap();
    let rows = families.into_iter().map(|family| {
        let labels: Vec<_> = family.labels.iter().map(|label| code(label)).collect();
        vec![
            code(&family.name),
            family.kind.to_owned(),
            labels.join(" "),
            family.help,
        ]
    });
    table(&["metric", "type", "labels", "meaning"], rows)
}

fn problems() -> String {
    let mut text = String::new();
    for problem in ProblemCode::ALL {
        let _infallible = writeln!(
            text,
            "### `{}`\n\n{} {}\n",
            problem.as_str(),
            problem.meaning(),
            problem.fix()
        );
    }
    text
}

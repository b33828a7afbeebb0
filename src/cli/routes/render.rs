//! The table as text and as Markdown.

use std::fmt::Write as _;

use super::table::{OwnRow, Row, Table};
use crate::cli::diff::markdown::code;
use crate::document::characters::in_one_line;

/// The widest column that is filled with spaces.
const WIDEST: usize = 60;

/// The most characters of a table in Markdown: a comment on GitHub has 65,536.
const MOST_MARKDOWN: usize = 58_000;

/// One line of the table.
type Cells = [String; 5];

const HEADING: [&str; 5] = ["METHODS", "PATH", "WHO", "SERVICE", "PLACE"];

/// Writes the table for people, a block for each set of hosts.
pub(super) fn text(table: &Table) -> String {
    let mut text = format!("hash: {}\n", table.hash);
    for rows in table.routes.chunk_by(|one, other| one.hosts == other.hosts) {
        let hosts = rows.first().map(|row| row.hosts.as_slice()).unwrap_or_default();
        let _infallible = write!(text, "\n{}\n", hosts_in_words(hosts, !table.has_hosts));
        let lines: Vec<Cells> = rows.iter().map(cells).collect();
        write_lines(&mut text, &lines);
    }
    if !table.own.is_empty() {
        text.push_str("\nSidegate itself responds\n");
        let lines: Vec<Cells> = table.own.iter().map(own_cells).collect();
        write_lines(&mut text, &lines);
    }
    if let Some(note) = case_note(table, str::to_owned) {
        let _infallible = write!(text, "\n{note}\n");
    }
    text
}

/// Says of which routes the case of the path does not count.
fn case_note(table: &Table, write: impl Fn(&str) -> String) -> Option<String> {
    let all = table.services(|row| row.any_case);
    let mut prefix = table.services(|row| row.any_case_prefix && !row.any_case);
    let behind = if prefix.is_empty() { "" } else { " behind their prefix" };
    prefix.retain(|service| !all.contains(service));
    let listed = |services: &[&str]| {
        services
            .iter()
            .map(|service| write(service))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut notes = Vec::new();
    if !all.is_empty() {
        notes.push(format!(
            "The case of paths does not count for {}, but public routes match as they are written{behind}.",
            listed(&all)
        ));
    }
    if !prefix.is_empty() {
        notes.push(format!(
            "The prefix of public routes is taken in any case for {}.",
            listed(&prefix)
        ));
    }
    (!notes.is_empty()).then(|| notes.join(" "))
}

fn hosts_in_words(hosts: &[String], is_alone: bool) -> String {
    match hosts {
        [all] if all == "*" && is_alone => "all hosts".to_owned(),
        [all] if all == "*" => "all other hosts".to_owned(),
        [host] => format!("host {host}"),
        hosts => format!("hosts {}", hosts.join(", ")),
    }
}

fn write_lines(text: &mut String, lines: &[Cells]) {
    let heading = HEADING.map(str::to_owned);
    let width = |column: usize| {
        let all = std::iter::once(&heading).chain(lines);
        let widths = all
            .filter_map(|cells| cells.get(column))
            .map(|cell| cell.chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or_default()
    };
    let widths: [usize; HEADING.len()] = std::array::from_fn(width);
    for cells in std::iter::once(&heading).chain(lines) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _infallible = write!(line, "{cell:width$}  ");
        }
        let _infallible = writeln!(text, "  {}", line.trim_end());
    }
}

fn cells(row: &Row) -> Cells {
    let place = &row.place;
    [
        row.methods_in_words(),
        row.path.clone(),
        row.who_in_words(),
        row.service.clone(),
        format!("{}:{}:{}", in_one_line(&place.file), place.line, place.column),
    ]
}

fn own_cells(row: &OwnRow) -> Cells {
    let path = match row.hosts.as_slice() {
        [all] if all == "*" => row.path.clone(),
        hosts => format!("{} ({})", row.path, hosts.join(", ")),
    };
    [
        row.methods.join(", "),
        path,
        row.who.clone(),
        row.service.clone(),
        in_one_line(&row.file).into_owned(),
    ]
}

/// Writes the table as Markdown, as much of it as a comment can have.
pub(super) fn markdown(table: &Table) -> String {
    let mut text = format!("Policies {}\n\n", code(&table.hash));
    text.push_str("| host | methods | path | who | service | place |\n| --- | --- | --- | --- | --- | --- |\n");
    let own = table.own.iter().map(|row| (&row.hosts, own_cells(row)));
    let rows = table.routes.iter().map(|row| (&row.hosts, cells(row)));
    let mut left = 0;
    for (hosts, [methods, path, who, service, place]) in rows.chain(own) {
        // As code, so that GitHub reads no markup, link, mention or number of an issue in it.
        let cells = [hosts.join(", "), methods, path, who, service, place].map(|cell| code(&cell));
        let line = format!("| {} |\n", cells.join(" | "));
        match text.len() + line.len() > MOST_MARKDOWN {
            true => left += 1,
            false => text.push_str(&line),
        }
    }
    if left > 0 {
        let _infallible = writeln!(text, "\n{left} more are left out: `sidegate routes` lists all.");
    }
    if let Some(note) = case_note(table, code) {
        let _infallible = writeln!(text, "\n{note}");
    }
    text
}

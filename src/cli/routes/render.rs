//! The table as text and as Markdown.

use std::fmt::Write as _;

use super::table::{OwnRow, Row, Table};

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
        let is_alone = rows.len() == table.routes.len();
        let _infallible = write!(text, "\n{}\n", hosts_in_words(hosts, is_alone));
        let lines: Vec<Cells> = rows.iter().map(cells).collect();
        write_lines(&mut text, &lines);
    }
    if !table.own.is_empty() {
        text.push_str("\nSidegate itself responds\n");
        let lines: Vec<Cells> = table.own.iter().map(own_cells).collect();
        write_lines(&mut text, &lines);
    }
    if let Some(note) = case_note(table) {
        let _infallible = write!(text, "\n{note}\n");
    }
    text
}

/// Says for which services the case of paths does not count.
fn case_note(table: &Table) -> Option<String> {
    let services = table.services_in_any_case();
    (!services.is_empty()).then(|| format!("The case of paths does not count for {}.", services.join(", ")))
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
        format!("{}:{}:{}", place.file, place.line, place.column),
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
        row.file.clone(),
    ]
}

/// Writes the table as Markdown, as much of it as a comment can have.
pub(super) fn markdown(table: &Table) -> String {
    let mut text = format!("Policies `{}`\n\n", table.hash);
    text.push_str("| host | methods | path | who | service | place |\n| --- | --- | --- | --- | --- | --- |\n");
    let own = table.own.iter().map(|row| (&row.hosts, own_cells(row)));
    let rows = table.routes.iter().map(|row| (&row.hosts, cells(row)));
    let mut left = 0;
    for (hosts, [methods, path, who, service, place]) in rows.chain(own) {
        let line = format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            escaped(&hosts.join(", ")),
            escaped(&methods),
            escaped(&path),
            escaped(&who),
            escaped(&service),
            escaped(&place)
        );
        match text.len() + line.len() > MOST_MARKDOWN {
            true => left += 1,
            false => text.push_str(&line),
        }
    }
    if left > 0 {
        let _infallible = writeln!(text, "\n{left} more are left out: `sidegate routes` lists all.");
    }
    if let Some(note) = case_note(table) {
        let _infallible = writeln!(text, "\n{}", escaped(&note));
    }
    text
}

/// Escapes what Markdown would read.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

//! The report as a comment on a pull request.

use std::fmt::Write as _;

use super::parts::{by_name, cut, forwards, of_members, parts};
use super::requests::{as_before, requests};
use super::words::{
    View, because, callers, counted, first, heading, met, outcomes, rejected, rest, shortened, summary,
};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::report::Entry;
use crate::policy_diff::settings::SettingChange;

/// The most characters of a report: GitHub takes 65,536 in a comment, and bots add some of their own.
const MOST: usize = 60_000;

/// What is kept for the end, which says how much is left out.
const END: usize = 1000;

/// Writes a report.
pub(super) fn written(view: &View<'_>) -> String {
    let report = view.report;
    let mut page = Page::default();
    page.add(&format!("### Sidegate: {}\n", plain(&summary(report))));
    for note in &view.notes {
        page.add(&format!("\n{}\n", plain(note)));
    }
    for kind in view.kinds() {
        let entries = report.entries(kind);
        if entries.is_empty() {
            continue;
        }
        let head = format!(
            "\n#### {} ({})\n\n| requests | was | now | callers | because |\n| --- | --- | --- | --- | --- |\n",
            sentence(heading(kind)),
            entries.len()
        );
        page.table(&head, entries.iter().map(|entry| change_rows(view, entry)));
    }
    if !report.settings.is_empty() {
        let head = format!(
            "\n<details><summary>Settings ({})</summary>\n\n| field | was | now | for | place |\n| --- | --- | --- | --- | --- |\n",
            report.settings.len()
        );
        page.table(&head, report.settings.iter().map(|setting| setting_row(view, setting)));
        page.add("\n</details>\n");
    }
    page.finish(&rest(view), !report.changes.is_empty())
}

/// A text that ends in time.
#[derive(Debug, Default)]
struct Page {
    text: String,
    length: usize,
    left_out: usize,
}

impl Page {
    /// Adds a text that is short.
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    /// Adds a table as far as there is room.
    fn table(&mut self, head: &str, rows: impl Iterator<Item = String>) {
        let mut head = Some(head);
        for row in rows {
            let begin = head.unwrap_or_default();
            let length = row.chars().count() + begin.chars().count();
            if self.left_out > 0 || self.length + length > MOST - END {
                self.left_out += 1;
                continue;
            }
            self.add(begin);
            head = None;
            self.add(&row);
        }
    }

    fn finish(mut self, rest: &str, has_changes: bool) -> String {
        if self.left_out > 0 {
            let rows = if self.left_out == 1 { "entry is" } else { "entries are" };
            let _ = write!(
                self.text,
                "\n**{} {rows} left out here**: `sidegate diff` shows all of them.\n",
                self.left_out
            );
        }
        if has_changes {
            let _ = write!(self.text, "\n{}\n", plain(rest));
        }
        self.text
    }
}

/// Writes an entry, with a row for each of its parts.
fn change_rows(view: &View<'_>, entry: &Entry<'_>) -> String {
    let parts = parts(entry);
    let mut rows: String = parts
        .iter()
        .take(view.most())
        .map(|part| change_row(view, part))
        .collect();
    if let Some(more) = parts.len().checked_sub(view.most()).filter(|more| *more > 0) {
        let _ = writeln!(rows, "| and {} of requests | | | | |", counted(more, "more group"));
    }
    rows
}

fn change_row(view: &View<'_>, entry: &Entry<'_>) -> String {
    let Some(one) = entry.first() else {
        return String::new();
    };
    let most = view.most();
    let regions = entry.requests();
    let shown = regions.iter().take(most).map(|region| {
        let except: Vec<_> = as_before(view.report, region).iter().map(|path| code(path)).collect();
        let but = match except.is_empty() {
            true => String::new(),
            false => format!(" but {} as before", first(&except, most, ", ")),
        };
        let lines = requests(view, region);
        let lines: Vec<_> = lines.iter().map(|line| code(line)).collect();
        format!("{}{but}", lines.join("<br>"))
    });
    let mut lines: Vec<_> = shown.collect();
    if regions.len() > most {
        lines.push(format!("and {} more", regions.len() - most));
    }
    let cell = |texts: Vec<String>| {
        let lines: Vec<_> = texts.iter().map(|text| plain(&shortened(text))).collect();
        lines.join("<br>")
    };
    let mut fields: Vec<_> = one
        .because
        .iter()
        .take(most)
        .map(|field| format!("{} {}", code(&because(field)), plain(&field.location.to_string())))
        .collect();
    if one.because.len() > most {
        fields.push(format!("and {} more fields", one.because.len() - most));
    }
    let cells = [
        lines.join("<br>"),
        cell(of_members(entry, most, |one| met(&one.was, outcomes(one).0))),
        cell(of_members(entry, most, |one| met(&one.now, outcomes(one).1))),
        about_callers(entry, most).join("<br>"),
        fields.join("<br>"),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn about_callers(entry: &Entry<'_>, most: usize) -> Vec<String> {
    let mut about = Vec::new();
    if entry.another_tenant() {
        about.push("**another tenant**".to_owned());
    }
    let line = |verb: &str, line: &String| format!("{verb} {}", plain(line));
    about.extend(
        callers(&entry.gained(), true, most)
            .iter()
            .map(|text| line("lets in", text)),
    );
    about.extend(
        callers(&entry.lost(), false, most)
            .iter()
            .map(|text| line("rejects", text)),
    );
    about.extend(forwards(entry, most).iter().map(|text| line("forwards", text)));
    if entry.effects().first() == Some(&Effect::RejectedDifferently) {
        about.extend(cut(rejected(&entry.rejected()), most).iter().map(|text| plain(text)));
    }
    about.extend(by_name(entry).iter().map(|text| plain(text)));
    about
}

fn setting_row(view: &View<'_>, setting: &SettingChange) -> String {
    let change = &setting.change;
    let value = |value: &Option<String>| value.as_ref().map_or_else(String::new, |text| code(&shortened(text)));
    let mut routes: Vec<_> = setting
        .routes
        .iter()
        .take(view.most())
        .map(|route| code(route))
        .collect();
    if setting.routes.len() > view.most() {
        routes.push(format!("and {} more", setting.routes.len() - view.most()));
    }
    let cells = [
        code(&change.field),
        value(&change.was),
        value(&change.now),
        routes.join("<br>"),
        plain(&change.location.to_string()),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// Writes a heading as a sentence.
fn sentence(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let mut letters = lower.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => lower,
    }
}

/// Writes a text so that markup in it stays text, in a cell of a table.
fn plain(text: &str) -> String {
    let mut written = String::new();
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => written.push(' '),
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' | '!' => {
                written.push('\\');
                written.push(letter);
            }
            letter => written.push(letter),
        }
    }
    written
}

/// Writes a text as code, in a cell of a table: the fence is longer than any run of backticks in it, and a bar has a
/// backslash, which tables take away (GFM, 4.10).
pub(in crate::cli) fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    let longest = text
        .split(|letter| letter != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    match longest {
        0 => format!("{fence}{text}{fence}"),
        _ => format!("{fence} {text} {fence}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_read_as_markup() {
        for (text, want) in [
            ("a|b", r"a\|b"),
            ("<b>&", "&lt;b>&amp;"),
            ("@team `x` *y*", r"\@team \`x\` \*y\*"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(plain(text), want);
        }
        for (text, want) in [
            ("/a/*", "`/a/*`"),
            ("a`b", "`` a`b ``"),
            ("a|b", r"`a\|b`"),
            ("``", "``` `` ```"),
        ] {
            assert_eq!(code(text), want);
        }
    }

    #[test]
    fn page_ends_in_time_and_says_how_much_is_left_out() {
        let mut page = Page::default();
        let row = format!("| {} |\n", "é".repeat(500));
        page.table("| head |\n", (0..1000).map(|_| row.clone()));
        let text = page.finish("rest", true);
        assert!(text.chars().count() < MOST);
        let rows = text.matches("| é").count();
        assert!(
            text.contains(&format!("**{} entries are left out here**", 1000 - rows)),
            "{rows}"
        );
    }
}

//! The report for people.

use super::words::{
    SHOWN, View, because, callers, counted, first, heading, met, outcomes, path, requests, rest, shortened, summary,
    told, try_it,
};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::report::Explained;
use crate::policy_diff::settings::SettingChange;

/// The column of places.
const PLACE: usize = 66;

/// Writes a report.
pub(super) fn written(view: &View<'_>) -> String {
    let report = view.report;
    let mut lines = vec![summary(report)];
    for kind in view.kinds() {
        let entries = report.entries(kind);
        if entries.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.push(heading(kind).to_owned());
        for entry in &entries {
            match entry.as_slice() {
                [one] => lines.extend(single(view, one)),
                several => lines.extend(group(view, several)),
            }
        }
    }
    if !report.settings.is_empty() {
        lines.push(String::new());
        lines.push("SETTINGS".to_owned());
        lines.extend(report.settings.iter().flat_map(|setting| one_setting(view, setting)));
    }
    if !report.changes.is_empty() {
        lines.push(String::new());
        lines.push(rest(view));
    }
    lines.join("\n") + "\n"
}

/// Writes a line with a place at its end.
fn with_place(text: &str, place: &str) -> String {
    let width = text.chars().count();
    match width < PLACE {
        true => format!("{text}{}{place}", " ".repeat(PLACE - width)),
        false => format!("{text}  {place}"),
    }
}

fn row(name: &str, text: &str) -> String {
    format!("      {name:<8}  {text}")
}

fn rows(name: &str, texts: &[String]) -> Vec<String> {
    let named = texts.iter().enumerate();
    named
        .map(|(at, text)| row(if at == 0 { name } else { "" }, text))
        .collect()
}

/// Writes a change that has no cause in common with another.
fn single(view: &View<'_>, one: &Explained) -> Vec<String> {
    let place = one.now.place.as_ref().or(one.was.place.as_ref());
    let title = format!("  {}", requests(view, one));
    let mut lines = vec![match place {
        Some(place) => with_place(&title, &place.to_string()),
        None => title,
    }];
    let (was, now) = outcomes(one);
    lines.push(row("was", &met(&one.was, was)));
    lines.push(row("now", &met(&one.now, now)));
    lines.extend(causes(view, &one.because));
    lines.extend(effects(view, one));
    let except: Vec<_> = one.change.region.except.iter().map(path).collect();
    if !except.is_empty() {
        let routes = if except.len() > SHOWN && !view.all {
            counted(except.len(), "path")
        } else {
            first(&except, view.most(), "  ")
        };
        lines.push(row("but", &format!("{routes} as before")));
    }
    lines.push(row("try", &try_it(view, one)));
    lines
}

/// Writes changes with the same causes.
fn group(view: &View<'_>, several: &[&Explained]) -> Vec<String> {
    let Some(one) = several.first() else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    for (at, field) in one.because.iter().take(view.most()).enumerate() {
        let name = if at == 0 { "because" } else { "" };
        let text = format!("  {name:<7}  {}", because(field));
        lines.push(with_place(&text, &field.location.to_string()));
    }
    if one.because.len() > view.most() {
        lines.push(format!(
            "           and {} more fields (--all)",
            one.because.len() - view.most()
        ));
    }
    lines.extend(effects(view, one));
    let texts: Vec<_> = several.iter().map(|one| requests(view, one)).collect();
    lines.extend(
        texts
            .iter()
            .take(view.most())
            .enumerate()
            .map(|(at, text)| row(if at == 0 { "for" } else { "" }, text)),
    );
    if texts.len() > view.most() {
        lines.push(row("", &format!("and {} more (--all)", texts.len() - view.most())));
    }
    lines.push(row("try", &try_it(view, one)));
    lines
}

fn causes(view: &View<'_>, fields: &[FieldChange]) -> Vec<String> {
    let line = |(at, field): (usize, &FieldChange)| {
        let text = row(if at == 0 { "because" } else { "" }, &because(field));
        with_place(&text, &field.location.to_string())
    };
    let mut lines: Vec<_> = fields.iter().take(view.most()).enumerate().map(line).collect();
    if fields.len() > view.most() {
        lines.push(row(
            "",
            &format!("and {} more fields (--all)", fields.len() - view.most()),
        ));
    }
    lines
}

/// Says what a change does to callers, and what the upstream gets.
fn effects(view: &View<'_>, one: &Explained) -> Vec<String> {
    let delta = one.delta();
    let most = view.most();
    let mut lines = Vec::new();
    if delta.another_tenant {
        lines.push(row(
            "",
            "another tenant: tokens pass whose tenant is not that of the request",
        ));
    }
    lines.extend(rows("lets in", &callers(&delta.gained, true, most)));
    lines.extend(rows("rejects", &callers(&delta.lost, false, most)));
    lines.extend(rows("forwards", &first_lines(&told(one), most)));
    if one.kind() == Effect::RejectedDifferently {
        let changes = delta
            .rejected
            .iter()
            .map(|change| format!("{}: {} -> {}", change.caller.words(), change.was, change.now));
        lines.extend(rows("answers", &first_lines(&changes.collect::<Vec<_>>(), most)));
    }
    if let Some(named) = &one.named {
        for (name, callers) in [("in", &named.let_in), ("out", &named.kept_out)] {
            if !callers.is_empty() {
                lines.push(row(name, &callers.join(", ")));
            }
        }
    }
    lines
}

fn first_lines(lines: &[String], most: usize) -> Vec<String> {
    let mut shown: Vec<_> = lines.iter().take(most).cloned().collect();
    if lines.len() > most {
        shown.push(format!("and {} more (--all)", lines.len() - most));
    }
    shown
}

fn one_setting(view: &View<'_>, setting: &SettingChange) -> Vec<String> {
    let change = &setting.change;
    let text = |value: &Option<String>| {
        value
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |text| shortened(text))
    };
    let line = format!("  {}: {} -> {}", change.field, text(&change.was), text(&change.now));
    let mut lines = vec![with_place(&line, &change.location.to_string())];
    if !setting.routes.is_empty() {
        lines.push(row("for", &first(&setting.routes, view.most(), "  ")));
    }
    lines
}

//! The report for people.

use super::parts::{by_name, cut, forwards, of_members, parts};
use super::requests::{as_before, methods, requests};
use super::words::{
    View, also, because, callers, counted, first, heading, met, outcomes, rejected, rest, summary, try_it,
};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::report::{Entry, Explained};
use crate::policy_diff::settings::SettingChange;
use crate::policy_diff::types::Region;

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
        lines.extend(entries.iter().flat_map(|entry| one_entry(view, entry)));
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

/// Writes an entry: by its requests, or by its cause if that is the cause of several changes.
fn one_entry(view: &View<'_>, entry: &Entry<'_>) -> Vec<String> {
    let (requests, parts) = (entry.requests(), parts(entry));
    match (entry.first(), requests.as_slice(), parts.as_slice()) {
        (Some(one), [region], [_]) => single(view, entry, (one, region)),
        (Some(one), ..) => group(view, entry, (one, &parts)),
        (None, ..) => Vec::new(),
    }
}

fn single(view: &View<'_>, entry: &Entry<'_>, (one, region): (&Explained, &Region)) -> Vec<String> {
    let place = one.now.place.as_ref().or(one.was.place.as_ref());
    let mut lines: Vec<_> = requests(view, region).iter().map(|text| format!("  {text}")).collect();
    if let (Some(first), Some(place)) = (lines.first_mut(), place) {
        *first = with_place(first, &place.to_string());
    }
    let most = view.most();
    lines.extend(rows(
        "was",
        &of_members(entry, most, |one| met(&one.was, outcomes(one).0)),
    ));
    lines.extend(rows(
        "now",
        &of_members(entry, most, |one| met(&one.now, outcomes(one).1)),
    ));
    lines.extend(causes(view, &one.because));
    lines.extend(effects(view, entry));
    let except = as_before(view.report, region);
    if !except.is_empty() {
        let paths = match except.len() > view.most() {
            true => counted(except.len(), "path"),
            false => except.join("  "),
        };
        lines.push(row("but", &format!("{paths} as before")));
    }
    lines.extend(try_it(view, entry).map(|command| row("try", &command)));
    lines
}

fn group(view: &View<'_>, entry: &Entry<'_>, (one, parts): (&Explained, &[Entry<'_>])) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, field) in one.because.iter().take(view.most()).enumerate() {
        let name = if at == 0 { "because" } else { "" };
        let text = format!("  {name:<7}  {}", because(field));
        lines.push(with_place(&text, &field.location.to_string()));
    }
    if let Some(more) = more(one.because.len(), view) {
        lines.push(format!("           {more} fields (--all)"));
    }
    for part in parts.iter().take(view.most()) {
        lines.extend(effects(view, part));
        let regions = joined(part.requests());
        let texts = regions.iter().flat_map(|region| requests(view, region));
        lines.extend(rows("for", &cut(texts.collect(), view.most())));
    }
    let left = parts.len().saturating_sub(view.most());
    if left > 0 {
        let more = counted(left, "more group");
        lines.push(row("", &format!("and {more} of requests (--all)")));
    }
    lines.extend(try_it(view, entry).map(|command| row("try", &command)));
    lines
}

/// Joins the regions of the same methods and hosts: paths that are left out are not shown with them.
fn joined(regions: Vec<Region>) -> Vec<Region> {
    let mut joined: Vec<Region> = Vec::new();
    for region in regions {
        let same = |other: &&mut Region| {
            other.hosts == region.hosts && methods(other) == methods(&region) && other.is_plain() == region.is_plain()
        };
        match joined.iter_mut().find(same) {
            Some(other) => other.paths.extend(region.paths),
            None => joined.push(region),
        }
    }
    joined
}

/// Says how many things of a list are not shown.
fn more(length: usize, view: &View<'_>) -> Option<String> {
    let more = length.saturating_sub(view.most());
    (more > 0).then(|| format!("and {more} more"))
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

/// Says what an entry does to callers, and what the upstream gets.
fn effects(view: &View<'_>, entry: &Entry<'_>) -> Vec<String> {
    let most = view.most();
    let mut lines = Vec::new();
    if entry.another_tenant() {
        lines.push(row(
            "tenant",
            "another tenant: tokens pass whose tenant is not that of the request",
        ));
    }
    lines.extend(rows("lets in", &callers(&entry.gained(), true, most)));
    lines.extend(rows("rejects", &callers(&entry.lost(), false, most)));
    lines.extend(rows("forwards", &forwards(entry, most)));
    if entry.effects().first() == Some(&Effect::RejectedDifferently) {
        lines.extend(rows("answers", &cut(rejected(&entry.rejected()), most)));
    }
    lines.extend(rows("callers", &by_name(entry)));
    lines.extend(also(entry).map(|also| row("also", &also)));
    lines
}

fn one_setting(view: &View<'_>, setting: &SettingChange) -> Vec<String> {
    let change = &setting.change;
    let line = format!("  {}", because(change));
    let mut lines = vec![with_place(&line, &change.location.to_string())];
    if !setting.routes.is_empty() {
        let routes: Vec<_> = setting.routes.iter().collect();
        lines.push(row("for", &first(&routes, view.most(), "  ")));
    }
    lines
}

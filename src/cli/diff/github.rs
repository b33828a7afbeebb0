//! The report as annotations of the lines of the new files.

use super::parts::{forwards, parts};
use super::words::{because, callers, counted, first, heading};
use crate::cli::annotations::{Annotation, Kind};
use crate::document::problem::Location;
use crate::policy_diff::effects::Effect;
use crate::policy_diff::report::{Entry, Explained, Report};
use crate::policy_diff::settings::SettingChange;

/// How many routes and callers an annotation lists.
const MOST: usize = 3;

/// Makes an annotation for each entry that has a place in the new files.
pub(super) fn annotations(report: &Report) -> Vec<Annotation> {
    let kinds = Effect::ALL
        .into_iter()
        .filter(|kind| *kind != Effect::RejectedDifferently);
    let changes = kinds.flat_map(|kind| {
        let entries = report.entries(kind);
        entries
            .into_iter()
            .filter_map(move |entry| of_entry(kind, &entry))
            .collect::<Vec<_>>()
    });
    let settings = report.settings.iter().filter_map(of_setting);
    changes.chain(settings).collect()
}

const fn kind_of(effect: Effect) -> Kind {
    match effect {
        Effect::OpenedToPublic => Kind::Error,
        Effect::Opened => Kind::Warning,
        Effect::ForwardedDifferently | Effect::Closed | Effect::RejectedDifferently => Kind::Notice,
    }
}

fn of_entry(kind: Effect, entry: &Entry<'_>) -> Option<Annotation> {
    let location = entry.members.iter().find_map(|one| location(one))?;
    let mut lines = vec![routes(entry)];
    lines.extend(entry.first().iter().flat_map(|one| one.because.iter().map(because)));
    let parts = parts(entry);
    match parts.as_slice() {
        [part] => lines.extend(effects(part)),
        parts => {
            for part in parts.iter().take(MOST) {
                lines.push(format!("{}:", routes(part)));
                lines.extend(effects(part));
            }
            let more = parts.len().saturating_sub(MOST);
            lines.extend((more > 0).then(|| format!("and {} of requests", counted(more, "more group"))));
        }
    }
    Some(Annotation::at(
        location,
        kind_of(kind),
        heading(kind).to_lowercase(),
        lines.join("\n"),
    ))
}

/// Writes the routes of an entry.
fn routes(entry: &Entry<'_>) -> String {
    let mut routes: Vec<&str> = Vec::new();
    for one in &entry.members {
        let route = one.now.route.as_deref().or(one.was.route.as_deref());
        let new: Vec<_> = route.filter(|route| !routes.contains(route)).into_iter().collect();
        routes.extend(new);
    }
    first(&routes, MOST, "  ")
}

/// Says what an entry does to callers, and what the upstream gets.
fn effects(entry: &Entry<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if entry.another_tenant() {
        lines.push("another tenant".to_owned());
    }
    let line = |verb: &str, line: &String| format!("{verb} {line}");
    lines.extend(
        callers(&entry.gained(), true, MOST)
            .iter()
            .map(|text| line("lets in", text)),
    );
    lines.extend(
        callers(&entry.lost(), false, MOST)
            .iter()
            .map(|text| line("rejects", text)),
    );
    lines.extend(forwards(entry, MOST).iter().map(|text| line("forwards", text)));
    lines
}

/// Returns the place of a change in the new files: that of a field behind it, or that of the route.
fn location(one: &Explained) -> Option<&Location> {
    let field = one.because.iter().find(|field| field.is_there);
    field.map(|field| &field.location).or(one.now.place.as_ref())
}

fn of_setting(setting: &SettingChange) -> Option<Annotation> {
    let change = &setting.change;
    let message = because(change);
    change
        .is_there
        .then(|| Annotation::at(&change.location, Kind::Notice, "setting", message))
}

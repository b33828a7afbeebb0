//! The report as annotations of the lines of the new files.

use super::words::{because, callers, heading, told};
use crate::cli::annotations::{Annotation, Kind};
use crate::document::problem::Location;
use crate::policy_diff::effects::Effect;
use crate::policy_diff::report::{Explained, Report};
use crate::policy_diff::settings::SettingChange;

/// How many callers an annotation lists.
const CALLERS: usize = 3;

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

fn of_entry(kind: Effect, entry: &[&Explained]) -> Option<Annotation> {
    let one = entry.first()?;
    let location = location(one)?;
    let title = heading(kind).to_lowercase();
    let delta = one.delta();
    let mut lines: Vec<String> = Vec::new();
    for one in entry.iter().take(CALLERS) {
        let route = one.now.route.as_ref().or(one.was.route.as_ref());
        lines.extend(route.cloned());
    }
    if entry.len() > CALLERS {
        lines.push(format!("and {} more", entry.len() - CALLERS));
    }
    lines.extend(one.because.iter().map(because));
    if delta.another_tenant {
        lines.push("another tenant".to_owned());
    }
    lines.extend(
        callers(&delta.gained, true, CALLERS)
            .iter()
            .map(|line| format!("lets in {line}")),
    );
    lines.extend(
        callers(&delta.lost, false, CALLERS)
            .iter()
            .map(|line| format!("rejects {line}")),
    );
    lines.extend(told(one).into_iter().take(CALLERS));
    Some(Annotation::at(location, kind_of(kind), title, lines.join("\n")))
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

//! What reports say of requests and callers, in words.

use http::Method;

use crate::policy_diff::caller_class::CallerClass;
use crate::policy_diff::delta::{CallerChange, Told};
use crate::policy_diff::effects::Effect;
use crate::policy_diff::fields::FieldChange;
use crate::policy_diff::report::{Entry, Explained, Met, Report};

/// How many requests, callers and fields a report shows of one change without `--all`.
pub(super) const SHOWN: usize = 3;

/// What is reported.
#[derive(Debug)]
pub(super) struct View<'r> {
    /// The changes.
    pub(super) report: &'r Report,
    /// Whether everything is shown.
    pub(super) all: bool,
    /// What is not compared.
    pub(super) notes: Vec<String>,
    /// The option by which `explain` decides by the new policies.
    pub(super) policies: String,
}

impl View<'_> {
    /// Returns how many things of a list are shown.
    pub(super) const fn most(&self) -> usize {
        if self.all { usize::MAX } else { SHOWN }
    }

    /// Returns the kinds that are listed.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Effect> {
        let all = self.all;
        let listed = move |kind: &Effect| all || *kind != Effect::RejectedDifferently;
        Effect::ALL.into_iter().filter(listed)
    }
}

/// Returns the heading of a kind.
pub(super) const fn heading(kind: Effect) -> &'static str {
    match kind {
        Effect::OpenedToPublic => "NOW OPEN TO THE PUBLIC",
        Effect::Opened => "NOW OPEN TO MORE CALLERS",
        Effect::ForwardedDifferently => "FORWARDED DIFFERENTLY",
        Effect::Closed => "CLOSED",
        Effect::RejectedDifferently => "REJECTED DIFFERENTLY",
    }
}

/// Sums up a report in one line.
pub(super) fn summary(report: &Report) -> String {
    let effects: Vec<_> = Effect::ALL
        .into_iter()
        .flat_map(|kind| report.entries(kind))
        .map(|entry| entry.effects())
        .collect();
    let count = |any: &[Effect]| {
        let is_one = |effects: &&Vec<Effect>| any.iter().any(|effect| effects.contains(effect));
        effects.iter().filter(is_one).count()
    };
    let (public, opened) = (
        count(&[Effect::OpenedToPublic]),
        count(&[Effect::OpenedToPublic, Effect::Opened]),
    );
    let (closed, forwarded) = (count(&[Effect::Closed]), count(&[Effect::ForwardedDifferently]));
    let rejected = report.entries(Effect::RejectedDifferently).len();
    let mut parts = Vec::new();
    if opened > 0 {
        parts.push(match public {
            0 => counted(opened, "opening"),
            public => format!("{}, {public} to the public", counted(opened, "opening")),
        });
    }
    if closed > 0 {
        parts.push(counted(closed, "closing"));
    }
    let others = [(forwarded, "forwarded differently"), (rejected, "rejected differently")];
    parts.extend(
        others
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}")),
    );
    if report.changes.is_empty() {
        let alike = match report.settings.is_empty() {
            true => "no request is answered differently",
            false => "the policies decide alike",
        };
        parts.push(alike.to_owned());
    }
    if !report.settings.is_empty() {
        parts.push(counted(report.settings.len(), "setting"));
    }
    parts.join("; ")
}

/// Says how many routes answer as before, and how many changes are not listed.
pub(super) fn rest(view: &View<'_>) -> String {
    let report = view.report;
    let mut text = format!(
        "{} of {} answer as before",
        report.unchanged_routes,
        counted(report.routes, "route")
    );
    let rejected = report
        .changes
        .iter()
        .filter(|one| one.kind() == Effect::RejectedDifferently)
        .count();
    if rejected > 0 && !view.all {
        let (classes, are) = if rejected == 1 {
            ("class", "is")
        } else {
            ("classes", "are")
        };
        text = format!("{text}; {rejected} {classes} of requests {are} rejected differently (--all)");
    }
    text
}

/// Writes a number of things.
pub(super) fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// Writes the first items of a list, and how many more there are.
pub(super) fn first<T: AsRef<str>>(items: &[T], most: usize, between: &str) -> String {
    let shown: Vec<_> = items.iter().take(most).map(AsRef::as_ref).collect();
    match items.len().saturating_sub(most) {
        0 => shown.join(between),
        more => format!("{} and {more} more (--all)", shown.join(between)),
    }
}

/// Says what requests meet on one side.
pub(super) fn met(met: &Met, outcome: Option<&str>) -> String {
    match (&met.who, &met.service) {
        (Some(who), _) => who.clone(),
        (None, _) if outcome.is_some() => outcome.unwrap_or_default().to_owned(),
        (None, Some(service)) => format!("no route of {service}"),
        (None, None) => "no policy".to_owned(),
    }
}

/// Returns the response to callers before a change, where they met no route.
pub(super) fn outcomes(one: &Explained) -> (Option<&str>, Option<&str>) {
    let delta = one.delta();
    let mut all = delta
        .gained
        .iter()
        .chain(&delta.lost)
        .chain(&delta.rejected)
        .chain(&delta.forwarded);
    let first = all.next();
    (
        first.map(|change| change.was.as_str()),
        first.map(|change| change.now.as_str()),
    )
}

/// Writes a field that is behind a change.
pub(super) fn because(field: &FieldChange) -> String {
    let name = &field.field;
    match (&field.was, &field.now) {
        (None, None) => name.clone(),
        (None, Some(now)) => format!("{name}: new, {}", shortened(now)),
        (Some(was), None) => format!("{name}: gone, was {}", shortened(was)),
        (Some(was), Some(now)) if was == now => format!("{name}: another value, not shown: {}", shortened(now)),
        (Some(was), Some(now)) => format!("{name}: {} -> {}", shortened(was), shortened(now)),
    }
}

/// Writes a value of a field, cut where it is long.
pub(super) fn shortened(text: &str) -> String {
    const LONG: usize = 72;
    match text.char_indices().nth(LONG) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Writes callers and what became of them before, as in `tokens with role support (were 403 role_missing)`.
pub(super) fn callers(changes: &[&CallerChange], past: bool, most: usize) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for change in changes {
        let outcome = if past { change.was.as_str() } else { change.now.as_str() };
        let words = CallerClass::words(&change.caller);
        let Some((_, callers)) = groups.iter_mut().find(|(other, _)| *other == outcome) else {
            groups.push((outcome, vec![words]));
            continue;
        };
        if !callers.contains(&words) {
            callers.push(words);
        }
    }
    let verb = if past { "were" } else { "now" };
    let line = |(outcome, callers): &(&str, Vec<String>)| format!("{} ({verb} {outcome})", first(callers, most, "; "));
    let mut lines: Vec<_> = groups.iter().take(most).map(line).collect();
    if let Some(more) = groups.len().checked_sub(most).filter(|more| *more > 0) {
        lines.push(format!("and {more} more outcomes (--all)"));
    }
    lines
}

/// Says what the upstream gets that it did not, or gets no more.
pub(super) fn told(entry: &Entry<'_>, most: usize) -> Vec<String> {
    let told = entry.told();
    let mut lines = Vec::new();
    let (mut gone, mut new, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for Told { header, was, now } in told {
        match (was, now) {
            (Some(was), Some(now)) if was == now => other.push(header.as_str()),
            (Some(was), Some(now)) => lines.push(format!("{header}: {was} -> {now}")),
            (None, Some(now)) => new.push(format!("{header} ({now})")),
            (_, None) => gone.push(header.as_str()),
        }
    }
    let mut add = |what: &str, names: &[String]| {
        if !names.is_empty() {
            lines.push(format!("{what} {}", first(names, most, ", ")));
        }
    };
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    add("no more", &texts(&gone));
    add("now also", &new);
    add("another value in", &texts(&other));
    let (mut changes, mut others) = (Vec::new(), Vec::new());
    for name in entry.differs() {
        match entry.first().and_then(|one| place_change(one, name)) {
            Some(change) => changes.push(change),
            None => others.push(name.to_owned()),
        }
    }
    add("another", &others);
    lines.extend(changes);
    lines
}

/// Says from where to where requests go, where the service or its address is another.
fn place_change(one: &Explained, name: &str) -> Option<String> {
    let value = |met: &Met| match name {
        "service" => met.service.clone(),
        "upstream" => met.upstream.clone(),
        _ => None,
    };
    let (was, now) = (value(&one.was)?, value(&one.now)?);
    (was != now).then(|| format!("to another {name}: {was} -> {now}"))
}

/// Says how callers are rejected in another way.
pub(super) fn rejected(changes: &[&CallerChange]) -> Vec<String> {
    let line = |change: &&CallerChange| {
        let CallerChange { caller, was, now } = change;
        let caller = caller.words();
        match was == now {
            true => format!("{caller}: {was} with other headers or another body"),
            false => format!("{caller}: {was} -> {now}"),
        }
    };
    changes.iter().map(line).collect()
}

/// Writes the command that explains an example of an entry, if it can show a caller for whom the entry matters.
pub(super) fn try_it(view: &View<'_>, entry: &Entry<'_>) -> Option<String> {
    let members = entry.members.iter().map(|one| &one.change);
    let shown = members.filter(|change| change.shown.is_some());
    let change = shown.min_by_key(|change| change.example.method != Method::GET)?;
    let example = &change.example;
    let host = match change.region.hosts.iter().any(|host| host == "*") {
        true => String::new(),
        false => format!(" -H {}", shell(&format!("host: {}", example.host))),
    };
    let options = change.shown.as_ref()?.options();
    let options: Vec<_> = options.iter().map(|option| shell(option)).collect();
    Some(format!(
        "sidegate explain {} {}{host} {} {}",
        shell(example.method.as_str()),
        shell(&example.path),
        options.join(" "),
        view.policies
    ))
}

/// Returns the words for the effects of an entry besides the one of its heading.
pub(super) fn also(entry: &Entry<'_>) -> Option<String> {
    let effects = entry.effects();
    let others = effects.iter().skip(1).map(|effect| match effect {
        Effect::OpenedToPublic | Effect::Opened => "opened to more callers",
        Effect::ForwardedDifferently => "forwarded differently",
        Effect::Closed => "closed to others",
        Effect::RejectedDifferently => "rejected differently",
    });
    let others: Vec<_> = others.collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// Writes a path for a shell: one that starts with `-` must not be read as an option.
pub(super) fn shell_path(path: &str) -> String {
    match path.starts_with('-') {
        true => shell(&format!("./{path}")),
        false => shell(path),
    }
}

/// Writes a word for a shell.
pub(super) fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:%@+,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_reaches_a_command_as_it_is() {
        for (word, want) in [
            ("/api/docs/a", "/api/docs/a"),
            ("/a b", "'/a b'"),
            ("/it's", r"'/it'\''s'"),
            ("", "''"),
            ("host: x", "'host: x'"),
            ("/$x", "'/$x'"),
        ] {
            assert_eq!(shell(word), want);
        }
    }

    #[test]
    fn path_that_looks_like_an_option_is_a_path() {
        for (path, want) in [
            ("policies", "policies"),
            ("-n.yaml", "./-n.yaml"),
            ("--config", "./--config"),
            ("-a b's", r"'./-a b'\''s'"),
            ("a -b", "'a -b'"),
        ] {
            assert_eq!(shell_path(path), want);
        }
    }

    #[test]
    fn list_says_how_much_of_it_is_left_out() {
        assert_eq!(first(&["a", "b"], 3, ", "), "a, b");
        assert_eq!(first(&["a", "b", "c", "d", "e"], 3, ", "), "a, b, c and 2 more (--all)");
    }
}

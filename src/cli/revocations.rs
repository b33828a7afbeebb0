//! `sidegate revocations`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::output::{print, print_json};
use super::target::{TargetKind, TargetOptions};
use super::{Exit, Format};
use crate::revocation::{Millis, Revocation};

#[derive(Debug, Args)]
pub(super) struct Revocations {
    #[command(flatten)]
    target: TargetOptions,
}

/// A revocation, as reports show it. Times are RFC 3339, in UTC.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    kind: &'static str,
    value: String,
    issuer: Option<String>,
    before: Option<String>,
    expires: String,
}

#[derive(Debug, Serialize)]
struct Report {
    revocations: Vec<Shown>,
    count: usize,
    /// How long ago the list was complete; absent if it never was.
    age_ms: Option<u128>,
    via: TargetKind,
}

impl Revocations {
    pub(super) fn execute(self) -> Exit {
        self.target.run(async |target| {
            let mut known = target.revocations(Timestamp::now().as_millisecond()).await?;
            known
                .revocations
                .sort_by(|a, b| (&a.target, &a.issuer).cmp(&(&b.target, &b.issuer)));
            let report = Report {
                count: known.revocations.len(),
                revocations: known.revocations.iter().map(Shown::of).collect(),
                age_ms: known.age.map(|age| age.as_millis()),
                via: target.via(),
            };
            match self.target.output {
                Format::Json => print_json(&report),
                _ => print(&report.text(known.age)),
            }
            Ok(())
        })
    }
}

impl Shown {
    pub(super) fn of(revocation: &Revocation) -> Self {
        Self {
            kind: revocation.target.kind(),
            value: revocation.target.value(),
            issuer: revocation.issuer.clone(),
            before: revocation.before.map(moment),
            expires: moment(revocation.expires),
        }
    }

    /// What is revoked, in words.
    pub(super) fn sentence(&self) -> String {
        let mut text = format!("revoked: {} `{}`", self.kind, self.value.escape_debug());
        if let Some(issuer) = &self.issuer {
            let _ = write!(text, " of issuer `{}`", issuer.escape_debug());
        }
        if let Some(before) = &self.before {
            let _ = write!(text, ", tokens issued before {before}");
        }
        let _ = write!(text, ", remembered until {}", self.expires);
        text
    }

    fn cells(&self) -> [String; 5] {
        let or_any = |text: &Option<String>| {
            text.as_deref()
                .map_or("any".to_owned(), |text| text.escape_debug().to_string())
        };
        [
            self.kind.to_owned(),
            self.value.escape_debug().to_string(),
            or_any(&self.issuer),
            or_any(&self.before),
            self.expires.clone(),
        ]
    }
}

/// Returns the text of a time, with all three digits of its milliseconds if it has any; its milliseconds alone where the
/// calendar ends.
fn moment(millis: Millis) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) if millis % 1000 == 0 => time.to_string(),
        Ok(time) => format!("{time:.3}"),
        Err(_) => millis.to_string(),
    }
}

impl Report {
    fn text(&self, age: Option<Duration>) -> String {
        let mut text = String::new();
        if !self.revocations.is_empty() {
            let head = ["KIND", "VALUE", "ISSUER", "BEFORE", "EXPIRES"].map(str::to_owned);
            let rows = std::iter::once(head).chain(self.revocations.iter().map(Shown::cells));
            text = table(&rows.collect::<Vec<_>>());
        }
        let count = match self.count {
            1 => "1 revocation".to_owned(),
            count => format!("{count} revocations"),
        };
        let fresh = match age {
            Some(age) if age < Duration::from_secs(1) => "complete".to_owned(),
            Some(age) => format!("complete {} s ago", age.as_secs()),
            None => "perhaps not all: the store was out of reach since the start".to_owned(),
        };
        let _ = writeln!(text, "{count}, {fresh}; from {}", self.via);
        text
    }
}

/// Rows in columns of equal width.
fn table(rows: &[[String; 5]]) -> String {
    let mut widths = [0; 5];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Target;

    #[test]
    fn times_have_no_digits_of_milliseconds_or_three() {
        for (millis, want) in [
            (1_000, "1970-01-01T00:00:01Z"),
            (1_600, "1970-01-01T00:00:01.600Z"),
            (1_020, "1970-01-01T00:00:01.020Z"),
            (1_003, "1970-01-01T00:00:01.003Z"),
        ] {
            assert_eq!(moment(millis), want);
        }
    }

    #[test]
    fn what_is_shown_cannot_pass_for_something_else() {
        let shown = Shown::of(&Revocation {
            target: Target::Subject("u\n\u{1b}[31mjti".into()),
            issuer: Some("i".into()),
            before: Some(0),
            expires: Millis::MAX,
        });
        let report = Report {
            count: 1,
            age_ms: None,
            via: TargetKind::Store("redis"),
            revocations: vec![shown],
        };
        assert_eq!(
            report.text(None),
            "KIND     VALUE             ISSUER  BEFORE                EXPIRES\n\
             subject  u\\n\\u{1b}[31mjti  i       1970-01-01T00:00:00Z  9223372036854775807\n\
             1 revocation, perhaps not all: the store was out of reach since the start; from the store in redis\n"
        );
    }
}

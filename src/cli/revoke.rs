//! `sidegate revoke`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::output::{could_not_run, print_error, print_json, print_line};
use super::revocations::Shown;
use super::target::{TargetKind, TargetOptions};
use super::value_parsers::{period, time};
use super::{Exit, Format};
use crate::control::message::Asking;
use crate::principal::TenantId;
use crate::rejection::shown;
use crate::revocation::{Millis, Revocation, Target};

/// How long a revocation is remembered by default.
const LASTING: Duration = Duration::from_hours(30 * 24);

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// What is revoked
    #[arg(value_enum)]
    kind: Kind,
    /// The `jti` of the token, the `sub` of the subject, or the tenant
    id: String,
    /// Only tokens with this `iss` [default: those of all issuers]
    #[arg(long, value_name = "ISS")]
    issuer: Option<String>,
    /// Only tokens issued before this moment, as in `2026-02-24T12:00:00Z`, or in seconds since the
    /// epoch; not for a `jti` [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<Timestamp>,
    /// How long it is remembered, which has to be as long as the longest-lived token lives
    /// [default: 30d]
    #[arg(long = "for", value_name = "PERIOD", value_parser = period)]
    lasting: Option<Duration>,
    /// The moment until which it is remembered
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "lasting")]
    until: Option<Timestamp>,
    #[command(flatten)]
    target: TargetOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// One token
    Jti,
    /// All tokens of a subject, issued before a moment
    Subject,
    /// All tokens of a tenant, issued before a moment
    Tenant,
}

#[derive(Debug, Serialize)]
struct Report {
    revoked: Shown,
    /// How many policies of the process look for it.
    policies: Option<usize>,
    /// Which ones.
    asking: Option<Asking>,
    via: TargetKind,
}

impl Kind {
    /// The blocks of a policy that looks for a revocation of this kind.
    const fn blocks(self) -> &'static str {
        match self {
            Self::Jti | Self::Subject => "`revocation: {}`",
            Self::Tenant => "both `revocation: {}` and `tenant`",
        }
    }
}

impl Revoke {
    pub(super) fn execute(self) -> Exit {
        let revocation = match self.revocation(Timestamp::now()) {
            Ok(revocation) => revocation,
            Err(problem) => return could_not_run(problem),
        };
        self.target.run(async |target| {
            let (in_force, asking) = target.revoke(&revocation).await?;
            let report = Report {
                revoked: Shown::of(&in_force),
                policies: asking.as_ref().map(|asking| asking.policies),
                asking,
                via: target.via(),
            };
            if report.policies == Some(0) {
                let blocks = self.kind.blocks();
                print_error(format!(
                    "no policy of this process has {blocks}: it rejects none of these tokens"
                ));
            }
            if self.id.trim() != self.id {
                print_error("the name has white space at its edge: only tokens that have it as well are revoked");
            }
            if let Some(warning) = target.warning() {
                print_error(warning);
            }
            if self.target.output == Format::Json {
                print_json(&report);
            } else {
                print_line(format!("{}; by {}", report.revoked.sentence(), report.via));
                report.asking.iter().for_each(|asking| warn(self.kind, asking));
            }
            Ok(())
        })
    }

    /// What is asked for at a moment, or why it makes no sense.
    fn revocation(&self, now: Timestamp) -> Result<Revocation, String> {
        if is_token(&self.id) {
            return Err("that is a token, which should not be on a command line: name the `jti` in it".into());
        }
        let revocation = Revocation {
            target: self.target()?,
            issuer: self.issuer.clone(),
            before: self.before(now)?,
            expires: self.expires(now)?,
        };
        match revocation.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => Ok(revocation),
        }
    }

    fn target(&self) -> Result<Target, String> {
        match self.kind {
            Kind::Jti => Ok(Target::Jti(self.id.clone())),
            Kind::Subject => Ok(Target::Subject(self.id.clone())),
            Kind::Tenant => TenantId::named(&self.id).map(Target::Tenant).ok_or_else(|| {
                let id = shown(&self.id);
                format!("`{id}` is not a tenant: write its UUID, or 1 to 128 visible ASCII characters")
            }),
        }
    }

    fn before(&self, now: Timestamp) -> Result<Option<Millis>, String> {
        match (self.kind, self.before) {
            (Kind::Jti, None) => Ok(None),
            (Kind::Jti, Some(_)) => Err("a `jti` is revoked whenever it was issued: leave out `--before`".into()),
            (_, Some(before)) if before > now => Err(format!(
                "`--before {before}` is in the future: those tokens are not issued yet"
            )),
            (_, before) => Ok(Some(before.unwrap_or(now).as_millisecond())),
        }
    }

    fn expires(&self, now: Timestamp) -> Result<Millis, String> {
        let lasting = self.lasting.unwrap_or(LASTING);
        let until = match self.until {
            Some(until) => until,
            None => now
                .checked_add(lasting)
                .map_err(|_| "`--for` is longer than time is counted")?,
        };
        match (until > now, self.until) {
            (true, _) => Ok(until.as_millisecond()),
            (false, Some(until)) => Err(format!("`--until {until}` is in the past")),
            (false, None) => Err("`--for` is not a length of time".into()),
        }
    }
}

/// Says where the revocation holds and where it does not, and whether it lasts.
fn warn(kind: Kind, asking: &Asking) {
    print_line(asking);
    if (1..asking.of).contains(&asking.policies) {
        let (services, blocks) = (asking.not_asking.join(", "), kind.blocks());
        print_error(format!(
            "these policies still accept the tokens, because they do not have {blocks}: {services}"
        ));
    }
    if asking.policies > 0 && asking.lost_on_restart {
        print_error(
            "the revocation is lost when this process restarts: its store is `memory`; `store: { redis: … }` keeps it",
        );
    }
}

/// Whether a text is a whole token rather than a name in it.
fn is_token(text: &str) -> bool {
    let is_part = |text: &str| text.starts_with("eyJ") && text.split('.').count() >= 3;
    text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'))
        .any(is_part)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        revoke: Revoke,
    }

    const TENANT: &str = "00000000-0000-4000-a000-000000000001";
    const NOW: &str = "2026-11-22T10:00:00.250Z";
    const DAYS_30: &str = "2026-12-22T10:00:00.25Z";

    fn asked(arguments: &[&str]) -> Result<Revocation, String> {
        let line = ["revoke"].iter().chain(arguments);
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        line.revoke.revocation(NOW.parse().unwrap())
    }

    fn millis(time: &str) -> Millis {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn what_is_said_and_what_is_not() {
        for (arguments, issuer, before, expires) in [
            (&["jti", "a"][..], None, None, DAYS_30),
            (&["jti", "a", "--for", "90s"], None, None, "2026-11-22T10:01:30.25Z"),
            (
                &["jti", "a", "--until", "1795341601"],
                None,
                None,
                "2026-11-22T10:00:01Z",
            ),
            (&["jti", "a", "--issuer", "i"], Some("i"), None, DAYS_30),
            (&["subject", "a"], None, Some(NOW), DAYS_30),
            (&["subject", "a", "--before", NOW], None, Some(NOW), DAYS_30),
            (
                &[
                    "subject",
                    "a",
                    "--before",
                    "2026-11-22T11:00:00+02:00",
                    "--until",
                    "2027-01-01T00:00:00Z",
                ],
                None,
                Some("2026-11-22T09:00:00Z"),
                "2027-01-01T00:00:00Z",
            ),
            (
                &["tenant", TENANT, "--before", "0"],
                None,
                Some("1970-01-01T00:00:00Z"),
                DAYS_30,
            ),
        ] {
            let found = asked(arguments).unwrap();
            let said = (found.issuer.as_deref(), found.before, found.expires);
            assert_eq!(said, (issuer, before.map(millis), millis(expires)), "{arguments:?}");
        }
        let tenant = asked(&["tenant", &TENANT.to_uppercase()]).unwrap();
        assert_eq!(
            (tenant.target.kind(), tenant.target.value().as_str()),
            ("tenant", TENANT)
        );
        let subject = asked(&["subject", "--", "-u"]).unwrap();
        assert_eq!(subject.target, Target::Subject("-u".into()));
    }

    #[test]
    fn what_makes_no_sense() {
        let long = "j".repeat(65_537);
        for (arguments, message) in [
            (&["jti"][..], "<ID>"),
            (&["token", "a"], "[possible values: jti, subject, tenant]"),
            (&["jti", ""], "the name is empty or too long"),
            (&["jti", &long], "the name is empty or too long"),
            (&["jti", "a", "--issuer", ""], "the issuer is empty or too long"),
            (&["jti", "a", "--before", NOW], "leave out `--before`"),
            (&["jti", "eyJhbGciOiJub25lIn0.e30."], "that is a token"),
            (
                &["tenant", "acme corp"],
                "`acme corp` is not a tenant: write its UUID, or 1 to 128 visible ASCII characters",
            ),
            (
                &["subject", "a", "--before", "2026-11-22T10:00:00.251Z"],
                "is in the future",
            ),
            (
                &["subject", "a", "--before", "yesterday"],
                "write `2026-02-24T12:00:00Z`",
            ),
            (
                &["jti", "a", "--until", NOW],
                "`--until 2026-11-22T10:00:00.25Z` is in the past",
            ),
            (&["jti", "a", "--for", "0s"], "`--for` is not a length of time"),
            (&["jti", "a", "--for", "30"], "such as `15m`"),
            (&["jti", "a", "--for", "9999999d"], "longer than time is counted"),
            (&["jti", "a", "--for", "1d", "--until", NOW], "cannot be used with"),
            (
                &["jti", "a", "--store", "redis://r", "--control", "c"],
                "cannot be used with",
            ),
        ] {
            let error = asked(arguments).unwrap_err();
            assert!(error.contains(message), "{arguments:?}: {error}");
        }
    }
}

//! Whether certificates are about to end, and whether listeners can use theirs.

use jiff::Timestamp;

use super::files::{Certificate, File};
use super::finding::{Finding, Severity};

/// Less than this is soon, in seconds.
const SOON: i64 = 14 * 24 * 3600;

/// A listener, and what is wrong with its files.
#[derive(Debug)]
pub struct Listener {
    /// Its address.
    pub address: String,
    /// Each problem, as `check` tells it.
    pub problems: Vec<String>,
}

/// Judges the certificates of all files, and the listeners that use some of them.
pub fn judge(files: &[File], listeners: &[Listener], now: i64) -> Vec<Finding> {
    let mut findings: Vec<_> = files.iter().filter_map(|file| judge_one(file, now)).collect();
    for listener in listeners {
        // The finding on the file reports what has expired.
        let problems = listener.problems.iter().filter(|problem| !problem.ends_with("expired"));
        findings.extend(problems.map(|problem| Finding {
            code: "listener_unusable",
            area: "certificates",
            severity: Severity::Problem,
            about: listener.address.clone(),
            found: problem.clone(),
            advice: "`run` does not start with these files: replace them",
        }));
    }
    findings
}

fn judge_one(file: &File, now: i64) -> Option<Finding> {
    let ends = |certificate: &Certificate| certificate.ends;
    let first = file.certificates.iter().map(ends).min()?;
    let last = file.certificates.iter().map(ends).max()?;
    // Of several CAs one is enough; a chain is as good as its worst part.
    let several = file.certificates.len() > 1 && file.certificates.iter().all(|certificate| certificate.authority);
    let (severity, code, advice) = if first < now && !(several && last >= now) {
        (
            Severity::Problem,
            "certificate_expired",
            "replace it: no client accepts it any more",
        )
    } else if first < now {
        (
            Severity::Caution,
            "certificate_expired",
            "remove the expired CA, once its successor is in the file",
        )
    } else if first - now < SOON {
        (
            Severity::Caution,
            "certificate_expires_soon",
            "replace it, and see why nothing else has",
        )
    } else {
        (Severity::Ok, "certificate_current", "")
    };
    let time = Timestamp::from_second(first)
        .map(|time| time.to_string())
        .unwrap_or_default();
    let tense = if first < now { "ended" } else { "ends" };
    let what = if file.certificates.len() > 1 {
        "the first of its certificates"
    } else {
        "it"
    };
    Some(Finding {
        code,
        area: "certificates",
        severity,
        about: file.path.display().to_string(),
        found: format!("{what} {tense} {time}"),
        advice,
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::Access;
    use super::*;

    #[test]
    fn a_chain_ends_with_its_first_part_and_cas_with_their_last() {
        use Severity::{Caution, Ok, Problem};
        const DAY: i64 = 24 * 3600;
        let (leaf, ca) = (false, true);
        for (certificates, want) in [
            (&[][..], None),
            (&[(leaf, 15)], Some(("certificate_current", Ok))),
            (&[(leaf, 13)], Some(("certificate_expires_soon", Caution))),
            (&[(leaf, -1)], Some(("certificate_expired", Problem))),
            (&[(leaf, 90), (ca, -1)], Some(("certificate_expired", Problem))),
            (&[(leaf, 90), (ca, 2)], Some(("certificate_expires_soon", Caution))),
            (&[(ca, -1)], Some(("certificate_expired", Problem))),
            (&[(ca, -1), (ca, 90)], Some(("certificate_expired", Caution))),
            (&[(ca, -1), (ca, -2)], Some(("certificate_expired", Problem))),
            (&[(ca, 90), (ca, 91)], Some(("certificate_current", Ok))),
        ] {
            let certificate = |&(authority, days): &(bool, i64)| Certificate {
                authority,
                ends: 1_700_000_000 + days * DAY,
            };
            let file = File {
                path: "f".into(),
                secret: false,
                access: Access {
                    mode: 0o444,
                    owner: 0,
                    sheltered: false,
                },
                certificates: certificates.iter().map(certificate).collect(),
            };
            let found = judge(&[file], &[], 1_700_000_000);
            let found = found.first().map(|finding| (finding.code, finding.severity));
            assert_eq!(found, want, "{certificates:?}");
        }
    }

    #[test]
    fn certificate_that_a_listener_cannot_use_is_reported_once() {
        let listener = Listener {
            address: "a".into(),
            problems: vec![
                "`x` has no certificate as PEM".into(),
                "the certificate in `y` has expired".into(),
            ],
        };
        let found = judge(&[], &[listener], 0);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].code, found[0].severity),
            ("listener_unusable", Severity::Problem)
        );
    }
}

//! What a test expects of a request, and what became of it: both in the words of test files.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::decision::{Decision, Outcome};
use crate::document::decode::{FromNode, expected};
use crate::document::problem::{Fault, ProblemCode, Problems, Reported};
use crate::document::suggestion::{closest, did_you_mean};
use crate::document::yaml::{Node, Value};
use crate::rejection::Reason;

/// The words for outcomes that are not rejections, and `deny`.
const WORDS: [(&str, Expectation); 5] = [
    ("allow", Expectation::Allow),
    ("deny", Expectation::Deny),
    ("options", Expectation::Options),
    ("preflight", Expectation::Preflight),
    ("metadata", Expectation::Metadata),
];

/// Words that others use for some of these.
const OTHER_WORDS: [(&str, &str); 7] = [
    ("accepted", "allow"),
    ("denied", "deny"),
    ("forbidden", "deny"),
    ("passed", "allow"),
    ("permitted", "allow"),
    ("rejected", "deny"),
    ("unauthorized", "deny"),
];

/// The word before the reason of a request that shadow mode lets through.
const SHADOW: &str = "shadow";

/// How an outcome is written.
const HELP: &str =
    "write `allow`, `deny`, a status such as `403`, a reason such as `role_missing`, both, or `shadow role_missing`";

/// What a test expects of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It is forwarded with the identity of its caller.
    Allow,
    /// It is forwarded without an identity, since shadow mode does not enforce this rejection.
    Shadow(Reason),
    /// Sidegate answers `OPTIONS *`.
    Options,
    /// Sidegate answers the preflight of a page.
    Preflight,
    /// Sidegate answers with the metadata of a protected resource.
    Metadata,
    /// A route rejects it with 401 or 403.
    Deny,
    /// It is rejected with this status, for this reason.
    Rejected(Option<u16>, Option<Reason>),
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is forwarded with the identity of its caller.
    Allow,
    /// It is forwarded without an identity, since shadow mode does not enforce this rejection.
    Shadow(Reason),
    /// Sidegate answers `OPTIONS *`.
    Options,
    /// Sidegate answers the preflight of a page.
    Preflight,
    /// Sidegate answers with the metadata of a protected resource.
    Metadata,
    /// It is rejected for this reason, after a route was found or before.
    Rejected {
        /// Why.
        reason: Reason,
        /// Whether a route was found.
        by_route: bool,
    },
}

impl Expectation {
    /// Reads an outcome.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let words: Vec<_> = text.split(' ').collect();
        match words.as_slice() {
            [""] | ["", ..] | [.., ""] => Err(unknown(text, HELP.to_owned())),
            [SHADOW] => Err(unknown(
                text,
                format!("write `{SHADOW}` and the reason, as in `shadow role_missing`"),
            )),
            [SHADOW, code] => reason(code).map(Self::Shadow),
            [word] => match WORDS.iter().find(|(known, _)| known == word) {
                Some((_, expectation)) => Ok(*expectation),
                None if is_number(word) => status(word).map(|status| Self::Rejected(Some(status), None)),
                None => reason(word).map(|reason| Self::Rejected(None, Some(reason))),
            },
            [number, code] if is_number(number) => {
                let (status, reason) = (status(number)?, reason(code)?);
                if reason.status() == status {
                    return Ok(Self::Rejected(Some(status), Some(reason)));
                }
                let right = format!("{} {code}", reason.status());
                let message = format!("`{code}` is never a {status}");
                Err(Fault::new(ProblemCode::UnknownOutcome, message, did_you_mean(&right)))
            }
            _ => Err(unknown(text, HELP.to_owned())),
        }
    }

    /// Tells whether this is what became of a request.
    pub fn is_met_by(self, found: Found) -> bool {
        match (self, found) {
            (Self::Allow, Found::Allow)
            | (Self::Options, Found::Options)
            | (Self::Preflight, Found::Preflight)
            | (Self::Metadata, Found::Metadata) => true,
            (Self::Shadow(wanted), Found::Shadow(reason)) => wanted == reason,
            // A path that no route takes does not count as a rejection by a route.
            (Self::Deny, Found::Rejected { reason, by_route }) => by_route && matches!(reason.status(), 401 | 403),
            (Self::Rejected(status, wanted), Found::Rejected { reason, .. }) => {
                status.is_none_or(|status| status == reason.status()) && wanted.is_none_or(|wanted| wanted == reason)
            }
            _ => false,
        }
    }

    /// Tells whether Sidegate writes the response to such a request.
    pub const fn has_own_response(self) -> bool {
        matches!(self, Self::Deny | Self::Rejected(..) | Self::Preflight | Self::Metadata)
    }

    /// Tells whether the service gets such a request.
    pub const fn is_forwarded(self) -> bool {
        matches!(self, Self::Allow | Self::Shadow(_))
    }

    /// Tells whether only a policy rejects a request so: by 401 or 403.
    pub fn is_of_policy(self) -> bool {
        match self {
            Self::Deny => true,
            Self::Rejected(status, reason) => {
                let status = status.or_else(|| reason.map(Reason::status));
                matches!(status, Some(401 | 403))
            }
            _ => false,
        }
    }

    /// Tells whether exactly this reason is expected.
    pub fn names(self, reason: Reason) -> bool {
        match self {
            Self::Shadow(named) | Self::Rejected(_, Some(named)) => named == reason,
            _ => false,
        }
    }
}

impl Found {
    /// Says what a decision makes of a request.
    pub fn of(decision: &Decision<'_, '_>) -> Self {
        match &decision.outcome {
            Outcome::Allow(_) => Self::Allow,
            Outcome::ShadowDeny(_, rejection) => Self::Shadow(rejection.reason()),
            Outcome::ServerOptions => Self::Options,
            Outcome::Preflight(_) => Self::Preflight,
            Outcome::Metadata => Self::Metadata,
            Outcome::Deny(rejection) => Self::Rejected {
                reason: rejection.reason(),
                by_route: decision.matched.route().is_some(),
            },
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shadow(reason) => write!(f, "{SHADOW} {}", reason.code()),
            Self::Rejected(Some(status), Some(reason)) => write!(f, "{status} {}", reason.code()),
            Self::Rejected(Some(status), None) => write!(f, "{status}"),
            Self::Rejected(None, Some(reason)) => f.write_str(reason.code()),
            other => {
                let word = WORDS.iter().find(|(_, expectation)| expectation == other);
                f.write_str(word.map_or("deny", |(word, _)| word))
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Shadow(reason) => write!(f, "{SHADOW} {}", reason.code()),
            Self::Options => f.write_str("options"),
            Self::Preflight => f.write_str("preflight"),
            Self::Metadata => f.write_str("metadata"),
            Self::Rejected { reason, .. } => write!(f, "{} {}", reason.status(), reason.code()),
        }
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn unknown(text: &str, help: String) -> Fault {
    Fault::new(ProblemCode::UnknownOutcome, format!("unknown outcome `{text}`"), help)
}

/// Tells whether a decision can have a reason: the others come from traffic, and from services.
fn is_decided(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::RequestTimeout
            | Reason::IdempotencyInProgress
            | Reason::IdempotencyKeyReused
            | Reason::QuotaExceeded
            | Reason::InternalError
            | Reason::UpstreamUnreachable
            | Reason::UpstreamFailed
            | Reason::UpstreamTimeout
            | Reason::Overloaded
    )
}

fn undecided(what: &str) -> Fault {
    let message = format!("no test can see `{what}`: it comes from traffic or from the service, not from the policy");
    let help = "expect what the policy decides; `allow` means up to quotas and repeated idempotency keys";
    Fault::new(ProblemCode::UnknownOutcome, message, help)
}

fn reason(code: &str) -> Result<Reason, Fault> {
    match Reason::ALL.iter().find(|reason| reason.code() == code) {
        Some(reason) if is_decided(*reason) => Ok(*reason),
        Some(_) => Err(undecided(code)),
        None => {
            let decided = Reason::ALL.iter().filter(|reason| is_decided(**reason));
            let known = decided.map(|reason| reason.code()).chain(WORDS.map(|(word, _)| word));
            let other = OTHER_WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(code));
            let meant = other.map(|(_, word)| *word).or_else(|| closest(code, known));
            let help = meant.map_or_else(|| HELP.to_owned(), did_you_mean);
            Err(unknown(code, help))
        }
    }
}

fn status(number: &str) -> Result<u16, Fault> {
    let status = number.parse().unwrap_or(0);
    let of_status = |reason: &&Reason| reason.status() == status;
    match Reason::ALL.iter().find(of_status) {
        Some(_) if Reason::ALL.iter().filter(of_status).any(|reason| is_decided(*reason)) => Ok(status),
        Some(_) => Err(undecided(number)),
        None if (200..400).contains(&status) => {
            let help = "write `allow`: the status of the response is the service's";
            Err(unknown(number, help.to_owned()))
        }
        None => Err(unknown(
            number,
            "no rejection has this status: write `401` or `403`".to_owned(),
        )),
    }
}

impl FromNode for Expectation {
    fn from_node(node: &Node, problems: &mut Problems) -> Result<Self, Reported> {
        match &node.value {
            Value::Text(text) | Value::Number(text) => {
                Self::parse(text).map_err(|fault| problems.add_fault(&node.span, &fault))
            }
            _ => expected(node, "an outcome", HELP, problems),
        }
    }
}

impl JsonSchema for Expectation {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let decided: Vec<_> = Reason::ALL.iter().filter(|reason| is_decided(**reason)).collect();
        let codes: Vec<_> = decided.iter().map(|reason| reason.code()).collect();
        let mut statuses: Vec<_> = decided.iter().map(|reason| reason.status()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        let both: Vec<_> = decided
            .iter()
            .map(|reason| format!("{} {}", reason.status(), reason.code()))
            .collect();
        let shadow: Vec<_> = codes.iter().map(|code| format!("{SHADOW} {code}")).collect();
        let words = WORDS.map(|(word, _)| word.to_owned());
        let numbers = statuses.iter().map(ToString::to_string);
        let texts = words.into_iter().chain(codes.iter().map(|&code| code.to_owned()));
        let all: Vec<_> = texts.chain(numbers).chain(both).chain(shadow).collect();
        json_schema!({
            "type": ["string", "integer"],
            "minimum": statuses.first(),
            "maximum": statuses.last(),
            "pattern": format!("^({})$", all.join("|")),
            "patternErrorMessage": "expected `allow`, `deny`, a status, a reason, both, or `shadow` and a reason",
            "examples": ["allow", "deny", "role_missing", "401 token_expired", "shadow credential_missing"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(reason: Reason) -> Found {
        let by_route = !matches!(reason.status(), 400 | 404 | 405);
        Found::Rejected { reason, by_route }
    }

    #[test]
    fn outcome_is_met_by_what_it_names_alone() {
        let found = [
            Found::Allow,
            Found::Shadow(Reason::CredentialMissing),
            Found::Shadow(Reason::RoleMissing),
            Found::Options,
            Found::Preflight,
            Found::Metadata,
            rejected(Reason::CredentialMissing),
            rejected(Reason::TokenExpired),
            rejected(Reason::RoleMissing),
            rejected(Reason::RouteNotFound),
            rejected(Reason::MethodNotAllowed),
            rejected(Reason::PathAmbiguous),
            rejected(Reason::ContentTypeUnsupported),
            rejected(Reason::KeysUnavailable),
        ];
        for (text, met) in [
            ("allow", &[0][..]),
            ("shadow credential_missing", &[1]),
            ("options", &[3]),
            ("preflight", &[4]),
            ("metadata", &[5]),
            ("deny", &[6, 7, 8]),
            ("401", &[6, 7]),
            ("404", &[9]),
            ("credential_missing", &[6]),
            ("401 token_expired", &[7]),
            ("route_not_found", &[9]),
            ("503 keys_unavailable", &[13]),
            ("400", &[11]),
        ] {
            let expectation = Expectation::parse(text).unwrap();
            let by: Vec<_> = (0..found.len())
                .filter(|&at| expectation.is_met_by(found[at]))
                .collect();
            assert_eq!(by, met, "{text}");
            assert_eq!(expectation.to_string(), text);
        }
    }

    #[test]
    fn rejection_before_a_route_does_not_meet_deny() {
        let found = Found::Rejected {
            reason: Reason::TokenSourceNotAllowed,
            by_route: false,
        };
        assert!(!Expectation::Deny.is_met_by(found));
        assert!(Expectation::parse("401").unwrap().is_met_by(found));
    }

    #[test]
    fn unknown_outcome_is_explained() {
        for (text, message, help) in [
            (
                "role_mising",
                "unknown outcome `role_mising`",
                "did you mean `role_missing`?",
            ),
            ("alow", "unknown outcome `alow`", "did you mean `allow`?"),
            ("allowed", "unknown outcome `allowed`", "did you mean `allow`?"),
            ("denied", "unknown outcome `denied`", "did you mean `deny`?"),
            ("Rejected", "unknown outcome `Rejected`", "did you mean `deny`?"),
            (
                "200",
                "unknown outcome `200`",
                "write `allow`: the status of the response is the service's",
            ),
            (
                "418",
                "unknown outcome `418`",
                "no rejection has this status: write `401` or `403`",
            ),
            (
                "shadow",
                "unknown outcome `shadow`",
                "write `shadow` and the reason, as in `shadow role_missing`",
            ),
            (
                "404 role_missing",
                "`role_missing` is never a 404",
                "did you mean `403 role_missing`?",
            ),
            ("zzz", "unknown outcome `zzz`", HELP),
            ("401 token_expired x", "unknown outcome `401 token_expired x`", HELP),
            ("", "unknown outcome ``", HELP),
        ] {
            let fault = Expectation::parse(text).unwrap_err();
            assert_eq!((fault.message.as_str(), fault.help.as_str()), (message, help), "{text}");
        }
        for text in ["quota_exceeded", "429", "502", "shadow overloaded"] {
            let fault = Expectation::parse(text).unwrap_err();
            assert!(fault.message.starts_with("no test can see `"), "{text}: {fault}");
        }
    }
}

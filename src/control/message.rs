//! What is said over the control socket.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::revocation::Revocation;

/// The longest request, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Revoke tokens.
    Revoke(Revocation),
    /// Tell what is revoked: a line for each, and [`Reply::End`].
    Revocations {},
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is revoked.
    Revoked {
        /// What is in force, together with what was revoked before.
        revocation: Revocation,
        /// Which policies of the process look for it.
        #[serde(flatten)]
        asking: Asking,
    },
    /// One of those that are in force.
    Revocation(Revocation),
    /// That was all of them.
    End {
        /// How many they were.
        count: usize,
        /// How long ago the list was complete; `None` if it never was.
        age_ms: Option<u64>,
    },
    /// It was not done.
    Error {
        /// What kind of no it is.
        kind: Fault,
        /// What was found.
        message: String,
    },
}

/// The most bytes of names that are listed.
const MAX_NAMES: usize = 16 * 1024;

/// Which policies of a process look for a revocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asking {
    /// How many do.
    pub policies: usize,
    /// How many there are.
    pub of: usize,
    /// The services of those that do, as far as there is room for their names.
    pub asking: Vec<String>,
    /// The services of those that do not, as far as there is room for their names.
    pub not_asking: Vec<String>,
    /// Whether the process forgets what is revoked when it ends.
    pub lost_on_restart: bool,
}

impl Asking {
    /// Tells services apart by whether their policy looks for revocations.
    pub fn of(policies: &[(&str, bool)], lost_on_restart: bool) -> Self {
        let named = |wanted: bool| {
            let services = policies.iter().filter(|(_, asks)| *asks == wanted);
            let services: BTreeSet<_> = services.map(|(service, _)| *service).collect();
            let mut room = MAX_NAMES;
            let fit = services.into_iter().map_while(|service| {
                room = room.checked_sub(service.len())?;
                Some(service.to_owned())
            });
            fit.collect()
        };
        Self {
            policies: policies.iter().filter(|(_, asks)| *asks).count(),
            of: policies.len(),
            asking: named(true),
            not_asking: named(false),
            lost_on_restart,
        }
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.of == 1 { "policy asks" } else { "policies ask" };
        write!(f, "{} of {} {what}", self.policies, self.of)?;
        for (separator, names) in [(": ", &self.asking), ("; not: ", &self.not_asking)] {
            if !names.is_empty() {
                write!(f, "{separator}{}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The line is not a request, or its request is invalid.
    Invalid,
    /// There is no room for more revocations.
    Full,
    /// The store is out of reach.
    Unavailable,
    /// Too many ask at the same time.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Target;

    const REVOKE: &str = r#"{"revoke":{"target":{"kind":"jti","value":"j"},"issuer":null,"before":null,"expires":2}}"#;

    #[test]
    fn the_written_form() {
        let revocation = Revocation {
            target: Target::Jti("j".into()),
            issuer: None,
            before: None,
            expires: 2,
        };
        for (request, text) in [
            (Request::Revoke(revocation), REVOKE),
            (Request::Revocations {}, r#"{"revocations":{}}"#),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        }
        let end = Reply::End { count: 1, age_ms: None };
        assert_eq!(
            serde_json::to_string(&end).unwrap(),
            r#"{"end":{"count":1,"age_ms":null}}"#
        );
    }

    #[test]
    fn asking_of_several_policies_lists_those_that_ask_and_those_that_do_not() {
        for (policies, said) in [
            (
                &[("shop-svc", false), ("pay-svc", true), ("dead-svc", false)][..],
                "1 of 3 policies ask: pay-svc; not: dead-svc, shop-svc",
            ),
            (&[("b", true), ("a", true)], "2 of 2 policies ask: a, b"),
            (&[("a", false), ("a", false)], "0 of 2 policies ask; not: a"),
            (&[("a", true)], "1 of 1 policy asks: a"),
            (&[], "0 of 0 policies ask"),
        ] {
            let asking = Asking::of(policies, false);
            assert_eq!(asking.to_string(), said);
        }
        let long = "s".repeat(MAX_NAMES - 1);
        let asking = Asking::of(&[(long.as_str(), true), ("t", true), ("u", true)], true);
        assert_eq!(
            (asking.policies, asking.of, asking.asking),
            (3, 3, vec![long, "t".into()])
        );
    }

    #[test]
    fn unknown_words_and_fields_are_errors() {
        for text in [
            "",
            "[]",
            "{}",
            r#""revocations""#,
            r#"{"revocations":{"all":true}}"#,
            r#"{"revocations":{},"revoke":{}}"#,
            r#"{"unrevoke":{}}"#,
            &REVOKE.replace("issuer", "isuer"),
            &REVOKE.replace(r#""value":"j""#, r#""value":"j","note":"n""#),
            &REVOKE.replace(r#""expires":2"#, r#""expires":2,"expires":3"#),
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }
}

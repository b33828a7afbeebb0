//! What is said over the control socket.

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
        /// How many policies of the process look for it.
        policies: usize,
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

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It is no request, or one that makes no sense.
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

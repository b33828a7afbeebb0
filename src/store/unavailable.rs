//! Why an operation of the store has no good reply, and how far it came.

use std::borrow::Cow;
use std::fmt;

use crate::rejection::{Reason, Rejection};

/// Why the store is unavailable. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub(super) result: &'static str,
    cause: Cow<'static, str>,
    reached: Reached,
}

/// How far an operation came that has no good reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It was not sent: nothing has changed.
    Nothing,
    /// It was sent, and the reply is unknown: it may have been done.
    Perhaps,
    /// A reply came: it was not done.
    Answer,
}

impl Unavailable {
    /// Creates one from the word of the metric and the cause.
    pub fn because(result: &'static str, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            result,
            cause: cause.into(),
            reached: Reached::Answer,
        }
    }

    /// Returns the same, for an operation that was not sent.
    #[must_use]
    pub(super) fn unsent(self) -> Self {
        let reached = Reached::Nothing;
        Self { reached, ..self }
    }

    /// Returns the same, for an operation whose reply was lost.
    #[must_use]
    pub(super) fn unanswered(self) -> Self {
        let reached = Reached::Perhaps;
        Self { reached, ..self }
    }

    /// Whether the operation may have been done all the same.
    pub(super) fn may_be_done(&self) -> bool {
        self.reached == Reached::Perhaps
    }

    /// Whether the store itself rejected it.
    pub(super) fn is_answer(&self) -> bool {
        self.reached == Reached::Answer
    }

    /// Creates one for a store that is full.
    pub fn full(cause: &'static str) -> Self {
        Self::because("full", cause)
    }

    /// Creates one for something that never fits.
    pub fn too_large(cause: &'static str) -> Self {
        Self::because("too_large", cause)
    }

    /// Whether the store is full.
    pub fn is_full(&self) -> bool {
        self.result == "full"
    }

    /// Whether another attempt would fail as well.
    pub fn is_final(&self) -> bool {
        self.result == "too_large"
    }

    /// The cause, for the operator.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

/// The rejection of a request that needs a reply of the store.
impl From<Unavailable> for Rejection {
    fn from(unavailable: Unavailable) -> Self {
        Self::because(Reason::StoreUnavailable, unavailable.cause().to_owned())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

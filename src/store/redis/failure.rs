//! Why a Redis operation failed, and whether its connection can be used again.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::Unavailable;

/// The longest cause in messages, in characters.
const LONGEST_CAUSE: usize = 300;

/// A failed operation.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) unavailable: Unavailable,
    /// Whether another connection may do better.
    pub(super) ends_connection: bool,
}

impl Failure {
    /// It did not come in time. What comes later belongs to another question.
    pub(super) fn late() -> Self {
        Self {
            unavailable: Unavailable::because("timeout", "Redis did not answer in time").unanswered(),
            ends_connection: true,
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        Self {
            unavailable,
            ends_connection: false,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let (result, ends_connection) = classify(&error);
        let cause: String = format!("Redis: {error}").chars().take(LONGEST_CAUSE).collect();
        let unavailable = Unavailable::because(result, cause);
        Self {
            unavailable: match is_answer(&error) {
                true => unavailable,
                false => unavailable.unanswered(),
            },
            ends_connection,
        }
    }
}

/// Whether Redis itself said no. Where nothing came, or nothing that can be read, it may have done
/// what it was asked.
fn is_answer(error: &RedisError) -> bool {
    !error.is_timeout() && !matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
}

fn classify(error: &RedisError) -> (&'static str, bool) {
    if error.is_timeout() {
        return ("timeout", true);
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => ("disconnected", true),
        // After a fail-over, the same name is another server.
        ErrorKind::Server(ServerErrorKind::ReadOnly) => ("read_only", true),
        ErrorKind::Server(
            ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        )
        | ErrorKind::Parse
        | ErrorKind::AuthenticationFailed => ("error", true),
        _ => of_code(error),
    }
}

/// Servers before version 7 say what happened in a script in the text of an error only.
fn of_code(error: &RedisError) -> (&'static str, bool) {
    let detail = error.detail().unwrap_or_default();
    let is = |code: &str| error.code() == Some(code) || detail.contains(&format!("-{code} "));
    if is("OOM") {
        return ("full", false);
    }
    if is("READONLY") {
        return ("read_only", true);
    }
    ("error", is("NOAUTH") || is("UNBLOCKED"))
}

/// Returns the error for a reply that no version of the program understands.
pub(super) fn invalid_reply() -> Unavailable {
    Unavailable::because("error", "Redis answered what it should not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_word() {
        let io = |kind| RedisError::from(std::io::Error::from(kind));
        let server = |code: &str, detail: &str| redis::make_extension_error(code.into(), Some(detail.into()));
        let of_kind = |kind| RedisError::from((kind, "x"));
        for (error, result, ends) in [
            (io(std::io::ErrorKind::TimedOut), "timeout", true),
            (io(std::io::ErrorKind::BrokenPipe), "disconnected", true),
            (of_kind(ErrorKind::Server(ServerErrorKind::ReadOnly)), "read_only", true),
            (of_kind(ErrorKind::Server(ServerErrorKind::BusyLoading)), "error", true),
            (of_kind(ErrorKind::Server(ServerErrorKind::ClusterDown)), "error", true),
            (
                of_kind(ErrorKind::Server(ServerErrorKind::ResponseError)),
                "error",
                false,
            ),
            (of_kind(ErrorKind::UnexpectedReturnType), "error", false),
            (server("OOM", "command not allowed"), "full", false),
            (
                server("ERR", "Error running script: @user_script: 1: -OOM command"),
                "full",
                false,
            ),
            (
                server("ERR", "Error running script: -READONLY You can't"),
                "read_only",
                true,
            ),
            (server("WRONGTYPE", "Operation against a key"), "error", false),
            (server("NOAUTH", "Authentication required."), "error", true),
        ] {
            let text = error.to_string();
            assert_eq!(classify(&error), (result, ends), "{text}");
            let may_be_done = matches!(result, "timeout" | "disconnected");
            assert_eq!(Failure::from(error).unavailable.may_be_done(), may_be_done, "{text}");
        }
    }
}

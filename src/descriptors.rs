//! The file descriptors that the process may have, and what fits into them. Never
//! opens one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the connections of operators, idle ones to services, and all that is no
/// connection: listeners, files, the log, key sets.
const RESERVED: u64 = 384;

/// Raises the soft limit to the hard one, and returns what holds then.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit on file descriptors cannot be raised");
    }
    let held = getrlimit(Resource::Nofile).current;
    tracing::info!(before = current, now = held, hard = maximum, "file descriptors");
    held.unwrap_or(u64::MAX)
}

/// What [`raise`] can reach.
pub fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// What fits into some descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The connections of each listener.
    pub connections: usize,
    /// The requests that are with services, each over a connection of its own.
    pub requests: usize,
}

/// Shares descriptors between clients' connections and those to services.
pub fn room(descriptors: u64, listeners: usize) -> Room {
    let half = descriptors.saturating_sub(RESERVED) / 2;
    let half = usize::try_from(half).unwrap_or(usize::MAX);
    Room {
        connections: (half / listeners.max(1)).max(1),
        requests: half.max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_services_share_the_descriptors() {
        let check = |descriptors, listeners, connections, requests| {
            let expected = Room { connections, requests };
            assert_eq!(room(descriptors, listeners), expected, "{descriptors}, {listeners}");
        };
        check(1024, 1, 320, 320);
        check(1024, 2, 160, 320);
        check(10, 3, 1, 1);
        assert!(room(u64::MAX, 0).connections > 1 << 40);
    }
}

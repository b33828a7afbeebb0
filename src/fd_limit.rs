//! The file descriptors that the process may have, and what fits into them. Never
//! opens one.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the connections of operators, idle ones to services, and for listeners, files, the log and
/// key sets.
const RESERVED: u64 = 384;

/// What a further serving thread has for its runtime, besides its copy of each listener.
const RUNTIME: u64 = 3;

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
pub struct Capacity {
    /// The connections of each listener.
    pub connections: usize,
    /// The requests that are with services, each over a connection of its own.
    pub requests: usize,
}

/// Returns what is not for connections, with so many listeners on so many serving threads.
fn reserved(listeners: usize, threads: usize) -> u64 {
    let [listeners, threads] = [listeners, threads].map(|count| count as u64);
    RESERVED + (RUNTIME + listeners).saturating_mul(threads.saturating_sub(1))
}

/// Shares descriptors between clients' connections and those to services.
pub fn capacity(descriptors: u64, (listeners, threads): (usize, usize)) -> Capacity {
    let half = descriptors.saturating_sub(reserved(listeners, threads)) / 2;
    let half = usize::try_from(half).unwrap_or(usize::MAX);
    Capacity {
        connections: (half / listeners.max(1)).max(1),
        requests: half.max(1),
    }
}

/// Says what does not fit into so many descriptors, and how many it takes.
pub fn shortage(descriptors: u64, (listeners, threads): (usize, usize), wanted: Capacity) -> Option<String> {
    let possible = capacity(descriptors, (listeners, threads));
    if possible.connections >= wanted.connections && possible.requests >= wanted.requests {
        return None;
    }
    let largest = wanted.requests.max(wanted.connections.saturating_mul(listeners.max(1)));
    let needed = (largest as u64)
        .saturating_mul(2)
        .saturating_add(reserved(listeners, threads));
    let enough = match possible.requests {
        1 => format!("with {descriptors}, one request at a time is possible"),
        requests => format!(
            "{descriptors} are enough for {} connections a listener and {requests} requests at a time, not for {} and {}",
            possible.connections, wanted.connections, wanted.requests
        ),
    };
    Some(format!("{enough}; it takes {needed}"))
}

/// Whether an error tells of a lack in this process or system, and nothing of the file.
pub fn is_lack(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    lacks
        .iter()
        .any(|lack| error.raw_os_error() == Some(lack.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_what_is_possible_and_what_it_takes() {
        let wanted = |connections, requests| Capacity { connections, requests };
        for (descriptors, listeners, wanted, said) in [
            (1 << 20, 2, wanted(4096, 4096), None),
            (384 + 2 * 4096, 1, wanted(4096, 4096), None),
            (
                384 + 2 * 4096 - 1,
                1,
                wanted(4096, 4096),
                Some(
                    "8575 are enough for 4095 connections a listener and 4095 requests at a time, not for 4096 and 4096; it takes 8576",
                ),
            ),
            (
                1024,
                2,
                wanted(4096, 100),
                Some(
                    "1024 are enough for 160 connections a listener and 320 requests at a time, not for 4096 and 100; it takes 16768",
                ),
            ),
            (
                64,
                1,
                wanted(4096, 4096),
                Some("with 64, one request at a time is possible; it takes 8576"),
            ),
            (16, 1, wanted(1, 1), None),
        ] {
            assert_eq!(
                shortage(descriptors, (listeners, 1), wanted).as_deref(),
                said,
                "{descriptors} {listeners}"
            );
        }
    }

    #[test]
    fn read_error_is_a_lack_only_where_descriptors_or_memory_ran_out() {
        let at = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for (error, want) in [
            (at(Errno::MFILE), true),
            (at(Errno::NFILE), true),
            (at(Errno::NOMEM), true),
            (at(Errno::NOENT), false),
            (at(Errno::ACCESS), false),
            (io::ErrorKind::NotFound.into(), false),
        ] {
            assert_eq!(is_lack(&error), want, "{error}");
        }
    }

    #[test]
    fn clients_and_services_share_the_descriptors() {
        let check = |descriptors, of_process, connections, requests| {
            let expected = Capacity { connections, requests };
            assert_eq!(
                capacity(descriptors, of_process),
                expected,
                "{descriptors}, {of_process:?}"
            );
        };
        check(1024, (1, 1), 320, 320);
        check(1024, (2, 1), 160, 320);
        check(1024, (2, 5), 155, 310);
        check(10, (3, 1), 1, 1);
        check(1024, (1, 256), 1, 1);
        assert!(capacity(u64::MAX, (0, 0)).connections > 1 << 40);
    }
}

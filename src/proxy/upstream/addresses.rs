//! The addresses of a service: which one a request takes, in which order others follow, and which of them rest.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// How long an address rests at first, in milliseconds.
const FIRST_REST: u64 = 1000;

/// The longest rest in milliseconds. Each is twice as long as the one before.
const LONGEST_REST: u64 = 30_000;

/// How many doublings lead to the longest rest.
const DOUBLINGS: u64 = 5;

/// The bits of a [`Rest`] that count failures.
const COUNT_BITS: u32 = 8;

/// The most addresses to which one connection is tried.
pub(super) const MOST_TRIED: usize = 8;

/// The addresses of a name, IPv4 before IPv6.
#[derive(Debug, Default)]
pub(super) struct Addresses([Vec<Candidate>; 2]);

/// An address, and whether it rests. A look-up that finds it again keeps that.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) socket: SocketAddr,
    rest: Arc<Rest>,
}

/// The address that a request takes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) socket: SocketAddr,
    /// Whether its rest is over and this request alone tries it.
    pub(super) is_trial: bool,
}

impl Addresses {
    /// Sorts the addresses that a look-up found.
    pub(super) fn new(found: impl IntoIterator<Item = SocketAddr>, before: &Self) -> Self {
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable();
        found.dedup();
        let candidates = found.into_iter().map(|socket| {
            let known = before.all().find(|known| known.socket == socket);
            known.cloned().unwrap_or_else(|| Candidate::new(socket))
        });
        let (v4, v6) = candidates.partition(|candidate| candidate.socket.is_ipv4());
        Self([v4, v6])
    }

    /// Returns the addresses alone.
    pub(super) fn sockets(&self) -> Vec<SocketAddr> {
        self.all().map(|candidate| candidate.socket).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Candidate> {
        self.0.iter().flatten()
    }

    /// Picks an address for a request. Requests take turns over the IPv4 addresses, and over the IPv6 addresses only
    /// while all of those rest: one family may be unreachable. If every address rests, they take turns over all.
    pub(super) fn pick(&self, turn: usize, now: Instant) -> Option<Pick> {
        let good = || self.0.iter().find_map(|family| pick_good(family, turn, now));
        good().or_else(|| {
            let at = turn.checked_rem(self.all().count())?;
            self.all().nth(at).map(|resting| resting.picked(false))
        })
    }

    /// Returns the addresses in the order in which a connection is tried: the first one, then the families in
    /// turn, and those that rest at the end.
    pub(super) fn in_order(&self, first: Option<SocketAddr>, now: Instant) -> Vec<Candidate> {
        let [v4, v6] = &self.0;
        let (same, other) = match first.is_none_or(|first| first.is_ipv6()) {
            true => (v6, v4),
            false => (v4, v6),
        };
        let at = same.iter().position(|candidate| Some(candidate.socket) == first);
        let known = at.and_then(|at| same.get(at)).cloned();
        let mut order: Vec<_> = known.or_else(|| first.map(Candidate::new)).into_iter().collect();
        let behind = at.map_or(0, |at| at + 1);
        for rests in [false, true] {
            let fits = |candidate: &&Candidate| {
                Some(candidate.socket) != first && matches!(candidate.rest.state(now), State::Resting) == rests
            };
            let rotated = |family: &[Candidate]| -> Vec<Candidate> {
                let rotated = family.iter().cycle().skip(behind).take(family.len());
                rotated.filter(fits).cloned().collect()
            };
            let (mut others, mut sames) = (rotated(other).into_iter(), rotated(same).into_iter());
            while others.len() + sames.len() > 0 {
                order.extend(others.next());
                order.extend(sames.next());
            }
        }
        order.truncate(MOST_TRIED);
        order
    }
}

/// Picks among the addresses of a family that do not rest. The share of one that rests goes to all others alike.
fn pick_good(family: &[Candidate], turn: usize, now: Instant) -> Option<Pick> {
    let candidate = family.get(turn.checked_rem(family.len())?)?;
    match candidate.rest.state(now) {
        State::Good => return Some(candidate.picked(false)),
        // The rest begins anew, so that other requests do not try it as well.
        State::Due if candidate.failed(now).is_some() => return Some(candidate.picked(true)),
        State::Due | State::Resting => {}
    }
    let good = || {
        family
            .iter()
            .filter(|other| matches!(other.rest.state(now), State::Good))
    };
    let at = turn.checked_div(family.len())?.checked_rem(good().count())?;
    good().nth(at).map(|other| other.picked(false))
}

impl Candidate {
    fn new(socket: SocketAddr) -> Self {
        let rest = Arc::default();
        Self { socket, rest }
    }

    fn picked(&self, is_trial: bool) -> Pick {
        let socket = self.socket;
        Pick { socket, is_trial }
    }

    /// Lets it rest after a failure, unless it rests already. Returns how long.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        self.rest.begin(now)
    }

    /// Ends its rest after a success. Returns whether it rested.
    pub(super) fn succeeded(&self) -> bool {
        self.rest.end()
    }
}

/// When the rest of an address ends, and how many failures followed each other.
#[derive(Debug, Default)]
struct Rest(AtomicU64);

enum State {
    /// It did not fail.
    Good,
    /// It failed.
    Resting,
    /// It failed, and its rest is over.
    Due,
}

impl Rest {
    fn state(&self, now: Instant) -> State {
        match self.0.load(Ordering::Relaxed) >> COUNT_BITS {
            0 => State::Good,
            until if millis(now) < until => State::Resting,
            _ => State::Due,
        }
    }

    fn begin(&self, now: Instant) -> Option<Duration> {
        let before = self.0.load(Ordering::Relaxed);
        let (until, failures) = (before >> COUNT_BITS, before & ((1 << COUNT_BITS) - 1));
        let now = millis(now);
        if now < until {
            return None;
        }
        let doublings = failures.min(DOUBLINGS);
        let length = (FIRST_REST << doublings).min(LONGEST_REST);
        let next = ((now + length) << COUNT_BITS) | (doublings + 1);
        let changed = self
            .0
            .compare_exchange(before, next, Ordering::Relaxed, Ordering::Relaxed);
        changed.is_ok().then(|| Duration::from_millis(length))
    }

    fn end(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0 && self.0.swap(0, Ordering::Relaxed) != 0
    }
}

/// Returns a point in time in milliseconds, as it fits into an atomic; never 0.
fn millis(now: Instant) -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = now.saturating_duration_since(*START).as_millis();
    u64::try_from(since).unwrap_or(u64::MAX >> COUNT_BITS) + 1
}

#[cfg(test)]
mod tests;

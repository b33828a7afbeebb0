//! Connects to a name: to one of its addresses after the other, each as soon as the one before failed or takes long
//! (RFC 8305, 5). Nothing is sent before a connection is open, so it makes no difference what the request is.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use pingora::{Error, ErrorType, Result};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until};

use super::addresses::{Candidate, MOST_TRIED};
use super::connection::{ConnectFailure, NO_ADDRESS, tcp};
use super::resolve::{PendingLookup, ResolvedHost};

/// How long an attempt has before the next one begins beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects within a time to the first address that accepts. If none does, a look-up is caused, whose addresses are
/// tried as well.
pub(super) async fn connect(
    name: &ResolvedHost,
    first: Option<SocketAddr>,
    within: Duration,
) -> Result<(TcpStream, SocketAddr), ConnectFailure> {
    let mut race = Race {
        name,
        first,
        // So that a second address is tried, however short the time is.
        delay: ATTEMPT_DELAY.min(within / 2),
        tried: Vec::new(),
        open: Vec::new(),
        lookup: Lookup::Unasked,
        failure: None,
    };
    let deadline = tokio::time::Instant::now() + within;
    loop {
        if !race.begin_next() && race.open.is_empty() {
            race.ask();
            if !matches!(race.lookup, Lookup::Pending(_)) {
                return Err(race.failed());
            }
        }
        tokio::select! {
            biased;
            (attempt, connected) = ended(&mut race.open) => match connected {
                Ok(socket) => {
                    race.won(&attempt);
                    return Ok((socket, attempt.candidate.socket));
                }
                Err(error) if leads_on(&error) => race.lost(&attempt, error),
                Err(error) => return Err(ConnectFailure::at(error, &[attempt.candidate.socket])),
            },
            () = race.lookup.ended() => {}
            () = sleep(race.delay) => {
                if race.next().is_none() {
                    race.ask();
                }
            }
            () = sleep_until(deadline) => return Err(race.timed_out()),
        }
    }
}

/// Returns whether the next address is tried after an error. Others are those of this machine.
fn leads_on(error: &Error) -> bool {
    use ErrorType::{ConnectNoRoute, ConnectRefused, ConnectTimedout};
    matches!(error.etype(), ConnectRefused | ConnectNoRoute | ConnectTimedout)
}

struct Race<'r> {
    name: &'r ResolvedHost,
    first: Option<SocketAddr>,
    delay: Duration,
    tried: Vec<SocketAddr>,
    /// The attempts that did not end.
    open: Vec<Attempt>,
    lookup: Lookup,
    /// The error to report, if all fail.
    failure: Option<Box<Error>>,
}

struct Attempt {
    candidate: Candidate,
    begun: Instant,
    connect: Pin<Box<dyn Future<Output = Result<TcpStream>> + Send>>,
}

/// The look-up that this connection causes.
enum Lookup {
    Unasked,
    Pending(PendingLookup),
    Over,
}

impl Lookup {
    /// Waits for its end; for ever, if there is none to wait for.
    async fn ended(&mut self) {
        match self {
            Self::Pending(lookup) => lookup.as_mut().await,
            Self::Unasked | Self::Over => std::future::pending().await,
        }
        *self = Self::Over;
    }
}

impl Race<'_> {
    /// Returns the next address that was not tried.
    fn next(&self) -> Option<Candidate> {
        if self.tried.len() >= MOST_TRIED {
            return None;
        }
        let order = self.name.in_order(self.first);
        order
            .into_iter()
            .find(|candidate| !self.tried.contains(&candidate.socket))
    }

    /// Begins the next attempt, if there is an address for it.
    fn begin_next(&mut self) -> bool {
        let Some(candidate) = self.next() else { return false };
        let socket = candidate.socket;
        self.tried.push(socket);
        self.open.push(Attempt {
            candidate,
            begun: Instant::now(),
            connect: Box::pin(async move { tcp(&socket).await }),
        });
        true
    }

    /// Asks for a look-up, once for this connection.
    fn ask(&mut self) {
        if matches!(self.lookup, Lookup::Unasked) {
            self.lookup = self.name.look_up_again().map_or(Lookup::Over, Lookup::Pending);
        }
    }

    /// Ends the rest of an address that accepted, and lets those rest that took too long beside it.
    fn won(&mut self, attempt: &Attempt) {
        let (host, address) = (self.name.host(), attempt.candidate.socket);
        if attempt.candidate.succeeded() {
            tracing::info!(host, %address, "an address of a service accepts connections again");
        }
        self.rest_silent(attempt.begun);
    }

    fn lost(&mut self, attempt: &Attempt, error: Box<Error>) {
        rest(self.name, &attempt.candidate, &error.root_cause().to_string());
        self.ask();
        // That a connection was rejected says least.
        if self
            .failure
            .as_ref()
            .is_none_or(|known| *known.etype() == ErrorType::ConnectRefused)
        {
            self.failure = Some(error);
        }
    }

    /// Lets the addresses rest that did not answer in time, though they were tried before another one.
    fn rest_silent(&self, other: Instant) {
        for attempt in &self.open {
            if attempt.begun < other && attempt.begun.elapsed() >= self.delay {
                rest(self.name, &attempt.candidate, "no response");
            }
        }
    }

    fn timed_out(self) -> ConnectFailure {
        if self.open.is_empty() {
            // It only waited for a look-up.
            return self.failed();
        }
        self.rest_silent(Instant::now());
        ConnectFailure::late(&self.tried)
    }

    fn failed(self) -> ConnectFailure {
        let none = || Error::explain(ErrorType::ConnectNoRoute, NO_ADDRESS);
        ConnectFailure::at(self.failure.unwrap_or_else(none), &self.tried)
    }
}

/// Lets an address rest, and logs it if it did not rest already.
fn rest(name: &ResolvedHost, candidate: &Candidate, error: &str) {
    if let Some(rest) = candidate.failed(Instant::now()) {
        let (host, address) = (name.host(), candidate.socket);
        tracing::warn!(host, %address, error, ?rest, "an address of a service does not accept connections");
    }
}

/// Waits until an attempt ends, and takes it out.
async fn ended(open: &mut Vec<Attempt>) -> (Attempt, Result<TcpStream>) {
    poll_fn(|cx| {
        let mut attempts = open.iter_mut().enumerate();
        let ended = attempts.find_map(|(at, attempt)| match attempt.connect.as_mut().poll(cx) {
            Poll::Ready(connected) => Some((at, connected)),
            Poll::Pending => None,
        });
        match ended {
            Some((at, connected)) => Poll::Ready((open.swap_remove(at), connected)),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests;

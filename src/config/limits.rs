//! What a request and a connection may cost, checked. Enforces nothing.

use std::time::Duration;

use super::document::LimitsDocument;
use crate::document::decode::Spanned;
use crate::document::problem::{ProblemCode, Problems};
use crate::document::scalars::{Size, Timeout};
use crate::request::RequestLimits;

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What the head of a request can exceed.
    pub request: RequestLimits,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long the body of a request may pause.
    pub body_timeout: Duration,
    /// How long a connection may be idle between requests, and a client may not read.
    pub idle_timeout: Duration,
    /// The most connections of a listener.
    pub connections: usize,
    /// The most HTTP/2 streams of a connection.
    pub streams: u32,
    /// The most requests that are with services.
    pub requests: usize,
    /// The most connections of one client to a listener, if that is written.
    pub client_connections: Option<usize>,
    /// The most requests of one client that are with services, if that is written.
    pub client_requests: Option<usize>,
    /// The fewest bytes a second of a body, after the time that it may pause, and of what a client reads.
    pub body_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: RequestLimits::default(),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections: 4096,
            streams: 100,
            requests: 4096,
            client_connections: None,
            client_requests: None,
            body_rate: 500,
        }
    }
}

/// How many one client may have of all that there are: as many as written, or three quarters, so that
/// it leaves some to others. There may be fewer than the file says, for want of file descriptors.
pub fn of_client(written: Option<usize>, all: usize) -> usize {
    let fits = written.filter(|&written| written <= all);
    fits.unwrap_or_else(|| (all - all.div_ceil(4)).max(1))
}

/// Fills in what is not written.
pub(super) fn check(document: Option<LimitsDocument>, problems: &mut Problems) -> Limits {
    let default = Limits::default();
    let Some(document) = document else { return default };
    let size =
        |size: Option<Size>, default: usize| size.map_or(default, |s| usize::try_from(s.0).unwrap_or(usize::MAX));
    let timeout = |timeout: Option<Timeout>, default| timeout.map_or(default, |timeout| timeout.0);
    if let Some(headers) = document
        .headers
        .as_ref()
        .filter(|count| !(1..=256).contains(&count.value))
    {
        let message = format!("between 1 and 256 header fields are possible, found {}", headers.value);
        let help = "write a number in that range; the default is 100";
        problems.add(&headers.span, ProblemCode::OutOfRange, message, help);
    }
    let mut count = |count: Option<Spanned<u32>>, default: usize| {
        count.map_or(default, |count| at_least_one(&count, problems) as usize)
    };
    let (connections, requests) = (
        count(document.connections, default.connections),
        count(document.requests, default.requests),
    );
    let mut of_client =
        |written: Option<Spanned<u32>>, all: (&str, usize)| written.map(|written| at_most(&written, all, problems));
    Limits {
        client_connections: of_client(document.client_connections, ("connections", connections)),
        client_requests: of_client(document.client_requests, ("requests", requests)),
        request: RequestLimits {
            target_bytes: size(document.uri_bytes, default.request.target_bytes),
            headers: document
                .headers
                .map_or(default.request.headers, |count| count.value as usize),
            header_bytes: size(document.header_bytes, default.request.header_bytes),
            body_bytes: document.body_bytes.map_or(default.request.body_bytes, |size| size.0),
        },
        header_timeout: timeout(document.header_timeout, default.header_timeout),
        body_timeout: timeout(document.body_timeout, default.body_timeout),
        idle_timeout: timeout(document.idle_timeout, default.idle_timeout),
        connections,
        requests,
        streams: document
            .streams
            .map_or(default.streams, |count| at_least_one(&count, problems)),
        body_rate: document.body_rate.map_or(default.body_rate, |size| size.0),
    }
}

/// A number of some that there are.
fn at_most(count: &Spanned<u32>, (name, all): (&str, usize), problems: &mut Problems) -> usize {
    let written = at_least_one(count, problems) as usize;
    if written > all {
        let message = format!("`{name}` is {all}: one client cannot have more");
        let help = format!("write {all} or less, or raise `{name}`");
        problems.add(&count.span, ProblemCode::OutOfRange, message, help);
    }
    written
}

/// A number of which nothing would work at zero.
pub(super) fn at_least_one(count: &Spanned<u32>, problems: &mut Problems) -> u32 {
    if count.value == 0 {
        let help = "write 1 or more, or leave the field out for the default";
        problems.add(
            &count.span,
            ProblemCode::OutOfRange,
            "at least 1 is needed, found 0",
            help,
        );
    }
    count.value
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ServerConfig;
    use crate::document::problem::SourceFile;

    #[test]
    fn a_client_may_have_what_is_written_or_three_quarters_of_all() {
        for (written, all, want) in [
            (None, 4096, 3072),
            (None, 4, 3),
            (None, 3, 2),
            (None, 2, 1),
            (None, 1, 1),
            (Some(1), 4096, 1),
            (Some(4096), 4096, 4096),
            // There are fewer than the file says.
            (Some(3000), 100, 75),
        ] {
            assert_eq!(of_client(written, all), want, "{written:?} of {all}");
        }
    }

    #[test]
    fn limit_above_that_of_the_process_is_a_problem_in_its_line() {
        for (limits, want) in [
            ("client_requests: 4096", None),
            (
                "client_requests: 4097",
                Some("`requests` is 4096: one client cannot have more"),
            ),
            (
                "client_connections: 4097",
                Some("`connections` is 4096: one client cannot have more"),
            ),
            (
                "requests: 8\n  client_requests: 9",
                Some("`requests` is 8: one client cannot have more"),
            ),
            ("connections: 8\n  client_connections: 8", None),
            ("client_requests: 0", Some("at least 1 is needed, found 0")),
            ("client_connections: 0", Some("at least 1 is needed, found 0")),
        ] {
            let text = format!("version: 1\nlimits:\n  {limits}\n");
            let found = ServerConfig::parse(SourceFile::new("sidegate.yaml", &text), Path::new(""));
            let problems: Vec<_> = found.err().into_iter().flatten().collect();
            let said: Vec<_> = problems
                .iter()
                .map(|problem| (problem.location().line(), problem.message()))
                .collect();
            let last = text.lines().count();
            assert_eq!(
                said,
                want.map(|want| (last, want)).into_iter().collect::<Vec<_>>(),
                "{limits}"
            );
        }
    }
}

//! The times at which a key set is fetched and expires. Pure: the time is an argument.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use tokio::time::Instant;

use crate::backoff::{Backoff, Jitter};
use crate::policy::remote_keys::RemoteKeys;

/// How long one fetch may take, the document of the issuer included.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest time between two successful fetches, whatever a server says.
const SHORTEST: Duration = Duration::from_secs(10);

/// The bounds of the pauses after fetches that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The largest part of a period that jitter takes away: it only ever makes the next fetch earlier.
const JITTER: f64 = 0.1;

/// The result of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one issuer has keys from it.
    Keys,
    /// The server sent a key set without keys for any issuer.
    NoKeys,
    /// The server sent no key set.
    Failed,
}

/// When one source is fetched.
#[derive(Debug, Clone)]
pub struct Timing {
    refresh: Duration,
    max_stale: Duration,
    backoff: Backoff,
    jitter: Jitter,
    fresh: Instant,
    next: Instant,
}

impl Timing {
    /// The timing of a source that is fetched for the first time.
    pub fn new(remote: &RemoteKeys, now: Instant) -> Self {
        Self {
            refresh: remote.refresh,
            max_stale: remote.max_stale,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE.min(remote.refresh)),
            jitter: Jitter::RANDOM,
            fresh: now,
            next: now,
        }
    }

    /// Records a fetch, with the times at which it began and ended.
    pub fn fetched(&mut self, outcome: Outcome, freshness: Option<Duration>, (began, ended): (Instant, Instant)) {
        // A key set without keys is fresh, too.
        if outcome != Outcome::Failed {
            self.fresh = began;
        }
        if outcome == Outcome::Keys {
            let period = freshness.map_or(self.refresh, |fresh| fresh.clamp(SHORTEST, self.refresh.max(SHORTEST)));
            self.next = (began + self.jitter.shorten(period, JITTER)).max(ended);
            self.backoff.reset();
        } else {
            self.next = ended + self.backoff.pause();
        }
    }

    /// Returns when to fetch next.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Returns when the keys are too old to be trusted.
    pub fn stale(&self) -> Instant {
        self.fresh + self.max_stale
    }
}

/// Returns how long a response is fresh (RFC 9111, 4.2.1, without its heuristics). A server that forbids caching
/// says nothing about the lifetime of its keys.
pub fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let directives: Vec<_> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| forbids_caching(directive)) {
        return None;
    }
    let value = directives
        .iter()
        .find_map(|directive| directive.strip_prefix("max-age="))?;
    let seconds: u64 = value.trim_matches('"').parse().ok()?;
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse().ok());
    Some(Duration::from_secs(seconds.saturating_sub(age.unwrap_or(0))))
}

/// Returns the time of a server: its `Date`, plus the `Age` of the response in a cache (RFC 9110, 6.6.1; RFC 9111,
/// 5.1).
pub fn server_time(headers: &HeaderMap) -> Option<i64> {
    let date = fixed_date(headers.get(DATE)?.to_str().ok()?)?;
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse::<u32>().ok());
    Some(date + i64::from(age.unwrap_or(0)))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that servers generate (RFC 9110, 5.6.7).
fn fixed_date(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, text) = text.strip_suffix(" GMT")?.split_once(", ")?;
    let [day, month, year, time] = fields(text, ' ')?;
    let [hour, minute, second, _] = fields(&format!("{time}:0"), ':')?.map(|field| field.parse::<i8>().ok());
    let month = MONTHS.find(month).filter(|at| month.len() == 3 && at % 3 == 0)? / 3 + 1;
    let date = Date::new(year.parse().ok()?, month.try_into().ok()?, day.parse().ok()?).ok()?;
    // A leap second is read as the second before it.
    let time = Time::new(hour?, minute?, second?.min(59), 0).ok()?;
    Some(
        date.to_datetime(time)
            .to_zoned(TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

fn fields(text: &str, separator: char) -> Option<[&str; 4]> {
    let fields: Vec<_> = text.split(separator).collect();
    fields.try_into().ok()
}

fn forbids_caching(directive: &str) -> bool {
    matches!(directive.split('=').next(), Some("no-store" | "no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::remote_keys::KeySource;

    const SECOND: Duration = Duration::from_secs(1);

    fn timing(now: Instant, number: fn() -> f64) -> Timing {
        let remote = RemoteKeys {
            source: KeySource::Set { url: String::new() },
            refresh: SECOND * 300,
            max_stale: SECOND * 3600,
            ca: None,
            bearer_token_file: None,
            allow_http: false,
        };
        let timing = Timing::new(&remote, now);
        let jitter = Jitter::fixed(number);
        Timing {
            backoff: timing.backoff.with(jitter),
            jitter,
            ..timing
        }
    }

    #[test]
    fn the_server_shortens_the_period_within_bounds() {
        let now = Instant::now();
        for (freshness, jitter, want) in [
            (None, (|| 0.0) as fn() -> f64, 300.0),
            (None, || 1.0, 270.0),
            (Some(60), || 0.0, 60.0),
            (Some(60), || 0.5, 57.0),
            (Some(0), || 0.0, 10.0),
            (Some(1), || 1.0, 9.0),
            (Some(86_400), || 0.0, 300.0),
        ] {
            let mut timing = timing(now, jitter);
            timing.fetched(Outcome::Keys, freshness.map(Duration::from_secs), (now, now + SECOND));
            let wait = (timing.next() - now).as_secs_f64();
            assert!((wait - want).abs() < 1e-6, "{freshness:?}: {wait} for {want}");
        }
    }

    #[test]
    fn pauses_grow_with_each_failure() {
        let now = Instant::now();
        let mut timing = timing(now, || 0.0);
        let mut pause_after = |outcome| {
            timing.fetched(outcome, None, (now, now));
            (timing.next() - now).as_secs()
        };
        let pauses = [Outcome::Failed; 7].map(&mut pause_after);
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause_after(Outcome::NoKeys), 30);
        assert_eq!(pause_after(Outcome::Keys), 300);
        assert_eq!(pause_after(Outcome::Failed), 1);
    }

    #[test]
    fn pause_after_a_failure_is_shortened_by_half_at_most() {
        let now = Instant::now();
        let mut timing = timing(now, || 1.0);
        timing.fetched(Outcome::NoKeys, None, (now, now));
        assert_eq!(timing.next() - now, FIRST_PAUSE / 2);
    }

    #[test]
    fn keys_age_from_the_last_response_on() {
        let now = Instant::now();
        let later = now + SECOND * 100;
        let mut timing = timing(now, || 0.0);
        timing.fetched(Outcome::Keys, None, (now, now + SECOND));
        timing.fetched(Outcome::Failed, None, (later, later));
        assert_eq!(timing.stale(), now + SECOND * 3600);
        timing.fetched(Outcome::NoKeys, None, (later, later));
        assert_eq!(timing.stale(), later + SECOND * 3600);
    }

    #[test]
    fn freshness_is_the_max_age_less_the_age() {
        for (cache_control, age, want) in [
            ("max-age=60", None, Some(60)),
            ("public, Max-Age=\"60\", must-revalidate", None, Some(60)),
            ("max-age=60", Some("50"), Some(10)),
            ("max-age=60", Some("70"), Some(0)),
            ("max-age=60, no-cache", None, None),
            ("no-store, max-age=0", None, None),
            ("max-age=soon", None, None),
            ("max-age=-1", None, None),
            ("s-maxage=60", None, None),
            ("", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, cache_control.parse().unwrap());
            headers.extend(age.map(|age| (AGE, age.parse().unwrap())));
            assert_eq!(freshness(&headers), want.map(Duration::from_secs), "{cache_control}");
        }
        assert_eq!(freshness(&HeaderMap::new()), None);
    }

    #[test]
    fn server_time_is_its_date_plus_the_age_of_the_response() {
        let check = |date: &str, age: Option<&str>, want: Option<i64>| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, date.parse().unwrap());
            if let Some(age) = age {
                headers.insert(AGE, age.parse().unwrap());
            }
            assert_eq!(server_time(&headers), want, "{date} {age:?}");
        };
        check("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(784_111_777));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("60"), Some(784_111_837));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some("x"), Some(784_111_777));
        check("Sat, 31 Dec 2016 23:59:60 GMT", None, Some(1_483_228_799));
        for date in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 anF 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
        ] {
            check(date, None, None);
        }
        assert_eq!(server_time(&HeaderMap::new()), None);
    }
}

//! Times as operators read them.

use jiff::Timestamp;

/// Describes a number of seconds in one unit, as in `61 min`. A negative one is `0 s`.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Describes a point in time in seconds since the epoch, as in `2026-02-24T12:00:00Z`.
pub fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_has_the_unit_that_is_read_at_a_glance() {
        for (seconds, want) in [
            (-5, "0 s"),
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (3660, "61 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
            (i64::MAX, "106751991167300 d"),
        ] {
            assert_eq!(span(seconds), want);
        }
    }

    #[test]
    fn moment_is_in_utc() {
        assert_eq!(moment(1_771_934_400), "2026-02-24T12:00:00Z");
    }
}

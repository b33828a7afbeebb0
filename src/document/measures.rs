//! Lengths of time and sizes as people write them, to show how Sidegate reads them.

use std::time::Duration;

use super::yaml::Value;

/// A unit by the words for it, and how many of the smallest unit it has.
type Unit = (&'static [&'static str], u64);

const TIMES: [Unit; 6] = [
    (&["ms", "msec", "millis", "millisecond", "milliseconds"], 1),
    (&["s", "sec", "secs", "second", "seconds"], 1000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
    (&["w", "week", "weeks"], 604_800_000),
];

const SIZES: [Unit; 4] = [
    (&["b", "byte", "bytes"], 1),
    (&["k", "kb", "ki", "kib"], 1 << 10),
    (&["m", "mb", "mi", "mib"], 1 << 20),
    (&["g", "gb", "gi", "gib"], 1 << 30),
];

/// The units that lengths of time are shown in.
const SHOWN_TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The units that sizes are shown in.
const SHOWN_SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A length of time as it stands in files.
pub fn period(time: Duration) -> String {
    in_units(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &SHOWN_TIMES)
}

/// A number of bytes as it stands in files.
pub fn size(bytes: u64) -> String {
    in_units(bytes, &SHOWN_SIZES)
}

/// What is wrong with a value that is not a length of time, and how it is written.
pub(super) fn not_a_duration(found: &Value) -> (String, String) {
    let forms = "`500ms`, `30s`, `5m`, `24h` or `7d`";
    let help = match found {
        // Programs take a number for seconds or for milliseconds.
        Value::Number(number) if number.parse::<u64>().is_ok() => {
            format!("write the unit too: `{number}s` or `{number}ms`")
        }
        Value::Text(text) | Value::Number(text) => match sum(text, &TIMES) {
            Some(millis) => format!("write `{}`", in_units(millis, &SHOWN_TIMES)),
            None if is_endless(text) => "it cannot be disabled; write a long time such as `24h`".to_owned(),
            None => format!("write a whole number and one unit: {forms}"),
        },
        _ => format!("write a whole number and one unit: {forms}"),
    };
    (message("a length of time such as `30s`", found), help)
}

/// What is wrong with a value that is not a number of bytes, and how it is written.
pub(super) fn not_a_size(found: &Value) -> (String, String) {
    let forms = "`512`, `32KiB`, `10MiB` or `1GiB`";
    let help = match found {
        Value::Text(text) | Value::Number(text) => match sum(text, &SIZES) {
            Some(bytes) => format!("write `{}`", size(bytes)),
            None if is_endless(text) => format!("write a large number of bytes: {forms}"),
            None => format!("write a whole number of bytes: {forms}"),
        },
        _ => format!("write a whole number of bytes: {forms}"),
    };
    (message("a number of bytes such as `10MiB`", found), help)
}

fn message(what: &str, found: &Value) -> String {
    const SHOWN: usize = 40;
    match found {
        Value::Text(text) if text.len() <= SHOWN && !text.contains(char::is_control) => {
            format!("expected {what}, found `{text}`")
        }
        Value::Number(number) if number.len() <= SHOWN => format!("expected {what}, found `{number}`"),
        other => format!("expected {what}, found {}", other.describe()),
    }
}

fn is_endless(text: &str) -> bool {
    [
        "unlimited",
        "infinite",
        "infinity",
        "never",
        "none",
        "off",
        "forever",
        "max",
    ]
    .contains(&text.to_ascii_lowercase().as_str())
}

/// The sum of numbers with units, as in `1m30s`, `1.5h` or `10 MB`.
fn sum(text: &str, units: &[Unit]) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.as_str().trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(end)?;
        let (_, factor) = units.iter().find(|(words, _)| words.contains(&unit))?;
        total = total.checked_add(times(number, *factor)?)?;
        rest = behind.trim_start();
    }
    (total > 0).then_some(total)
}

/// A decimal number times a factor, if that is whole.
fn times(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u64 = format!("{whole}{fraction}").parse().ok()?;
    let product = digits.checked_mul(factor)?;
    product.is_multiple_of(scale).then(|| product / scale)
}

/// A number in the largest unit that it is a multiple of.
fn in_units(number: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, factor)| number.is_multiple_of(*factor));
    unit.map_or_else(
        || number.to_string(),
        |(name, factor)| format!("{}{name}", number / factor),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_of_time_in_another_form_is_shown_in_one_unit() {
        for (text, want) in [
            ("1m30s", "write `90s`"),
            ("30sec", "write `30s`"),
            ("1.5s", "write `1500ms`"),
            ("2 hours", "write `2h`"),
            ("1w", "write `7d`"),
            ("1h 30m", "write `90m`"),
            ("never", "it cannot be disabled; write a long time such as `24h`"),
            ("off", "it cannot be disabled; write a long time such as `24h`"),
            (
                "soon",
                "write a whole number and one unit: `500ms`, `30s`, `5m`, `24h` or `7d`",
            ),
            (
                "99999999999999999999s",
                "write a whole number and one unit: `500ms`, `30s`, `5m`, `24h` or `7d`",
            ),
        ] {
            assert_eq!(not_a_duration(&Value::Text(text.into())).1, want, "{text}");
        }
        let number = not_a_duration(&Value::Number("30".into()));
        assert_eq!(number.1, "write the unit too: `30s` or `30ms`");
    }

    #[test]
    fn size_in_another_form_is_shown_in_binary_units() {
        for (text, want) in [
            ("10MB", "write `10MiB`"),
            ("10M", "write `10MiB`"),
            ("10 mb", "write `10MiB`"),
            ("1.5MiB", "write `1536KiB`"),
            ("2g", "write `2GiB`"),
            (
                "unlimited",
                "write a large number of bytes: `512`, `32KiB`, `10MiB` or `1GiB`",
            ),
            (
                "10Mbit",
                "write a whole number of bytes: `512`, `32KiB`, `10MiB` or `1GiB`",
            ),
        ] {
            assert_eq!(not_a_size(&Value::Text(text.into())).1, want, "{text}");
        }
    }
}

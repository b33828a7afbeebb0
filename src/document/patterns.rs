//! Regular expressions for JSON Schemas: text that can be seen, and numbers, periods and sizes in a range.
//! They are written in what ECMA-262, Python and the crates of Rust have in common.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Characters that cannot be seen: controls, white space other than a space, and those that take no room or turn the
/// direction of writing. As in a class.
pub const INVISIBLE: &str =
    r"\u0000-\u001f\u007f-\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff";

/// The longest path of a unix socket, in bytes: Linux has room for 108, the last of which is a zero.
pub const SOCKET_PATH_BYTES: usize = 107;

/// A unix socket, by its path without white space at its end, of at most [`SOCKET_PATH_BYTES`] characters.
pub const UNIX_SOCKET: &str = r"unix:/(.{0,105}\S)?";

/// The units of periods, with their milliseconds.
pub const PERIOD_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// The units of sizes, with their bytes.
pub const SIZE_UNITS: [(&str, u64); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1)];

/// Visible text without white space at its ends.
pub fn text() -> String {
    text_without("")
}

/// Visible text that has none of these characters, which are written as in a class.
pub fn text_without(characters: &str) -> String {
    let inner = format!("[^{INVISIBLE}{characters}]");
    let edge = format!(r"[^\s{INVISIBLE}{characters}]");
    format!("^{edge}({inner}*{edge})?$")
}

/// Numbers in a range, as whole texts, with the units that they are written with.
fn measures(units: &[(&'static str, u64)], range: &RangeInclusive<u64>) -> String {
    let in_unit = |(unit, factor): &(&'static str, u64)| {
        let most = match *range.end() {
            u64::MAX => u64::MAX,
            end => end / factor,
        };
        let least = range.start().div_ceil(*factor);
        (least <= most).then(|| (numbers(least..=most), *unit))
    };
    let forms: Vec<_> = units.iter().filter_map(in_unit).collect();
    let alike = forms.chunk_by(|(numbers, _), (others, _)| numbers == others);
    let forms = alike.filter_map(|forms| {
        let units: Vec<_> = forms.iter().map(|(_, unit)| *unit).collect();
        Some(format!("{}({})", forms.first()?.0, units.join("|")))
    });
    format!("^({})$", forms.collect::<Vec<_>>().join("|"))
}

/// Periods in a range.
pub fn periods(range: RangeInclusive<Duration>) -> String {
    let millis = |period: &Duration| u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    measures(&PERIOD_UNITS, &(millis(range.start())..=millis(range.end())))
}

/// Periods of whole seconds that are not longer than one.
pub fn whole_seconds(longest: Duration) -> String {
    let seconds = numbers(0..=longest.as_secs());
    let others: Vec<_> = PERIOD_UNITS.into_iter().filter(|(unit, _)| *unit != "ms").collect();
    let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    let others = measures(&others, &(0..=millis));
    format!("^({seconds}000ms|0+ms)$|{others}")
}

/// Sizes in a range.
pub fn sizes(range: &RangeInclusive<u64>) -> String {
    measures(&SIZE_UNITS, range)
}

/// Whole numbers in a range, with zeros in front or without.
pub fn numbers(range: RangeInclusive<u64>) -> String {
    let (least, most) = range.into_inner();
    match (least, most) {
        (0, u64::MAX) => "[0-9]+".to_owned(),
        (1, u64::MAX) => "0*[1-9][0-9]*".to_owned(),
        (0, _) => at_most(most),
        (_, u64::MAX) => at_least(least),
        _ => format!("(?={}(?![0-9])){}", at_least(least), at_most(most)),
    }
}

/// Numbers up to one: shorter ones, those with a smaller digit behind the same ones, and the number itself. A text
/// matches in one way, so that a list of numbers takes no time that grows with a power of its length.
fn at_most(most: u64) -> String {
    let digits = most.to_string();
    let mut forms = Vec::new();
    if digits.len() > 1 {
        forms.push("0".to_owned());
        forms.push(format!("[1-9][0-9]{{0,{}}}", digits.len() - 2));
    }
    for (at, digit) in digits.char_indices().filter(|(_, digit)| *digit != '0') {
        let smaller = char::from_digit(digit.to_digit(10).unwrap_or(1) - 1, 10).unwrap_or('0');
        let least = if at == 0 && digits.len() > 1 { '1' } else { '0' };
        if least <= smaller {
            forms.push(with_digit(&digits, at, (least, smaller)));
        }
    }
    forms.push(digits);
    format!("0*({})", forms.join("|"))
}

/// Numbers from one on.
fn at_least(least: u64) -> String {
    let digits = least.to_string();
    let mut forms = vec![format!("[1-9][0-9]{{{},}}", digits.len())];
    for (at, digit) in digits.char_indices().filter(|(_, digit)| *digit != '9') {
        let greater = char::from_digit(digit.to_digit(10).unwrap_or(8) + 1, 10).unwrap_or('9');
        forms.push(with_digit(&digits, at, (greater, '9')));
    }
    forms.push(digits);
    format!("0*({})", forms.join("|"))
}

/// Numbers that begin as another one does, and differ from a digit on.
fn with_digit(digits: &str, at: usize, (from, to): (char, char)) -> String {
    let before = digits.get(..at).unwrap_or_default();
    match digits.len() - at - 1 {
        0 => format!("{before}[{from}-{to}]"),
        rest => format!("{before}[{from}-{to}][0-9]{{{rest}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        let schema = serde_json::json!({ "pattern": pattern });
        jsonschema::validator_for(&schema).unwrap().is_valid(&text.into())
    }

    #[test]
    fn numbers_in_a_range_match_and_no_others() {
        for range in [
            0..=0,
            0..=9,
            0..=255,
            1..=256,
            1..=100,
            10..=300,
            199..=2001,
            7..=u64::MAX,
            1..=u64::MAX,
            0..=u64::MAX,
            500..=u64::MAX,
        ] {
            let pattern = format!("^({})$", numbers(range.clone()));
            for number in 0..3000_u64 {
                let want = range.contains(&number);
                assert_eq!(matches(&pattern, &number.to_string()), want, "{number} in {range:?}");
                assert_eq!(
                    matches(&pattern, &format!("00{number}")),
                    want,
                    "00{number} in {range:?}"
                );
            }
            assert!(
                !matches(&pattern, "") && !matches(&pattern, "1x") && !matches(&pattern, "-1"),
                "{range:?}"
            );
        }
    }

    #[test]
    fn periods_in_a_range_match_in_every_unit() {
        let pattern = periods(Duration::from_secs(1)..=Duration::from_hours(30 * 24));
        for (text, want) in [
            ("999ms", false),
            ("1000ms", true),
            ("0s", false),
            ("1s", true),
            ("0m", false),
            ("43200m", true),
            ("43201m", false),
            ("720h", true),
            ("721h", false),
            ("030d", true),
            ("31d", false),
            ("1", false),
            ("1w", false),
        ] {
            assert_eq!(matches(&pattern, text), want, "{text}");
        }
        let pattern = whole_seconds(Duration::from_mins(5));
        for (text, want) in [
            ("0s", true),
            ("0ms", true),
            ("500ms", false),
            ("2000ms", true),
            ("300000ms", true),
            ("301000ms", false),
            ("300s", true),
            ("301s", false),
            ("5m", true),
            ("6m", false),
            ("0h", true),
            ("1h", false),
        ] {
            assert_eq!(matches(&pattern, text), want, "{text}");
        }
    }

    #[test]
    fn sizes_in_a_range_match_in_every_unit() {
        let pattern = sizes(&(0..=16 << 20));
        for (text, want) in [
            ("0", true),
            ("16777216", true),
            ("16777217B", false),
            ("16384KiB", true),
            ("16385KiB", false),
            ("16MiB", true),
            ("17MiB", false),
            ("0GiB", true),
            ("1GiB", false),
            ("1MB", false),
        ] {
            assert_eq!(matches(&pattern, text), want, "{text}");
        }
    }

    #[test]
    fn text_is_visible_from_end_to_end() {
        for (text, want) in [
            ("a", true),
            ("a b", true),
            ("ä", true),
            ("", false),
            (" a", false),
            ("a ", false),
            ("a\n", false),
            ("a\tb", false),
            ("a\u{200b}b", false),
            ("a\u{a0}", false),
            ("a\u{a0}b", false),
        ] {
            assert_eq!(matches(&super::text(), text), want, "{text:?}");
        }
        assert!(!matches(&text_without("*"), "a*b"));
    }
}

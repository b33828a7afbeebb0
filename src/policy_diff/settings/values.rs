//! Compiled values as a policy writes them.

use std::time::Duration;

use http::Method;

use crate::policy::store_rules::{IdempotencyRule, Quota};
use crate::policy::{Fallback, Mode, QuotaScope};
use crate::request::path::{Allowance, EncodedSlash};

/// Writes a length of time in the largest unit that it is a whole number of.
pub(super) fn period(time: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let millis = time.as_millis();
    let fits = UNITS
        .iter()
        .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    fits.map_or_else(
        || format!("{millis}ms"),
        |(unit, name)| format!("{}{name}", millis / unit),
    )
}

/// Writes a number of bytes in the largest unit that it is a whole number of.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// Writes whether the check is left out while the store is unavailable.
pub(super) const fn fallback(rule: Fallback) -> &'static str {
    match rule {
        Fallback::Deny => "deny",
        Fallback::Allow => "allow",
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    }
}

const fn scope(scope: QuotaScope) -> &'static str {
    match scope {
        QuotaScope::Tenant => "tenant",
        QuotaScope::Subject => "subject",
        QuotaScope::Client => "client",
        QuotaScope::Address => "address",
    }
}

/// Writes a switch as `on` or `off`.
pub(super) const fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// A field and what it says.
pub(super) type Said = (&'static str, String);

/// Returns the fields of a quota but its name.
pub(super) fn quota(quota: &Quota) -> Vec<Said> {
    let mut plans: Vec<_> = quota
        .plans
        .iter()
        .map(|(name, rate)| format!("{name}: {}", rate.limit()))
        .collect();
    plans.sort_unstable();
    vec![
        ("per", scope(quota.per).to_owned()),
        ("limit", quota.rate.limit().to_string()),
        ("window", period(quota.window)),
        ("plans", format!("{{ {} }}", plans.join(", "))),
        ("plan_claim", names(&quota.plan_claim)),
        ("mode", mode(quota.mode).to_owned()),
        ("when_unavailable", fallback(quota.when_unavailable).to_owned()),
    ]
}

/// Returns the fields of the rule for idempotency keys.
pub(super) fn idempotency(rule: &IdempotencyRule) -> Vec<Said> {
    vec![
        ("methods", methods(&rule.methods)),
        ("required", rule.required.to_string()),
        ("ttl", period(rule.ttl)),
        ("max_body", size(rule.max_body as u64)),
        ("when_unavailable", fallback(rule.when_unavailable).to_owned()),
    ]
}

fn methods(methods: &[Method]) -> String {
    let mut names: Vec<_> = methods.iter().map(Method::as_str).collect();
    names.sort_unstable();
    format!("[{}]", names.join(", "))
}

fn names(names: &[String]) -> String {
    match names {
        [name] => name.clone(),
        names => format!("[{}]", names.join(", ")),
    }
}

/// Writes what a rule says in one line.
pub(super) fn in_one_line(said: &[Said]) -> String {
    let fields = said
        .iter()
        .filter(|(_, value)| value != "{  }")
        .map(|(name, value)| format!("{name}: {value}"));
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

/// Writes the ambiguities of paths that are let through.
pub(super) fn allowed(allowance: Allowance) -> String {
    let words = [
        (allowance.double_slash, "double_slash"),
        (allowance.semicolon, "semicolon"),
        (allowance.encoded_slash == EncodedSlash::Either, "encoded_slash"),
        (allowance.encoded_percent, "encoded_percent"),
        (allowance.encoded_delimiter, "encoded_delimiter"),
    ];
    let words: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    format!("[{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measure_is_written_in_its_largest_unit() {
        for (millis, want) in [
            (0, "0ms"),
            (500, "500ms"),
            (1000, "1s"),
            (90_000, "90s"),
            (3_600_000, "1h"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(period(Duration::from_millis(millis)), want);
        }
        for (bytes, want) in [
            (0, "0"),
            (1000, "1000"),
            (1024, "1KiB"),
            (3 << 20, "3MiB"),
            (1 << 30, "1GiB"),
        ] {
            assert_eq!(size(bytes), want);
        }
    }
}

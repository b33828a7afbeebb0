//! Requests in words: their methods, paths and hosts.

use http::Method;

use super::words::{View, first};
use crate::policy_diff::report::Report;
use crate::policy_diff::types::{Case, PathRegion, Region, SegmentCase};

/// Writes methods, or those that are not among them.
pub(super) fn methods(region: &Region) -> String {
    const STANDARD: [Method; 8] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ];
    if region.other_methods {
        let missing: Vec<_> = STANDARD
            .iter()
            .filter(|method| !region.methods.contains(method))
            .map(Method::as_str)
            .collect();
        return match missing.as_slice() {
            [] => "all methods".to_owned(),
            missing => format!("all but {}", missing.join(", ")),
        };
    }
    let names: Vec<_> = region.methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

/// Writes the hosts of requests, unless they are all that there are.
pub(super) fn hosts(region: &Region, all: &[String], most: usize) -> Option<String> {
    if region.hosts.len() == all.len() {
        return None;
    }
    let names = region.hosts.iter().map(|host| match host.as_str() {
        "*" => "other hosts",
        name => name,
    });
    let names: Vec<_> = names.collect();
    Some(first(&names, most, ", "))
}

/// Writes a pattern of paths with its case.
pub(super) fn path(region: &PathRegion) -> String {
    let pattern = &region.pattern;
    match &region.case {
        Case::AsWritten => pattern.clone(),
        Case::Other => format!("{pattern} in another case"),
        Case::Any => format!("{pattern} in any case"),
        Case::Segments(cases) => format!("{pattern} with {}", segments(pattern, cases)),
    }
}

/// Says of the segments of a pattern in which case they are, unless they are as they are written.
fn segments(pattern: &str, cases: &[SegmentCase]) -> String {
    let (mut other, mut any, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let parts = pattern.split('/').skip(1);
    for (part, case) in parts.zip(cases) {
        let has_letters = !part.starts_with('{') || !part.ends_with('}');
        match case {
            SegmentCase::Other => other.push(format!("`{part}`")),
            SegmentCase::Any if has_letters => any.push(format!("`{part}`")),
            SegmentCase::AsWritten | SegmentCase::Any => {}
            SegmentCase::Ends(end) => ends.push(format!("`{end}` as written at the end of `{part}` in any case")),
        }
    }
    let list = |parts: &[String], case: &str| (!parts.is_empty()).then(|| format!("{} in {case}", parts.join(" and ")));
    let all = [list(&other, "another case"), list(&any, "any case")];
    all.into_iter().flatten().chain(ends).collect::<Vec<_>>().join(", ")
}

/// Writes requests: methods, paths and hosts. Patterns whose case is said have a line each.
pub(super) fn requests(view: &View<'_>, region: &Region) -> Vec<String> {
    let is_plain = |region: &&PathRegion| region.case == Case::AsWritten;
    let (plain, cases): (Vec<_>, Vec<_>) = region.paths.iter().partition(is_plain);
    let mut plain: Vec<_> = plain.into_iter().map(path).collect();
    plain.dedup();
    let most = view.most();
    let mut paths: Vec<_> = (!plain.is_empty())
        .then(|| first(&plain, most, "  "))
        .into_iter()
        .collect();
    for text in cases.into_iter().map(path) {
        if !paths.contains(&text) {
            paths.push(text);
        }
    }
    let more = paths.len().saturating_sub(most);
    paths.truncate(most);
    let hosts = hosts(region, &view.report.hosts, most);
    let on = hosts.map(|hosts| format!("  on {hosts}")).unwrap_or_default();
    let methods = methods(region);
    let mut lines: Vec<_> = paths.iter().map(|path| format!("{methods}  {path}{on}")).collect();
    lines.extend((more > 0).then(|| format!("and {more} more (--all)")));
    lines
}

/// Returns the paths within a region that are answered as before.
pub(super) fn as_before(report: &Report, region: &Region) -> Vec<String> {
    let changes = |except: &PathRegion| {
        let mut changed = report.changes.iter().flat_map(|one| &one.change.region.paths);
        changed.any(|path| path.pattern == except.pattern)
    };
    let unchanged = region.except.iter().filter(|except| !changes(except));
    unchanged.map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(names: &[&str], other_methods: bool) -> Region {
        Region {
            hosts: vec!["*".to_owned()],
            methods: names.iter().map(|name| name.parse().unwrap()).collect(),
            other_methods,
            paths: Vec::new(),
            except: Vec::new(),
        }
    }

    #[test]
    fn methods_are_written_by_what_is_shorter() {
        for (names, other, want) in [
            (&["GET", "HEAD"][..], false, "GET, HEAD"),
            (
                &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"],
                true,
                "all but TRACE",
            ),
            (
                &[
                    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
                ],
                true,
                "all methods",
            ),
        ] {
            assert_eq!(methods(&region(names, other)), want);
        }
    }

    #[test]
    fn case_of_a_path_is_said_of_its_segments() {
        use SegmentCase as S;
        for (pattern, case, want) in [
            ("/a/b", Case::AsWritten, "/a/b"),
            ("/a/b", Case::Other, "/a/b in another case"),
            (
                "/api/docs/{id}",
                Case::Segments(vec![S::AsWritten, S::Other, S::Any]),
                "/api/docs/{id} with `docs` in another case",
            ),
            (
                "/api/docs/{id}:run/*",
                Case::Segments(vec![S::Other, S::Any, S::Any]),
                "/api/docs/{id}:run/* with `api` in another case, `docs` and `{id}:run` in any case",
            ),
        ] {
            let pattern = pattern.to_owned();
            assert_eq!(path(&PathRegion { pattern, case }), want);
        }
    }
}

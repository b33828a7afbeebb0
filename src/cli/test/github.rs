//! Annotations of what is not as expected, for GitHub Actions.

use super::results::Results;
use crate::cli::annotations::{Annotation, Kind};

/// Makes an annotation for each case that is not as expected.
pub(super) fn annotations(results: &Results<'_>) -> Vec<Annotation> {
    let cases = results.files.iter().flat_map(|file| &file.cases);
    let failed = cases.filter(|case| !case.verdict.passed());
    failed
        .map(|result| {
            let mut lines = vec![format!("{}: {}", result.case.title(), result.difference())];
            lines.extend(result.evidence());
            let title = format!("FAILED {}", result.case.test.name);
            Annotation::at(&result.case.location, Kind::Error, title, lines.join("\n"))
        })
        .collect()
}

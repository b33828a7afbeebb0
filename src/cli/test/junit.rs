//! The report as JUnit XML, in the form that readers agree on: `classname`, `name`, `file` and `line` of each case.

use std::fmt::Write as _;

use super::results::{CaseResult, FileResults, Results};
use crate::document::problem::Problem;

/// Writes the report.
pub(super) fn report(results: &Results<'_>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (failed, time) = (results.failed(), results.elapsed.as_secs_f64());
    let tests = results.passed() + failed;
    let _infallible = writeln!(
        xml,
        "<testsuites name=\"sidegate test\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" time=\"{time:.3}\">"
    );
    for file in &results.files {
        suite(&mut xml, file);
    }
    xml.push_str("</testsuites>\n");
    xml
}

/// Writes the report of a run that did not begin: each problem is an error.
pub(super) fn of_problems(problems: &[Problem]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let errors = problems.len();
    let counts = format!("tests=\"{errors}\" failures=\"0\" errors=\"{errors}\"");
    let _infallible = writeln!(xml, "<testsuites name=\"sidegate test\" {counts} time=\"0.000\">");
    let _infallible = writeln!(xml, "  <testsuite name=\"problems\" {counts} skipped=\"0\">");
    for problem in problems {
        let (file, line) = (escaped(problem.location().file()), problem.location().line());
        let code = problem.code().as_str();
        let message = escaped(&format!("{}: {}", problem.message(), problem.fix()));
        let _infallible = write!(
            xml,
            "    <testcase classname=\"{file}\" name=\"{code}\" file=\"{file}\" line=\"{line}\">\n      \
             <error type=\"{code}\" message=\"{message}\"/>\n    </testcase>\n"
        );
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn suite(xml: &mut String, file: &FileResults<'_>) {
    let tests = file.cases.len();
    let failed = tests - file.passed();
    let name = escaped(file.file);
    let _infallible = writeln!(
        xml,
        "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">"
    );
    for result in &file.cases {
        case(xml, &name, result);
    }
    xml.push_str("  </testsuite>\n");
}

fn case(xml: &mut String, file: &str, result: &CaseResult<'_>) {
    let title = escaped(&format!("{} / {}", result.case.test.name, result.case.title()));
    let line = result.case.location.line();
    let _infallible = write!(
        xml,
        "    <testcase classname=\"{file}\" name=\"{title}\" file=\"{file}\" line=\"{line}\""
    );
    if result.verdict.passed() {
        xml.push_str("/>\n");
        return;
    }
    let difference = escaped(&result.difference());
    let evidence = escaped(&result.evidence().join("\n")).replace("&#10;", "\n");
    let _infallible = write!(
        xml,
        ">\n      <failure type=\"outcome\" message=\"{difference}\">{evidence}</failure>\n    </testcase>\n"
    );
}

/// Writes a text as it stands in XML 1.0, in an attribute or between elements. Characters that it cannot have are replaced.
fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\t' | '\n' | '\r' => _ = write!(xml, "&#{};", u32::from(c)),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push(char::REPLACEMENT_CHARACTER),
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_no_markup_and_no_character_that_xml_cannot_have() {
        for (text, want) in [
            ("a <b> & \"c\"", "a &lt;b&gt; &amp; &quot;c&quot;"),
            ("a\nb\tc", "a&#10;b&#9;c"),
            ("a\u{1b}b\u{ffff}", "a\u{fffd}b\u{fffd}"),
            ("é/{id}", "é/{id}"),
        ] {
            assert_eq!(escaped(text), want);
        }
    }
}

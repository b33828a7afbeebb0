//! `sidegate doctor`.

use clap::Args;
use serde::Serialize;

use super::format::text_or_json;
use super::output::{could_not_run, print, print_json};
use super::run::{ServerOptions, refuse_to_start};
use super::{Exit, Format};
use crate::doctor::{Finding, Severity, examine};
use crate::jwks::proxy::KeyProxy;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    options: ServerOptions,
    /// Ask no server for its keys and its time, and look up no name of a service
    #[arg(long)]
    offline: bool,
    /// The form of the report
    #[arg(long, value_parser = text_or_json(), default_value = "text")]
    output: Format,
}

#[derive(Serialize)]
struct Report<'f> {
    problems: usize,
    findings: &'f [Finding],
}

impl Doctor {
    pub(super) fn execute(self) -> Exit {
        let (config, loaded) = match self.options.load_with_policies(|_| Vec::new()) {
            Ok(loaded) => loaded,
            Err(error) => return refuse_to_start(error),
        };
        let proxy = match KeyProxy::from_process() {
            Ok(proxy) => proxy,
            Err(error) => return could_not_run(error),
        };
        let own: Vec<_> = self.options.file().into_iter().collect();
        let findings = examine(&config, &loaded, &own, (!self.offline).then_some(proxy));
        let problems = count(&findings, Severity::Problem);
        match self.output {
            Format::Json => print_json(&Report {
                problems,
                findings: &findings,
            }),
            _ => print(&text(&findings)),
        }
        if problems == 0 { Exit::Fine } else { Exit::No }
    }
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

/// As wide as the others.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok           ",
        Severity::Note => "note         ",
        Severity::NotChecked => "not checked  ",
        Severity::Caution => "caution      ",
        Severity::Problem => "problem      ",
    }
}

/// The findings by their area, each with what to do, and their numbers.
fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut area = "";
    for finding in findings {
        if finding.area != area {
            area = finding.area;
            text.extend([area, "\n"]);
        }
        let Finding {
            about,
            found,
            code,
            advice,
            ..
        } = finding;
        text.extend(["  ", word(finding.severity), about, ": ", found, " [", code, "]\n"]);
        if !advice.is_empty() {
            text.extend(["               ", advice, "\n"]);
        }
    }
    let [problems, cautions, unchecked] =
        [Severity::Problem, Severity::Caution, Severity::NotChecked].map(|severity| count(findings, severity));
    let numbers = format!("\nproblems: {problems}, cautions: {cautions}, not checked: {unchecked}\n");
    text.push_str(&numbers);
    text
}

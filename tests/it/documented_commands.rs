//! The commands of all documents, run as a reader would paste them, and what the documents say about them.
//!
//! A fenced block with the info string `sh` has commands, without prompts and without output. All `sh` blocks of a
//! document run in their order in one `bash` (`set -euo pipefail`), in a fresh copy of the checkout; see [`session`].
//!
//! - ```` ```sh exit=1 ````: the last command of this block ends with this status.
//! - `# not run in CI: REASON` as the first line marks a block that cannot run here; at the end of a line, that line.
//! - `make TARGET` is not run. The target must exist, and `.ci/run` must run it unless the command is marked.
//! - A `text` or `json` block directly after an `sh` block is what the commands print. A line `…` stands for any
//!   number of lines, and `…` within a line for any text.
//! - A block of another language whose first line is a comment with a path, such as `# policies/orders.yaml`, is
//!   written to that file.

mod markdown;
mod output;
mod session;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub(crate) use markdown::{Block, Document};

/// Makes one test for each document, and the list of them.
macro_rules! documents {
    ($($test:ident: $path:literal,)*) => {
        const DOCUMENTS: &[&str] = &[$($path),*];
        $(
            #[test]
            fn $test() {
                session::run(&Document::read($path)).unwrap_or_else(|error| panic!("{error}"));
            }
        )*
    };
}

documents! {
    commands_of_deploy_kubernetes_succeed: "deploy/kubernetes/README.md",
    commands_of_deploy_prometheus_succeed: "deploy/prometheus/README.md",
    commands_of_getting_started_succeed: "docs/getting-started.md",
    commands_of_guide_to_compose_succeed: "docs/guides/compose.md",
    commands_of_guide_to_fronts_succeed: "docs/guides/behind-a-front.md",
    commands_of_guide_to_kubernetes_succeed: "docs/guides/kubernetes.md",
    commands_of_guide_to_systemd_succeed: "docs/guides/systemd.md",
    commands_of_guide_to_unix_sockets_succeed: "docs/guides/unix-socket.md",
    commands_of_the_readme_succeed: "README.md",
    commands_of_policy_fields_succeed: "docs/policy.md",
    commands_of_policy_testing_succeed: "docs/policy-testing.md",
    commands_of_routing_succeed: "docs/routing.md",
    commands_of_oauth_resource_server_succeed: "docs/oauth-resource-server.md",
    commands_of_single_page_applications_succeed: "docs/single-page-applications.md",
    commands_of_shared_state_succeed: "docs/state.md",
    commands_of_migration_from_envoy_succeed: "docs/guides/migrate-from-envoy.md",
    commands_of_migration_from_nginx_succeed: "docs/guides/migrate-from-nginx.md",
    commands_of_migration_from_oauth2_proxy_succeed: "docs/guides/migrate-from-oauth2-proxy.md",
}

/// Names of shells that are not `sh`, and of blocks that mix commands with their output.
const OTHER_SHELLS: [&str; 6] = ["", "bash", "console", "shell", "shell-session", "zsh"];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files of the checkout, by their paths in it.
pub(crate) fn all() -> Vec<Document> {
    let files = session::files_of_the_checkout();
    let names = files.iter().filter_map(|file| file.to_str());
    names
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .map(Document::read)
        .collect()
}

#[test]
fn document_with_commands_that_run_is_in_the_list() {
    let runs = |document: &Document| document.blocks.iter().any(|block| !block.commands().is_empty());
    let found: BTreeSet<String> = all().into_iter().filter(runs).map(|document| document.path).collect();
    let listed: BTreeSet<String> = DOCUMENTS.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(found, listed, "found in the checkout, and in `documents!` of this file");
}

#[test]
fn block_of_commands_is_sh_without_prompts() {
    let mut faults = Vec::new();
    for document in all() {
        for block in &document.blocks {
            let place = format!("{}:{}", document.path, block.line);
            if OTHER_SHELLS.contains(&block.language.as_str()) {
                faults.push(format!(
                    "{place}: ```{} instead of sh, text, json or another language",
                    block.info
                ));
            }
            if block.language == "sh" && block.lines.iter().any(|line| line.starts_with("$ ")) {
                faults.push(format!("{place}: a prompt `$ ` cannot be pasted"));
            }
            if block.language == "sh" && block.lines.iter().any(|line| line.trim_end().ends_with(markdown::MARK)) {
                faults.push(format!("{place}: `{}` without a reason", markdown::MARK));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn make_target_in_a_document_exists_and_runs_in_ci() {
    let targets = targets();
    let in_ci = in_ci(&targets);
    let mut faults = Vec::new();
    for document in all() {
        for (at, line, is_marked) in document.blocks.iter().flat_map(Block::make_lines) {
            for name in markdown::make_targets(line) {
                let place = format!("{}:{at}: make {name}", document.path);
                match targets.iter().find(|(target, _)| target == name) {
                    None => faults.push(format!("{place}: the Makefile has no such target")),
                    Some(_) if !is_marked && !in_ci.contains(name) => {
                        faults.push(format!("{place}: .ci/run does not run it; mark the block or the line"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The targets of the Makefile, with those that each one needs.
fn targets() -> Vec<(String, Vec<String>)> {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let rules = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '.', '#']) && !line.contains(":="));
    let rules = rules.filter_map(|line| line.split_once(':'));
    rules
        .map(|(name, rest)| {
            let needed = rest.split('#').next().unwrap().split_whitespace();
            (name.trim().to_owned(), needed.map(str::to_owned).collect())
        })
        .collect()
}

/// The targets that `.ci/run` makes, and those that these need.
fn in_ci(targets: &[(String, Vec<String>)]) -> BTreeSet<String> {
    let script = fs::read_to_string(root().join(".ci/run")).unwrap();
    let words: Vec<&str> = script.split_whitespace().collect();
    let steps = words
        .windows(2)
        .filter(|pair| pair[0] == "step")
        .map(|pair| pair[1].trim_end_matches(';'));
    let mut waiting: Vec<String> = steps.map(str::to_owned).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let rule = targets.iter().find(|(target, _)| *target == name);
        waiting.extend(rule.into_iter().flat_map(|(_, needed)| needed.clone()));
        // `make demo-test` runs `make demo`.
        waiting.extend(name.strip_suffix("-test").map(str::to_owned));
        found.insert(name);
    }
    found
}

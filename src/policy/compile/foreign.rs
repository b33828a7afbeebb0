//! Recognizes files of other programs, so that they are one problem and not many.

use crate::document::problem::{Fault, ProblemCode};
use crate::document::test_file::test_file;
use crate::document::yaml::{Node, Value};

/// Fields that every policy has.
const OURS: [&str; 3] = ["service", "upstream", "routes"];

/// What a file with callers is.
const TESTS: &str = "tests of policies";

/// Fields that tell another program's file, and what it is.
const FOREIGN: [(&str, &str); 14] = [
    ("callers", TESTS),
    ("apiVersion", "a Kubernetes manifest"),
    ("kind", "a Kubernetes manifest"),
    ("services", "a Compose file"),
    ("openapi", "an OpenAPI document"),
    ("swagger", "an OpenAPI document"),
    ("jobs", "a CI workflow"),
    ("scrape_configs", "a configuration of Prometheus"),
    ("groups", "a file of Prometheus rules"),
    ("static_resources", "a configuration of Envoy"),
    ("listeners", "a `sidegate.yaml`"),
    ("admin", "a `sidegate.yaml`"),
    ("policies", "a `sidegate.yaml`"),
    ("limits", "a `sidegate.yaml`"),
];

/// What is wrong with a file of another program, or with one of tests, by its name.
pub(super) fn foreign(node: &Node, file: &str) -> Option<Fault> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let has = |name: &str| entries.iter().any(|((key, _), _)| key == name);
    if OURS.into_iter().any(has) {
        return None;
    }
    if let Some(fault) = test_file(node, file) {
        return Some(fault);
    }
    let (field, what) = FOREIGN.into_iter().find(|(field, _)| has(field))?;
    let message = format!("the file is not a policy: with `{field}`, it looks like {what}");
    let help = match what.contains("sidegate") {
        _ if what == TESTS => "name it `*.test.yaml`, and run it with `sidegate test`",
        true => "name it `sidegate.yaml`, or move it out of the folder of policies",
        false => "move it out of the folder of policies, or name the policy files one by one",
    };
    Some(Fault::new(ProblemCode::NotAPolicy, message, help))
}

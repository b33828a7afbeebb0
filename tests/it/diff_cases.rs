//! What `sidegate diff` says of pairs of policies, held against what another implementation says of each class of paths and
//! each method of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use serde_json::Value;
use sidegate::policy::{ErrorStyle, Scope};
use sidegate::policy_diff::{Difference, compare};
use sidegate::policy_files::read_with;
use sidegate::rehearsal::{Rehearsal, ThrowawayKeys};

/// The segments of the paths that are tried.
const SEGMENTS: [&[&str]; 4] = [
    &["api", "API"],
    &[
        "health", "jobs", "admin", "docs", "zz", "HEALTH", "JOBS", "ADMIN", "DOCS",
    ],
    &["reports", "public", "zz", "REPORTS", "PUBLIC"],
    &["zz"],
];

/// The folder with a folder for each pair. Without the variable, or without that folder, the tests are reported as skipped.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn cases_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SIDEGATE_VECTORS").map(|vectors| Path::new(&vectors).join("../cases/diff"));
    let folder = folder.filter(|folder| folder.is_dir());
    if folder.is_none() {
        println!("skipped: there is no folder `../cases/diff` beside that of SIDEGATE_VECTORS");
    }
    folder
}

struct Case {
    name: String,
    old: Rehearsal,
    new: Rehearsal,
    difference: Difference,
    expected: Vec<Value>,
}

fn read(folder: &Path) -> Case {
    let keys = Arc::new(ThrowawayKeys::new());
    let side = |name: &str| {
        let mut files: Vec<_> = folder
            .join(name)
            .read_dir()
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        let (policies, _) = read_with(&files, ErrorStyle::default(), &*keys);
        Rehearsal::new(Arc::new(policies.unwrap()), &keys)
    };
    let (old, new) = (side("old"), side("new"));
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    Case {
        name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        difference: compare(&old, &new).unwrap(),
        expected: serde_json::from_str(&expected).unwrap(),
        old,
        new,
    }
}

impl Case {
    /// Whether some pattern has a literal behind some segments.
    fn is_literal(&self, before: &[&str], text: &str) -> bool {
        let policies = [&self.old, &self.new]
            .into_iter()
            .flat_map(|side| side.policies().policies());
        let mut patterns = policies.flat_map(|policy| policy.routes.iter().map(|route| route.pattern.as_str()));
        patterns.any(|pattern| {
            let parts: Vec<_> = pattern.split('/').skip(1).collect();
            let fits = |(part, text): (&&str, &&str)| part.starts_with('{') || part.eq_ignore_ascii_case(text);
            parts.len() > before.len()
                && parts.iter().zip(before).all(fits)
                && parts[before.len()].eq_ignore_ascii_case(text)
        })
    }

    /// Whether a path is of a class, as in `/api/docs(other case)/{any}/…`.
    fn is_of(&self, path: &[&str], class: &str) -> bool {
        let mut parts: Vec<_> = class.split('/').skip(1).collect();
        let goes_on = parts.last() == Some(&"…");
        if goes_on {
            parts.pop();
        }
        let length = match goes_on {
            true => path.len() > parts.len(),
            false => path.len() == parts.len(),
        };
        length
            && parts
                .iter()
                .enumerate()
                .all(|(at, part)| match part.strip_suffix("(other case)") {
                    Some(literal) => path[at] != literal && path[at].eq_ignore_ascii_case(literal),
                    None if *part == "{any}" => !self.is_literal(&path[..at], path[at]),
                    None => path[at] == *part,
                })
    }

    /// What is expected for a request: the effects, and the routes on both sides.
    fn expected(&self, host: &str, method: &str, path: &[&str]) -> Option<String> {
        let of_host = |change: &&Value| change["host"] == host;
        let mut changes = self.expected.iter().filter(of_host).filter(|change| {
            let classes = change["where"].as_object().unwrap();
            let has_method = |methods: &Value| methods.as_array().unwrap().iter().any(|known| known == method);
            classes
                .iter()
                .any(|(class, methods)| has_method(methods) && self.is_of(path, class))
        });
        let change = changes.next()?;
        let kinds: Vec<_> = change["kinds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| kind.as_str().unwrap())
            .collect();
        let route = |side: &str| change[side].as_str().unwrap_or("-").to_owned();
        Some(format!("{}: {} -> {}", kinds.join(" "), route("was"), route("now")))
    }

    /// What is found.
    fn found(&self, host: &str, method: &str, path: &[&str]) -> Option<String> {
        let path = format!("/{}", path.join("/"));
        let change = self
            .difference
            .change(host, &method.parse::<Method>().unwrap(), &path)?;
        let route = |side: &Rehearsal, scope: Scope| {
            let route = side.policies().matched(scope).route();
            route.map_or_else(|| "-".to_owned(), |route| route.pattern.clone())
        };
        let kinds: Vec<_> = change.effects.iter().map(|effect| effect.as_str()).collect();
        let (was, now) = (route(&self.old, change.was), route(&self.new, change.now));
        Some(format!("{}: {was} -> {now}", kinds.join(" ")))
    }

    /// The requests of which something else is found than expected, those together for which it is the same.
    fn deviations(&self) -> BTreeMap<String, Vec<String>> {
        let mut deviations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let methods = [
            "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PROPFIND", "PUT", "TRACE",
        ];
        let hosts = [("(any other host)", "localhost"), ("*.example.com", "a.example.com")];
        let hosts = hosts.iter().filter(|(class, _)| {
            *class == "(any other host)" || self.difference.hosts.iter().any(|known| known == class)
        });
        for (class, host) in hosts {
            for path in paths() {
                for method in methods {
                    let (expected, found) = (self.expected(class, method, &path), self.found(host, method, &path));
                    if expected != found {
                        let none = || "nothing".to_owned();
                        let (expected, found) = (expected.unwrap_or_else(none), found.unwrap_or_else(none));
                        let requests = deviations
                            .entry(format!("expected {expected}, found {found}"))
                            .or_default();
                        requests.push(format!("{method} {host}/{}", path.join("/")));
                    }
                }
            }
        }
        deviations
    }
}

fn paths() -> Vec<Vec<&'static str>> {
    let mut paths: Vec<Vec<&str>> = vec![vec![]];
    let mut last = paths.clone();
    for segments in SEGMENTS {
        last = last
            .iter()
            .flat_map(|path| segments.iter().map(|segment| [path.as_slice(), &[segment]].concat()))
            .collect();
        paths.extend(last.clone());
    }
    paths
}

/// What is found otherwise, by the pair, and why: what is expected is from before paths were rejected that lead elsewhere in
/// another case, knows nothing of the codes of services in rejections, and puts what is rejected on both sides together.
const DEVIATIONS: &[(&str, Why, &str)] = &[
    (
        "D11",
        Why::OtherCase,
        "expected nothing, found opened forwarded_differently rejected_differently: /api/* -> /api/*",
    ),
    (
        "D16",
        Why::OtherCase,
        "expected nothing, found opened forwarded_differently: /api/* -> /api/*",
    ),
    (
        "D17",
        Why::Ambiguous,
        "expected nothing, found closed rejected_differently: /api/admin/* -> -",
    ),
    (
        "D17",
        Why::Trace,
        "expected nothing, found rejected_differently: - -> -",
    ),
    (
        "D19",
        Why::Trace,
        "expected nothing, found rejected_differently: - -> -",
    ),
    (
        "D21",
        Why::OtherCase,
        "expected nothing, found opened rejected_differently: /api/* -> /api/*",
    ),
    (
        "D23",
        Why::OtherCase,
        "expected nothing, found opened closed rejected_differently: /api/* -> /api/*",
    ),
    (
        "D26",
        Why::OtherCase,
        "expected nothing, found forwarded_differently: /api/* -> /api/*",
    ),
    (
        "D28",
        Why::Ambiguous,
        "expected closed: /api/* -> /api/admin/*, found opened rejected_differently: - -> /api/admin/*",
    ),
    (
        "D28",
        Why::Ambiguous,
        "expected closed: /api/* -> /api/docs/{id}, found opened rejected_differently: - -> /api/docs/{id}",
    ),
    (
        "D28",
        Why::Ambiguous,
        "expected nothing, found opened rejected_differently: - -> /api/*",
    ),
    (
        "D28",
        Why::Ambiguous,
        "expected opened forwarded_differently closed rejected_differently: /api/* -> /api/jobs/*, \
         found opened rejected_differently: - -> /api/jobs/*",
    ),
    (
        "D30",
        Why::Ambiguous,
        "expected nothing, found opened rejected_differently: - -> /api/*",
    ),
    (
        "D31",
        Why::Ambiguous,
        "expected nothing, found closed rejected_differently: /api/* -> -",
    ),
    (
        "D31",
        Why::Ambiguous,
        "expected nothing, found closed rejected_differently: /api/docs/{id} -> -",
    ),
    (
        "D5",
        Why::OtherCase,
        "expected nothing, found opened_to_public forwarded_differently: /api/* -> /api/{id}",
    ),
    (
        "D5",
        Why::Ambiguous,
        "expected nothing, found opened_to_public: - -> /api/{id}",
    ),
];

/// Why something else is found than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// One side rejects the path with `path_ambiguous`: in another case it leads elsewhere.
    Ambiguous,
    /// The path has a literal in another case, and leads to the same route in any case.
    OtherCase,
    /// TRACE is rejected by another service, whose code is another, or with another `Allow`.
    Trace,
}

impl Why {
    fn explains(self, request: &str) -> bool {
        let (method, target) = request.split_once(' ').unwrap();
        match self {
            Self::Ambiguous | Self::OtherCase => {
                method != "TRACE" && target.bytes().any(|byte| byte.is_ascii_uppercase())
            }
            Self::Trace => method == "TRACE",
        }
    }
}

#[test]
fn changes_are_those_of_another_implementation_apart_from_the_newer_rule_for_case() {
    let Some(folder) = cases_folder() else { return };
    let mut folders: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut known: Vec<_> = Vec::new();
    for folder in &folders {
        let case = read(folder);
        let id = case.name.split('-').next().unwrap();
        for (what, requests) in case.deviations() {
            let deviation = DEVIATIONS.iter().find(|(of, _, text)| *of == id && *text == what);
            let Some(deviation) = deviation else {
                panic!("{}: {what}: {requests:?}", case.name);
            };
            let unexplained: Vec<_> = requests
                .iter()
                .filter(|request| !deviation.1.explains(request))
                .collect();
            assert!(unexplained.is_empty(), "{}: {what}: {unexplained:?}", case.name);
            known.push(deviation);
        }
    }
    let of_folders = |id: &str| {
        folders.iter().any(|folder| {
            folder
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&format!("{id}-"))
        })
    };
    let gone: Vec<_> = DEVIATIONS
        .iter()
        .filter(|deviation| of_folders(deviation.0) && !known.contains(deviation))
        .collect();
    assert!(gone.is_empty(), "{gone:?}");
}

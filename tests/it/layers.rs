//! The order of the code. The layers are the groups of `lib.rs` between blank lines: words, document,
//! policy, engine, resources, admission, edges, wiring. A module uses its own layer and those above it,
//! never one below. The files of a large folder stand on floors in the same way, and no files use each
//! other in a circle. A few names appear in one place only.

use std::{fs, path::Path};

use graph::Graph;
use source::Source;

mod graph;
mod source;

/// One module of each layer, from the top.
const ANCHORS: [&str; 9] = [
    "principal",
    "document",
    "policy",
    "decision",
    "store",
    "admission",
    "rehearsal",
    "proxy",
    "app",
];

/// The floors of large folders, from the top. A file uses its own floor and those above it. A floor has
/// the names of files in the folder, each with all that is below it; the folder's own file is `self`.
const FLOORS: &[(&str, &[&[&str]])] = &[
    (
        "admission",
        &[
            // Limits, policies in force, ids.
            &[
                "client_limit",
                "concurrency_limit",
                "local_response",
                "rate_limit_fields",
                "snapshot",
                "trace_context",
            ],
            // What a request is forwarded or rejected with.
            &[
                "rejection_response",
                "response_names",
                "own_response",
                "header_edits",
                "forwarding",
            ],
            &["record"],
            // Store checks.
            &["idempotency", "rate_limit"],
            &["self"],
        ],
    ),
    (
        "proxy",
        &[
            // Words: what needs no connection and no policy in force.
            &[
                "body_rate",
                "buffered_socket",
                "deadline",
                "header_case",
                "linger",
                "peer",
            ],
            // Streams and sessions of clients.
            &["strict_stream", "overload"],
            &["session"],
            // Services.
            &["upstream"],
            &["policy_snapshot"],
            // A request, and its steps.
            &["context", "cors"],
            &["error_mapping", "gateway"],
            // Ways to forward or reject it.
            &["early_rejection", "exchange", "replay"],
            &["handler"],
            // The server.
            &["failure_log"],
            &["connection_limit", "handshake_failures", "proxy_protocol"],
            &["server"],
            &["self"],
        ],
    ),
    (
        "request",
        &[
            &[
                "content_type",
                "cookies",
                "forwarded",
                "framing",
                "head",
                "names",
                "only",
                "origin",
                "path",
                "query",
            ],
            &["listed", "subprotocols", "target"],
            &["nominated"],
            &["websocket"],
            &["self"],
        ],
    ),
];

/// The only files that name a session of pingora: those of the client's session, of its server, and of the upstream's
/// session.
const SESSION_FILES: [&str; 3] = ["proxy/session", "proxy/server", "proxy/upstream/session"];

/// The modules of `lib.rs`, one list for each group.
fn layers() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let library = fs::read_to_string(path).unwrap();
    let module = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
    };
    let library = library.replace("#[cfg(test)]\n", "// only for tests: ");
    let groups = library
        .split("\n\n")
        .map(|group| group.lines().filter_map(module).collect());
    groups.filter(|group: &Vec<String>| !group.is_empty()).collect()
}

/// How far from the top a module stands. The program itself stands below everything.
fn layer_of(module: &str) -> usize {
    let layers = layers();
    if module == "main" {
        return layers.len();
    }
    let of_module = |layer: &Vec<String>| layer.iter().any(|each| each == module);
    layers
        .iter()
        .position(of_module)
        .unwrap_or_else(|| panic!("`{module}` is in no layer"))
}

#[test]
fn the_layers_stand_in_their_order() {
    let order: Vec<usize> = ANCHORS.iter().map(|anchor| layer_of(anchor)).collect();
    assert!(
        order.is_sorted_by(|above, below| above < below),
        "{ANCHORS:?} are at {order:?}"
    );
    assert_eq!(layers().len(), ANCHORS.len(), "{:?}", layers());
}

#[test]
fn no_module_uses_a_layer_below_its_own() {
    let graph = Graph::read();
    for (file, used) in &graph.named {
        let Some(module) = graph.sources[*file].module.first() else {
            continue;
        };
        assert!(
            layer_of(used) <= layer_of(module),
            "{} uses `{used}`, which is below it",
            graph.path(*file)
        );
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let graph = Graph::read();
    let circles: String = graph.circles().iter().map(|circle| graph.ties(circle)).collect();
    assert!(circles.is_empty(), "files use each other in a circle:\n{circles}");
}

#[test]
fn no_file_uses_a_floor_below_its_own() {
    let graph = Graph::read();
    for (folder, floors) in FLOORS.iter().copied() {
        let floor_of = |file: usize| {
            let (first, parts) = graph.sources[file].module.split_first()?;
            let name = parts.first().map_or("self", String::as_str);
            let floor = floors.iter().position(|floor| floor.contains(&name));
            (first == folder).then(|| floor.unwrap_or_else(|| panic!("`{folder}/{name}` is on no floor")))
        };
        for (&(from, to), names) in &graph.uses {
            if let (Some(own), Some(used)) = (floor_of(from), floor_of(to)) {
                let (from, to) = (graph.path(from), graph.path(to));
                assert!(
                    used <= own,
                    "{from} uses {names:?} of {to}, which is on a floor below it"
                );
            }
        }
    }
}

#[test]
fn no_function_outside_the_session_files_names_a_session_of_pingora() {
    let graph = Graph::read();
    let is_outside = |source: &&Source| {
        let of_file = |file: &str| {
            source
                .path
                .strip_prefix(file)
                .is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        !SESSION_FILES.iter().copied().any(of_file)
    };
    let outside = graph.sources.iter().filter(is_outside);
    let counts = outside.map(|source| (source.path.as_str(), functions_with_session(source)));
    let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
    assert!(counts.is_empty(), "{counts:?}");
}

/// Counts the functions whose signature or body names a type of session.
fn functions_with_session(source: &Source) -> usize {
    let is_session = |path: &[String]| {
        let types = ["ServerSession", "Session", "HttpSession"];
        path[0] == "pingora" && path.last().is_some_and(|last| types.contains(&last.as_str()))
    };
    let imports = source.imports.iter();
    let names: Vec<_> = imports.filter(|(_, import)| is_session(&import.path)).collect();
    let names_it = |function: &&[String]| {
        function
            .iter()
            .any(|token| names.iter().any(|(name, _)| *name == token))
    };
    source.functions().filter(names_it).count()
}

/// Says that only some files use a crate.
fn assert_only(name: &str, may: impl Fn(&str) -> bool) {
    let graph = Graph::read();
    for (file, source) in graph
        .sources
        .iter()
        .enumerate()
        .filter(|(_, source)| !may(&source.path))
    {
        let mut paths = graph.foreign(file);
        assert!(!paths.any(|path| path[0] == name), "{} uses `{name}`", source.path);
    }
}

#[test]
fn only_some_edges_use_the_proxy_library() {
    let modules = ["proxy", "tls", "admin", "app"];
    assert_only("pingora", |file| {
        modules.contains(&file.split(['/', '.']).next().unwrap())
    });
}

#[test]
fn only_one_file_uses_the_yaml_library() {
    assert_only("serde_saphyr", |file| file == "document/yaml.rs");
}

#[test]
fn only_the_store_uses_the_redis_library() {
    assert_only("redis", |file| {
        file == "store/redis.rs" || file.starts_with("store/redis/")
    });
}

#[test]
fn only_the_authorizer_makes_a_permit() {
    for source in Graph::read().sources.iter().filter(|source| source.path != "authz.rs") {
        for tokens in source.tokens.windows(3) {
            let makes = tokens[1] == "Permit" && tokens[2] == "{";
            let names = ["struct", "impl", "for", ">"].contains(&tokens[0].as_str());
            assert!(!makes || names, "{} makes a permit", source.path);
        }
    }
}

#[test]
fn the_pure_layers_have_no_clock_and_admission_no_socket() {
    const CLOCKS: [&str; 3] = ["SystemTime::now", "Timestamp::now", "Instant::now"];
    const SOCKETS: [&str; 5] = [
        "tokio::net",
        "std::net::Tcp",
        "std::net::Udp",
        "std::os::unix::net",
        "hyper",
    ];
    let (engine, admission) = (layer_of("decision"), layer_of("admission"));
    let graph = Graph::read();
    for (file, source) in graph.sources.iter().enumerate() {
        let layer = source.module.first().map_or(usize::MAX, |module| layer_of(module));
        let clocks = CLOCKS.iter().filter(|_| layer <= engine);
        let sockets = SOCKETS.iter().filter(|_| layer <= engine || layer == admission);
        for word in clocks.chain(sockets) {
            let mut paths = graph.foreign(file).map(|path| path.join("::"));
            assert!(!paths.any(|path| path.contains(word)), "{} uses `{word}`", source.path);
        }
    }
}

#[test]
fn no_file_uses_pingora_proxy() {
    let graph = Graph::read();
    for file in 0..graph.sources.len() {
        let mut paths = graph.foreign(file);
        assert!(
            !paths.any(|path| path.starts_with(&["pingora".into(), "proxy".into()])),
            "{} uses `pingora::proxy`",
            graph.path(file)
        );
    }
}

#[test]
fn each_file_of_these_tests_is_a_module() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(main.contains(&format!("\nmod {name};\n")), "{name}.rs never runs");
        }
    }
}

//! The order of the layers: words, document, policy, engine, edges, wiring. They are the groups of `lib.rs`
//! between blank lines. A module uses its own layer and those above it, never one below; and a few
//! names appear in one place only.

use std::{fs, path::Path};

/// One module of each layer, from the top.
const ANCHORS: [&str; 6] = ["principal", "document", "policy", "decision", "proxy", "app"];

/// Every source file: its path below `src`, its module, and its text without its tests.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if name.split(['/', '.']).any(|part| part == "tests" || part == "testing") {
                continue;
            }
            let module = name.trim_end_matches(".rs").split('/').next().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            found.push((name, module, code));
        }
    }
}

/// The lines that are code: neither documentation nor a comment.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The modules that a file names as `crate::…`, or the binary as `sidegate::…`.
fn used(text: &str) -> Vec<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for prefix in ["crate::", "sidegate::"] {
        for rest in code.split(prefix).skip(1) {
            match rest.strip_prefix('{') {
                Some(list) => names.extend(top_level(list)),
                None => names.push(identifier(rest)),
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The first names in `a::b, c::{d, e}}`.
fn top_level(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut start) = (1, true);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            character if start && !character.is_whitespace() => {
                names.push(identifier(&list[at..]));
                start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

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
    let sources = sources();
    let modules: Vec<&str> = sources.iter().map(|(_, module, _)| module.as_str()).collect();
    for (file, module, text) in sources.iter().filter(|(_, module, _)| module != "lib") {
        for name in used(text).iter().filter(|name| modules.contains(&name.as_str())) {
            assert!(
                layer_of(name) <= layer_of(module),
                "{file} uses `{name}`, which is below it"
            );
        }
    }
}

fn assert_only(word: &str, why: &str, may: impl Fn(&str) -> bool) {
    for (file, _, text) in sources() {
        let names_it = code_lines(&text).any(|line| line.contains(word));
        assert!(!names_it || may(&file), "{file} names `{word}`: {why}");
    }
}

#[test]
fn only_the_edges_name_the_proxy_library() {
    let may = |file: &str| {
        ["proxy", "tls", "admin", "app"]
            .iter()
            .any(|module| file.starts_with(&format!("{module}.rs")) || file.starts_with(&format!("{module}/")))
    };
    assert_only("pingora::", "only proxy, tls, admin and app may", may);
}

#[test]
fn only_one_file_names_the_yaml_library() {
    assert_only("serde_saphyr", "only document/yaml.rs may", |file| {
        file == "document/yaml.rs"
    });
}

#[test]
fn only_the_store_names_the_redis_library() {
    let may = |file: &str| file == "store/redis.rs" || file.starts_with("store/redis/");
    for word in ["redis::", "use redis"] {
        for (file, _, text) in sources() {
            // Modules of ours have the same name.
            let ours = ["mod redis;", "use redis::RedisStore;"];
            let names_it = code_lines(&text).any(|line| line.contains(word) && !ours.contains(&line));
            assert!(!names_it || may(&file), "{file} names `{word}`: only store/redis may");
        }
    }
}

#[test]
fn only_keys_and_demo_name_the_token_library() {
    let may = |file: &str| file == "keys.rs" || file.starts_with("keys/") || file.starts_with("demo");
    assert_only("jsonwebtoken", "only keys and demo may", may);
}

#[test]
fn only_the_authorizer_makes_a_permit() {
    let makes = |line: &str| {
        line.contains("Permit {")
            && !["struct ", "impl ", "-> ", "for "]
                .iter()
                .any(|word| line.contains(word))
    };
    for (file, _, text) in sources() {
        assert!(
            file == "authz.rs" || !code_lines(&text).any(makes),
            "{file} makes a permit"
        );
    }
}

#[test]
fn the_pure_layers_have_no_clock_and_no_socket() {
    for (file, module, text) in sources() {
        if module != "lib" && layer_of(&module) <= 2 {
            for word in [
                "SystemTime::now",
                "Timestamp::now",
                "Instant::now",
                "tokio::net",
                "std::net::Tcp",
                "hyper",
            ] {
                assert!(
                    !code_lines(&text).any(|line| line.contains(word)),
                    "{file} uses `{word}`"
                );
            }
        }
    }
}

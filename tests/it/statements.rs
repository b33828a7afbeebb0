//! `tests/statements.md`: every statement about attacks has tests, and they exist.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// The statements of each part of the table, T-P1 to T-S7 and T-C.
const PARTS: [(char, usize); 6] = [('P', 10), ('H', 16), ('J', 24), ('F', 15), ('C', 14), ('S', 7)];

fn read(path: &str) -> Option<String> {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// Whether a test of this name is where its name says.
fn exists(name: &str) -> bool {
    let (module, function) = name.rsplit_once("::").unwrap();
    let path = module.replace("::", "/");
    if module == "fuzz" {
        return read(&format!("tests/fuzz/targets/{function}.rs")).is_some();
    }
    let (folder, part) = path.rsplit_once('/').unwrap_or(("", &path));
    let files = [
        format!("tests/it/{path}.rs"),
        format!("src/{path}.rs"),
        format!("src/{path}/tests.rs"),
        format!("src/{folder}/tests/{part}.rs"),
    ];
    let declared = format!("fn {function}(");
    let mut texts = files.iter().filter_map(|file| read(file));
    texts.any(|text| text.contains(&declared))
}

#[test]
fn every_statement_has_tests_that_exist() {
    let table = read("tests/statements.md").unwrap();
    let mut stated = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| T-")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, statement, _, places, tests, _] = cells[..] else {
            panic!("{row}")
        };
        let tests: Vec<&str> = tests.split_whitespace().map(|name| name.trim_matches('`')).collect();
        assert!(!tests.is_empty(), "{statement} has no test");
        for test in tests {
            assert!(exists(test), "{statement}: there is no test {test}");
        }
        for place in places
            .split(", ")
            .map(|place| place.trim_matches('`'))
            .filter(|place| place.contains('.'))
        {
            assert!(
                read(&format!("src/{place}")).is_some(),
                "{statement}: there is no {place}"
            );
        }
        assert!(stated.insert(statement.to_owned()), "{statement} is there twice");
    }
    let all = PARTS
        .into_iter()
        .flat_map(|(part, count)| (1..=count).map(move |number| format!("T-{part}{number}")));
    assert_eq!(stated, all.collect());
}

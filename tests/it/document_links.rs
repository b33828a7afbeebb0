//! Links between documents: the file and the heading that each one names exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::documented_commands::{Document, all, root};

#[test]
fn link_to_a_file_or_a_heading_has_its_target() {
    let documents: BTreeMap<PathBuf, Document> = all()
        .into_iter()
        .map(|document| (PathBuf::from(&document.path), document))
        .collect();
    let anchors: BTreeMap<&PathBuf, BTreeSet<String>> = documents
        .iter()
        .map(|(path, document)| (path, anchors(document)))
        .collect();
    let (mut faults, mut checked) = (Vec::new(), 0);
    for (path, document) in &documents {
        for (number, link) in document
            .prose()
            .flat_map(|(number, line)| links(line).map(move |link| (number, link)))
        {
            let Some((file, anchor)) = target(path, &link) else {
                continue;
            };
            checked += 1;
            let exists = root().join(&file).exists();
            let has_anchor = anchor.is_empty() || anchors.get(&file).is_none_or(|known| known.contains(anchor));
            if !exists || !has_anchor {
                faults.push(format!("{}:{number}: {link}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "links without a target:\n{}", faults.join("\n"));
    assert!(checked > 100, "{checked}");
}

/// The file in the checkout and the heading that a link names; nothing for a link to elsewhere.
fn target<'l>(document: &Path, link: &'l str) -> Option<(PathBuf, &'l str)> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    if path.contains(':') {
        return None;
    }
    if path.is_empty() {
        return Some((document.to_owned(), anchor));
    }
    let mut file = document.parent()?.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => assert!(file.pop(), "{link} leads out of the checkout"),
            Component::Normal(name) => file.push(name),
            _ => {}
        }
    }
    Some((file, anchor))
}

/// The targets of `[text](target)` in a line, without what stands in backticks.
fn links(line: &str) -> impl Iterator<Item = String> {
    let outside: String = line.split('`').step_by(2).collect();
    let targets = outside.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// The anchors of all headings, as GitHub makes them.
fn anchors(document: &Document) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in document.prose() {
        let text = line.trim_start_matches('#');
        if !line.starts_with('#') || !text.starts_with(' ') {
            continue;
        }
        let anchor = anchor(text.trim());
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone())
            .chain(numbered)
            .find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

fn anchor(heading: &str) -> String {
    let mut pieces = heading.split("](");
    let first = pieces.next().unwrap_or_default().to_owned();
    let shown = pieces.fold(first, |shown, piece| {
        shown + piece.split_once(')').map_or(piece, |(_, rest)| rest)
    });
    let signs = shown.to_lowercase();
    let kept = signs
        .chars()
        .filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
    kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

#[test]
fn anchor_of_a_heading_is_that_of_github() {
    for (heading, want) in [
        ("`sidegate.yaml`", "sidegateyaml"),
        ("What is decided, in which order", "what-is-decided-in-which-order"),
        (
            "Is my service really unreachable around it?",
            "is-my-service-really-unreachable-around-it",
        ),
        ("`x_y` and [z](other.md)", "x_y-and-z"),
        ("Words (in brackets) (twice)", "words-in-brackets-twice"),
    ] {
        assert_eq!(anchor(heading), want);
    }
}

#[test]
fn links_of_a_line_are_found_outside_of_code() {
    let found: Vec<_> = links("[a](b.md#c) `[d](e)` and [`f`](g/)").collect();
    assert_eq!(found, ["b.md#c", "g/"]);
    let path = Path::new("deploy/front/README.md");
    assert_eq!(
        target(path, "../README.md#x"),
        Some((PathBuf::from("deploy/README.md"), "x"))
    );
    assert_eq!(target(path, "#y"), Some((path.to_owned(), "y")));
    assert_eq!(target(path, "https://example.com/#z"), None);
}

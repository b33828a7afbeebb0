//! The language rule of CONTRIBUTING.md, counted: lines of comments, messages, help, documents and
//! test names that use a phrase of [`NEVER`]. Text in backticks is code, and CHANGELOG.md is history.
//!
//! The numbers only fall: a commit that removes such a line lowers the constant with it.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Lines that users read: documents, `--help`, the descriptions in the JSON Schemas, and every string of
/// the program, which are its messages, log lines and bodies.
const LINES_THAT_USERS_READ: usize = 0;

/// Lines that developers read: other comments, the documents of the tests, and names of tests.
const LINES_THAT_DEVELOPERS_READ: usize = 15;

/// What not to write, and what to write. `{a|b}` is one of these words.
const NEVER: [(&str, &str); 16] = [
    ("whoever", "the actor: client, operator, attacker"),
    ("nobody", "no client, no task; or the passive without an actor"),
    ("somebody", "a client, an operator"),
    ("anybody", "any client, every user"),
    ("told", "receives, is configured to, is notified, logs"),
    ("{is|are|was|were|be|been} had", "is fetched, is available"),
    ("{go|goes|going|went} on", "continue, proceed"),
    (
        "{is|are|was|were|be|been} there",
        "exists, is present, is connected, arrives",
    ),
    ("{is|are|was|were} no", "is not a, does not, has no"),
    ("{is|are|was|were} none", "does not exist, is empty, is missing"),
    ("what only", "name the thing"),
    ("{turn|turns|turned} a link", "swap a symbolic link"),
    ("{vouch|vouches|vouched} for", "issue, sign, trust"),
    (
        "{an|the|its|their|this|each|every|no|one|such|of|whose} {answer|answers}",
        "response, reply",
    ),
    ("{refuse|refuses|refused|refusing}", "reject, deny"),
    ("{stir|stirs|stirred}", "change"),
];

/// Phrases of the field that look like one of [`NEVER`]: they are not counted.
const ALLOWED: [&str; 8] = [
    "{is|are|was|were} no longer",
    "there {is|are|was|were} no",
    "there {is|are|was|were} none",
    "there {is|are|was|were} no longer",
    "told apart",
    "connection refused",
    "connections refused",
    // What the report of `sidegate test --coverage` says.
    "open to anybody",
];

/// A piece of text on one line, without what stands in backticks.
struct Line {
    file: String,
    number: usize,
    text: String,
    for_users: bool,
}

#[test]
fn phrases_of_the_language_rule_only_become_fewer() {
    let (users, developers): (Vec<_>, Vec<_>) = faults().into_iter().partition(|(line, _)| line.for_users);
    let counts = [
        miscounted("LINES_THAT_USERS_READ", &users, LINES_THAT_USERS_READ),
        miscounted("LINES_THAT_DEVELOPERS_READ", &developers, LINES_THAT_DEVELOPERS_READ),
    ];
    let wrong: Vec<_> = counts.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn table_in_contributing_has_every_phrase() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    for (phrase, rather) in NEVER {
        let row = format!("| `{}` | {rather} |", phrase.replace('|', "\\|"));
        assert!(text.contains(&row), "CONTRIBUTING.md has no row {row}");
    }
}

/// What is wrong with a written number: there are more lines, or fewer, so that the commit that removes them
/// lowers it.
fn miscounted(constant: &str, faults: &[(Line, &(&str, &str))], written: usize) -> Option<String> {
    let found = faults.len();
    match found.cmp(&written) {
        Ordering::Greater => Some(format!(
            "{found} lines, {constant} is {written}: see \"Language\" in CONTRIBUTING.md\n{}",
            shown(faults)
        )),
        Ordering::Less => Some(format!(
            "{found} lines are left: lower {constant} from {written}, in the same commit"
        )),
        Ordering::Equal => None,
    }
}

/// Up to 20 lines for each file, or as many as `LANGUAGE_LINES` says.
fn shown(faults: &[(Line, &(&str, &str))]) -> String {
    let most = std::env::var("LANGUAGE_LINES").map_or(20, |most| most.parse().unwrap());
    let mut text = String::new();
    let mut file = "";
    for (line, (phrase, rather)) in faults.iter().take(most) {
        if line.file != file {
            file = &line.file;
            let _infallible = writeln!(text, "{file}");
        }
        let Line { number, text: said, .. } = line;
        let _infallible = writeln!(text, "  {number}: {}\n      {phrase} -> {rather}", said.trim());
    }
    text
}

/// Every line at fault, with the first phrase that it uses.
fn faults() -> Vec<(Line, &'static (&'static str, &'static str))> {
    let mut lines = Vec::new();
    for file in files() {
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        if file.extension().is_some_and(|extension| extension == "rs") {
            rust_lines(&name, &text, &mut lines);
        } else {
            let for_users = !name.starts_with("tests/");
            let each = text.lines().enumerate();
            lines.extend(each.map(|(at, text)| line(&name, at, text, for_users)));
        }
    }
    let fault = |line: &Line| {
        let words = words(&line.text);
        NEVER
            .iter()
            .zip(&*FORMS)
            .find(|(_, forms)| uses(&words, forms))
            .map(|(never, _)| never)
    };
    lines
        .into_iter()
        .filter_map(|line| fault(&line).map(|fault| (line, fault)))
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for document in ["README.md", "SECURITY.md", "CONTRIBUTING.md"] {
        found.extend(Some(root().join(document)).filter(|path| path.exists()));
    }
    for folder in ["deploy", "docs", "src", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What fuzzing and the tests make is not written by hand.
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                collect(&path, found);
            }
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "md")
            && !path.ends_with("tests/it/language.rs")
        {
            found.push(path);
        }
    }
}

fn line(file: &str, at: usize, text: &str, for_users: bool) -> Line {
    // Code between backticks may name anything.
    let text = text.split('`').step_by(2).collect::<Vec<_>>().join(" ` ");
    Line {
        file: file.to_owned(),
        number: at + 1,
        text,
        for_users,
    }
}

/// The comments, strings and names of tests in a source file.
fn rust_lines(file: &str, text: &str, lines: &mut Vec<Line>) {
    let is_test = |part: &str| part == "tests" || part == "testing";
    let is_program = file.starts_with("src/") && !file.split(['/', '.']).any(is_test);
    let program_lines = match is_program {
        true => text.lines().take_while(|line| !line.contains("#[cfg(test)]")).count(),
        false => 0,
    };
    let shows_comments = file.starts_with("src/cli") || (file.starts_with("src/") && file.ends_with("/document.rs"));
    for (at, (comment, string)) in pieces(text).into_iter().enumerate() {
        let of_program = at < program_lines;
        let for_users = of_program && shows_comments && comment.starts_with("/// ");
        let said = line(file, at, &comment, for_users);
        lines.push(said);
        if of_program {
            lines.push(line(file, at, &string, true));
        }
    }
    let each = || text.lines().enumerate();
    for ((_, attribute), (at, name)) in each().zip(each().skip(1)) {
        let (attribute, name) = (attribute.trim(), name.trim());
        if attribute.starts_with("#[") && attribute.contains("test") && !attribute.contains("cfg") {
            let name = name.trim_start_matches("async ").trim_start_matches("fn ");
            lines.push(line(file, at, &name.replace('_', " "), false));
        }
    }
}

/// What each line has of comments, and of strings.
fn pieces(text: &str) -> Vec<(String, String)> {
    let mut found = vec![(String::new(), String::new())];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = piece(rest);
        for (at, part) in rest[..length].split('\n').enumerate() {
            if at > 0 {
                found.push(Default::default());
            }
            let line = found.last_mut().unwrap();
            match kind {
                Kind::Comment => line.0.push_str(part),
                // A space before each, so that two strings have no word in common.
                Kind::String => line.1.extend([" ", part]),
                Kind::Code => {}
            }
        }
        debug_assert!(length >= first.len_utf8());
        rest = &rest[length..];
    }
    found
}

#[derive(Clone, Copy)]
enum Kind {
    Comment,
    String,
    Code,
}

/// The kind and the length of the piece that a text begins with.
fn piece(text: &str) -> (Kind, usize) {
    let after = |start: usize, end: &str| text[start..].find(end).map_or(text.len(), |at| start + at + end.len());
    if text.starts_with("//") {
        return (Kind::Comment, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with('"') {
        return (Kind::String, string_length(text));
    }
    if let Some(raw) = text.strip_prefix('r') {
        let marks = raw.len() - raw.trim_start_matches('#').len();
        if raw[marks..].starts_with('"') {
            return (Kind::String, after(marks + 2, &format!("\"{}", "#".repeat(marks))));
        }
    }
    if text.starts_with("'\\") {
        return (Kind::Code, after(3, "'"));
    }
    if text.starts_with("'\"'") {
        return (Kind::Code, 3);
    }
    // A name ends before the next thing, so that its last letter is not taken for a prefix.
    let name = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    let first = text.chars().next().map_or(0, char::len_utf8);
    (Kind::Code, name.unwrap_or(text.len()).max(first))
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The words of a line; what else stands between two words, a comma or the end of a sentence, is one too.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for token in text.split_whitespace() {
        let word = token.trim_matches(|character: char| !character.is_alphanumeric());
        let start = token.find(word).unwrap_or(0);
        if start > 0 {
            words.push(token[..start].to_owned());
        }
        words.push(word.to_ascii_lowercase());
        if start + word.len() < token.len() {
            words.push(token[start + word.len()..].to_owned());
        }
    }
    words
}

/// The words of a phrase: of each, the forms that it may have.
type Forms = Vec<Vec<&'static str>>;

/// The forms of each of [`NEVER`].
static FORMS: LazyLock<Vec<Forms>> = LazyLock::new(|| NEVER.iter().map(|(phrase, _)| forms(phrase)).collect());

/// The forms of each of [`ALLOWED`].
static ALLOWED_FORMS: LazyLock<Vec<Forms>> = LazyLock::new(|| ALLOWED.iter().map(|phrase| forms(phrase)).collect());

fn forms(phrase: &'static str) -> Forms {
    let words = phrase.split(' ');
    words
        .map(|word| word.trim_matches(['{', '}']).split('|').collect())
        .collect()
}

/// Whether a line uses a phrase, other than as a part of an [`ALLOWED`] one.
fn uses(words: &[String], phrase: &Forms) -> bool {
    let found = places(words, phrase);
    if found.is_empty() {
        return false;
    }
    let allowed: Vec<_> = ALLOWED_FORMS
        .iter()
        .flat_map(|allowed| places(words, allowed))
        .collect();
    let inside = |(start, end): &(usize, usize)| allowed.iter().any(|(from, to)| from <= start && end <= to);
    !found.iter().all(inside)
}

/// Where a phrase begins and ends.
fn places(words: &[String], phrase: &Forms) -> Vec<(usize, usize)> {
    let fits = |part: &[String]| {
        part.iter()
            .zip(phrase)
            .all(|(word, forms)| forms.contains(&word.as_str()))
    };
    let starts = words.windows(phrase.len()).enumerate().filter(|(_, part)| fits(part));
    starts.map(|(at, _)| (at, at + phrase.len())).collect()
}

#[test]
fn a_phrase_is_found_in_any_form_and_not_within_an_allowed_one() {
    for (text, want) in [
        ("/// Whoever reads it", Some("whoever")),
        ("the file is there.", Some("{is|are|was|were|be|been} there")),
        ("it is, there it stays", None),
        ("a date that is none", Some("{is|are|was|were} none")),
        ("there is none", None),
        ("it is no longer valid", None),
        ("there is no key", None),
        ("a name that is no name", Some("{is|are|was|were} no")),
        ("error: connection refused", None),
        ("`nobody` is a user", None),
    ] {
        let line = line("x.md", 0, text, true);
        let words = words(&line.text);
        let found = NEVER.iter().zip(&*FORMS).find(|(_, forms)| uses(&words, forms));
        assert_eq!(found.map(|((phrase, _), _)| *phrase), want, "{text}");
    }
}

#[test]
fn pieces_of_a_source_are_its_comments_and_strings() {
    let text = "let a = \"x // y\"; // c\nlet b = '\"'; let c = r#\"z \" w\"#;\n\"one\ntwo\";";
    let found = pieces(text);
    let pairs: Vec<_> = found
        .iter()
        .map(|(comment, string)| (comment.as_str(), string.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("// c", " \"x // y\""),
            ("", " r#\"z \" w\"#"),
            ("", " \"one"),
            ("", " two\"")
        ]
    );
}

//! The source files as tokens, without tests and comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One file of the library or the program.
pub(super) struct Source {
    /// Below `src`, with `/`.
    pub(super) path: String,
    /// `["proxy", "exchange"]` for `proxy/exchange.rs`; empty for `lib.rs`.
    pub(super) module: Vec<String>,
    /// Identifiers, `::`, other punctuation, and brackets; every literal is `""`.
    pub(super) tokens: Vec<String>,
    /// What `use` brings into the file: the path of each local name.
    pub(super) imports: BTreeMap<String, Import>,
}

/// What one name of a `use` stands for.
pub(super) struct Import {
    pub(super) path: Vec<String>,
    /// Whether other modules may use the name, too.
    pub(super) is_reexport: bool,
}

impl Source {
    fn new(path: String, text: &str) -> Self {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let (tokens, imports) = split_imports(&without_tests(&tokens));
        Self {
            module: module_of(&path),
            path,
            tokens,
            imports,
        }
    }

    /// The paths that stand in the code and in `use`. A re-export counts where the file uses the name.
    pub(super) fn paths(&self) -> Vec<Vec<String>> {
        let names: BTreeSet<&str> = self.tokens.iter().map(String::as_str).collect();
        let is_used = |name: &str, import: &Import| !import.is_reexport || names.contains(name);
        let imports = self.imports.iter().filter(|(name, import)| is_used(name, import));
        let mut paths: Vec<_> = imports.map(|(_, import)| import.path.clone()).collect();
        let starts = 0..self.tokens.len();
        paths.extend(starts.map(|at| path_at(&self.tokens, at)).filter(|path| path.len() > 1));
        paths
    }

    /// The functions: each from its name to the end of its body.
    pub(super) fn functions(&self) -> impl Iterator<Item = &[String]> {
        // The type of a function pointer has no name.
        let is_named = |at: &usize| self.tokens[*at] == "fn" && is_identifier(&self.tokens[at + 1]);
        let starts = (0..self.tokens.len()).filter(is_named);
        starts.map(|start| &self.tokens[start..after_item(&self.tokens, start)])
    }
}

/// Reads every source file that is not a test, in the order of their paths.
pub(super) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_by(|a: &Source, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let is_test = name.split(['/', '.']).any(|part| part == "tests" || part == "testing");
            if !is_test {
                found.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
}

fn module_of(path: &str) -> Vec<String> {
    match path.trim_end_matches(".rs") {
        "lib" => Vec::new(),
        name => name.split('/').map(str::to_owned).collect(),
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<String>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match &tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                };
                tokens.push(open.to_owned());
                flatten(group.stream(), tokens);
                tokens.push(close.to_owned());
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                let is_path = |next: &TokenTree| matches!(next, TokenTree::Punct(next) if next.as_char() == ':');
                let is_path = punct.spacing() == Spacing::Joint && trees.next_if(is_path).is_some();
                tokens.push(if is_path { "::" } else { ":" }.to_owned());
            }
            TokenTree::Literal(_) => tokens.push("\"\"".to_owned()),
            other => tokens.push(other.to_string()),
        }
    }
}

/// Drops every item with `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let here = tokens.get(at..at + TEST.len());
        if here.is_some_and(|here| here.iter().eq(TEST.iter())) {
            at = after_item(tokens, at + TEST.len());
        } else {
            kept.push(token.clone());
            at += 1;
        }
    }
    kept
}

/// Where the item that starts at a token ends: behind its `;` or its braces.
fn after_item(tokens: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == ";" || token == "}") {
            return at + 1;
        }
    }
    tokens.len()
}

/// Takes the `use` statements out of the tokens.
fn split_imports(tokens: &[String]) -> (Vec<String>, BTreeMap<String, Import>) {
    let (mut rest, mut imports) = (Vec::new(), BTreeMap::new());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        // `use<'a>` names what a return type captures.
        let is_import = token == "use" && tokens.get(at + 1).is_some_and(|next| next != "<");
        at += 1;
        if !is_import {
            rest.push(token.clone());
            continue;
        }
        // Of `pub use` and `pub(super) use`, this is left.
        let is_reexport = rest.last().is_some_and(|last| last == "pub" || last == ")");
        let mut found = Vec::new();
        use_tree(tokens, &mut at, &[], &mut found);
        for (name, path) in found {
            imports.insert(name, Import { path, is_reexport });
        }
    }
    (rest, imports)
}

/// Reads `a::{b, c as d, self, e::*}` up to what follows it: the local names and their paths.
fn use_tree(tokens: &[String], at: &mut usize, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let mut path = before.to_vec();
    loop {
        match tokens[*at].as_str() {
            "{" => return use_list(tokens, at, &path, found),
            "self" if !path.is_empty() => {}
            part => path.push(part.to_owned()),
        }
        match tokens[*at + 1].as_str() {
            "::" => *at += 2,
            "as" => {
                found.push((tokens[*at + 2].clone(), path));
                *at += 3;
                return;
            }
            _ => break,
        }
    }
    *at += 1;
    // A glob has a name that no identifier has.
    let name = match path.last() {
        Some(last) if last != "*" => last.clone(),
        _ => path.join("::"),
    };
    found.push((name, path));
}

fn use_list(tokens: &[String], at: &mut usize, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    *at += 1;
    while tokens[*at] != "}" {
        use_tree(tokens, at, before, found);
        if tokens[*at] == "," {
            *at += 1;
        }
    }
    *at += 1;
}

/// The path that starts at a token: `a::b::c`, without what follows in `<…>`.
fn path_at(tokens: &[String], at: usize) -> Vec<String> {
    let mut path = Vec::new();
    let is_inside = at > 0 && tokens[at - 1] == "::";
    let mut parts = tokens[at..].iter().take_while(|_| !is_inside);
    while let Some(part) = parts.next().filter(|part| is_identifier(part)) {
        path.push(part.clone());
        if parts.next().is_none_or(|next| next != "::") {
            break;
        }
    }
    path
}

fn is_identifier(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

#[test]
fn paths_are_read_from_use_trees_and_from_code() {
    let text = r#"
        //! Of `crate::comment::C`.
        use std::fmt::{self, Debug as _};
        use super::super::{a::{A, b::*}, c as d};
        pub use e::{Unused, Used};
        fn f(x: &str, used: Used) -> d::Y<crate::g::H> {
            tokio::select! { _ = self::i::J::new("crate::text::T") => {} }
        }
        #[cfg(test)]
        mod tests {
            use crate::only::Tests;
        }
    "#;
    let source = Source::new("one/two/three.rs".to_owned(), text);
    let mut paths: Vec<_> = source.paths().iter().map(|path| path.join("::")).collect();
    paths.sort_unstable();
    let want = [
        "crate::g::H",
        "d::Y",
        "e::Used",
        "self::i::J::new",
        "std::fmt",
        "std::fmt::Debug",
        "super::super::a::A",
        "super::super::a::b::*",
        "super::super::c",
        "tokio::select",
    ];
    assert_eq!(paths, want);
    assert_eq!(source.functions().count(), 1);
    assert_eq!(source.imports["d"].path.join("::"), "super::super::c");
}

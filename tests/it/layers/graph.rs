//! Which file uses which: the paths in the code, resolved through `use`, `super` and re-exports. A `mod`
//! declaration uses nothing, and neither does a re-export whose file does not use the name itself.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, sources};

/// How many re-exports a path may lead through.
const DETOURS: usize = 8;

/// The files, and what they use of each other.
pub(super) struct Graph {
    pub(super) sources: Vec<Source>,
    modules: BTreeMap<Vec<String>, usize>,
    /// The names that one file uses of another one, by the indices of both.
    pub(super) uses: BTreeMap<(usize, usize), BTreeSet<String>>,
    /// The top modules that a file names, whatever they re-export.
    pub(super) named: BTreeSet<(usize, String)>,
}

impl Graph {
    /// Reads the sources.
    pub(super) fn read() -> Self {
        let sources = sources();
        let modules = sources.iter().enumerate();
        let mut graph = Self {
            modules: modules.map(|(at, source)| (source.module.clone(), at)).collect(),
            sources,
            uses: BTreeMap::new(),
            named: BTreeSet::new(),
        };
        for from in 0..graph.sources.len() {
            for path in graph.sources[from].paths() {
                graph.add(from, &path);
            }
        }
        graph
    }

    /// The files that are in a circle with each other.
    pub(super) fn circles(&self) -> Vec<Vec<usize>> {
        let reached: Vec<_> = (0..self.sources.len()).map(|from| self.reached(from)).collect();
        let mut circles = BTreeSet::new();
        for (from, others) in reached.iter().enumerate() {
            let circle: Vec<_> = others
                .iter()
                .copied()
                .filter(|&to| reached[to].contains(&from))
                .collect();
            circles.extend((circle.len() > 1).then_some(circle));
        }
        circles.into_iter().collect()
    }

    /// Says what ties files together.
    pub(super) fn ties(&self, among: &[usize]) -> String {
        let inside = |at: &usize| among.contains(at);
        let ties = self.uses.iter().filter(|((from, to), _)| inside(from) && inside(to));
        let lines = ties.map(|(&(from, to), names)| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            format!("  {} uses {} of {}\n", self.path(from), names.join(", "), self.path(to))
        });
        lines.collect()
    }

    /// The path of a file.
    pub(super) fn path(&self, at: usize) -> &str {
        &self.sources[at].path
    }

    /// The paths of a file that lead to other crates.
    pub(super) fn foreign(&self, file: usize) -> impl Iterator<Item = Vec<String>> {
        let paths = self.sources[file].paths().into_iter();
        paths.filter(move |path| self.absolute(file, path, DETOURS).is_none())
    }

    fn reached(&self, from: usize) -> BTreeSet<usize> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            for &(_, to) in self.uses.range((at, 0)..=(at, usize::MAX)).map(|(edge, _)| edge) {
                if reached.insert(to) {
                    next.push(to);
                }
            }
        }
        reached
    }

    fn add(&mut self, from: usize, path: &[String]) {
        let Some(path) = self.absolute(from, path, DETOURS) else {
            return;
        };
        self.named.extend(path.first().map(|top| (from, top.clone())));
        if let Some((to, name)) = self.item(&path, DETOURS)
            && to != from
        {
            self.uses.entry((from, to)).or_default().insert(name);
        }
    }

    /// The path of a name from the root, if it leads into this library.
    fn absolute(&self, from: usize, path: &[String], detours: usize) -> Option<Vec<String>> {
        let source = &self.sources[from];
        let (first, rest) = path.split_first()?;
        let join = |start: &[String]| Some([start, rest].concat());
        match first.as_str() {
            "crate" | "sidegate" => join(&[]),
            "self" => join(&source.module),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let left = source.module.len().checked_sub(ups)?;
                Some([&source.module[..left], &path[ups..]].concat())
            }
            name => {
                let child = [&source.module[..], &path[..1]].concat();
                let import = source.imports.get(name).filter(|import| import.path[0] != *name);
                match import {
                    Some(import) if detours > 0 => join(&self.absolute(from, &import.path, detours - 1)?),
                    _ => self.modules.contains_key(&child).then(|| [&child[..], rest].concat()),
                }
            }
        }
    }

    /// The file that defines what an absolute path names, and the name in it; `None` for a module as such.
    fn item(&self, path: &[String], detours: usize) -> Option<(usize, String)> {
        let known = |&length: &usize| self.modules.contains_key(&path[..length]);
        let length = (1..=path.len()).rev().find(known)?;
        let at = self.modules[&path[..length]];
        let name = path.get(length)?;
        let Some(import) = self.sources[at].imports.get(name).filter(|_| detours > 0) else {
            return Some((at, name.clone()));
        };
        let further = [&import.path[..], &path[length + 1..]].concat();
        self.item(&self.absolute(at, &further, detours - 1)?, detours - 1)
    }
}

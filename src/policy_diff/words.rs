//! Patterns of regions as people and programs read them.

use std::collections::HashMap;

use super::letters::Fold;
use super::shapes::{Pattern, Shape, Spelling};
use super::types::{Case, PathRegion, SegmentCase};
use crate::policy::route::{Route, Segment};
use crate::policy::{Policy, PolicySet};

/// How policies name the wildcards of paths.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The names in whole patterns, by the pattern without them.
    whole: HashMap<String, Vec<String>>,
    /// The name of the last one of some segments, by these.
    last: HashMap<String, String>,
}

/// The most segments for whose cases all combinations are looked at.
const MOST_COMBINED: usize = 6;

impl Names {
    /// Reads the routes of both sides: those of the new policies come first.
    pub(super) fn of(old: &PolicySet, new: &PolicySet) -> Self {
        let mut names = Self::default();
        for policy in [new, old].into_iter().flat_map(PolicySet::policies) {
            policy.routes.iter().for_each(|route| names.add(policy, route));
        }
        names
    }

    fn add(&mut self, policy: &Policy, route: &Route) {
        let mut key = policy.prefix.to_ascii_lowercase();
        let mut parameters = route.path.parameters();
        for segment in &route.path.segments {
            push(&mut key, matches!(segment, Segment::Wildcard(_)), segment.text());
            if let Segment::Wildcard(_) = segment
                && let Some(name) = parameters.next()
            {
                self.last.entry(key.clone()).or_insert_with(|| name.to_owned());
            }
        }
        if route.path.is_prefix {
            key.push_str("/*");
        }
        let whole = || route.path.parameters().map(str::to_owned).collect();
        self.whole.entry(key).or_insert_with(whole);
    }

    /// Writes patterns, those together that differ in nothing but case.
    pub(super) fn write(&self, patterns: &[&Pattern]) -> Vec<PathRegion> {
        let mut groups: Vec<Vec<&Pattern>> = Vec::new();
        let mut known: HashMap<(Vec<&Fold>, bool), usize> = HashMap::new();
        for pattern in patterns {
            let folds = pattern.shapes.iter().map(|shape| &shape.fold).collect();
            let at = *known.entry((folds, pattern.is_prefix)).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(alike) => alike.push(pattern),
                None => groups.push(vec![pattern]),
            }
        }
        groups.iter().flat_map(|alike| self.write_alike(alike)).collect()
    }

    fn write_alike(&self, alike: &[&Pattern]) -> Vec<PathRegion> {
        let together = alike.split_first().filter(|(_, rest)| !rest.is_empty());
        if let Some((first, _)) = together
            && let Some(case) = united(alike)
        {
            return vec![self.region(first, case)];
        }
        alike
            .iter()
            .map(|pattern| self.region(pattern, case(pattern)))
            .collect()
    }

    /// Writes patterns that are left out of others: by a word for the case where it comes to the same.
    pub(super) fn write_except(&self, except: &[&Pattern], paths: &[&Pattern]) -> Vec<PathRegion> {
        let simpler: Vec<Pattern> = except.iter().map(|pattern| simpler(pattern, paths)).collect();
        self.write(&simpler.iter().collect::<Vec<_>>())
    }

    fn region(&self, pattern: &Pattern, case: Case) -> PathRegion {
        let pattern = self.text(pattern);
        PathRegion { pattern, case }
    }

    fn text(&self, pattern: &Pattern) -> String {
        let names = self.names(pattern);
        let mut names = names.iter();
        let mut text = String::new();
        for shape in &pattern.shapes {
            match shape.fold {
                Fold::Is(_) => text.extend(["/", &shape.text]),
                Fold::Any | Fold::Ends(_) => {
                    let name = names.next().map_or("any", String::as_str);
                    text.extend(["/{", name, "}", &shape.text]);
                }
            }
        }
        match (pattern.is_prefix, text.is_empty()) {
            (true, _) => text.push_str("/*"),
            (false, true) => text.push('/'),
            (false, false) => {}
        }
        text
    }

    /// Returns a name for each wildcard, all of them different.
    fn names(&self, pattern: &Pattern) -> Vec<String> {
        let (mut key, mut found) = (String::new(), Vec::new());
        for shape in &pattern.shapes {
            let is_wildcard = !matches!(shape.fold, Fold::Is(_));
            push(&mut key, is_wildcard, &shape.text);
            if is_wildcard {
                found.push(self.last.get(&key).cloned().unwrap_or_else(|| "any".to_owned()));
            }
        }
        if pattern.is_prefix {
            key.push_str("/*");
        }
        if let Some(names) = self.whole.get(&key).filter(|names| names.len() == found.len()) {
            return names.clone();
        }
        for at in 1..found.len() {
            let (known, rest) = found.split_at_mut(at);
            if let Some(name) = rest.first_mut().filter(|name| known.contains(name)) {
                *name = (at + 1..=at + known.len() + 1)
                    .map(|number| format!("any{number}"))
                    .find(|name| !known.contains(name))
                    .unwrap_or_default();
            }
        }
        found
    }
}

/// Adds a segment to a key.
fn push(key: &mut String, is_wildcard: bool, text: &str) {
    key.push_str(if is_wildcard { "/{}" } else { "/" });
    key.push_str(&text.to_ascii_lowercase());
}

/// Returns the case of a pattern, in a word if one will do.
fn case(pattern: &Pattern) -> Case {
    let cases: Vec<_> = pattern.shapes.iter().map(segment_case).collect();
    let relevant: Vec<_> = cases.iter().flatten().collect();
    if relevant.iter().all(|case| **case == SegmentCase::AsWritten) {
        return Case::AsWritten;
    }
    if relevant.iter().all(|case| **case == SegmentCase::Any) {
        return Case::Any;
    }
    match relevant.as_slice() {
        [SegmentCase::Other] => Case::Other,
        _ => Case::Segments(cases.into_iter().map(|case| case.unwrap_or(SegmentCase::Any)).collect()),
    }
}

/// Returns the case of a segment; none for one without letters that have a case.
fn segment_case(shape: &Shape) -> Option<SegmentCase> {
    if !shape.text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    Some(match &shape.case {
        Spelling::Any => SegmentCase::Any,
        Spelling::Not(_) => SegmentCase::Other,
        Spelling::Ends(end) if end.len() == shape.text.len() => SegmentCase::AsWritten,
        Spelling::Ends(end) => SegmentCase::Ends(end.clone()),
    })
}

/// Returns the word for all of some patterns together, which differ in nothing but case.
fn united(alike: &[&Pattern]) -> Option<Case> {
    let (first, rest) = alike.split_first()?;
    let mut others = rest.iter();
    if others.any(|pattern| pattern.shapes.iter().zip(&first.shapes).any(|(a, b)| a.text != b.text)) {
        return None;
    }
    let Some(combinations) = combinations(first) else {
        return counted(alike);
    };
    let has = |combination: &&Vec<bool>| alike.iter().any(|pattern| spells(pattern, combination));
    let count = combinations.iter().filter(has).count();
    let is_written = |combination: &Vec<bool>| combination.iter().all(|is_written| *is_written);
    let has_written = combinations
        .iter()
        .filter(|combination| is_written(combination))
        .any(|written| has(&written));
    match (combinations.len() - count, has_written) {
        (0, _) => Some(Case::Any),
        (1, false) => Some(Case::Other),
        _ if count == 1 && has_written => Some(Case::AsWritten),
        _ => None,
    }
}

/// Does the same for patterns of any length that do not overlap: by how many combinations of their literals, each as it is
/// written or not, there are.
fn counted(alike: &[&Pattern]) -> Option<Case> {
    let cases: Vec<Vec<SegmentCase>> = alike
        .iter()
        .map(|pattern| pattern.shapes.iter().filter_map(segment_case).collect())
        .collect();
    let is_apart = |a: &SegmentCase, b: &SegmentCase| {
        matches!(
            (a, b),
            (SegmentCase::AsWritten, SegmentCase::Other) | (SegmentCase::Other, SegmentCase::AsWritten)
        )
    };
    let mut count: u128 = 0;
    for (at, case) in cases.iter().enumerate() {
        if case.iter().any(|case| matches!(case, SegmentCase::Ends(_))) {
            return None;
        }
        let mut others = cases.iter().skip(at + 1);
        if others.any(|other| !case.iter().zip(other).any(|(a, b)| is_apart(a, b))) {
            return None;
        }
        let free = case.iter().filter(|case| **case == SegmentCase::Any).count();
        count += 1_u128.checked_shl(u32::try_from(free).ok()?)?;
    }
    let all = 1_u128.checked_shl(u32::try_from(cases.first()?.len()).ok()?)?;
    let has_written = cases
        .iter()
        .any(|case| case.iter().all(|case| *case != SegmentCase::Other));
    match (all.checked_sub(count)?, has_written) {
        (0, _) => Some(Case::Any),
        (1, false) => Some(Case::Other),
        _ => None,
    }
}

/// Returns all ways in which the literals of a pattern are as they are written, or are not; none if there are too many, or if
/// the pattern is more precise.
fn combinations(pattern: &Pattern) -> Option<Vec<Vec<bool>>> {
    let cases: Vec<_> = pattern.shapes.iter().filter_map(segment_case).collect();
    if cases.len() > MOST_COMBINED || cases.iter().any(|case| matches!(case, SegmentCase::Ends(_))) {
        return None;
    }
    let all = 0..1_usize << cases.len();
    Some(
        all.map(|bits| (0..cases.len()).map(|at| bits >> at & 1 == 1).collect())
            .collect(),
    )
}

/// Returns whether a pattern has paths whose literals are as they are written in these places only.
fn spells(pattern: &Pattern, combination: &[bool]) -> bool {
    let cases = pattern.shapes.iter().filter_map(segment_case);
    cases.zip(combination).all(|(case, is_written)| match case {
        SegmentCase::AsWritten => *is_written,
        SegmentCase::Other => !is_written,
        SegmentCase::Any | SegmentCase::Ends(_) => true,
    })
}

/// Returns a pattern with a simpler case that has the same paths among those of other patterns.
fn simpler(pattern: &Pattern, paths: &[&Pattern]) -> Pattern {
    if !matches!(case(pattern), Case::Segments(_)) {
        return pattern.clone();
    }
    let Some(combinations) = combinations(pattern) else {
        return pattern.clone();
    };
    let met: Vec<_> = paths.iter().filter(|path| meets_in_some_case(path, pattern)).collect();
    let possible = combinations
        .iter()
        .filter(|combination| met.iter().any(|path| may_have(path, pattern, combination)));
    let possible: Vec<_> = possible.collect();
    let with = |spelling: fn(&Shape) -> Spelling| Pattern {
        shapes: pattern.shapes.iter().map(|shape| respelled(shape, spelling)).collect(),
        is_prefix: pattern.is_prefix,
    };
    let written = with(|shape| Spelling::Ends(shape.text.clone()));
    let any = with(|_| Spelling::Any);
    let is_same = |simpler: &Pattern| {
        possible
            .iter()
            .all(|combination| spells(simpler, combination) == spells(pattern, combination))
    };
    [written, any]
        .into_iter()
        .find(is_same)
        .unwrap_or_else(|| pattern.clone())
}

fn respelled(shape: &Shape, spelling: fn(&Shape) -> Spelling) -> Shape {
    let case = match segment_case(shape) {
        Some(_) => spelling(shape),
        None => shape.case.clone(),
    };
    Shape { case, ..shape.clone() }
}

fn meets_in_some_case(path: &Pattern, pattern: &Pattern) -> bool {
    let (short, long) = match path.shapes.len() <= pattern.shapes.len() {
        true => (path, pattern),
        false => (pattern, path),
    };
    (short.is_prefix || short.shapes.len() == long.shapes.len())
        && path
            .shapes
            .iter()
            .zip(&pattern.shapes)
            .all(|(a, b)| a.meets_in_some_case(b))
}

/// Returns whether a path of one pattern may be one of another, whose literals are as they are written in these places only.
fn may_have(path: &Pattern, pattern: &Pattern, combination: &[bool]) -> bool {
    let cased = pattern
        .shapes
        .iter()
        .enumerate()
        .filter(|(_, shape)| segment_case(shape).is_some());
    let mut places = cased.zip(combination);
    places.all(|((at, shape), is_written)| match path.shapes.get(at) {
        Some(other) if other.fold == shape.fold && other.text == shape.text => match segment_case(other) {
            Some(SegmentCase::AsWritten) => *is_written,
            Some(SegmentCase::Other) => !is_written,
            Some(SegmentCase::Any | SegmentCase::Ends(_)) | None => true,
        },
        Some(_) | None => true,
    })
}

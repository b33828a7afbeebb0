//! All changes of two sets of policies, put together.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use http::Method;

use super::cells::{self, Group, Place, place};
use super::delta::Delta;
use super::fields::counterparts;
use super::hosts::{self, Hosts};
use super::layers::{Layer, layers};
use super::methods::Methods;
use super::paths::Graph;
use super::regions::Describer;
use super::shapes::Pattern;
use super::states::Plan;
use super::trees::{Entry, Trees};
use super::types::{Cell, Change, ClassCounts, Difference, Example, Incomplete, PathRegion, Region};
use super::words::Names;
use crate::policy::PolicySet;
use crate::policy::resource::WELL_KNOWN;
use crate::rehearsal::Rehearsal;
use crate::request::path::{Allowance, NormalizedPath, encoded};

/// Finds all changes. `compare` says what changes for the callers of a class of requests.
pub(super) fn difference(
    [old, new]: [&Rehearsal; 2],
    compare: &mut impl FnMut(&Cell) -> Result<Option<Rc<Delta>>, Incomplete>,
) -> Result<Difference, Incomplete> {
    let sets = [old.policies(), new.policies()];
    let mut trees = Trees::default();
    let entries = sets.map(|set| trees.add(set));
    let methods = Methods::of(old.policies(), new.policies());
    let classes = hosts::classes(old.policies(), new.policies());
    let mut found = Found {
        names: Names::of(old.policies(), new.policies()),
        changes: Vec::new(),
        alike: HashMap::new(),
        counterparts: counterparts_of(old.policies(), new.policies()),
        changed: BTreeSet::new(),
    };
    let mut count = 0;
    for hosts in &classes {
        let plans = plans(sets, (&trees, &entries), hosts);
        let graph = Graph::read(&plans, count)?;
        count += graph.len();
        let groups = cells::groups([old, new], &hosts.example, (&graph, &methods), compare)?;
        let mut describer = Describer::new(&graph);
        for group in &groups {
            found.add(group, hosts, &methods, &mut describer)?;
        }
    }
    let routes = new.policies().policies().iter().map(|policy| policy.routes.len()).sum();
    let mut changes = found.changes;
    changes.sort_by(order);
    Ok(Difference {
        changes,
        unchanged_routes: routes - found.changed.len(),
        routes,
        classes: ClassCounts {
            hosts: classes.iter().map(|hosts| hosts.names.len()).sum(),
            paths: count,
            methods: methods.all().count(),
            // That is for the comparison of callers to say.
            callers: 0,
        },
        hosts: classes.into_iter().flat_map(|hosts| hosts.names).collect(),
        methods: methods.named,
    })
}

/// Sorts by danger, then by hosts and paths.
fn order(a: &Change, b: &Change) -> Ordering {
    let path = |change: &Change| change.region.paths.first().map(|path| path.pattern.clone());
    let effects = a.effects.first().cmp(&b.effects.first());
    let regions = || a.region.hosts.cmp(&b.region.hosts).then_with(|| path(a).cmp(&path(b)));
    effects.then_with(regions)
}

/// Returns what requests for some hosts may meet on both sides.
pub(super) fn plans<'t, 'p>(
    sets: [&PolicySet; 2],
    (trees, entries): (&'t Trees<'p>, &'t [Vec<Entry>; 2]),
    hosts: &Hosts,
) -> [Plan<'t, 'p>; 2] {
    let [old, new] = sets;
    let paths: BTreeSet<_> = [0, 1]
        .into_iter()
        .flat_map(|side| document_paths(sets, hosts, side))
        .collect();
    let [old_entries, new_entries] = entries;
    let [old_places, new_places] = &hosts.policies;
    let plan = |set: &PolicySet, entries: &'t [Entry], places: &[usize], style: usize| {
        let document = |segments: &Vec<String>| {
            let path = encoded(&format!("/{}", segments.join("/")));
            let index = set.metadata_for(Some(&hosts.example), path.as_bytes())?;
            Some((segments.clone(), entries.get(index)?.policy))
        };
        Plan {
            trees,
            entries: places.iter().filter_map(|place| entries.get(*place)).collect(),
            documents: paths.iter().filter_map(document).collect(),
            style,
        }
    };
    let has_other_style = old.default_errors() != new.default_errors();
    [
        plan(old, old_entries, old_places, 0),
        plan(new, new_entries, new_places, usize::from(has_other_style)),
    ]
}

/// Returns the segments of the paths of metadata documents on one side.
fn document_paths(sets: [&PolicySet; 2], hosts: &Hosts, side: usize) -> Vec<Vec<String>> {
    let (Some(set), Some(places)) = (sets.get(side), hosts.policies.get(side)) else {
        return Vec::new();
    };
    let resources = places.iter().filter_map(|place| set.get(*place)?.resource.as_ref());
    let paths = resources.flat_map(|resource| [WELL_KNOWN.to_owned(), resource.metadata_path()]);
    let segments = paths.filter_map(|path| {
        let path = NormalizedPath::parse(path.as_bytes(), Allowance::default()).ok()?;
        let segments = path.decoded().split('/').filter(|segment| !segment.is_empty());
        Some(segments.map(str::to_owned).collect())
    });
    segments.collect()
}

/// A route by its policy and its place there.
type RoutePlace = (usize, usize);

/// Finds what each route of the old policies is in the new ones.
fn counterparts_of(old: &PolicySet, new: &PolicySet) -> HashMap<RoutePlace, RoutePlace> {
    let pairs = counterparts::policies(old, new);
    let mut found = HashMap::new();
    for (was, policy) in old.policies().iter().enumerate() {
        let Some((now, other)) = pairs.now(was).and_then(|now| Some((now, new.get(now)?))) else {
            continue;
        };
        let routes = counterparts::routes(policy, other);
        let each = (0..policy.routes.len()).filter_map(|route| Some(((was, route), (now, routes.now(route)?))));
        found.extend(each);
    }
    found
}

struct Found {
    names: Names,
    changes: Vec<Change>,
    /// The changes from one place to another.
    alike: HashMap<[Place; 2], Vec<usize>>,
    /// What the routes of the old policies are in the new ones.
    counterparts: HashMap<RoutePlace, RoutePlace>,
    /// The routes of the new policies that do not answer as before: their requests, or those of the route that each was.
    changed: BTreeSet<RoutePlace>,
}

impl Found {
    fn add(
        &mut self,
        group: &Group,
        hosts: &Hosts,
        methods: &Methods,
        describer: &mut Describer<'_>,
    ) -> Result<(), Incomplete> {
        let was = place(group.was).1.and_then(|route| self.counterparts.get(&route));
        self.changed.extend(place(group.now).1.iter().chain(was));
        let items = describer.describe(&group.ends)?;
        for layer in layers(&items) {
            let region = self.region(&layer, group, hosts, methods);
            self.add_region(group, region, &layer, hosts);
        }
        Ok(())
    }

    fn region(&self, layer: &Layer<'_>, group: &Group, hosts: &Hosts, methods: &Methods) -> Region {
        let paths: Vec<&Pattern> = layer.paths.iter().map(|item| &item.pattern).collect();
        let all: Vec<_> = methods.all().collect();
        let of_group = group.methods.iter().filter_map(|place| all.get(*place));
        Region {
            hosts: hosts.names.clone(),
            methods: of_group.map(|method| (*method).clone()).collect(),
            other_methods: group.methods.contains(&methods.named.len()),
            paths: sorted(self.names.write(&paths)),
            except: sorted(self.names.write_except(&layer.except, &paths)),
        }
    }

    /// Adds a change, or its hosts to the same one of other hosts.
    fn add_region(&mut self, group: &Group, region: Region, layer: &Layer<'_>, hosts: &Hosts) {
        let alike = self.alike.entry([place(group.was), place(group.now)]).or_default();
        let same = alike.iter().find(|at| {
            let known = self.changes.get(**at);
            known.is_some_and(|known| is_same(known, group, &region))
        });
        if let Some(known) = same.and_then(|at| self.changes.get_mut(*at)) {
            known.region.hosts.extend(region.hosts);
            known.region.hosts.sort();
            return;
        }
        let examples = layer.paths.iter().map(|item| format!("/{}", item.example.join("/")));
        let fitting = || examples.clone().filter(|path| region.has_path(path));
        let path = fitting().find(|path| region.has_as_written(path));
        let path = path.or_else(|| fitting().next()).or_else(|| examples.clone().next());
        let path = path.unwrap_or_default();
        alike.push(self.changes.len());
        self.changes.push(Change {
            effects: group.delta.effects.clone(),
            example: Example {
                host: hosts.example.clone(),
                method: example_method(&region),
                path: encoded(&path),
            },
            region,
            was: group.was,
            now: group.now,
            delta: Rc::clone(&group.delta),
            shown: None,
        });
    }
}

/// Returns the method of a region that people know best.
fn example_method(region: &Region) -> Method {
    let has_get = region.methods.contains(&Method::GET);
    match region.methods.first().filter(|_| !has_get) {
        Some(method) => method.clone(),
        None => Method::GET,
    }
}

fn sorted(mut regions: Vec<PathRegion>) -> Vec<PathRegion> {
    regions.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    regions
}

/// Returns whether a change is one of a group, for the same methods and paths.
fn is_same(change: &Change, group: &Group, region: &Region) -> bool {
    let known = &change.region;
    let has_same_paths = known.paths == region.paths && known.except == region.except;
    let is_same_delta = Rc::ptr_eq(&change.delta, &group.delta) || change.delta == group.delta;
    known.methods == region.methods && known.other_methods == region.other_methods && has_same_paths && is_same_delta
}

#[cfg(test)]
mod tests;

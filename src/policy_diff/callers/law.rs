//! The law: a request is answered differently if and only if the class of its caller is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::SEC_WEBSOCKET_PROTOCOL;
use serde_json::Value;

use self::dice::Dice;
use self::people::Pool;
use super::classes::Classes;
use super::issuers::foreign;
use super::pair::{MethodClass, Pair};
use super::parts::{Parts, Patch};
use super::seen::{Judge, Kind};
use super::space::Aspect;
use super::tests::cell;
use super::tokens::Kind as Issued;
use super::{Callers, Key, Looked, side_text};
use crate::policy_diff::caller_class::FOREIGN;
use crate::policy_diff::compare;
use crate::policy_diff::effects::Effect;
use crate::policy_diff::types::Cell;
use crate::principal::AuthMethod;
use crate::rehearsal::{Rehearsal, TokenPlace};

mod dice;
mod people;
mod policies;
mod usual;

/// The classes of callers that were looked up: for each space, aspect and what a caller has of it.
#[derive(Default)]
struct Law {
    places: HashMap<(Key, usize, usize), Known>,
}

/// What is known of the forms of an aspect: the class of each, or that there is none.
type Known = HashMap<String, Result<Class, String>>;

/// The place of a class among those of an aspect; `None` for one with which all requests are answered alike.
type Class = Option<usize>;

impl Law {
    /// Finds what is said of the class of a caller.
    fn class(&mut self, callers: &mut Callers<'_>, cell: &Cell, parts: &Parts, thorough: bool) -> Result<Said, String> {
        let pair = callers.pair(cell);
        let method = MethodClass::new(&pair, &cell.method);
        let texts = pair.sides().map(|side| side_text(side, cell, method.asks));
        let key = callers.key(&pair, cell, method, texts);
        let Looked { judge, spaces } = callers.looked.get(&key).unwrap();
        let mut parts = usual::read(&pair, usual::tenant(&pair, parts), method);
        let (place, classes) = space(&pair, spaces, &parts, &cell.path);
        let dimensions = &classes.space.dimensions;
        let has = |aspect: &Aspect| dimensions.iter().any(|dimension| dimension.aspect == *aspect);
        if !has(&Aspect::Claim(vec!["cnf".to_owned()])) && classes.space.issuer.is_some() {
            usual::binding(&mut parts, &classes.space.base);
        }
        usual::revocation(&mut parts, &pair);
        let signed = match has(&Aspect::Signer) {
            true => usual::signer(&parts, &classes.space.base),
            false => parts.clone(),
        };
        let mut places = Vec::new();
        for (at, dimension) in dimensions.iter().enumerate() {
            let parts = if dimension.aspect == Aspect::Token {
                &signed
            } else {
                &parts
            };
            let patches = patches(&dimension.aspect, parts);
            let known = self.places.entry((key.clone(), place, at)).or_default();
            let found = known
                .entry(format!("{patches:?}"))
                .or_insert_with(|| classes.place(at, &patches, thorough, judge));
            let found = found.clone()?;
            places.push(found);
        }
        let places: Option<Vec<usize>> = places.into_iter().collect();
        let at = places.map(|places| classes.at(&places));
        Ok(Said {
            kind: at.map_or(Kind::Same, |at| classes.seen[at].kind),
            place: at.map(|at| (key, place, at)),
        })
    }
}

/// What is said of the class of a caller.
#[derive(Debug, Clone)]
struct Said {
    kind: Kind,
    /// The space and the place of the combination in it; none where a class of one aspect says it.
    place: Option<(Key, usize, usize)>,
}

/// Says what stands for a class.
fn labels(callers: &Callers<'_>, said: &Said) -> String {
    let Some((key, space, at)) = &said.place else {
        return format!("{:?} whatever else", said.kind);
    };
    let classes = &callers.looked[key].spaces[*space];
    let choice = classes.choice(*at);
    let pairs = classes.space.dimensions.iter().zip(choice);
    let labels = pairs.map(|(dimension, at)| format!("{:?}: {:?}", dimension.aspect, dimension.variants[at].label));
    let labels: Vec<_> = labels.collect();
    format!(
        "{:?} {:?}: {}",
        classes.seen[*at],
        classes.space.issuer,
        labels.join("; ")
    )
}

/// Finds the space that a caller is in.
fn space<'s>(pair: &Pair<'_>, spaces: &'s [Classes], parts: &Parts, path: &str) -> (usize, &'s Classes) {
    let claims = parts.request_claims();
    let issued = Issued::all(pair, path).unwrap();
    let issued = claims.and_then(|claims| issued.into_iter().find(|kind| kind.has(pair, &claims, path)));
    let reads_cookie = |policy: &crate::policy::Policy| !policy.sources.read.cookies.is_empty();
    let has_cookie = parts.places.iter().any(|place| matches!(place, TokenPlace::Cookie(_)))
        && pair.asking(AuthMethod::Jwt).any(reads_cookie);
    let is_foreign = parts.token.is_some() && foreign(pair).is_some();
    let label = issued
        .map(|kind| kind.label())
        .or_else(|| is_foreign.then(|| FOREIGN.to_owned()));
    let is_space = |classes: &&Classes| {
        classes.space.issuer == label && classes.space.has_cookie == (has_cookie && label.is_some())
    };
    spaces
        .iter()
        .enumerate()
        .find(|(_, classes)| is_space(classes))
        .unwrap()
}

/// Takes an aspect of a caller out.
fn patches(aspect: &Aspect, parts: &Parts) -> Vec<Patch> {
    let header = |name: &http::HeaderName| Patch::Header(name.clone(), parts.header(name));
    let token = || Some(Patch::Token(Box::new(parts.token.clone()?), parts.times.clone()));
    match aspect {
        Aspect::Presented(names) => {
            let mut all: Vec<_> = token().into_iter().collect();
            all.push(Patch::Places(parts.places.clone()));
            all.extend(names.iter().map(header));
            all.push(Patch::Query(parts.query.clone()));
            if parts.handshake && !parts.header(&SEC_WEBSOCKET_PROTOCOL).is_empty() {
                all.push(Patch::Handshake(true));
            }
            all
        }
        Aspect::Token => token().into_iter().collect(),
        Aspect::Jose(name) => {
            let member = parts.token.as_ref().and_then(|token| token.header.get(*name).cloned());
            vec![Patch::Jose(name, member)]
        }
        Aspect::Claim(path) => vec![Patch::Claim(path.clone(), parts.claim(path))],
        Aspect::Signer => {
            let token = parts.token.as_ref();
            token
                .map(|token| Patch::Signer(token.signer.clone(), token.algorithm))
                .into_iter()
                .collect()
        }
        Aspect::Place(names) => {
            let mut all = vec![Patch::Places(parts.places.clone()), Patch::Query(parts.query.clone())];
            all.extend(names.iter().map(header));
            all
        }
        Aspect::Header(name) => vec![header(name)],
        Aspect::Key(name) => vec![header(name), Patch::Now(parts.now)],
        Aspect::Page(names) => names.iter().map(header).collect(),
        Aspect::Certificate => vec![Patch::Certificate(parts.certificate.clone())],
        Aspect::Body => vec![Patch::Body(parts.body.0, parts.body.1.clone())],
        Aspect::Client => vec![Patch::Client(parts.client)],
        Aspect::Handshake => vec![Patch::Handshake(parts.handshake)],
        Aspect::Known => vec![Patch::Known(parts.known)],
    }
}

fn pool(sides: &[Rehearsal; 2]) -> Pool {
    let policies = || sides.iter().flat_map(|side| side.policies().policies());
    let signers = policies()
        .flat_map(|policy| &policy.issuers)
        .map(|issuer| issuer.signer.clone());
    let keys = policies()
        .filter_map(|policy| policy.internal_keys.as_ref())
        .flat_map(|keys| &keys.keys);
    Pool {
        signers: signers.collect(),
        keys: keys.map(|key| key.reference().clone()).collect(),
    }
}

/// Parses policies, if they check out.
fn try_rehearsals(old: &Value, new: &Value) -> Option<[Rehearsal; 2]> {
    let texts = [old, new].map(Value::to_string);
    super::tests::try_rehearsals(&[&texts[0]], &[&texts[1]])
}

/// What came of many cases.
#[derive(Debug, Default)]
struct Report {
    cases: usize,
    /// How often each kind of difference was met.
    kinds: BTreeMap<String, usize>,
    /// How often each change was made.
    changes: BTreeMap<&'static str, usize>,
    /// Cases that broke the law.
    failures: Vec<String>,
    /// How long pairs took, the number of tries, and their seeds.
    times: Vec<(Duration, usize, u64)>,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (change, count) in other.changes {
            *self.changes.entry(change).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.times.extend(other.times);
    }
}

/// Holds one pair of policies against the law: the classes of some callers, and the effects of the change that the requests of
/// more callers belong to.
fn try_pair(seed: u64, requests: usize, more: usize) -> Report {
    let began = Instant::now();
    let mut dice = Dice::new(seed);
    let Changed { old, new, names, sides } = changed(&mut dice);
    let mut report = Report::default();
    for name in &names {
        *report.changes.entry(name).or_default() += 1;
    }
    let pool = pool(&sides);
    let [before, after] = &sides;
    let mut callers = Callers::new(before, after);
    let mut law = Law::default();
    for case in 0..requests + more {
        let mut parts = people::request(&mut dice);
        people::add_caller(&mut parts, &pool, &mut dice);
        let cell = cell(before, after, &parts.host, &parts.method, &parts.path);
        let delta = callers.compare(&cell).unwrap();
        let judge = Judge::new(callers.pair(&cell), 0);
        let real = judge.see(&parts).unwrap();
        let classified = delta.as_ref().filter(|_| case < requests);
        let said = classified.map(|_| law.class(&mut callers, &cell, &parts, case % 10 == 0));
        report.cases += 1;
        *report.kinds.entry(format!("{:?}", real.kind)).or_default() += 1;
        let fits = match &said {
            None => real.kind == Kind::Same || (case >= requests && has_effect(delta.as_deref(), real.kind)),
            Some(Ok(said)) => said.kind == real.kind && has_effect(delta.as_deref(), real.kind),
            Some(Err(_)) => false,
        };
        if !fits {
            let words = judge.words(&parts);
            let said = said.map(|said| said.map(|said| labels(&callers, &said)));
            report.failures.push(format!(
                "seed {seed} {names:?}\nold {old}\nnew {new}\n{parts:?}\nreal {real:?} {words:?}\nsaid {said:?}\n"
            ));
        }
    }
    report.times.push((began.elapsed(), callers.tried, seed));
    report
}

/// A policy before and after some changes.
struct Changed {
    old: Value,
    new: Value,
    names: Vec<&'static str>,
    sides: [Rehearsal; 2],
}

/// Makes a policy, and changes it until it checks out.
fn changed(dice: &mut Dice) -> Changed {
    loop {
        let old = policies::policy(dice);
        let mut new = old.clone();
        let mut names = Vec::new();
        for _ in 0..=dice.below(3) {
            let (name, change) = dice.pick(&policies::CHANGES);
            change(&mut new, dice);
            names.push(name);
        }
        if let Some(sides) = try_rehearsals(&old, &new) {
            return Changed { old, new, names, sides };
        }
    }
}

fn scale(name: &str, usual: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Calls a function for some seeds, on all processors.
fn on_all_processors<T: Send>(seeds: Range<u64>, call: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || {
            let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let seeds = seeds.take_while(|seed| *seed < end);
            seeds.map(&call).collect::<Vec<T>>()
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn law_caller_is_answered_differently_if_and_only_if_its_class_is() {
    let (pairs, first) = (scale("LAW_PAIRS", 8), scale("LAW_SEED", 0));
    let requests = usize::try_from(scale("LAW_REQUESTS", 50)).unwrap();
    let mut report = Report::default();
    let more = usize::try_from(scale("LAW_MORE", 150)).unwrap();
    for one in on_all_processors(first..first + pairs, |seed| try_pair(seed, requests, more)) {
        report.add(one);
    }
    if std::env::var_os("LAW_REPORT").is_some() {
        report.times.sort_unstable();
        report.times.reverse();
        report.times.truncate(12);
        writeln!(std::io::stdout(), "{report:#?}").unwrap();
    }
    let shown = report.failures.get(..4).unwrap_or(&report.failures);
    assert!(
        report.failures.is_empty(),
        "{} of {} cases failed\n{}",
        report.failures.len(),
        report.cases,
        shown.join("\n")
    );
}

fn has_effect(delta: Option<&super::Delta>, kind: Kind) -> bool {
    let has = |effects: &[Effect]| {
        let mut found = delta.into_iter().flat_map(|delta| &delta.effects);
        found.any(|effect| effects.contains(effect))
    };
    match kind {
        Kind::Same => true,
        Kind::Gained => has(&[Effect::OpenedToPublic, Effect::Opened]),
        Kind::Lost => has(&[Effect::Closed]),
        Kind::Forwarded => has(&[Effect::ForwardedDifferently, Effect::Opened, Effect::Closed]),
        Kind::Rejected => has(&[Effect::RejectedDifferently]),
    }
}

/// The effects of changes as they are from the other side.
fn mirrored(effects: &[Effect]) -> BTreeSet<&'static str> {
    let mirror = |effect: &Effect| match effect {
        Effect::OpenedToPublic | Effect::Opened => "closed",
        Effect::Closed => "opened",
        other => other.as_str(),
    };
    effects.iter().map(mirror).collect()
}

fn general(effects: &[Effect]) -> BTreeSet<&'static str> {
    let of = |effect: &Effect| match effect {
        Effect::OpenedToPublic | Effect::Opened => "opened",
        other => other.as_str(),
    };
    effects.iter().map(of).collect()
}

#[test]
fn policies_do_not_differ_from_themselves_and_what_one_direction_opens_the_other_closes() {
    for seed in 1000..1000 + scale("LAW_PAIRS", 8) {
        let mut dice = Dice::new(seed);
        let Changed { old, new, names, .. } = changed(&mut dice);
        for one in [&old, &new] {
            let [was, now] = try_rehearsals(one, one).unwrap();
            assert!(compare(&was, &now).unwrap().changes.is_empty(), "{seed} {one}");
        }
        let [was, now] = try_rehearsals(&old, &new).unwrap();
        let (there, back) = (compare(&was, &now).unwrap(), compare(&now, &was).unwrap());
        for _ in 0..200 {
            let Parts { host, method, path, .. } = people::request(&mut dice);
            let found = [&there, &back].map(|difference| difference.change(&host, &method, &path));
            let [there, back] = found.map(|change| change.map_or(&[][..], |change| change.effects.as_slice()));
            assert_eq!(
                general(there),
                mirrored(back),
                "seed {seed} {names:?}\nold {old}\nnew {new}\n{method} {host} {path}"
            );
        }
    }
}

//! The law: a request is answered differently if and only if the class of its caller is.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Instant;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use serde_json::Value;

use self::dice::Dice;
use self::people::Pool;
use super::pair::{MethodClass, Pair};
use super::parts::Known as State;
use super::parts::{Parts, Patch, Sent};
use super::places::places;
use super::rules::{TENANT, THUMBPRINT};
use super::seen::{Judge, Kind};
use super::space::{Aspect, Classes};
use super::tests::cell;
use super::tokens::{Kind as Issued, foreign};
use super::{Callers, Key, side_text, spaces};
use crate::policy_diff::caller_class::FOREIGN;
use crate::policy_diff::effects::Effect;
use crate::policy_diff::types::Cell;
use crate::principal::AuthMethod;
use crate::rehearsal::{Rehearsal, TokenPlace};

mod dice;
mod people;
mod policies;

/// The classes of callers of one pair of routes, with what was found of their variants.
struct Known<'r> {
    judge: Judge<'r>,
    spaces: Vec<Classes>,
    places: HashMap<(usize, usize, String), Option<Option<usize>>>,
    path: String,
}

/// All classes that were looked up.
#[derive(Default)]
struct Law<'r> {
    known: HashMap<Key, Known<'r>>,
}

impl<'r> Law<'r> {
    /// Finds what is said of the class of a caller.
    fn class(&mut self, callers: &mut Callers<'r>, cell: &Cell, parts: &Parts, thorough: bool) -> Result<Kind, String> {
        let pair = callers.pair(cell);
        let method = MethodClass::new(&pair, &cell.method);
        let texts = pair.sides().map(|side| side_text(side, cell, method.asks));
        let key = callers.key(&pair, cell, method, texts);
        let known = self.known.entry(key).or_insert_with(|| {
            let judge = Judge::new(pair, 0);
            let spaces = spaces::classes(&judge, cell, method).unwrap();
            Known {
                judge,
                spaces,
                places: HashMap::new(),
                path: cell.path.clone(),
            }
        });
        known.find(parts, method, thorough)
    }
}

impl Known<'_> {
    fn find(&mut self, parts: &Parts, method: MethodClass, thorough: bool) -> Result<Kind, String> {
        let pair = self.judge.pair();
        let mut parts = usual_tenant(pair, parts);
        let read = places(pair, method);
        parts
            .places
            .retain(|place| *place == TokenPlace::Authorization || read.contains(place));
        if parts.places.is_empty() {
            parts.token = None;
        }
        let claims = parts.request_claims();
        let issued = Issued::all(pair, &self.path);
        let issued = claims.and_then(|claims| issued.into_iter().find(|kind| kind.has(pair, &claims, &self.path)));
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
        let place = self.spaces.iter().position(|classes| is_space(&classes)).unwrap();
        let classes = &self.spaces[place];
        if !classes
            .space
            .dimensions
            .iter()
            .any(|dimension| dimension.aspect == Aspect::Certificate)
            && label.is_some()
        {
            usual_binding(&mut parts, &classes.space.base);
        }
        usual_revocation(&mut parts, pair);
        let mut places = Vec::new();
        for (at, dimension) in classes.space.dimensions.iter().enumerate() {
            let patches = patches(&dimension.aspect, &parts);
            let found = self
                .places
                .entry((place, at, format!("{patches:?}")))
                .or_insert_with(|| classes.place(at, &patches, thorough, &self.judge));
            let found = found.ok_or_else(|| format!("no class for {:?}: {patches:?}", dimension.aspect))?;
            places.push(found);
        }
        let Some(places) = places.into_iter().collect::<Option<Vec<_>>>() else {
            return Ok(Kind::Same);
        };
        let at = classes.at(&places);
        if std::env::var_os("LAW_LABELS").is_some() {
            let choice = classes.choice(at);
            let pairs = classes.space.dimensions.iter().zip(&choice);
            println!(
                "  space {:?} {}",
                classes.space.issuer,
                pairs
                    .map(|(dimension, at)| format!("{:?}={:?}", dimension.aspect, dimension.variants[*at].label))
                    .collect::<Vec<_>>()
                    .join(" | ")
            );
        }
        Ok(classes.seen[at].kind)
    }
}

/// Gives a token an id, unless that makes it another token, and says whether it is revoked at all.
fn usual_revocation(parts: &mut Parts, pair: &Pair<'_>) {
    let is_read = |issuer: &crate::policy::Issuer| issuer.required_claims.iter().any(|claim| claim == "jti");
    let reads = pair
        .asking(AuthMethod::Jwt)
        .flat_map(|policy| &policy.issuers)
        .any(is_read);
    let Some(token) = &mut parts.token else { return };
    let is_text = |name: &str| token.claims.get(name).is_some_and(Value::is_string);
    parts.known = match parts.known {
        State::Jti if is_text("jti") => State::All,
        State::Subject if is_text("sub") => State::All,
        State::Jti | State::Subject => State::Nothing,
        other => other,
    };
    if !reads && !token.claims.contains_key("jti") {
        token.claims.insert("jti".into(), "id".into());
    }
}

/// Binds a token as the usual one is bound, if its client has the certificate, and to another one otherwise.
fn usual_binding(parts: &mut Parts, base: &Parts) {
    let Some(token) = &mut parts.token else { return };
    let bound = token
        .claims
        .get("cnf")
        .and_then(|cnf| cnf.get("x5t#S256"))
        .and_then(Value::as_str);
    let Some(bound) = bound else { return };
    let has_it = parts
        .certificate
        .as_ref()
        .is_some_and(|certificate| certificate.unproven(parts.now).is_none());
    if bound != THUMBPRINT {
        return;
    }
    let usual = base.token.as_ref().and_then(|token| token.claims.get("cnf"));
    match (has_it, usual) {
        (true, Some(usual)) => drop(token.claims.insert("cnf".into(), usual.clone())),
        (true, None) => drop(token.claims.remove("cnf")),
        (false, _) => {
            let other = serde_json::json!({ "x5t#S256": "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
            token.claims.insert("cnf".into(), other);
        }
    }
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

/// Renames tenants, so that the one that the token names first is the usual one. Which name a tenant has does not matter.
fn usual_tenant(pair: &Pair<'_>, parts: &Parts) -> Parts {
    let mut parts = parts.clone();
    let paths: Vec<_> = pair
        .asking(AuthMethod::Jwt)
        .filter_map(|policy| policy.tenant.as_ref())
        .flat_map(|rule| &rule.claims)
        .collect();
    let named = paths.iter().find_map(|path| match parts.claim(path)? {
        super::parts::ClaimValue::Plain(Value::String(text)) => Some(text),
        super::parts::ClaimValue::Plain(Value::Array(items)) => items.first()?.as_str().map(str::to_owned),
        _ => None,
    });
    let Some(first) = named.filter(|name| name != TENANT && name.len() == TENANT.len()) else {
        return parts;
    };
    if let Some(token) = &mut parts.token {
        token.claims.values_mut().for_each(|value| swap(value, &first));
    }
    for (_, values) in &mut parts.headers {
        for value in values {
            if let Sent::Value(text) = value {
                if *text == first.as_str() {
                    *text = TENANT.parse().unwrap();
                } else if text == TENANT {
                    *text = first.parse().unwrap();
                }
            }
        }
    }
    parts
}

fn swap(value: &mut Value, first: &str) {
    match value {
        Value::String(text) if text == first => TENANT.clone_into(text),
        Value::String(text) if text == TENANT => first.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| swap(item, first)),
        Value::Object(members) => members.values_mut().for_each(|value| swap(value, first)),
        _ => {}
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

#[test]
fn law_caller_is_answered_differently_if_and_only_if_its_class_is() {
    let scale = |name: &str, usual: usize| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(usual)
    };
    let (pairs, requests, first) = (scale("LAW_PAIRS", 8), scale("LAW_REQUESTS", 50), scale("LAW_SEED", 0));
    let started = Instant::now();
    let (mut cases, mut failed, mut unfit) = (0, 0, 0);
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut changes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut slow = Vec::new();
    for seed in first..first + pairs {
        let began = Instant::now();
        let mut dice = Dice::new(seed as u64);
        let (old, new, names, sides) = loop {
            let old = policies::policy(&mut dice);
            let mut new = old.clone();
            let mut names = Vec::new();
            for _ in 0..=dice.below(3) {
                let (name, change) = dice.pick(&policies::CHANGES);
                change(&mut new, &mut dice);
                names.push(name);
            }
            match try_rehearsals(&old, &new) {
                Some(sides) => break (old, new, names, sides),
                None => unfit += 1,
            }
        };
        for name in &names {
            *changes.entry(name).or_default() += 1;
        }
        let pool = pool(&sides);
        let [before, after] = &sides;
        let mut callers = Callers::new(before, after);
        let mut law = Law::default();
        for _ in 0..requests {
            let mut parts = people::request(&mut dice);
            people::add_caller(&mut parts, &pool, &mut dice);
            let cell = cell(before, after, &parts.host, &parts.method, &parts.path);
            let delta = callers.compare(&cell).unwrap();
            let real = Judge::new(callers.pair(&cell), 0).see(&parts).unwrap();
            let said = match &delta {
                None => None,
                Some(_) => Some(law.class(&mut callers, &cell, &parts, cases % 10 == 0)),
            };
            cases += 1;
            *kinds.entry(format!("{:?}", real.kind)).or_default() += 1;
            let fits = match &said {
                None => real.kind == Kind::Same,
                Some(Ok(kind)) => *kind == real.kind && has_effect(&delta, real.kind),
                Some(Err(_)) => false,
            };
            if !fits {
                failed += 1;
                if failed <= 12 {
                    println!(
                        "seed {seed} {names:?}\nold {old}\nnew {new}\n{:?} {} {} {parts:?}\nreal {real:?} words {:?}\nsaid {said:?}\n",
                        parts.method,
                        parts.host,
                        parts.path,
                        Judge::new(callers.pair(&cell), 0).words(&parts),
                    );
                }
            }
        }
        let looked_up: usize = law.known.values().map(|known| known.judge.tried()).sum();
        slow.push((
            began.elapsed(),
            seed,
            names,
            callers.classes(),
            callers.tried,
            looked_up,
        ));
    }
    slow.sort_by_key(|(elapsed, ..)| std::cmp::Reverse(*elapsed));
    println!("slowest {:?}", &slow[..slow.len().min(8)]);
    println!(
        "{cases} cases, {failed} failed, {unfit} policies did not check out, {:?}",
        started.elapsed()
    );
    println!("{kinds:?}\n{changes:?}");
    assert_eq!(failed, 0);
}

fn has_effect(delta: &Option<Rc<super::Delta>>, kind: Kind) -> bool {
    let has = |effects: &[Effect]| {
        let found = delta.iter().flat_map(|delta| &delta.effects);
        found.into_iter().any(|effect| effects.contains(effect))
    };
    match kind {
        Kind::Same => true,
        Kind::Gained => has(&[Effect::OpenedToPublic, Effect::Opened]),
        Kind::Lost => has(&[Effect::Closed]),
        Kind::Forwarded => has(&[Effect::ForwardedDifferently, Effect::Opened, Effect::Closed]),
        Kind::Rejected => has(&[Effect::RejectedDifferently]),
    }
}

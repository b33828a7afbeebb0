//! The spaces of callers of a pair: those without a token of an issuer, and those with one of each issuer.

use super::classes::Classes;
use super::issuers::foreign;
use super::pair::{MethodClass, Pair};
use super::parts::Parts;
use super::seen::Judge;
use super::solve::Asked;
use super::space::{Dimension, Space, Start};
use super::tokens::{Aspects, Kind};
use super::{certificates, headers::Headers, places, requests, starts};
use crate::policy_diff::caller_class::FOREIGN;
use crate::policy_diff::types::{Cell, Incomplete};

/// The time of requests, unless keys stop working before it.
const NOW: i64 = 1_800_000_000;

/// Tries all callers of a request.
pub(super) fn classes(judge: &Judge<'_>, cell: &Cell, method: MethodClass) -> Result<Vec<Classes>, Incomplete> {
    let pair = judge.pair();
    let path = starts::path_of_tenant(pair, cell);
    let cell = &Cell { path, ..cell.clone() };
    let spaces = all(pair, cell, method)?;
    let spaces: Vec<Classes> = spaces
        .into_iter()
        .map(|space| space.classes(judge))
        .collect::<Result<_, _>>()?;
    starts::check(judge, cell)?;
    let is_shown = |of: &&Classes| {
        let mut same = spaces.iter().filter(|space| space.space.issuer == of.space.issuer);
        same.any(Classes::shows_who_passes_on_one_side)
    };
    let mut unshown = spaces.iter().filter(|space| !is_shown(space));
    if let Some(of) = unshown.find_map(Classes::doubt) {
        return Err(Incomplete::Undecided {
            request: format!("{} {}", cell.method, cell.path),
            of: of.to_owned(),
        });
    }
    Ok(spaces)
}

/// Returns the callers without a token of an issuer, and those with one of each issuer.
fn all(pair: &Pair<'_>, cell: &Cell, method: MethodClass) -> Result<Vec<Space>, Incomplete> {
    let first = requests::expiries(pair).first().copied();
    let now = first.map_or(NOW, |first| NOW.min(first.saturating_sub(1)));
    let base = Parts::new(cell.method.clone(), &cell.host, &cell.path, now);
    let methods = match method.asks {
        true => places::methods(pair),
        false => Vec::new(),
    };
    let others = |has_token, cookies| {
        let headers = Headers::of(pair, method, &cell.path, &methods, (has_token, cookies));
        let certificate = certificates::dimension(pair);
        let body = requests::body(pair, method);
        let known = requests::known(pair).filter(|_| has_token);
        headers
            .into_iter()
            .chain(certificate)
            .chain(body)
            .chain(requests::client(pair))
            .chain(known)
    };
    let mut dimensions: Vec<Dimension> = places::handshake(pair, method).into_iter().collect();
    dimensions.extend(places::presented(pair, method));
    dimensions.extend(others(false, places::cookies_besides_token(pair)));
    let routes = pair.sides().map(|side| side.met().map(|(_, route)| route));
    let solutions = Asked::of_headers(routes, &cell.path).solutions();
    let of_headers = || -> Vec<Start> {
        let starts = solutions.iter().map(|solution| Start::of(solution, &[], |_| false));
        starts.collect()
    };
    starts::add_headers(&mut dimensions, &solutions);
    let mut spaces = vec![Space {
        base: base.clone(),
        issuer: None,
        has_cookie: false,
        dimensions,
        starts: of_headers(),
        doubtful: Vec::new(),
    }];
    if let Some((token, times)) = foreign(pair) {
        for places in places::of_token(pair, method) {
            let mut parts = base.clone();
            (parts.token, parts.times) = (Some(token.clone()), times.clone());
            let has_cookie = places.has_cookie;
            places.dimension.apply_usual(&mut parts);
            let handshake = places::handshake(pair, method).filter(|_| has_cookie);
            let place = Some(places.dimension).filter(|dimension| dimension.variants.len() > 1);
            let others = others(false, places::cookies_of_token(has_cookie));
            let mut dimensions: Vec<Dimension> = handshake.into_iter().chain(place).chain(others).collect();
            starts::add_headers(&mut dimensions, &solutions);
            spaces.push(Space {
                base: parts,
                issuer: Some(FOREIGN.to_owned()),
                has_cookie,
                dimensions,
                starts: of_headers(),
                doubtful: Vec::new(),
            });
        }
    }
    for kind in Kind::all(pair, &cell.path)? {
        for places in places::of_token(pair, method) {
            let mut parts = base.clone();
            parts.token = kind.token();
            let certificate = certificates::dimension(pair);
            if certificate.is_none() {
                // Where both sides say the same of bound tokens, one with its certificate is as good as one that is not bound.
                parts.certificate = Some(certificates::any());
            }
            let Aspects {
                base: patches,
                mut dimensions,
                starts,
                solutions,
                doubtful,
            } = kind.dimensions(pair, &cell.path);
            for patch in patches {
                patch.apply(&mut parts);
            }
            let has_cookie = places.has_cookie;
            places.dimension.apply_usual(&mut parts);
            if has_cookie {
                dimensions.extend(places::handshake(pair, method));
            }
            dimensions.extend(Some(places.dimension).filter(|dimension| dimension.variants.len() > 1));
            dimensions.extend(others(true, places::cookies_of_token(has_cookie)));
            starts::add_headers(&mut dimensions, &solutions);
            spaces.push(Space {
                base: parts,
                issuer: Some(kind.label()),
                has_cookie,
                dimensions,
                starts,
                doubtful,
            });
        }
    }
    Ok(spaces)
}

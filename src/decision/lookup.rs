//! From a path to the policy and the route that it is for, whichever way the service reads it.

use crate::policy::route::Route;
use crate::policy::router::RouteMatch;
use crate::policy::{Mode, PathCase, Policy, PolicySet, RouteIndex};
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;
use crate::request::path::{Ambiguity, NormalizedPath};

/// Letters that some take for an ASCII letter where they ignore case: dotted and dotless i, long s,
/// the sign of Kelvin (Unicode, `CaseFolding.txt` and `SpecialCasing.txt`).
const FOLDING: [char; 4] = ['\u{130}', '\u{131}', '\u{17f}', '\u{212a}'];

/// The ASCII letters that they are taken for.
const FOLDED: [&str; 4] = ["i", "i", "s", "k"];

/// Finds the one reading of the path and the policy that it is for. Which ambiguities are let
/// through is the policy's to say, so a path is read again where its policy says otherwise than
/// the one that its first bytes spell.
pub(super) fn resolve<'r>(
    policies: &PolicySet,
    spelled: Option<usize>,
    request: &RequestFacts<'r>,
) -> Result<(NormalizedPath<'r>, Option<usize>), Rejection> {
    read(policies, spelled, request).map_err(|rejection| with_host(rejection, request))
}

/// Adds the host, which selects the policy.
fn with_host(rejection: Rejection, request: &RequestFacts<'_>) -> Rejection {
    match (rejection.reason(), request.host()) {
        (Reason::RouteNotFound | Reason::PathAmbiguous, Some(host)) => rejection.unverified("host", host),
        _ => rejection,
    }
}

fn read<'r>(
    policies: &PolicySet,
    spelled: Option<usize>,
    request: &RequestFacts<'r>,
) -> Result<(NormalizedPath<'r>, Option<usize>), Rejection> {
    let allowance = |index: Option<usize>| {
        let policy = index.and_then(|index| policies.get(index));
        policy.map(|policy| policy.allowance).unwrap_or_default()
    };
    let path = NormalizedPath::parse(request.path, allowance(spelled)).map_err(refuse_path)?;
    let ignores_case = |policy: &Policy| policy.case == PathCase::Insensitive;
    let folds = path.readings().any(|reading| reading.contains(FOLDING));
    if folds && policies.policies().iter().any(ignores_case) {
        let cause = "the path has a letter that is an ASCII one in another case";
        return Err(Rejection::because(Reason::PathAmbiguous, cause));
    }
    let policy = policies.select(request.host(), path.decoded());
    let path = match allowance(policy) == allowance(spelled) {
        true => path,
        // What others read depends on what is allowed.
        false => NormalizedPath::parse(request.path, allowance(policy)).map_err(refuse_path)?,
    };
    Ok((path, policy))
}

fn refuse_path(ambiguity: Ambiguity) -> Rejection {
    let reason = match ambiguity {
        Ambiguity::NotOriginForm => Reason::RequestMalformed,
        _ => Reason::PathAmbiguous,
    };
    Rejection::because(reason, ambiguity.describe())
}

/// Finds the route, if every reading of the path leads there.
pub(super) fn find(
    policies: &PolicySet,
    index: Option<usize>,
    path: &NormalizedPath<'_>,
    request: &RequestFacts<'_>,
) -> Result<RouteIndex, Rejection> {
    select(policies, index, path, request).map_err(|rejection| with_host(rejection, request))
}

fn select(
    policies: &PolicySet,
    index: Option<usize>,
    path: &NormalizedPath<'_>,
    request: &RequestFacts<'_>,
) -> Result<RouteIndex, Rejection> {
    let selected = index.and_then(|index| Some((index, policies.get(index)?)));
    let Some((index, policy)) = selected else {
        return Err(Rejection::because(
            Reason::RouteNotFound,
            "no policy matches this host and path",
        ));
    };
    let found = policy.find(path.decoded(), request.method);
    if let Some(literal) = path.literal() {
        check_literal(policies, index, literal, found, request)?;
    }
    for lenient in path.lenient() {
        check_lenient(policies, policy, lenient, found, request)?;
    }
    for separated in path.separated() {
        check_separated(policies, (index, policy), separated, found, request)?;
    }
    let readings = [Some(path.decoded()), path.literal()].into_iter().flatten();
    for reading in readings.chain(path.lenient()) {
        check_case(policies, (index, policy), reading, found, request)?;
    }
    match found {
        RouteMatch::Found(route) => {
            check_forwarded(policy, path)?;
            Ok(RouteIndex { policy: index, route })
        }
        RouteMatch::MethodMismatch => Err(Rejection::method_not_allowed(policy.methods(path.decoded()))),
        RouteMatch::NotFound => Err(Rejection::because(
            Reason::RouteNotFound,
            format!("no route of `{}` matches this path", policy.service),
        )),
    }
}

/// Many routers ignore case. Unless the service tells `Jobs` from `jobs`, a path must lead to the same
/// route in any case, and to the same policy.
fn check_case(
    policies: &PolicySet,
    (index, policy): (usize, &Policy),
    reading: &str,
    found: RouteMatch,
    request: &RequestFacts<'_>,
) -> Result<(), Rejection> {
    let is_lower = reading.is_ascii() && !reading.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower && !policies.has_capitals() {
        return Ok(());
    }
    let same = |path: &str| {
        is_for_policy_in_any_case(policies, (index, policy), path, request)
            && match policy.case {
                PathCase::Exact => true,
                PathCase::Unambiguous => policy.find_in_any_case(path, request.method) == found,
                // Guarded routes match in any case and open ones as they are written: an open one must not
                // take the place of another that asks for more.
                PathCase::Insensitive => {
                    !is_open(policy, found) || policy.find_in_any_case(path, request.method) == found
                }
            }
    };
    let same = match reading.contains(FOLDING) {
        true => same(&with_ascii_letters(reading)),
        false => same(reading),
    };
    let cause = "the path leads to another route where case is ignored";
    same.then_some(())
        .ok_or_else(|| Rejection::because(Reason::PathAmbiguous, cause))
}

/// Whether a path leads to the same policy in any case, or to one that tells cases apart as this one does.
fn is_for_policy_in_any_case(
    policies: &PolicySet,
    (index, policy): (usize, &Policy),
    path: &str,
    request: &RequestFacts<'_>,
) -> bool {
    let selected = policies.select_in_any_case(request.host(), path);
    let other = selected.and_then(|index| policies.get(index));
    let both_exact = || policy.case == PathCase::Exact && other.is_some_and(|other| other.case == PathCase::Exact);
    selected == Some(index) || both_exact()
}

fn is_open(policy: &Policy, found: RouteMatch) -> bool {
    match found {
        RouteMatch::Found(route) => policy.routes.get(route).is_none_or(Route::is_open),
        RouteMatch::MethodMismatch | RouteMatch::NotFound => false,
    }
}

fn with_ascii_letters(path: &str) -> String {
    let letters = FOLDING.into_iter().zip(FOLDED);
    letters.fold(path.to_owned(), |path, (letter, ascii)| path.replace(letter, ascii))
}

/// An escape that need not be one, such as `%3A`, is a character to some services and three to
/// others: both must come to the same route.
fn check_literal(
    policies: &PolicySet,
    index: usize,
    literal: &str,
    found: RouteMatch,
    request: &RequestFacts<'_>,
) -> Result<(), Rejection> {
    let other = policies.select(request.host(), literal);
    let same =
        other == Some(index) && policies.get(index).map(|policy| policy.find(literal, request.method)) == Some(found);
    let cause = "the path leads to another route where its escapes are not decoded";
    same.then_some(())
        .ok_or_else(|| Rejection::because(Reason::PathAmbiguous, cause))
}

/// A path that was let through although it is ambiguous must lead to the same route whichever way
/// the service reads it, and never to one that is public.
fn check_lenient(
    policies: &PolicySet,
    policy: &Policy,
    lenient: &str,
    found: RouteMatch,
    request: &RequestFacts<'_>,
) -> Result<(), Rejection> {
    let other = policies
        .select(request.host(), lenient)
        .and_then(|index| policies.get(index));
    let same_policy = other.is_some_and(|other| std::ptr::eq(other, policy));
    if same_policy && policy.find(lenient, request.method) == found && !is_permissive(policy, found) {
        return Ok(());
    }
    let cause = "the path could lead to another route, or to a public one";
    Err(Rejection::because(Reason::PathAmbiguous, cause))
}

fn is_permissive(policy: &Policy, found: RouteMatch) -> bool {
    match found {
        RouteMatch::Found(route) => policy.routes.get(route).is_none_or(Route::is_permissive),
        RouteMatch::MethodMismatch | RouteMatch::NotFound => false,
    }
}

/// A `%2F` that is a part of a segment never leads to a public route or into a prefix: the path must be for the same
/// policy where it is taken for a separator. To which route of it, the operator has said not to matter, unless nothing
/// is asked of the client here.
fn check_separated(
    policies: &PolicySet,
    (index, policy): (usize, &Policy),
    separated: &str,
    found: RouteMatch,
    request: &RequestFacts<'_>,
) -> Result<(), Rejection> {
    let folded = separated.contains(FOLDING).then(|| with_ascii_letters(separated));
    let mut spellings = [Some(separated), folded.as_deref()].into_iter().flatten();
    let is_same = |path: &str| is_for_policy_in_any_case(policies, (index, policy), path, request);
    let same_policy = policies.select(request.host(), separated) == Some(index) && spellings.clone().all(is_same);
    let is_unguarded = |path: &str| {
        let is_exact = policy.case == PathCase::Exact;
        lets_in_all(policy, policy.find(path, request.method))
            && (is_exact || lets_in_all(policy, policy.find_in_any_case(path, request.method)))
    };
    let cause = match is_permissive(policy, found) {
        true => "the path has `%2F`, and its route accepts requests without a credential or with an internal key",
        false if !same_policy => "the path leads to another policy where `%2F` is a separator",
        false if lets_in_all(policy, found) && !spellings.all(is_unguarded) => {
            "the path has `%2F`, its route is in shadow mode, and the path leads to no such route where `%2F` is a separator"
        }
        false => return Ok(()),
    };
    Err(Rejection::because(Reason::PathAmbiguous, cause))
}

/// Whether a route lets in every client: it is public, or in shadow mode.
fn lets_in_all(policy: &Policy, found: RouteMatch) -> bool {
    let RouteMatch::Found(route) = found else { return false };
    let route = policy.routes.get(route);
    route.is_some_and(|route| route.is_open() || (route.mode == Mode::Shadow && !route.is_denied()))
}

/// What is forwarded without the prefix must be a path that would be let through by itself: two slashes at its beginning
/// name an authority (RFC 3986, 4.2).
fn check_forwarded(policy: &Policy, path: &NormalizedPath<'_>) -> Result<(), Rejection> {
    if policy.forwarded_prefix.is_none() {
        return Ok(());
    }
    let forwarded = policy.forwarded_path(path.as_str());
    let parsed = NormalizedPath::parse(forwarded.as_bytes(), policy.allowance);
    if parsed.is_ok_and(|path| !path.lenient().any(|reading| reading.starts_with("//"))) {
        return Ok(());
    }
    let cause = "the path begins with a separator once the prefix is stripped";
    Err(Rejection::because(Reason::PathAmbiguous, cause))
}

#[cfg(test)]
mod tests;

//! Callers who meet all that both sides ask: their headers among the variants, and a path that they can have.

use http::HeaderName;

use super::pair::{Pair, Side};
use super::parts::Patch;
use super::rules::TENANT;
use super::seen::Judge;
use super::solve::Solution;
use super::space::{Aspect, Dimension, Label, Variant};
use super::tokens::Kind;
use crate::policy::condition::{Condition, Operand, Parameter, Part};
use crate::policy::document::TenantFormat;
use crate::policy::route::Route;
use crate::policy_diff::types::{Cell, Incomplete};
use crate::principal::AuthMethod;
use crate::rehearsal::Request;
use crate::revocation::Revocations;

/// Adds the headers of callers who meet all rules; those of the first one become the usual ones.
pub(super) fn add_headers(dimensions: &mut [Dimension], solutions: &[Solution]) {
    for (at, solution) in solutions.iter().enumerate() {
        for (name, value) in &solution.headers {
            let header = |dimension: &Dimension| match &dimension.aspect {
                Aspect::Header(known) if known.as_str() == name => Some(known.clone()),
                _ => None,
            };
            for dimension in dimensions.iter_mut() {
                if let Some(name) = header(dimension) {
                    add_header(dimension, &name, value, at == 0);
                }
            }
        }
    }
}

fn add_header(dimension: &mut Dimension, name: &HeaderName, value: &str, is_usual: bool) {
    let patches = vec![Patch::header(name, value)];
    let known = dimension.variants.iter().position(|known| known.patches == patches);
    if !is_usual {
        if known.is_none() {
            let label = Label::Header(name.to_string(), Some(value.to_owned()));
            dimension.variants.push(Variant::of(patches, label));
        }
        return;
    }
    if let Some(known) = known {
        dimension.variants.remove(known);
    }
    if let Some(first) = dimension
        .variants
        .first_mut()
        .filter(|first| first.label == Label::None)
    {
        let text = first.patches.first().and_then(Patch::header_text);
        first.label = Label::Header(name.to_string(), text);
    }
    let label = match value {
        TENANT => Label::None,
        value => Label::Header(name.to_string(), Some(value.to_owned())),
    };
    dimension.variants.insert(0, Variant::of(patches, label));
}

/// Returns the path of a request with a tenant in the segments that conditions compare, if the request meets the same with
/// it.
pub(super) fn path_of_tenant(pair: &Pair<'_>, cell: &Cell) -> String {
    let mut path = cell.path.clone();
    for (policy, route) in pair.met() {
        let has_uuid = policy
            .tenant
            .as_ref()
            .is_some_and(|rule| rule.format == TenantFormat::Uuid);
        if !has_uuid {
            continue;
        }
        let operands = route.requirement.conditions.iter().flat_map(Condition::operands);
        for parameter in operands.filter_map(parameter) {
            let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
            if let Some(segment) = segments.get_mut(parameter.segment + 1) {
                *segment = format!("{TENANT}{}", parameter.suffix);
            }
            let other = segments.join("/");
            if pair.sides().into_iter().all(|side| meets_the_same(side, cell, &other)) {
                path = other;
            }
        }
    }
    path
}

fn meets_the_same(side: &Side<'_>, cell: &Cell, path: &str) -> bool {
    let request = Request::new(cell.method.clone(), path, &cell.host, 0);
    let decision = side.rehearsal.decide(&request.facts(), Revocations::Unasked, &mut ());
    decision.matched.scope() == side.scope
}

/// The parameter that an operand is, without anything else.
fn parameter(operand: &Operand) -> Option<&Parameter> {
    match operand {
        Operand::Text(parts) => match parts.as_slice() {
            [Part::Parameter(parameter)] => Some(parameter),
            _ => None,
        },
        Operand::Number(_) | Operand::Boolean(_) => None,
    }
}

/// Checks that a caller passed on each side: without one, nothing is known of what lies behind the rule that rejects all. Where
/// no token could have what the path asks for, there is no such caller.
pub(super) fn check(judge: &Judge<'_>, cell: &Cell) -> Result<(), Incomplete> {
    for (at, side) in judge.pair().sides().into_iter().enumerate() {
        let Some((_, route)) = side.met() else { continue };
        if judge.is_left_open(at) && !is_shut(judge.pair(), route, cell, at)? {
            return Err(Incomplete::NoCaller {
                request: format!("{} {}", cell.method, cell.path),
                side: if at == 0 { "old" } else { "new" },
                route: route.location.to_string(),
            });
        }
    }
    Ok(())
}

fn is_shut(pair: &Pair<'_>, route: &Route, cell: &Cell, side: usize) -> Result<bool, Incomplete> {
    let kinds = Kind::all(pair, &cell.path)?;
    let takes_tokens_only = route.authentication.methods() == [AuthMethod::Jwt];
    Ok(takes_tokens_only && kinds.iter().all(|kind| kind.is_shut(pair, &cell.path, side)))
}

//! Which routes the cases of tests reach: each has to let a request through, and to reject one.

use serde::Serialize;

use super::names::route_name;
use super::run::Ran;
use crate::document::problem::Location;
use crate::policy::PolicySet;
use crate::policy::route::Route;
use crate::policy_test::Found;
use crate::principal::AuthMethod;

/// What no test shows of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// That it takes any request.
    Reached,
    /// That it lets a request through.
    LetThrough,
    /// That it rejects one, or would but for shadow mode.
    Refused,
}

impl Missing {
    /// Returns it in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reached => "never reached",
            Self::LetThrough => "never let through",
            Self::Refused => "never rejected",
        }
    }
}

/// A route, and what the tests show of it.
#[derive(Debug, Clone)]
pub struct RouteCoverage {
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub location: Location,
    /// What no test shows of it.
    pub missing: Option<Missing>,
}

/// What requests met at a route.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    passed: bool,
    rejected: bool,
    other: bool,
}

/// Says for each route what the cases show of it.
pub(super) fn tally(policies: &PolicySet, ran: &[Ran<'_>]) -> Vec<RouteCoverage> {
    let mut met: Vec<Vec<Met>> = policies
        .policies()
        .iter()
        .map(|policy| vec![Met::default(); policy.routes.len()])
        .collect();
    for ran in ran.iter().filter(|ran| ran.passed) {
        let route = ran.scope.route;
        let place = route.and_then(|route| met.get_mut(route.policy)?.get_mut(route.route));
        if let Some(place) = place {
            match ran.found {
                Found::Allow => place.passed = true,
                Found::Shadow(_) | Found::Rejected { .. } => place.rejected = true,
                Found::Options | Found::Preflight | Found::Metadata => place.other = true,
            }
        }
    }
    let policies = policies.policies().iter().zip(met);
    let of_policy = policies.flat_map(|(policy, met)| {
        let routes = policy.routes.iter().zip(met).enumerate();
        routes.map(|(at, (route, met))| RouteCoverage {
            name: route_name(policy, at),
            location: Location::clone(&route.location),
            missing: missing(route, met),
        })
    });
    of_policy.collect()
}

/// A public route rejects no caller, and one that is denied lets none through.
fn missing(route: &Route, met: Met) -> Option<Missing> {
    let is_public = route.authentication.methods() == [AuthMethod::Public];
    if !(met.passed || met.rejected || met.other) {
        Some(Missing::Reached)
    } else if !met.passed && !route.is_denied() {
        Some(Missing::LetThrough)
    } else {
        (!met.rejected && !is_public).then_some(Missing::Refused)
    }
}

//! One step that makes policies weaker: what it is, where, and the policies that it leads to.

use crate::document::problem::Location;
use crate::policy::route::Route;
use crate::policy::{Policy, PolicySet};

/// A kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A route is public.
    Public,
    /// A route is in shadow mode.
    Shadow,
    /// A route is gone.
    Deleted,
    /// A route with `auth: deny` is gone.
    DenyGone,
    /// A route needs no role.
    Roles,
    /// A route takes a role that one of its roles includes.
    Role,
    /// A route needs a scope less.
    Scope,
    /// Any content type is taken.
    ContentTypes,
    /// A route takes all methods.
    Methods,
    /// A route takes another credential as well.
    Any,
    /// A route needs one credential less.
    All,
    /// A route takes all paths below its path.
    Below,
    /// A condition of a route or an issuer is gone.
    When,
    /// The audience is unchecked.
    Audience,
    /// The issuer is unchecked, or a placeholder of it takes any value.
    Issuer,
    /// A claim is not required.
    RequiredClaim,
    /// Tokens of another type are taken.
    Type,
    /// Bound tokens are taken without their key, or tokens that are not bound.
    Binding,
    /// Tokens are taken from another place.
    Source,
    /// The rule for tenants is gone.
    Tenant,
    /// A claim of the rule for tenants is not compared.
    TenantClaim,
    /// The header of the tenant may be missing.
    TenantHeader,
    /// A claim may list several tenants.
    TenantLists,
    /// Revoked tokens are taken.
    Revocation,
    /// A name of certificates has one `*` more.
    Certificate,
    /// Paths in another case are other paths.
    Case,
}

impl Kind {
    /// Returns the word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Shadow => "shadow",
            Self::Deleted => "deleted",
            Self::DenyGone => "deny",
            Self::Roles => "roles",
            Self::Role => "role",
            Self::Scope => "scope",
            Self::ContentTypes => "content_types",
            Self::Methods => "methods",
            Self::Any => "any",
            Self::All => "all",
            Self::Below => "below",
            Self::When => "when",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::RequiredClaim => "required_claim",
            Self::Type => "type",
            Self::Binding => "binding",
            Self::Source => "source",
            Self::Tenant => "tenant",
            Self::TenantClaim => "tenant_claim",
            Self::TenantHeader => "tenant_header",
            Self::TenantLists => "tenant_lists",
            Self::Revocation => "revocation",
            Self::Certificate => "certificate",
            Self::Case => "case",
        }
    }
}

/// One step that makes policies weaker.
#[derive(Debug, Clone)]
pub struct Weakening {
    /// What kind of step it is.
    pub kind: Kind,
    /// The pattern of the route, or the field of the policy.
    pub subject: String,
    /// What it then does, as in `is open to anybody`.
    pub words: String,
    /// Where the policy says otherwise.
    pub location: Location,
    /// The place of the policy in its set.
    pub policy: usize,
    /// The place of the route in the policy, if the step is about one.
    pub route: Option<usize>,
    /// What is another.
    pub(super) change: Change,
}

/// What is another in the weaker policy.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// One route.
    Route(Box<Route>),
    /// One route is deleted.
    Deleted,
    /// Something else.
    Policy(Box<Policy>),
}

impl Weakening {
    /// Returns the weaker policies: a set in which this one step is taken.
    pub fn apply(&self, set: &PolicySet) -> PolicySet {
        let weaker = set.get(self.policy).map(|policy| self.weaker(policy));
        weaker.map_or_else(|| set.clone(), |weaker| set.with_policy(self.policy, weaker))
    }

    fn weaker(&self, policy: &Policy) -> Policy {
        let at = self.route.unwrap_or(usize::MAX);
        let mut routes = policy.routes.clone();
        match &self.change {
            Change::Policy(weaker) => return (**weaker).clone(),
            Change::Route(weaker) => {
                if let Some(route) = routes.get_mut(at) {
                    route.clone_from(weaker);
                }
            }
            Change::Deleted if at < routes.len() => drop(routes.remove(at)),
            Change::Deleted => {}
        }
        policy.clone().with_routes(routes)
    }
}

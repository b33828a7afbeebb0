//! What is tried of claims, and what one side asks of them.

use crate::policy::route::Route;
use crate::policy::{Issuer, Policy};

/// The tenant of the request, unless another one matters.
pub(super) const TENANT: &str = "a0000000-0000-4000-a000-00000000000a";

/// Another tenant.
pub(super) const OTHER_TENANT: &str = "b0000000-0000-4000-a000-00000000000b";

/// A tenant that is a text.
pub(super) const TEXT_TENANT: &str = "tenant-c";

/// Neither a UUID nor a text without spaces.
pub(super) const NO_TENANT: &str = "no tenant";

/// A name that no policy has.
pub(super) const UNNAMED: &str = "unnamed";

/// The thumbprint of all client certificates that are tried.
pub(super) const THUMBPRINT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The names that lead to a claim.
pub(super) type ClaimPath = Vec<String>;

/// What one side asks of the tokens of an issuer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'p> {
    /// The policy.
    pub(super) policy: &'p Policy,
    /// The route.
    pub(super) route: &'p Route,
    /// The issuer.
    pub(super) issuer: &'p Issuer,
    /// The path of the request.
    pub(super) path: &'p str,
}

impl<'p> Rules<'p> {
    /// Returns the roles that the route asks for, and those that bring one of them.
    pub(super) fn wanted_roles(&self) -> impl Iterator<Item = &'p str> + use<'p> {
        let (policy, wanted) = (self.policy, &self.route.requirement.roles);
        let bringing = wanted.iter().flat_map(|wanted| policy.roles.bringing(wanted));
        wanted.iter().map(String::as_str).chain(bringing)
    }
}

//! The response of Sidegate itself to a request by its decision, to be shown and not sent.

use jiff::Timestamp;

use super::local_response::LocalResponse;
use super::rejection_response::{ErrorContext, render};
use super::trace_context::RequestIds;
use crate::decision::{Decision, Outcome};
use crate::policy::PolicySet;
use crate::request::{RequestFacts, grpc_type, query};

/// What a response says of its request besides the decision.
#[derive(Debug)]
pub struct Said<'s> {
    /// The ids.
    pub ids: &'s RequestIds,
    /// The path.
    pub path: &'s str,
    /// The time.
    pub now: Timestamp,
}

/// Makes the response that Sidegate would send: to a rejected request, to a preflight, or with metadata.
pub fn own_response(
    decision: &Decision<'_, '_>,
    policies: &PolicySet,
    facts: &RequestFacts<'_>,
    said: &Said<'_>,
) -> Option<LocalResponse> {
    let policy = decision.matched.policy();
    let cors = policy.and_then(|policy| policy.cors.as_ref());
    let allowed_origin = cors.and_then(|cors| cors.origin_allowed_in(facts.headers));
    match &decision.outcome {
        Outcome::Deny(rejection) => {
            let sources = policy.map(|policy| &policy.sources.removed);
            let is_token = |name| sources.is_some_and(|sources| sources.is_query(name));
            let context = ErrorContext {
                grpc: grpc_type(facts.headers),
                allowed_origin: allowed_origin.as_ref(),
                had_token_in_query: query::parameters(facts.query).any(|(name, _)| is_token(name)),
                ..ErrorContext::new(policies, decision.matched, said.ids, said.path, said.now)
            };
            Some(render(rejection, &context))
        }
        Outcome::Metadata => Some(LocalResponse::metadata(policy?.resource.as_ref()?, facts.method)),
        Outcome::Preflight(methods) => Some(LocalResponse::preflight(cors?, &allowed_origin?, methods)),
        Outcome::Allow(_) | Outcome::ShadowDeny(..) | Outcome::ServerOptions => None,
    }
}

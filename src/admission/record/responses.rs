//! What a record says in responses that Sidegate makes, and in those of services: which page may read them.

use http::{HeaderValue, Method};

use super::RequestRecord;
use crate::admission::local_response::LocalResponse;
use crate::admission::rejection_response::REQUEST_ID;
use crate::policy::Policy;
use crate::policy::cors::{Cors, Field};
use crate::rejection::{Reason, Rejection};

impl RequestRecord {
    /// Finds out which page may read the response, where the policy has `cors`.
    pub fn find_page(&mut self, origin: impl FnOnce(&Cors) -> Option<HeaderValue>) {
        self.allowed_origin = self.cors().and_then(origin);
    }

    /// Takes it that the query had a token, where the policy removes tokens from it and the head could not be read.
    pub fn assume_token_in_query(&mut self) {
        self.had_token_in_query = self
            .policy()
            .is_some_and(|policy| !policy.sources.removed.queries.is_empty());
    }

    /// Returns the policy that the request is for, without its route.
    fn policy(&self) -> Option<&Policy> {
        self.snapshot.policies().get(self.scope.policy?)
    }

    /// Returns which pages of other origins may read the responses of the policy.
    pub fn cors(&self) -> Option<&Cors> {
        self.policy()?.cors.as_ref()
    }

    /// Returns the fields of a response that say which page may read it; none without `cors`.
    pub fn cors_fields(&self) -> impl Iterator<Item = Field> {
        let cors = self.cors().into_iter();
        cors.flat_map(|cors| cors.response_fields(self.allowed_origin.as_ref()))
    }

    /// Makes the response to a preflight, for a path that takes these methods.
    pub(in crate::admission) fn preflight_response(&self, methods: &[Method]) -> Result<LocalResponse, Rejection> {
        let (cors, origin) = self
            .cors()
            .zip(self.allowed_origin.as_ref())
            .ok_or(Reason::InternalError)?;
        let mut response = LocalResponse::preflight(cors, origin, methods);
        response.headers.push((REQUEST_ID, self.ids.request_id_value()));
        Ok(response)
    }

    /// Makes the response with the metadata of the resource of the policy.
    pub(in crate::admission) fn metadata_response(&self) -> Result<LocalResponse, Rejection> {
        let resource = self.policy().and_then(|policy| policy.resource.as_ref());
        let resource = resource.ok_or(Reason::InternalError)?;
        let mut response = LocalResponse::metadata(resource, &self.method);
        response.headers.push((REQUEST_ID, self.ids.request_id_value()));
        Ok(response)
    }
}

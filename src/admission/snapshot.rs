//! The policies in force, and the counters of their requests.

use std::sync::Arc;

use crate::decision::{Decision, Evaluator, Observer, decide};
use crate::policy::PolicySet;
use crate::request::RequestFacts;
use crate::revocation::Revocations;
use crate::telemetry::metrics::{Metrics, PolicyMetrics};

/// The policies in force. A request holds one snapshot from its beginning to its end, so the index of a policy
/// stays valid.
#[derive(Debug)]
pub struct Snapshot {
    evaluator: Evaluator,
    /// The counters of the requests.
    pub metrics: PolicyMetrics,
}

impl Snapshot {
    /// Prepares policies to decide requests and count them.
    pub fn new(policies: Arc<PolicySet>, metrics: &Metrics) -> Self {
        Self {
            metrics: PolicyMetrics::new(metrics, Arc::clone(&policies)),
            evaluator: Evaluator::new(policies),
        }
    }

    /// Returns the policies.
    pub fn policies(&self) -> &Arc<PolicySet> {
        self.evaluator.policies()
    }

    /// Returns the evaluator: the policies, their keys and the verified tokens.
    pub const fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Decides a request.
    pub fn decide<'p, 'r>(
        &'p self,
        request: &RequestFacts<'r>,
        revocations: Revocations<'_>,
        observer: &mut impl Observer,
    ) -> Decision<'p, 'r> {
        decide(&self.evaluator, request, revocations, observer)
    }
}

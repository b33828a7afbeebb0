//! The policies in force, and the counters of their requests. Each serving thread has a snapshot of its own, so that
//! its requests count in its own metrics; all snapshots of the same policies share one evaluator.

use std::sync::Arc;

use crate::decision::{Decision, Evaluator, Observer, decide};
use crate::policy::PolicySet;
use crate::request::RequestFacts;
use crate::revocation::Revocations;
use crate::telemetry::metrics::{PolicyMetrics, ThreadMetrics};

/// The policies in force, for the requests of one thread. A request holds one snapshot from its beginning to its end, so the index of a policy
/// stays valid.
#[derive(Debug)]
pub struct Snapshot {
    evaluator: Arc<Evaluator>,
    /// The counters of the requests of this thread, also of those in flight and of the tokens that were looked for.
    pub metrics: PolicyMetrics,
}

impl Snapshot {
    /// Prepares to count the requests of a thread that the evaluator decides.
    pub fn new(evaluator: Arc<Evaluator>, thread: &ThreadMetrics) -> Self {
        Self {
            metrics: PolicyMetrics::new(thread, Arc::clone(evaluator.policies())),
            evaluator,
        }
    }

    /// Returns the policies.
    pub fn policies(&self) -> &Arc<PolicySet> {
        self.evaluator.policies()
    }

    /// Returns the evaluator: the policies, their keys and the verified tokens.
    pub fn evaluator(&self) -> &Evaluator {
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

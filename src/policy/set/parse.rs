//! Files to all policies of a process, checked one by one and against each other.

use std::sync::Arc;

use super::contradictions::contradictions;
use super::{PolicySet, case, resources, same_service};
use crate::document::environment::Environment;
use crate::document::problem::{Problem, SourceFile};
use crate::policy::{ErrorStyle, compile};

impl PolicySet {
    /// Reads all files, or says everything that is wrong with any of them.
    pub fn parse(
        files: &[Arc<SourceFile>],
        environment: &dyn Environment,
        default_errors: ErrorStyle,
    ) -> Result<Self, Vec<Problem>> {
        let mut policies = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match compile::parse(file, environment) {
                Ok(policy) => policies.push(policy),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(contradictions(&policies));
        problems.extend(resources::contradictions(&policies));
        problems.extend(same_service::passed(&policies));
        problems.extend(same_service::taken(&policies));
        if problems.iter().any(Problem::is_error) {
            let warnings = policies.into_iter().flat_map(|policy| policy.warnings.0);
            return Err(warnings.chain(problems).collect());
        }
        let mut set = Self::new(policies, default_errors);
        let let_through = same_service::let_through(&set.policies);
        for (index, warning) in case::open_in_another_case(&set).into_iter().chain(let_through) {
            if let Some(policy) = set.policies.get_mut(index) {
                policy.warnings.push(warning);
            }
        }
        Ok(set)
    }
}

//! What a decision leaves to the store.

use std::sync::Arc;

use uuid::Uuid;

use crate::policy::store_rules::{IdempotencyRule, Quota};

/// What the store has to be asked before a request is forwarded, in the order of the fields. Empty
/// unless the request is allowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreChecks<'p> {
    /// The idempotency key of the request, and the rule of its route.
    pub idempotency: Option<(&'p IdempotencyRule, Uuid)>,
    /// The quotas of the route.
    pub quotas: &'p [Arc<Quota>],
    /// Whether the request is for a sandbox, which no quota counts.
    pub sandbox: bool,
}

impl StoreChecks<'_> {
    /// Returns whether the store is not asked at all.
    pub const fn is_empty(&self) -> bool {
        self.idempotency.is_none() && self.quotas.is_empty()
    }
}

//! What a policy says for all of its routes.

use std::sync::Arc;

use http::HeaderName;

use crate::document::decode::Spanned;
use crate::policy::PathCase;
use crate::policy::document::Mode;
use crate::policy::identity::Identity;
use crate::policy::store_rules::{IdempotencyRule, Quota};

/// What the policy says for all of its routes.
pub(super) struct RouteDefaults<'c> {
    pub(super) prefix: &'c str,
    pub(super) has_tenant: bool,
    pub(super) tenant_header: HeaderName,
    pub(super) key_header: Option<&'c HeaderName>,
    pub(super) identity: &'c Identity,
    /// The headers that conditions of routes compare.
    pub(super) compared: &'c [HeaderName],
    /// The headers of other products that reach the service.
    pub(super) pass: Vec<Spanned<HeaderName>>,
    pub(super) mode: Option<Mode>,
    pub(super) content_types: Vec<String>,
    pub(super) idempotency: Option<Arc<IdempotencyRule>>,
    pub(super) quotas: Vec<Arc<Quota>>,
    pub(super) case: PathCase,
    /// Whether requests for a sandbox are left out of quotas.
    pub(super) sandbox: bool,
    /// The roles that the hierarchy names.
    pub(super) roles: Vec<String>,
}

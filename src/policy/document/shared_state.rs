//! `revocation`, `idempotency` and `quotas` of a policy as written: rules about state that replicas share.

use std::time::Duration;

use super::forms::{ChangingMethod, PlanLimit, QuotaName};
use super::values::ClaimPath;
use super::words::{Fallback, Mode, QuotaScope};
use crate::document::collections::{List, Map};
use crate::document::decode::{Spanned, document};
use crate::document::patterns::{periods, sizes};
use crate::document::scalars::{HumanDuration, Size, Timeout};

document! {
    /// Rejects revoked tokens with 401 `token_revoked`: `sidegate revoke` revokes by `jti`, by subject or by tenant.
    /// `revocation: {}` is enough. Needs a `jwt` block.
    pub struct RevocationDocument {
        /// How old the list of revocations of this replica may be, at least `2s`.
        #[schemars(extend("default" = "30s", "pattern" = periods(Duration::from_secs(2)..=Duration::MAX)))]
        max_stale: Option<Spanned<HumanDuration>>,
        /// What happens to requests with a token if the list is older than `max_stale`, or missing.
        #[schemars(extend("default" = "deny"))]
        when_unavailable: Option<Fallback>,
    }

    /// Requests with an `Idempotency-Key` (a UUID) reach the service once; a repetition gets the stored response. It
    /// applies to routes that authenticate the caller, and not to gRPC.
    pub struct IdempotencyDocument {
        /// The methods with which a request may have a key. Methods that change nothing (GET, HEAD, OPTIONS, TRACE) are
        /// an error.
        #[schemars(
            with = "Option<List<ChangingMethod>>",
            extend("default" = ["POST", "PUT", "PATCH"], "uniqueItems" = true, "examples" = [["POST"]])
        )]
        methods: Option<List<Spanned<String>>>,
        /// Whether a request without a key is rejected: 400 `idempotency_key_missing`.
        #[schemars(extend("default" = false))]
        required: Option<bool>,
        /// How long a response is stored, from `1s` to `30d`.
        #[schemars(extend(
            "default" = "24h",
            "pattern" = periods(Duration::from_secs(1)..=Duration::from_hours(30 * 24))
        ))]
        ttl: Option<Spanned<HumanDuration>>,
        /// The longest body of a response that is stored, at most `16MiB`. Longer responses are not stored, and the key
        /// is free again.
        #[schemars(extend("default" = "1MiB", "pattern" = sizes(&(0..=16 << 20)), "maximum" = 16 << 20))]
        max_body: Option<Spanned<Size>>,
        /// What happens to a request with a key if the store is unavailable.
        #[schemars(extend("default" = "deny"))]
        when_unavailable: Option<Fallback>,
    }

    /// A quota: a bucket of `limit` requests that refills evenly over `window`. Further requests get 429
    /// `quota_exceeded` with `Retry-After`.
    pub struct QuotaDocument [whole] {
        /// The name of the quota in `RateLimit` headers, metrics and log. Quotas of one name in a policy must be the
        /// same, and are counted together.
        #[schemars(with = "QuotaName")]
        name: Spanned<String>,
        /// Which requests share the quota. If the value is missing, the next verified one counts: subject, client, then
        /// address.
        per: Spanned<QuotaScope>,
        /// The number of requests at once, and again over the window; at most one in a microsecond.
        #[schemars(range(min = 1), extend("examples" = [1000]))]
        limit: Spanned<u32>,
        /// The time in which an empty bucket becomes full.
        #[schemars(extend("examples" = ["1m", "1h"]))]
        window: Spanned<Timeout>,
        /// Other limits, by the plan in the token; `limit` applies to other plans, and to requests without one.
        #[schemars(with = "Option<Map<PlanLimit>>", extend("examples" = [{ "free": 100, "enterprise": 100_000 }]))]
        plans: Option<Map<Spanned<u32>>>,
        /// The claim with the plan: its name, or the list of names that leads to it.
        #[schemars(extend("default" = "planTier", "examples" = ["planTier"]))]
        plan_claim: Option<Spanned<ClaimPath>>,
        /// Whether the quota is enforced or only counted.
        #[schemars(extend("default" = "enforce"))]
        mode: Option<Mode>,
        /// What happens to a request if the store is unavailable.
        #[schemars(extend("default" = "allow"))]
        when_unavailable: Option<Fallback>,
    }
}

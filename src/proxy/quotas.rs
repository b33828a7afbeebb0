//! Counts requests in the store and tells clients what is left
//! (draft-ietf-httpapi-ratelimit-headers).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use super::context::RequestContext;
use super::once::no_store;
use super::{Gateway, facts};
use crate::caller_key;
use crate::policy::route::Route;
use crate::policy::store_rules::Quota;
use crate::policy::{Fallback, Mode, Policy};
use crate::principal::Principal;
use crate::quota::{Rate, Spent};
use crate::rejection::{Reason, Rejection};
use crate::request::forwarded::client_address;
use crate::request::is_sandbox;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left of the quotas of a request.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    policy: String,
    limits: String,
}

impl RateLimits {
    fn note(&mut self, quota: &Quota, rate: Rate, spent: Spent) {
        use std::fmt::Write as _;
        let separator = if self.policy.is_empty() { "" } else { ", " };
        let (name, limit) = (&quota.name, rate.limit());
        let window = whole_seconds(quota.window);
        let _infallible = write!(self.policy, r#"{separator}"{name}";q={limit};w={window}"#);
        let (remaining, reset) = (spent.remaining, whole_seconds(spent.reset));
        let _infallible = write!(self.limits, r#"{separator}"{name}";r={remaining};t={reset}"#);
    }

    /// The header fields; none where nothing was counted.
    pub fn fields(&self) -> Vec<(HeaderName, HeaderValue)> {
        let fields = [(RATE_LIMIT_POLICY, &self.policy), (RATE_LIMIT, &self.limits)];
        let filled = fields.into_iter().filter(|(_, text)| !text.is_empty());
        filled
            .filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?)))
            .collect()
    }

    /// Adds them to a response.
    pub fn write(&self, response: &mut ResponseHeader) -> Result<()> {
        for (name, value) in self.fields() {
            response.append_header(name, value)?;
        }
        Ok(())
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Gateway {
    /// Counts an allowed request in every quota of its route, up to the first that refuses it.
    /// Whether it may go on; if not, it is refused.
    pub(super) async fn is_within_quotas(&self, session: &ServerSession, ctx: &mut RequestContext) -> bool {
        let in_force = Arc::clone(&ctx.in_force);
        let matched = in_force.policies.matched(ctx.scope);
        let (Some(policy), Some(route)) = (matched.policy(), matched.route()) else {
            return true;
        };
        if route.quotas.is_empty() {
            return true;
        }
        let principal = ctx.principal.take().unwrap_or_default();
        let counted = self.count_in((policy, route), session, &principal, ctx).await;
        ctx.principal = Some(principal);
        // What the store takes is not the service's time.
        ctx.upstream_started = Some(Instant::now());
        match counted {
            Ok(()) => true,
            Err(rejection) => {
                ctx.refuse(rejection);
                false
            }
        }
    }

    async fn count_in(
        &self,
        (policy, route): (&Policy, &Route),
        session: &ServerSession,
        principal: &Principal,
        ctx: &mut RequestContext,
    ) -> Result<(), Rejection> {
        let headers = &session.req_header().headers;
        let is_free = route.sandbox && is_sandbox(headers);
        let (in_force, at) = (Arc::clone(&ctx.in_force), ctx.scope);
        for (position, quota) in route.quotas.iter().enumerate() {
            let count = |result| in_force.metrics.quota(at, position, result);
            if is_free {
                count("sandbox");
                continue;
            }
            let enforced = quota.mode == Mode::Enforce && route.mode == Mode::Enforce;
            let (bucket, rate) = caller_key::bucket(policy, quota, principal, self.address(session));
            match self.store.spend(bucket, rate).await {
                Ok(spent) => {
                    if enforced {
                        ctx.rate_limits.note(quota, rate, spent);
                    }
                    match (spent.allowed, enforced) {
                        (true, _) => count("allow"),
                        (false, false) => count("shadow_deny"),
                        (false, true) => {
                            count("deny");
                            let cause = format!("the quota `{}` of {} is used up", quota.name, rate.limit());
                            let rejection = Rejection::because(Reason::QuotaExceeded, cause);
                            return Err(rejection.retry_after(spent.retry_after));
                        }
                    }
                }
                Err(_) if quota.when_unavailable == Fallback::Allow || !enforced => {
                    count("unavailable");
                    if enforced {
                        in_force.metrics.failed_open(at, "quota");
                    }
                }
                Err(unavailable) => {
                    count("unavailable");
                    return Err(no_store(&unavailable));
                }
            }
        }
        Ok(())
    }

    /// Where a client calls from: the other end, or what trusted proxies say of their other end.
    pub(super) fn address(&self, session: &ServerSession) -> Option<IpAddr> {
        let headers = &session.req_header().headers;
        client_address(facts::peer_address(session), headers, |peer| self.trusts(peer))
    }
}

//! The log lines of a start or reload: services, routes and warnings. Decides nothing.

use crate::config::{Surroundings, threads};
use crate::document::problem::Problem;
use crate::jwks::proxy::KeyProxy;
use crate::policy::remote_keys::RemoteKeys;
use crate::policy::{Mode, Policy, PolicySet};

/// Logs what `check` warns of.
pub fn warnings<'p>(problems: impl IntoIterator<Item = &'p Problem>) {
    for problem in problems {
        tracing::warn!(
            code = problem.code().as_str(),
            place = %problem.location(),
            help = problem.fix(),
            "{}",
            problem.message()
        );
    }
}

/// Logs how many threads serve, and whether the process has fewer processors.
pub fn serving(threads: usize, is_auto: bool) {
    tracing::info!(threads, auto = is_auto, "serving");
    if let Some(warning) = threads::warning(threads, is_auto, &threads::processors()) {
        tracing::warn!("{warning}");
    }
}

/// Logs where the service of a policy is, who issues its credentials, and what each route requires.
pub fn policy(policy: &Policy, proxy: &KeyProxy) {
    guarding(policy, proxy);
    for route in &policy.routes {
        let methods: Vec<_> = route.methods.iter().map(http::Method::as_str).collect();
        tracing::info!(
            service = policy.service,
            route = route.pattern,
            methods = methods.join(","),
            auth = route.auth_label(),
            roles = route.requirement.roles.join(","),
            scopes = route.requirement.scopes.join(","),
            shadow = route.mode == Mode::Shadow,
            log = (!route.access_log).then_some("off"),
            "route"
        );
    }
}

fn guarding(policy: &Policy, proxy: &KeyProxy) {
    let hosts: Vec<_> = policy.hosts.iter().map(ToString::to_string).collect();
    tracing::info!(
        service = policy.service,
        hosts = hosts.join(","),
        prefix = policy.prefix,
        upstream = %policy.upstream.address,
        token_sources = token_sources(policy),
        "guarding"
    );
    for issuer in &policy.issuers {
        let audiences = issuer.audiences.as_ref().map(|audiences| audiences.join(","));
        tracing::info!(
            service = policy.service,
            issuer = %issuer.names,
            audience = audiences.as_deref().unwrap_or("unchecked"),
            algorithms = ?issuer.algorithms,
            keys = issuer.remote().map(RemoteKeys::shown_url).as_deref(),
            proxy = issuer.remote().and_then(|remote| proxy.shown_for(remote.url())),
            binding = ?issuer.binding,
            "trusting"
        );
    }
    let now = jiff::Timestamp::now().as_second();
    for key in policy
        .internal_keys
        .iter()
        .flat_map(|keys| &keys.keys)
        .filter(|key| key.has_expired(now))
    {
        tracing::warn!(
            service = policy.service,
            key = key.name(),
            "the internal key has expired"
        );
    }
}

/// Lists the places that tokens may be in, unless that is `Authorization` alone.
fn token_sources(policy: &Policy) -> Option<String> {
    let sources = &policy.sources;
    let authorization = sources.authorization.then(|| "authorization".to_owned());
    let named = sources
        .read
        .iter()
        .map(|(kind, name)| format!("{} {name}", kind.as_str()));
    let places: Vec<_> = authorization.into_iter().chain(named).collect();
    (!sources.is_authorization_alone()).then(|| places.join(", "))
}

/// Warns of what policies ask for and the process does not have.
pub fn unmet(policies: &PolicySet, surroundings: Surroundings) {
    if !surroundings.asks_for_certificates {
        unasked_certificates(policies);
    }
    if surroundings.forgets_revocations {
        forgotten_revocations(policies);
    }
}

/// Warns of policies whose revocations end with this process.
fn forgotten_revocations(policies: &PolicySet) {
    let asking = policies.policies().iter().filter(|policy| policy.revocation.is_some());
    let services: Vec<_> = asking.map(|policy| policy.service.as_str()).collect();
    if !services.is_empty() {
        tracing::warn!(
            services = services.join(","),
            "revocations are lost when this process restarts, for the store is `memory`: `store: {{ redis: … }}` keeps them"
        );
    }
}

/// Logs what needs client certificates, where no listener asks for them.
fn unasked_certificates(policies: &PolicySet) {
    let found: Vec<_> = policies
        .policies()
        .iter()
        .flat_map(Policy::unasked_certificates)
        .collect();
    warnings(&found);
}

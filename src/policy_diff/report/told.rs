//! Which identity headers the upstream gets from another source, by what both policies say of them: one caller who is answered
//! differently for one header does not show the others.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::policy::identity::{IdentityHeader, IdentitySource};
use crate::policy::route::Route;
use crate::policy::{Policy, PolicySet, Scope};
use crate::policy_diff::delta::{Delta, Told};
use crate::policy_diff::effects::Effect;
use crate::principal::AuthMethod;

/// What a request meets, if it is a route.
type Met<'p> = Option<(&'p Policy, &'p Route)>;

/// Adds to a change the headers that the policies define differently, where some callers are forwarded differently.
pub(super) fn complete(delta: &mut Rc<Delta>, (was, old): (&PolicySet, Scope), (now, new): (&PolicySet, Scope)) {
    if !delta.effects.contains(&Effect::ForwardedDifferently) {
        return;
    }
    let met = |policies, scope: Scope| PolicySet::route(policies, scope.route?);
    let found = changed(met(was, old), met(now, new));
    let is_known = |told: &Told| delta.told.contains(told);
    if found.iter().all(is_known) {
        return;
    }
    let delta = Rc::make_mut(delta);
    delta
        .told
        .retain(|known| !found.iter().any(|told| told.header == known.header));
    delta.told.extend(found);
    delta.told.sort_unstable();
}

fn changed(was: Met<'_>, now: Met<'_>) -> Vec<Told> {
    let headers = |met: Met<'_>| {
        let headers = met.into_iter().flat_map(|(policy, _)| policy.identity.headers());
        headers.map(|header| header.name.to_string()).collect::<BTreeSet<_>>()
    };
    let names = headers(was).into_iter().chain(headers(now)).collect::<BTreeSet<_>>();
    let told = names.into_iter().filter_map(|header| {
        let (old, new) = (find(was, &header), find(now, &header));
        let is_same = old.map(IdentityHeader::described) == new.map(IdentityHeader::described);
        let shown = |met: Met<'_>, header: Option<&IdentityHeader>| {
            let met = met?;
            header
                .filter(|header| may_be_set(header, met))
                .map(IdentityHeader::described)
        };
        let (was, now) = (shown(was, old), shown(now, new));
        (!is_same && was != now).then_some(Told { header, was, now })
    });
    told.collect()
}

fn find<'p>(met: Met<'p>, name: &str) -> Option<&'p IdentityHeader> {
    let (policy, _) = met?;
    policy.identity.headers().iter().find(|header| header.name == name)
}

/// Whether a route lets callers pass for whom a header has a value.
fn may_be_set(header: &IdentityHeader, (policy, route): (&Policy, &Route)) -> bool {
    let methods = route.authentication.methods();
    let has = |method| methods.contains(&method);
    match header.source {
        IdentitySource::AuthMethod => !route.is_denied(),
        IdentitySource::ClientId => has(AuthMethod::InternalKey) || has(AuthMethod::Mtls),
        IdentitySource::Tenant => policy.tenant.is_some() && has(AuthMethod::Jwt),
        IdentitySource::Claim(_) | IdentitySource::Roles | IdentitySource::Scopes => has(AuthMethod::Jwt),
    }
}

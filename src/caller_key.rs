//! Who calls, as one name for what is kept about a caller: made of what was verified, and of the
//! address where nothing was. Never of what a client says of itself.

use std::net::{IpAddr, Ipv6Addr};

use crate::digest::Fingerprint;
use crate::policy::store_rules::Quota;
use crate::policy::{Policy, QuotaScope};
use crate::principal::{AuthMethod, Principal};
use crate::quota::Rate;

/// Everything that was verified of a caller. A subject is one only together with its issuer.
pub fn fingerprint(principal: &Principal) -> Fingerprint {
    let tenant = principal.tenant.as_ref().map(ToString::to_string);
    let method = principal.methods.text();
    let parts = [
        Some(&*method),
        tenant.as_deref(),
        principal.issuer(),
        principal.subject(),
        principal.client.as_deref(),
    ];
    let parts: Vec<_> = parts.into_iter().map(optional).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    Fingerprint::of(&parts)
}

/// Those who share what one replica keeps in memory, so that none of them has it all: a tenant, or a
/// caller without one.
pub fn share(principal: &Principal) -> Fingerprint {
    match &principal.tenant {
        Some(tenant) => Fingerprint::of(&[b"tenant", tenant.to_string().as_bytes()]),
        None => fingerprint(principal),
    }
}

/// The bucket of a quota that a request is counted in, and how fast it fills. A caller without
/// what the quota goes by is counted by what else was verified, and by its address in the end.
pub fn bucket(policy: &Policy, quota: &Quota, principal: &Principal, address: Option<IpAddr>) -> (Fingerprint, Rate) {
    let tenant = || Some(("tenant", principal.tenant.as_ref()?.to_string()));
    let subject = || {
        let issuer = principal.issuer().unwrap_or_default();
        let subject = principal.subject()?;
        Some((
            "subject",
            Fingerprint::of(&[issuer.as_bytes(), subject.as_bytes()]).to_string(),
        ))
    };
    let client = || Some(("client", principal.client.as_deref()?.to_owned()));
    let network = || address.map_or_else(|| "local".to_owned(), |address| network(address).to_string());
    let found = match quota.per {
        QuotaScope::Tenant => tenant().or_else(client).or_else(subject),
        QuotaScope::Subject => subject().or_else(client),
        QuotaScope::Client => client().or_else(subject),
        QuotaScope::Address => None,
    };
    let (kind, name) = found.unwrap_or_else(|| ("address", network()));
    let parts = [policy.service.as_str(), quota.name.as_str(), kind, name.as_str()];
    let rate = quota.rate_of(quota.plan(principal));
    (Fingerprint::of(&parts.map(str::as_bytes)), rate)
}

/// The one name of a caller, whatever tenant it acts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity<'p> {
    /// The subject of a token, which is one only together with its issuer.
    Subject(&'p str, &'p str),
    /// The subject of a token whose issuer is not known, to a service.
    SubjectOf(&'p str, &'p str),
    /// The name of an internal key, which a policy gives it, to a service.
    Key(&'p str, &'p str),
    /// The identity in a client certificate.
    Certificate(&'p str),
}

/// Who a caller of a service is, as far as something names it.
pub fn identity<'p>(principal: &'p Principal, service: &'p str) -> Option<Identity<'p>> {
    let subject = principal.subject();
    let client = || {
        let name = principal.client.as_deref()?;
        Some(match principal.methods.contains(AuthMethod::InternalKey) {
            true => Identity::Key(service, name),
            false => Identity::Certificate(name),
        })
    };
    subject
        .map(|subject| match principal.issuer() {
            Some(issuer) => Identity::Subject(issuer, subject),
            None => Identity::SubjectOf(service, subject),
        })
        .or_else(client)
}

/// Absent is not empty.
fn optional(part: Option<&str>) -> Vec<u8> {
    match part {
        Some(text) => [b"+", text.as_bytes()].concat(),
        None => Vec::new(),
    }
}

/// One customer has one IPv4 address, and 2^64 of IPv6 (RFC 6177, 2).
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::policy::{Fallback, Mode};
    use crate::principal::{AuthMethod, TenantId, VerifiedToken};
    use crate::testing::{OTHER_TENANT, TENANT, parse};

    const POLICY: &str =
        "version: 1\nservice: s\nupstream: { url: http://127.0.0.1:1 }\nroutes: [{ path: /*, auth: public }]\n";

    fn bearing(claims: &[(&str, Option<&str>)]) -> Arc<VerifiedToken> {
        let given = claims
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), json!((*value)?))));
        Arc::new(VerifiedToken {
            claims: given.collect(),
            ..VerifiedToken::default()
        })
    }

    fn principal(tenant: Option<&str>, issuer: Option<&str>, subject: Option<&str>, client: Option<&str>) -> Principal {
        Principal {
            tenant: tenant.and_then(TenantId::parse),
            token: Some(bearing(&[("iss", issuer), ("sub", subject)])),
            client: client.map(Into::into),
            ..Principal::by(AuthMethod::Jwt)
        }
    }

    #[test]
    fn no_two_callers_are_one() {
        let (one, other) = (Some(TENANT), Some(OTHER_TENANT));
        let callers = [
            principal(None, None, None, None),
            principal(one, None, None, None),
            principal(other, None, None, None),
            principal(one, Some("i"), Some("a"), None),
            principal(one, Some("j"), Some("a"), None),
            principal(one, Some("i"), Some("b"), None),
            principal(one, None, Some("a"), None),
            principal(one, Some("i"), None, Some("a")),
            principal(one, Some("i"), Some(""), Some("a")),
            principal(one, Some("ia"), Some(""), None),
            Principal {
                methods: AuthMethod::InternalKey.into(),
                ..principal(one, Some("i"), Some("a"), None)
            },
        ];
        for (at, caller) in callers.iter().enumerate() {
            assert_eq!(fingerprint(caller), fingerprint(&caller.clone()));
            for other in callers.iter().skip(at + 1) {
                assert_ne!(fingerprint(caller), fingerprint(other), "{caller:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_bucket_is_shared_by_those_who_share_the_quota() {
        let policies = parse(&[POLICY]).unwrap();
        let policy = policies.get(0).unwrap();
        let here: Option<IpAddr> = Some("192.0.2.1".parse().unwrap());
        let there: Option<IpAddr> = Some("192.0.2.2".parse().unwrap());
        let no_caller = || principal(None, None, None, None);
        let user = |tenant, subject| principal(Some(tenant), Some("i"), Some(subject), None);
        let job = |name| principal(None, None, None, Some(name));
        for (per, (one, from), (other, to), same) in [
            (
                QuotaScope::Tenant,
                (user(TENANT, "a"), here),
                (user(TENANT, "b"), there),
                true,
            ),
            (
                QuotaScope::Tenant,
                (user(TENANT, "a"), here),
                (user(OTHER_TENANT, "a"), here),
                false,
            ),
            (QuotaScope::Tenant, (job("x"), here), (job("x"), there), true),
            (QuotaScope::Tenant, (job("x"), here), (job("y"), here), false),
            (
                QuotaScope::Tenant,
                (job(TENANT), here),
                (user(TENANT, "a"), here),
                false,
            ),
            (
                QuotaScope::Subject,
                (user(TENANT, "a"), here),
                (user(OTHER_TENANT, "a"), there),
                true,
            ),
            (
                QuotaScope::Subject,
                (principal(None, Some("j"), Some("a"), None), here),
                (user(TENANT, "a"), here),
                false,
            ),
            (QuotaScope::Client, (job("x"), here), (job("x"), there), true),
            (
                QuotaScope::Client,
                (user(TENANT, "a"), here),
                (user(TENANT, "b"), here),
                false,
            ),
            (QuotaScope::Address, (user(TENANT, "a"), here), (job("x"), here), true),
            (
                QuotaScope::Address,
                (user(TENANT, "a"), here),
                (user(TENANT, "a"), there),
                false,
            ),
            (QuotaScope::Subject, (no_caller(), here), (no_caller(), here), true),
            (QuotaScope::Subject, (no_caller(), here), (no_caller(), there), false),
            (QuotaScope::Address, (no_caller(), None), (no_caller(), None), true),
        ] {
            let quota = Quota {
                name: "q".into(),
                per,
                rate: Rate::new(1, Duration::from_secs(1)).unwrap(),
                window: Duration::from_secs(1),
                plans: Vec::new(),
                plan_claim: Vec::new(),
                mode: Mode::Enforce,
                when_unavailable: Fallback::Allow,
            };
            let (one_bucket, _) = bucket(policy, &quota, &one, from);
            let (other_bucket, _) = bucket(policy, &quota, &other, to);
            assert_eq!(one_bucket == other_bucket, same, "{per:?} {one:?} {other:?}");
            let renamed = Quota {
                name: "r".into(),
                ..quota
            };
            assert_ne!(bucket(policy, &renamed, &one, from).0, one_bucket);
        }
    }

    #[test]
    fn an_identity_is_the_subject_or_else_the_key_or_the_certificate() {
        let by = |method: AuthMethod, principal| Principal {
            methods: method.into(),
            ..principal
        };
        let (jwt, key, mtls) = (AuthMethod::Jwt, AuthMethod::InternalKey, AuthMethod::Mtls);
        for (caller, want) in [
            (
                by(jwt, principal(Some(TENANT), Some("i"), Some("a"), None)),
                Some(Identity::Subject("i", "a")),
            ),
            (
                by(key, principal(None, Some("i"), Some("a"), Some("k"))),
                Some(Identity::Subject("i", "a")),
            ),
            // Another service may give another caller the same name.
            (
                by(jwt, principal(Some(TENANT), None, Some("a"), None)),
                Some(Identity::SubjectOf("s", "a")),
            ),
            (
                by(key, principal(None, None, None, Some("k"))),
                Some(Identity::Key("s", "k")),
            ),
            (
                by(mtls, principal(None, None, None, Some("k"))),
                Some(Identity::Certificate("k")),
            ),
            (by(jwt, principal(Some(TENANT), Some("i"), None, None)), None),
            (Principal::default(), None),
        ] {
            assert_eq!(identity(&caller, "s"), want, "{caller:?}");
        }
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        for (address, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:3:3:4:5:6", "2001:db8:1:3::"),
        ] {
            assert_eq!(network(address.parse().unwrap()).to_string(), want);
        }
    }
}

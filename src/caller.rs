//! Who calls, as one name for what is kept about a caller: made of what was verified, and of the
//! address where nothing was. Never of what a client says of itself.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;

use crate::fingerprint::Fingerprint;
use crate::policy::shared::Quota;
use crate::policy::{Policy, QuotaScope};
use crate::principal::{Claims, Principal};
use crate::quota::Rate;

/// Everything that was verified of a caller. A subject is one only together with its issuer.
pub fn fingerprint(principal: &Principal) -> Fingerprint {
    let tenant = principal.tenant.map(|tenant| tenant.to_string());
    let parts = [
        Some(principal.auth_method()),
        tenant,
        issuer(&principal.claims).map(ToOwned::to_owned),
        principal.subject.clone(),
        principal.client.clone(),
    ];
    let parts: Vec<_> = parts.iter().map(|part| optional(part.as_deref())).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    Fingerprint::of(&parts)
}

/// The bucket of a quota that a request is counted in, and how fast it fills. A caller without
/// what the quota goes by is counted by what else was verified, and by its address in the end.
pub fn bucket(policy: &Policy, quota: &Quota, principal: &Principal, address: Option<IpAddr>) -> (Fingerprint, Rate) {
    let tenant = || Some(("tenant", principal.tenant?.to_string()));
    let subject = || {
        let issuer = issuer(&principal.claims).unwrap_or_default();
        let subject = principal.subject.as_deref()?;
        Some((
            "subject",
            Fingerprint::of(&[issuer.as_bytes(), subject.as_bytes()]).to_string(),
        ))
    };
    let client = || Some(("client", principal.client.clone()?));
    let found = match quota.per {
        QuotaScope::Tenant => tenant().or_else(client).or_else(subject),
        QuotaScope::Subject => subject().or_else(client),
        QuotaScope::Client => client().or_else(subject),
        QuotaScope::Address => None,
    };
    let (kind, name) = found.unwrap_or_else(|| ("address", network(address)));
    let parts = [policy.service.as_str(), quota.name.as_str(), kind, name.as_str()];
    let rate = quota.rate_of(quota.plan(&principal.claims));
    (Fingerprint::of(&parts.map(str::as_bytes)), rate)
}

fn issuer(claims: &Claims) -> Option<&str> {
    claims.get("iss").and_then(Value::as_str)
}

/// Absent is not empty.
fn optional(part: Option<&str>) -> Vec<u8> {
    match part {
        Some(text) => [b"+", text.as_bytes()].concat(),
        None => Vec::new(),
    }
}

/// One customer has one IPv4 address, and 2^64 of IPv6 (RFC 6177, 2).
fn network(address: Option<IpAddr>) -> String {
    match address {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string(),
        None => "local".into(),
    }
}

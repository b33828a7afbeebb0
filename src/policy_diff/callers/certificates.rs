//! The client certificates that either side tells apart.

use std::collections::BTreeSet;

use super::pair::Pair;
use super::parts::Patch;
use super::rules::{THUMBPRINT, UNNAMED};
use super::space::{Aspect, Dimension, Label, Variant};
use crate::credential::{ClientCertificate, Thumbprint};
use crate::policy::Policy;
use crate::policy::certificate::CertificateName;
use crate::principal::AuthMethod;

/// The most patterns whose overlaps are looked for.
const MOST_OVERLAPS: usize = 64;

/// Returns the certificates of callers, if either side looks at them.
pub(super) fn dimension(pair: &Pair<'_>) -> Option<Dimension> {
    let policies: Vec<_> = pair.asking(AuthMethod::Mtls).collect();
    if policies.is_empty() && !binds_differently(pair) {
        return None;
    }
    let mut names: Vec<&CertificateName> = Vec::new();
    for name in policies.iter().flat_map(|policy| &policy.certificates) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let absent = Variant::new(Patch::Certificate(None), Label::None);
    let mut certificates: Vec<(ClientCertificate, String)> = Vec::new();
    let uris = uris(&names);
    for uri in &uris {
        certificates.push((of_uris(vec![uri.clone()]), uri.clone()));
    }
    for name in &names {
        match name {
            CertificateName::Uri(_) => {}
            CertificateName::Dns(name) => certificates.push((of_dns(name), name.clone())),
            CertificateName::CommonName(name) => certificates.push((of_common_name(name), name.clone())),
        }
    }
    let singles = certificates.clone();
    certificates.push((of_uris(vec![unknown(&names)]), "another name".to_owned()));
    if policies.len() == 2 && !pair.has_same_policy(|policy| &policy.certificates) {
        for (at, (one, name)) in singles.iter().enumerate() {
            let others = singles.iter().skip(at + 1);
            certificates.extend(others.map(|(other, also)| (joined(one, other), format!("{name} and {also}"))));
        }
    }
    let stranger = of_uris(vec![unknown(&names)]);
    let mut variants = vec![absent];
    variants.extend(
        certificates
            .into_iter()
            .map(|(certificate, name)| variant(certificate, name)),
    );
    variants.push(variant(
        ClientCertificate {
            not_after: 0,
            ..stranger
        },
        "an expired certificate".to_owned(),
    ));
    Some(Dimension::new(Aspect::Certificate, variants))
}

/// Returns whether the sides differ in what becomes of tokens that are bound to a certificate.
fn binds_differently(pair: &Pair<'_>) -> bool {
    let [old, new] = pair.sides().map(|side| side.asking(AuthMethod::Jwt));
    let modes = |policy: &Policy| policy.issuers.iter().map(|issuer| issuer.binding).collect::<Vec<_>>();
    old.zip(new).is_some_and(|(old, new)| modes(old) != modes(new))
}

/// Returns a certificate that any token may be bound to.
pub(super) fn any() -> ClientCertificate {
    of_uris(vec![format!("spiffe://{UNNAMED}/{UNNAMED}")])
}

fn variant(certificate: ClientCertificate, name: String) -> Variant {
    Variant::new(Patch::Certificate(Some(certificate)), Label::Certificate(name)).credential()
}

fn plain() -> ClientCertificate {
    ClientCertificate {
        thumbprint: Thumbprint::parse(THUMBPRINT),
        not_after: i64::MAX,
        ..ClientCertificate::default()
    }
}

fn of_uris(uris: Vec<String>) -> ClientCertificate {
    ClientCertificate { uris, ..plain() }
}

fn of_dns(name: &str) -> ClientCertificate {
    ClientCertificate {
        dns: vec![name.to_owned()],
        ..plain()
    }
}

fn of_common_name(name: &str) -> ClientCertificate {
    ClientCertificate {
        common_names: vec![name.to_owned()],
        ..plain()
    }
}

fn joined(one: &ClientCertificate, other: &ClientCertificate) -> ClientCertificate {
    let both = |one: &[String], other: &[String]| [one, other].concat();
    ClientCertificate {
        uris: both(&one.uris, &other.uris),
        dns: both(&one.dns, &other.dns),
        common_names: both(&one.common_names, &other.common_names),
        ..plain()
    }
}

/// URIs that the patterns tell apart: one of each pattern, and one of each overlap of some patterns.
fn uris(names: &[&CertificateName]) -> Vec<String> {
    let patterns = names.iter().filter_map(|name| match name {
        CertificateName::Uri(pattern) => Some(pattern.as_str()),
        CertificateName::Dns(_) | CertificateName::CommonName(_) => None,
    });
    let patterns: Vec<Vec<&str>> = patterns.map(|pattern| pattern.split('/').collect()).collect();
    let mut found = patterns.clone();
    let mut at = 0;
    while at < found.len() && found.len() < MOST_OVERLAPS {
        for pattern in &patterns {
            let overlap = found.get(at).and_then(|one| overlap(one, pattern));
            found.extend(overlap.filter(|overlap| !found.contains(overlap)));
        }
        at += 1;
    }
    let mut fresh = (0..).map(|number: u32| format!("x{number}"));
    let literals: BTreeSet<&str> = patterns.iter().flatten().copied().collect();
    let mut uris = Vec::new();
    for pattern in &found {
        let segments = pattern.iter().map(|segment| match *segment {
            "*" => fresh.find(|text| !literals.contains(text.as_str())).unwrap_or_default(),
            segment => segment.to_owned(),
        });
        uris.push(segments.collect::<Vec<_>>().join("/"));
    }
    uris
}

/// Returns a URI that no pattern fits: it has more segments than all of them.
fn unknown(names: &[&CertificateName]) -> String {
    let segments = names.iter().filter_map(|name| match name {
        CertificateName::Uri(pattern) => Some(pattern.as_str().split('/').count()),
        CertificateName::Dns(_) | CertificateName::CommonName(_) => None,
    });
    let longest = segments.max().unwrap_or_default();
    format!("spiffe://{UNNAMED}{}", format!("/{UNNAMED}").repeat(longest))
}

/// The pattern of the URIs that two patterns have in common.
fn overlap<'p>(one: &[&'p str], other: &[&'p str]) -> Option<Vec<&'p str>> {
    if one.len() != other.len() {
        return None;
    }
    let pairs = one.iter().zip(other);
    let segments = pairs.map(|pair| match pair {
        (&"*", segment) | (segment, &"*") => Some(*segment),
        (one, other) if one == other => Some(*one),
        _ => None,
    });
    segments.collect()
}

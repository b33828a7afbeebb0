//! The names that a client certificate may have.

use crate::credential::ClientCertificate;

/// One allowed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// A URI, in which `*` stands for one segment.
    Uri(String),
    /// A DNS name.
    Dns(String),
    /// A common name.
    CommonName(String),
}

impl CertificateName {
    /// Returns the name as the policy has it.
    pub fn as_str(&self) -> &str {
        let (Self::Uri(name) | Self::Dns(name) | Self::CommonName(name)) = self;
        name
    }

    /// The name in the certificate that this one allows.
    pub fn find<'c>(&self, certificate: &'c ClientCertificate) -> Option<&'c str> {
        let found = match self {
            // SPIFFE X.509-SVID, 2: exactly one URI; with more, none of them is the identity.
            Self::Uri(pattern) if pattern.starts_with("spiffe://") => match certificate.uris.as_slice() {
                [uri] if uri_matches(pattern, uri) => Some(uri),
                _ => None,
            },
            Self::Uri(pattern) => certificate.uris.iter().find(|uri| uri_matches(pattern, uri)),
            Self::Dns(name) => certificate.dns.iter().find(|dns| dns.eq_ignore_ascii_case(name)),
            Self::CommonName(name) => certificate.common_names.iter().find(|cn| *cn == name),
        };
        found
            .map(String::as_str)
            .filter(|name| name.bytes().all(|b| b.is_ascii_graphic() || b == b' '))
    }
}

fn uri_matches(pattern: &str, uri: &str) -> bool {
    let mut given = uri.split('/');
    let all = pattern.split('/').all(|want| match (want, given.next()) {
        ("*", Some(segment)) => is_plain(segment),
        (want, Some(segment)) => want == segment,
        (_, None) => false,
    });
    all && given.next().is_none()
}

/// A segment that every reader takes for one (SPIFFE ID, 2.2).
fn is_plain(segment: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_segment_of_a_uri() {
        for (pattern, uri, want) in [
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/core/sa/job", true),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns//sa/job", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/../sa/job", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/a%2Fb/sa/job", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/a?b/sa/job", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/a/b/sa/job", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/core/sa/job/x", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://e/ns/core/sa/jobs", false),
            ("spiffe://e/ns/*/sa/job", "spiffe://f/ns/core/sa/job", false),
        ] {
            assert_eq!(uri_matches(pattern, uri), want, "{uri}");
        }
    }

    #[test]
    fn names_are_compared_by_their_kind() {
        let certificate = ClientCertificate {
            uris: vec!["spiffe://e/a".into(), "urn:x".into()],
            dns: vec!["Jobs.Internal".into()],
            common_names: vec!["job".into(), "new\nline".into()],
            ..ClientCertificate::default()
        };
        for (name, want) in [
            (CertificateName::Uri("spiffe://e/a".into()), None),
            (CertificateName::Uri("urn:x".into()), Some("urn:x")),
            (CertificateName::Dns("jobs.internal".into()), Some("Jobs.Internal")),
            (CertificateName::Dns("job".into()), None),
            (CertificateName::CommonName("job".into()), Some("job")),
            (CertificateName::CommonName("new\nline".into()), None),
        ] {
            assert_eq!(name.find(&certificate), want, "{name:?}");
        }
    }
}

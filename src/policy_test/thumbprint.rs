//! The thumbprint of a certificate that exists in a test alone: made from its names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::credential::{ClientCertificate, Thumbprint};
use crate::digest::Hasher;

/// Returns the thumbprint of a certificate, and as a token has it (RFC 8705, 3.1).
pub(super) fn thumbprint(certificate: &ClientCertificate) -> (Option<Thumbprint>, String) {
    let mut digest = Hasher::default();
    for names in [&certificate.uris, &certificate.dns, &certificate.common_names] {
        for name in names {
            digest.add(name.as_bytes());
            digest.add(b"\n");
        }
        digest.add(b"\n");
    }
    let text = URL_SAFE_NO_PAD.encode(digest.end().as_bytes());
    (Thumbprint::parse(&text), text)
}

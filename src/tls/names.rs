//! The certificates of a listener by the name that the client asks for (RFC 6066, 3).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by name. The first one is for clients that ask for no name, or for one that no
/// certificate has.
#[derive(Debug)]
pub(super) struct ByName {
    first: Arc<CertifiedKey>,
    names: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    pub(super) fn new(first: Arc<CertifiedKey>) -> Self {
        Self {
            first,
            names: HashMap::new(),
        }
    }

    /// Adds a name of a certificate. `false` if another certificate has it.
    pub(super) fn add(&mut self, name: &str, certificate: &Arc<CertifiedKey>) -> bool {
        let known = self
            .names
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| Arc::clone(certificate));
        Arc::ptr_eq(known, certificate)
    }

    /// The certificate with exactly this name, else one with a wildcard for its first label.
    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            self.names
                .get(&name)
                .or_else(|| wildcard().and_then(|wildcard| self.names.get(&wildcard)))
        });
        named.unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.find(hello.server_name())))
    }
}

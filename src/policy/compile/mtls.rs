//! The client certificates that a policy takes, by a name in them.

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::policy::certificate::CertificateName;
use crate::policy::document::{CertificateNameDocument, MtlsDocument};

impl Compiler<'_> {
    pub(super) fn certificates(&mut self, mtls: MtlsDocument) -> Vec<CertificateName> {
        let List(names) = mtls.allow;
        names
            .into_iter()
            .filter_map(|name| self.certificate_name(name))
            .collect()
    }

    fn certificate_name(&mut self, name: Spanned<CertificateNameDocument>) -> Option<CertificateName> {
        let found = match name.value {
            CertificateNameDocument {
                uri: Some(uri),
                dns: None,
                cn: None,
            } => {
                let parts = uri.value.split('/').any(|part| part.contains('*') && part != "*");
                if !uri.value.contains(':') || parts || uri.value.starts_with("spiffe://*") {
                    let message = "this is not a URI in which `*` stands for whole segments of the path";
                    self.problems
                        .add_with_help(&uri.span, message, "as in `spiffe://example.org/ns/*/sa/jobs`");
                }
                CertificateName::Uri(uri.value)
            }
            CertificateNameDocument {
                uri: None,
                dns: Some(dns),
                cn: None,
            } => {
                if dns.value.contains('*') {
                    self.problems
                        .add(&dns.span, "a DNS name is matched exactly, without `*`");
                }
                CertificateName::Dns(dns.value)
            }
            CertificateNameDocument {
                uri: None,
                dns: None,
                cn: Some(cn),
            } => {
                if cn.value.contains('*') {
                    self.problems
                        .add(&cn.span, "a common name is matched exactly, without `*`");
                }
                CertificateName::CommonName(cn.value)
            }
            _ => {
                self.problems
                    .add(&name.span, "exactly one of `uri`, `dns` and `cn` is needed");
                return None;
            }
        };
        Some(found)
    }
}

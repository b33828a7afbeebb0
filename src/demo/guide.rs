//! What the demo prints: addresses, and curl lines that work as they stand.

use std::fmt;
use std::net::SocketAddr;

use super::certificates::Certificates;
use crate::app::Sockets;
use crate::config::ListenAddress;

const HUB_TENANT: &str = "a0000001-0000-0000-0000-000000000001";
const WALLET_TENANT: &str = "00000000-0000-4000-a000-000000000001";

/// Addresses and curl lines.
#[derive(Debug)]
pub struct Guide {
    addresses: Vec<(String, String)>,
    calls: Vec<(&'static str, String)>,
}

impl Guide {
    pub(super) fn new(
        sockets: &Sockets,
        services: &[(&'static str, SocketAddr)],
        jobs_key: &str,
        certificates: &Certificates,
    ) -> Self {
        let mut listeners = sockets.listeners.iter().map(ListenAddress::to_string);
        let http = format!("http://{}", listeners.next().unwrap_or_default());
        let tls = format!("https://{}", listeners.next().unwrap_or_default());
        let admin = format!("http://{}", sockets.admin);
        let mut addresses = vec![
            ("Sidegate".to_owned(), http.clone()),
            ("Sidegate, TLS".to_owned(), tls.clone()),
            ("admin".to_owned(), admin.clone()),
        ];
        addresses.extend(
            services
                .iter()
                .map(|(name, at)| (format!("{name}, behind it"), format!("http://{at}"))),
        );
        let folder = certificates.folder().display();
        let curl = "curl -sS -w '\\n'";
        let pick = r#"sed -E 's/.*"accessToken":"([^"]+)".*/\1/'"#;
        let json = "-H 'content-type: application/json'";
        let calls = vec![
            (
                "log in at the Hub's tenant, and at the Wallet's",
                format!(
                    "HUB=$(curl -sS {http}/auth/v1/login {json} -d '{{\"email\":\"admin@eventzr.com\",\"password\":\"Admin123!\"}}' | {pick})\nWALLET=$(curl -sS {http}/auth/v1/login {json} -H 'x-tenant-id: {WALLET_TENANT}' -d '{{\"email\":\"admin@eventzr.com\",\"password\":\"Password123!\"}}' | {pick})"
                ),
            ),
            (
                "a token: allowed, and the service sees who calls",
                format!(
                    "{curl} {http}/integrationhub/v1/providers -H \"authorization: Bearer $HUB\" -H 'x-tenant-id: {HUB_TENANT}'\n{curl} {http}/wallet/v1/wallets -H \"authorization: Bearer $WALLET\" -H 'x-tenant-id: {WALLET_TENANT}'"
                ),
            ),
            (
                "rejected: no token, another tenant",
                format!(
                    "{curl} {http}/integrationhub/v1/providers\n{curl} {http}/wallet/v1/wallets -H \"authorization: Bearer $WALLET\" -H 'x-tenant-id: {HUB_TENANT}'"
                ),
            ),
            (
                "an internal key: allowed, rejected",
                format!(
                    "{curl} -X POST {http}/wallet/v1/jobs/scheduled/settle -H 'x-internal-api-key: {jobs_key}'\n{curl} -X POST {http}/wallet/v1/jobs/scheduled/settle -H 'x-internal-api-key: wrong'"
                ),
            ),
            (
                "a client certificate: allowed, not on the list, none at all",
                format!(
                    "{curl} --cacert {folder}/ca.crt --cert {folder}/scheduler.crt --key {folder}/scheduler.key {tls}/integrationhub/v1/_internal/stats\n{curl} --cacert {folder}/ca.crt --cert {folder}/stranger.crt --key {folder}/stranger.key {tls}/integrationhub/v1/_internal/stats\n{curl} {http}/integrationhub/v1/_internal/stats"
                ),
            ),
            (
                "public: allowed, and a path that is refused",
                format!(
                    "{curl} {http}/wallet/v1/_internal/health\n{curl} --path-as-is {http}/wallet/v1/_internal/../wallets"
                ),
            ),
            (
                "the metrics",
                format!("curl -sS {admin}/metrics | grep sidegate_decisions_total"),
            ),
        ];
        Self { addresses, calls }
    }
}

impl fmt::Display for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, address) in &self.addresses {
            writeln!(f, "  {name:<27}{address}")?;
        }
        for (what, lines) in &self.calls {
            write!(f, "\n# {what}\n{lines}\n")?;
        }
        Ok(())
    }
}

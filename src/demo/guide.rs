//! What the demo prints: addresses, and curl lines that work as they stand.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use super::certificates::Certificates;
use super::orders::OrdersTokens;
use crate::app::Sockets;
use crate::config::ListenAddress;

const HUB_TENANT: &str = "a0000001-0000-0000-0000-000000000001";
const WALLET_TENANT: &str = "00000000-0000-4000-a000-000000000001";

/// The subject of the user whose tokens are revoked.
const USER: &str = "b0000001-0000-4000-8000-000000000003";

const CURL: &str = r"curl -sS -w '\n'";
const JSON: &str = "-H 'content-type: application/json'";

/// Addresses, curl lines, and what to look at.
#[derive(Debug)]
pub struct Guide {
    addresses: Vec<(String, String)>,
    steps: Vec<Step>,
    signs: Vec<(&'static str, String)>,
}

/// What some lines for a shell show, and the lines.
#[derive(Debug)]
struct Step(&'static str, Vec<String>);

/// Where the parts of the demo are, for the lines that call them.
struct Places<'p> {
    http: String,
    tls: String,
    admin: String,
    orders: &'p OrdersTokens,
    certificates: &'p Certificates,
    control: &'p Path,
    jobs_key: &'p str,
}

impl Guide {
    pub(super) fn new(
        sockets: &Sockets,
        services: &[(&'static str, SocketAddr)],
        orders: &OrdersTokens,
        jobs_key: &str,
        certificates: &Certificates,
        control: &Path,
    ) -> Self {
        let mut listeners = sockets.listeners.iter().map(ListenAddress::to_string);
        let places = Places {
            http: format!("http://{}", listeners.next().unwrap_or_default()),
            tls: format!("https://{}", listeners.next().unwrap_or_default()),
            admin: format!("http://{}", sockets.admin),
            orders,
            certificates,
            control,
            jobs_key,
        };
        let mut addresses = vec![
            ("Sidegate".to_owned(), places.http.clone()),
            ("Sidegate, TLS".to_owned(), places.tls.clone()),
            ("admin".to_owned(), places.admin.clone()),
        ];
        addresses.extend(
            services
                .iter()
                .map(|(name, at)| (format!("{name}, behind it"), format!("http://{at}"))),
        );
        Self {
            addresses,
            steps: places.steps(),
            signs: places.signs(),
        }
    }
}

impl Places<'_> {
    /// The steps in their order: what uses up a quota or ends a token comes last.
    fn steps(&self) -> Vec<Step> {
        let mut steps = self.orders();
        steps.extend(self.callers());
        steps.extend(self.requests());
        steps.extend(self.other_credentials());
        steps.extend(self.ends());
        steps
    }

    /// The neutral example: one service, two callers.
    fn orders(&self) -> Vec<Step> {
        let Self { http, orders, .. } = self;
        let with = |token: &str, request: &str| format!("{CURL} -H \"authorization: Bearer {token}\" {request}");
        let order = format!("{http}/orders/v1/orders/17");
        vec![
            Step(
                "an orders service, guarded by policies/example/orders.yaml: the tokens of a clerk and of a manager",
                vec![format!("CLERK={}", orders.clerk), format!("MANAGER={}", orders.manager)],
            ),
            Step(
                "rejected without a token: 401, with the reason in x-sidegate-reason and in the body",
                vec![format!("{CURL} -i {order}")],
            ),
            Step(
                "allowed with a token: the service reads x-user-id, which no client can set",
                vec![with("$CLERK", &format!("-H 'x-user-id: root' {order}"))],
            ),
            Step(
                "a refund: 403 role_missing for the clerk, allowed for the manager",
                vec![
                    with("$CLERK", &format!("-X POST {order}/refund")),
                    with("$MANAGER", &format!("-X POST {order}/refund")),
                ],
            ),
        ]
    }

    /// Where to look, at the end of the guide.
    fn signs(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "each request, and why it was rejected",
                "the lines below: reason and cause".to_owned(),
            ),
            (
                "what each reason means, and what to change",
                "docs/rejections.md".to_owned(),
            ),
            ("counters: sidegate_decisions_total", format!("{}/metrics", self.admin)),
            (
                "health: are keys and store available?",
                format!("{}/readyz", self.admin),
            ),
            (
                "what guards these services",
                "policies/example/orders.yaml, then policies/".to_owned(),
            ),
            (
                "a first policy of your own",
                "docs/getting-started.md, or: sidegate init".to_owned(),
            ),
        ]
    }

    fn callers(&self) -> Vec<Step> {
        let http = &self.http;
        let hub = self.hub("GET", "providers", "$HUB");
        let wallet = |tenant| {
            format!("{CURL} {http}/wallet/v1/wallets -H \"authorization: Bearer $WALLET\" -H 'x-tenant-id: {tenant}'")
        };
        vec![
            Step(
                "two larger services with tenants, guarded by policies/: log in at the Hub's tenant, and at the Wallet's",
                vec![
                    format!(
                        "HUB=$({} | {})",
                        self.login("", "admin", "Admin123!"),
                        pick("accessToken")
                    ),
                    format!(
                        "WALLET=$({} | {})",
                        self.login(&format!(" -H 'x-tenant-id: {WALLET_TENANT}'"), "admin", "Password123!"),
                        pick("accessToken")
                    ),
                ],
            ),
            Step(
                "a token: allowed, and the service sees who calls",
                vec![hub, wallet(WALLET_TENANT)],
            ),
            Step(
                "rejected: no token, another tenant",
                vec![format!("{CURL} {http}/integrationhub/v1/providers"), wallet(HUB_TENANT)],
            ),
            Step(
                "a user: allowed to look, and rejected where the role organizer is needed",
                vec![
                    format!("LOGIN=$({})", self.login("", "user", "User123!")),
                    format!("TOKEN=$(echo \"$LOGIN\" | {})", pick("accessToken")),
                    self.hub("GET", "providers", "$TOKEN"),
                    format!("{} {JSON} -d '{{}}'", self.hub("POST", "execute", "$TOKEN")),
                ],
            ),
            Step(
                "a refresh token: rejected as an access token, and accepted for new tokens",
                vec![
                    format!("REFRESH=$(echo \"$LOGIN\" | {})", pick("refreshToken")),
                    self.hub("GET", "providers", "$REFRESH"),
                    format!("{CURL} {http}/auth/v1/refresh {JSON} -d \"{{\\\"refreshToken\\\":\\\"$REFRESH\\\"}}\""),
                ],
            ),
        ]
    }

    fn requests(&self) -> Vec<Step> {
        let execute = format!(
            "{} -i {JSON} -H \"idempotency-key: $KEY\" -d '{{\"job\":1}}'",
            self.hub("POST", "execute", "$HUB")
        );
        vec![
            Step(
                "rejected: a form where JSON is needed",
                vec![format!("{} -d job=1", self.hub("POST", "execute", "$HUB"))],
            ),
            Step(
                "a write that comes again: answered once by the service, then again by Sidegate (idempotency-replayed)",
                vec![
                    "KEY=$(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid)".to_owned(),
                    execute.clone(),
                    execute,
                ],
            ),
        ]
    }

    fn other_credentials(&self) -> Vec<Step> {
        let Self {
            http, tls, jobs_key, ..
        } = self;
        let folder = self.certificates.folder().display();
        let settle = format!("{CURL} -X POST {http}/wallet/v1/jobs/scheduled/settle -H");
        let with = |name| {
            format!(
                "{CURL} --cacert {folder}/ca.crt --cert {folder}/{name}.crt --key {folder}/{name}.key {tls}/integrationhub/v1/_internal/stats"
            )
        };
        vec![
            Step(
                "an internal key: allowed, rejected",
                vec![
                    format!("{settle} 'x-internal-api-key: {jobs_key}'"),
                    format!("{settle} 'x-internal-api-key: wrong'"),
                ],
            ),
            Step(
                "a client certificate: allowed, not on the list, none at all",
                vec![
                    with("scheduler"),
                    with("stranger"),
                    format!("{CURL} {http}/integrationhub/v1/_internal/stats"),
                ],
            ),
            Step(
                "public: allowed, and a path that is rejected",
                vec![
                    format!("{CURL} {http}/wallet/v1/_internal/health"),
                    format!("{CURL} --path-as-is {http}/wallet/v1/_internal/../wallets"),
                ],
            ),
        ]
    }

    fn ends(&self) -> Vec<Step> {
        let program = std::env::current_exe().unwrap_or_else(|_| "sidegate".into());
        let guess = self.login(" -o /dev/null -w '%{http_code} '", "user", "guess");
        vec![
            Step(
                "a revocation: the tokens that the user has until now are rejected",
                vec![
                    format!(
                        "\"{}\" revoke subject {USER} --control \"{}\"",
                        program.display(),
                        self.control.display()
                    ),
                    self.hub("GET", "providers", "$TOKEN"),
                ],
            ),
            Step(
                "a quota: guesses at a password are rejected with 429, and logins of this address for 15 s",
                vec![format!("for guess in $(seq 25); do {guess}; done; echo")],
            ),
            Step(
                "the metrics",
                vec![format!(
                    "curl -sS {}/metrics | grep sidegate_decisions_total",
                    self.admin
                )],
            ),
        ]
    }

    /// A request to the Hub with a token, from its tenant.
    fn hub(&self, method: &str, path: &str, token: &str) -> String {
        let method = if method == "GET" {
            String::new()
        } else {
            format!(" -X {method}")
        };
        format!(
            "{CURL}{method} {}/integrationhub/v1/{path} -H \"authorization: Bearer {token}\" -H 'x-tenant-id: {HUB_TENANT}'",
            self.http
        )
    }

    fn login(&self, options: &str, user: &str, password: &str) -> String {
        format!(
            r#"curl -sS {}/auth/v1/login {JSON}{options} -d '{{"email":"{user}@eventzr.com","password":"{password}"}}'"#,
            self.http
        )
    }
}

/// Takes one text out of the JSON of a login.
fn pick(name: &str) -> String {
    format!(r#"sed -E 's/.*"{name}":"([^"]+)".*/\1/'"#)
}

impl fmt::Display for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, address) in &self.addresses {
            writeln!(f, "  {name:<27}{address}")?;
        }
        for Step(shows, lines) in &self.steps {
            write!(f, "\n# {shows}\n{}\n", lines.join("\n"))?;
        }
        writeln!(f, "\nWhat to look at:")?;
        for (what, place) in &self.signs {
            writeln!(f, "  {what:<44}{place}")?;
        }
        Ok(())
    }
}

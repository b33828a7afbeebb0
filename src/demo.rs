//! `sidegate demo`: an orders service, then auth-svc, Integration Hub and Wallet on loopback, with Sidegate
//! and the real files of `policies/` in front. For a laptop: the passwords are published, keys are random at
//! each start, and nothing is stored.
//!
//! The services are plain HTTP servers that know nothing of Sidegate's own types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::app::{App, Sockets, StartError};
use crate::config::{ControlSocket, KeyPairFiles, ListenAddress, Listener, NamedFile, ServerConfig, TlsFiles};
use crate::control::place::Place;
use crate::document::environment::FixedEnvironment;
use crate::document::problem::SourceFile;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_files::Loaded;
use crate::policy_files::loaded_files::LoadedFiles;

pub mod auth_svc;
pub mod certificates;
pub mod echo;
mod error;
pub mod guide;
pub mod http;
mod orders;

pub use error::DemoError;

use auth_svc::AuthService;
use certificates::Certificates;
use guide::Guide;
use orders::OrdersIssuer;

/// The policies as they stand in the repository.
const POLICIES: [(&str, &str); 4] = [
    (
        "policies/example/orders.yaml",
        include_str!("../policies/example/orders.yaml"),
    ),
    ("policies/auth.yaml", include_str!("../policies/auth.yaml")),
    (
        "policies/integration-hub.yaml",
        include_str!("../policies/integration-hub.yaml"),
    ),
    ("policies/wallet.yaml", include_str!("../policies/wallet.yaml")),
];

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    app: App,
    /// What to try.
    pub guide: Guide,
    /// Removed with the demo.
    _certificates: Certificates,
}

impl Demo {
    /// Starts the services and Sidegate in front of them. `config` says where it listens in clear
    /// text; a TLS listener is added.
    pub async fn start(mut config: ServerConfig, tls: SocketAddr) -> Result<Self, DemoError> {
        let jwt_secret = random_secret();
        let jobs_key = random_secret();
        let orders = OrdersIssuer::new(random_secret());
        let services = Services::start(&jwt_secret).await?;
        let certificates = Certificates::make()?;
        config.listeners.push(Listener {
            address: ListenAddress::Tcp(tls),
            tls: Some(TlsFiles {
                pair: KeyPairFiles {
                    certificate: NamedFile::at(certificates.path("server.crt")),
                    key: NamedFile::at(certificates.path("server.key")),
                },
                others: Vec::new(),
                client_ca: Some(NamedFile::at(certificates.path("ca.crt"))),
                client_crl: None,
            }),
            connections: None,
            proxy_protocol: false,
        });
        let control = control(&mut config, &certificates);
        let loaded = Loaded {
            policies: services.policies(&jwt_secret, &jobs_key, orders.secret())?,
            loaded_files: LoadedFiles::default(),
        };
        let sockets = Sockets::open(&config)?;
        let app = App::start(config, loaded, sockets).await?;
        let guide = Guide::new(
            app.sockets(),
            &services.addresses(),
            &orders.tokens()?,
            &jobs_key,
            &certificates,
            &control,
        );
        Ok(Self {
            app,
            guide,
            _certificates: certificates,
        })
    }

    /// Waits until something that the demo needs ends or panics.
    pub async fn failed(&self) -> StartError {
        self.app.failed().await
    }

    /// Ends Sidegate; the services end with the process.
    pub async fn stop(self) -> Result<(), StartError> {
        self.app.stop().await
    }
}

/// The path of the control socket: where `sidegate revoke` looks, or beside the certificates if the admin
/// port, which may be any free one, says nothing about the place.
fn control(config: &mut ServerConfig, certificates: &Certificates) -> PathBuf {
    if let Some(place) = Place::of(&config.control, config.admin) {
        return place.path().to_owned();
    }
    let path = certificates.path("control.sock");
    config.control = ControlSocket::At(path.clone());
    path
}

/// The services, each on a port of its own.
struct Services {
    orders: SocketAddr,
    auth: SocketAddr,
    hub: SocketAddr,
    wallet: SocketAddr,
}

impl Services {
    async fn start(jwt_secret: &str) -> Result<Self, DemoError> {
        let auth_service = Arc::new(AuthService::generate(jwt_secret)?);
        let (orders, orders_address) = any_port().await?;
        let (auth, auth_address) = any_port().await?;
        let (hub, hub_address) = any_port().await?;
        let (wallet, wallet_address) = any_port().await?;
        tokio::spawn(echo::serve(orders, "orders-svc"));
        tokio::spawn(auth_service.serve(auth));
        tokio::spawn(echo::serve(hub, "integration-hub-svc"));
        tokio::spawn(echo::serve(wallet, "wallet-svc"));
        Ok(Self {
            orders: orders_address,
            auth: auth_address,
            hub: hub_address,
            wallet: wallet_address,
        })
    }

    fn addresses(&self) -> [(&'static str, SocketAddr); 4] {
        [
            ("orders", self.orders),
            ("auth-svc", self.auth),
            ("Integration Hub", self.hub),
            ("Wallet", self.wallet),
        ]
    }

    /// The policies with what they take from the environment.
    fn policies(&self, jwt_secret: &str, jobs_key: &str, orders_secret: &str) -> Result<PolicySet, DemoError> {
        let jwks = format!("http://{}/auth/v1/.well-known/jwks.json", self.auth);
        let variables = [
            ("ORDERS_UPSTREAM", format!("http://{}", self.orders)),
            ("ORDERS_JWT_SECRET", orders_secret.to_owned()),
            ("AUTH_UPSTREAM", format!("http://{}", self.auth)),
            ("HUB_UPSTREAM", format!("http://{}", self.hub)),
            ("WALLET_UPSTREAM", format!("http://{}", self.wallet)),
            ("AUTH_JWKS_URL", jwks),
            ("WALLET_JWT_SECRET", jwt_secret.to_owned()),
            ("WALLET_JOBS_KEY", jobs_key.to_owned()),
        ];
        let environment = FixedEnvironment {
            variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            files: Vec::new(),
        };
        let files = POLICIES.map(|(name, text)| Arc::new(SourceFile::new(name, text)));
        PolicySet::parse(&files, &environment, ErrorStyle::default()).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n").into()
        })
    }
}

async fn any_port() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// 256 bits of a version 4 UUID generator: 244 of them random.
fn random_secret() -> String {
    let part = || uuid::Uuid::new_v4().simple().to_string();
    format!("{}{}", part(), part())
}

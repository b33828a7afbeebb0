//! `sidegate demo serve`: one of the demo's services alone, for a container.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;

use crate::app::StartError;
use crate::cli::Exit;
use crate::cli::output::{could_not_run, print_line};
use crate::cli::run::{block_on, shutdown_signal};
use crate::demo::auth_svc::AuthService;
use crate::demo::echo;
use crate::document::environment::Environment;
use crate::policy_files::ProcessEnvironment;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Which one
    service: Service,
    /// Where it listens
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// A file with the secret of the Wallet's tokens, which auth-svc issues
    #[arg(long, value_name = "FILE", required_if_eq("service", "auth-svc"))]
    wallet_secret: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Service {
    AuthSvc,
    IntegrationHub,
    Wallet,
}

impl Serve {
    pub(super) fn execute(self) -> Exit {
        let secret = match self
            .wallet_secret
            .as_ref()
            .map(|path| ProcessEnvironment.file(path))
            .transpose()
        {
            Ok(secret) => String::from_utf8_lossy(&secret.unwrap_or_default()).into_owned(),
            Err(error) => return could_not_run(format!("the secret cannot be read: {error}")),
        };
        block_on(async move {
            let stopped = shutdown_signal()?;
            let listener = TcpListener::bind(self.listen).await.map_err(StartError::because)?;
            let address = listener.local_addr().map_err(StartError::because)?;
            print_line(format!("listening at {address}"));
            tokio::select! {
                served = self.service.serve(listener, secret.trim_end()) => served,
                () = stopped => Ok(()),
            }
        })
    }
}

impl Service {
    async fn serve(self, listener: TcpListener, secret: &str) -> Result<(), StartError> {
        match self {
            Self::AuthSvc => {
                let service = AuthService::generate(secret).map_err(StartError::because)?;
                Arc::new(service).serve(listener).await;
            }
            Self::IntegrationHub => echo::serve(listener, "integration-hub-svc").await,
            Self::Wallet => echo::serve(listener, "wallet-svc").await,
        }
        Ok(())
    }
}

//! `sidegate demo`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::Exit;
use super::output::{print_error, print_line};
use super::run::{block_on, no_threads, shutdown_signal};
use crate::app::StartError;
use crate::config::{LogConfig, LogFormat, LogLevel, Overrides, ServerConfig};
use crate::telemetry::{self, LogTarget};

mod serve;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Demo {
    #[command(subcommand)]
    part: Option<Part>,
    /// Where Sidegate listens in clear text
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// Address of the admin listener (metrics and health)
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDR")]
    admin: String,
    /// Where Sidegate listens with TLS; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    tls_listen: SocketAddr,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Run one of the services behind Sidegate alone, as in a container
    Serve(serve::Serve),
}

impl Demo {
    pub(super) fn execute(self) -> Exit {
        if let Some(Part::Serve(serve)) = self.part {
            return serve.execute();
        }
        let overrides = Overrides {
            policies: None,
            listen: Some(self.listen),
            admin: Some(self.admin),
            control: None,
            store: None,
        };
        let mut config = match ServerConfig::without_file(&overrides) {
            Ok(config) => config,
            Err(error) => return super::output::could_not_run(error),
        };
        // What a laptop needs, so that the first lines are not about file descriptors. Requests have their
        // lines at every level.
        config.limits.connections = 128;
        config.limits.requests = 128;
        config.log = LogConfig {
            format: LogFormat::Text,
            level: LogLevel::Warn,
            ..LogConfig::default()
        };
        let _log = match telemetry::start(config.log, LogTarget::Stderr, config.threads) {
            Ok(log) => log,
            Err(error) => return no_threads(&error),
        };
        block_on(show(config, self.tls_listen))
    }
}

async fn show(config: ServerConfig, tls: SocketAddr) -> Result<(), StartError> {
    let stopped = shutdown_signal()?;
    let demo = crate::demo::Demo::start(config, tls).await.map_err(|error| {
        StartError::because(format!(
            "{error}; `--listen`, `--admin` and `--tls-listen` choose other addresses"
        ))
    })?;
    print_line(format!(
        "Sidegate guards four services on this machine. Paste these lines into another terminal; stop with Ctrl-C.\n\n{}",
        demo.guide
    ));
    print_error("requests:");
    tokio::select! {
        () = stopped => {}
        failure = demo.failed() => return Err(failure),
    }
    demo.stop().await
}

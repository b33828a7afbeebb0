//! `sidegate run`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use super::output::{could_not_run, is_styled, print_error};
use crate::app::{App, Sockets, StartError};
use crate::config::{Overrides, ReadConfig, ServerConfig, StoreConfig};
use crate::document::problem::Problem;
use crate::policy::{ErrorStyle, PolicySet};
use crate::policy_files::loaded_files::LoadedFiles;
use crate::policy_files::{self, CONFIG_NAME, LoadError, Loaded};
use crate::rehearsal::ThrowawayKeys;
use crate::telemetry::{self, LogTarget};
use crate::tls;
use crate::watch_files::Trigger;

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) options: ServerOptions,
}

/// What flags and environment may say of a process. Flags beat environment beats file.
#[derive(Debug, Args)]
pub(super) struct ServerOptions {
    /// The configuration of the process [default: sidegate.yaml, if it exists]
    #[arg(long, env = "SIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A policy file, or a folder of them
    #[arg(long, env = "SIDEGATE_POLICIES", value_name = "DIR|FILE")]
    policies: Option<PathBuf>,
    /// Listen here, in clear text, in place of the configured listeners
    #[arg(long, env = "SIDEGATE_LISTEN", value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the admin listener (metrics and health)
    #[arg(long, env = "SIDEGATE_ADMIN", value_name = "ADDR")]
    admin: Option<String>,
    /// The unix socket that tokens are revoked by [default: in a private folder]
    #[arg(long, env = "SIDEGATE_CONTROL", value_name = "PATH|off")]
    control: Option<String>,
    /// Where state is kept that replicas share
    // Read by ourselves: a message of the command line's would quote a password.
    #[arg(
        long,
        env = "SIDEGATE_STORE",
        hide_env_values = true,
        value_name = "memory|redis://…"
    )]
    store: Option<String>,
}

impl ServerOptions {
    /// What describes a process that runs already.
    pub(super) fn of_process(
        config: Option<PathBuf>,
        admin: Option<String>,
        control: Option<String>,
        store: Option<String>,
    ) -> Self {
        Self {
            config,
            policies: None,
            listen: None,
            admin,
            control,
            store,
        }
    }

    /// What describes the requests that a process would serve.
    pub(super) fn of_files(config: Option<PathBuf>, policies: Option<PathBuf>) -> Self {
        Self {
            policies,
            ..Self::of_process(config, None, None, None)
        }
    }

    /// Reads the file, if there is one, and applies what beats it.
    pub(super) fn load(&self) -> Result<ServerConfig, LoadError> {
        let overrides = self.overrides()?;
        match self.file() {
            Some(path) => ServerConfig::load(&path, &overrides),
            None => ServerConfig::without_file(&overrides),
        }
    }

    fn overrides(&self) -> Result<Overrides, LoadError> {
        // A variable that is set to nothing is as good as unset.
        let store = self.store.as_deref().filter(|store| !store.is_empty());
        let store = store.map(StoreConfig::parse).transpose();
        Ok(Overrides {
            policies: self.policies.clone().filter(|path| !path.as_os_str().is_empty()),
            listen: self.listen.clone().filter(|address| !address.is_empty()),
            admin: self.admin.clone().filter(|address| !address.is_empty()),
            control: self.control.clone().filter(|path| !path.is_empty()),
            store: store.map_err(|fault| LoadError::Unreadable(format!("the store cannot be read: {fault}")))?,
        })
    }

    /// Reads the same, and the policies that it names. All problems of both come together, with those
    /// that `look` finds in what the configuration names.
    pub(super) fn load_with_policies(
        &self,
        look: impl FnOnce(&ServerConfig) -> Vec<Problem>,
    ) -> Result<(ServerConfig, Loaded), LoadError> {
        self.load_by(ServerConfig::read, look, policy_files::read)
    }

    /// Reads the same without variables and files that the policies and the configuration name.
    pub(super) fn load_without_secrets(&self, keys: &ThrowawayKeys) -> Result<(ServerConfig, Loaded), LoadError> {
        let read = |path: &Path| ServerConfig::read_with(path, keys);
        let policies = |paths: &[PathBuf], errors| policy_files::read_with(paths, errors, keys);
        self.load_by(read, |_| Vec::new(), policies)
    }

    fn load_by(
        &self,
        read: impl FnOnce(&Path) -> ReadConfig,
        look: impl FnOnce(&ServerConfig) -> Vec<Problem>,
        policies: impl FnOnce(&[PathBuf], ErrorStyle) -> (Result<PolicySet, Vec<Problem>>, LoadedFiles),
    ) -> Result<(ServerConfig, Loaded), LoadError> {
        let overrides = self.overrides()?;
        let mut read = match self.file() {
            Some(path) => read(&path),
            None => ReadConfig::from(ServerConfig::without_file(&Overrides::default())?),
        };
        if let Some(config) = &mut read.config {
            config.apply(&overrides)?;
        }
        let missing = match overrides.policies {
            Some(_) => None,
            None => read.missing_policies(),
        };
        let mut problems = read.problems;
        problems.extend(read.config.as_ref().map(look).unwrap_or_default());
        let errors = read.config.as_ref().map(|config| config.default_errors.clone());
        let named = overrides.policies.or(read.policies).filter(|_| missing.is_none());
        let paths: Vec<_> = named.into_iter().collect();
        problems.extend(missing);
        let (policies, loaded_files) = policies(&paths, errors.unwrap_or_default());
        match (read.config, policies) {
            (Some(config), Ok(policies)) if !problems.iter().any(Problem::is_error) => {
                let config = ServerConfig {
                    warnings: problems,
                    ..config
                };
                Ok((config, Loaded { policies, loaded_files }))
            }
            (_, policies) => {
                problems.extend(policies.err().unwrap_or_default());
                Err(LoadError::Wrong(problems))
            }
        }
    }

    /// The file that is read, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let named = self.config.clone().filter(|path| !path.as_os_str().is_empty());
        // A link that leads nowhere counts as a file, which cannot be read.
        named.or_else(|| Some(PathBuf::from(CONFIG_NAME)).filter(|default| default.symlink_metadata().is_ok()))
    }
}

impl Run {
    pub(super) fn execute(self) -> Exit {
        let (config, loaded) = match self.options.load_with_policies(tls::problems) {
            Ok(loaded) => loaded,
            Err(error) => return refuse_to_start(error),
        };
        let _log = match telemetry::start(config.log, LogTarget::Stdout, config.threads) {
            Ok(log) => log,
            Err(error) => return no_threads(&error),
        };
        block_on(serve(config, loaded))
    }
}

/// Lists every problem, as `check` does.
pub(super) fn refuse_to_start(error: LoadError) -> Exit {
    let LoadError::Wrong(problems) = error else {
        return could_not_run(error);
    };
    let styled = is_styled(&std::io::stderr());
    for problem in &problems {
        print_error(problem.render(styled));
    }
    could_not_run(format!(
        "{} in the policies or in `sidegate.yaml`",
        super::check::count(&problems)
    ))
}

async fn serve(config: ServerConfig, loaded: Loaded) -> Result<(), StartError> {
    // Until they are listened to, signals end the process, or, as the first one of a container, are lost.
    let hangups = signal(SignalKind::hangup()).map_err(StartError::because)?;
    let stopped = shutdown_signal()?;
    ignore(SignalKind::user_defined1(), "SIGUSR1")?;
    ignore(SignalKind::user_defined2(), "SIGUSR2")?;
    let sockets = Sockets::open(&config)?;
    let mut app = App::start(config, loaded, sockets).await?;
    app.announce();
    app.follow_files();
    tokio::select! {
        () = stopped => {}
        () = reload_on_hangup(app.reload(), hangups) => {}
        failure = app.failed() => return Err(failure),
    }
    app.stop().await
}

/// Has files read again on SIGHUP. Never ends.
async fn reload_on_hangup(reload: Trigger, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::info!("SIGHUP received, reloading files");
        reload.reload_now();
    }
    std::future::pending::<()>().await;
}

pub(super) fn no_threads(error: &std::io::Error) -> Exit {
    could_not_run(format!("no threads can be started: {error}"))
}

/// Ignores a signal from now on, and logs each. Other servers reopen logs or upgrade on it; by default
/// it would end the process and cut its requests.
fn ignore(kind: SignalKind, name: &'static str) -> Result<(), StartError> {
    let mut signals = signal(kind).map_err(StartError::because)?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            tracing::warn!(signal = name, "the signal is ignored: SIGHUP reloads, SIGTERM stops");
        }
    });
    Ok(())
}

/// Waits for SIGTERM, SIGINT or SIGQUIT, from now on.
pub(super) fn shutdown_signal() -> Result<impl Future<Output = ()>, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::because)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::because)?;
    let mut quit = signal(SignalKind::quit()).map_err(StartError::because)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    })
}

/// Runs on this thread until it ends. What serves requests has threads of its own.
pub(super) fn block_on(run: impl Future<Output = Result<(), StartError>>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return no_threads(&error),
    };
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run)));
    runtime.shutdown_background();
    match result {
        Ok(Ok(())) => Exit::Fine,
        Ok(Err(error)) => could_not_run(error),
        Err(_) => could_not_run("the main thread panicked"),
    }
}

//! How `revoke` and `revocations` reach what is revoked: over the control socket of a process on
//! this machine, or straight in the store that replicas share.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::format::text_or_json;
use super::output::{could_not_run, print_error};
use super::run::{ServerOptions, refuse_to_start};
use super::value_parsers::variable;
use super::{Exit, Format};
use crate::config::store::checked_prefix;
use crate::config::{ControlSocket, StoreConfig};
use crate::control::client::{Client, ControlError, Known};
use crate::control::message::{Asking, Fault};
use crate::control::place::Place;
use crate::policy_files::LoadError;
use crate::revocation::{Revocation, Revocations};
use crate::store::{Store, Unavailable};
use crate::telemetry::metrics::Metrics;

/// Where to. A flag beats a variable, and both beat what `sidegate.yaml` says.
#[derive(Debug, Args)]
pub(super) struct TargetOptions {
    /// The control socket of a process on this machine (or `SIDEGATE_CONTROL`)
    /// [default: the one of the process that sidegate.yaml and --admin describe]
    #[arg(long, value_name = "PATH")]
    control: Option<String>,
    /// The store that replicas share, without asking a process (or `SIDEGATE_STORE`)
    #[arg(long, value_name = "redis://…", conflicts_with = "control")]
    store: Option<String>,
    /// The `store.redis.prefix` of the processes that are meant [default: that of sidegate.yaml, or
    /// `sidegate`]
    #[arg(long, value_name = "PREFIX", conflicts_with = "control")]
    prefix: Option<String>,
    /// The configuration of the process [default: sidegate.yaml, if it exists]
    #[arg(long, env = "SIDEGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin address of the process, by which its control socket is found
    #[arg(long, env = "SIDEGATE_ADMIN", value_name = "ADDR")]
    admin: Option<String>,
    /// The form of the report
    #[arg(long, value_parser = text_or_json(), default_value = "text")]
    pub(super) output: Format,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store or the process rejected it.
    Rejected(String),
    /// No process or store could be reached.
    Unreachable(String),
    /// What says who to ask is wrong.
    Config(LoadError),
}

impl Failure {
    /// Says why.
    pub(super) fn tell(self) -> Exit {
        match self {
            Self::Rejected(cause) => {
                print_error(format!("sidegate: {cause}"));
                Exit::No
            }
            Self::Unreachable(cause) => could_not_run(cause),
            Self::Config(error) => refuse_to_start(error),
        }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::No(Fault::Invalid | Fault::Full, cause) => Self::Rejected(cause),
            ControlError::No(Fault::Unavailable, cause) => {
                Self::Unreachable(format!("the store of the process did not reply: {cause}"))
            }
            error => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable.is_full() {
            true => Self::Rejected(unavailable.to_string()),
            false => Self::Unreachable(format!("the store did not reply: {unavailable}")),
        }
    }
}

/// The targets to try, in order.
#[derive(Debug)]
struct Candidates {
    socket: Option<Place>,
    store: Option<StoreConfig>,
}

impl TargetOptions {
    /// Runs some work on the first target that can be reached, and reports a failure.
    pub(super) fn run(&self, work: impl AsyncFnOnce(&mut Target) -> Result<(), Failure>) -> Exit {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return could_not_run(format!("no thread can be started: {error}")),
        };
        let done = runtime.block_on(async {
            let mut target = self.candidates()?.open().await?;
            work(&mut target).await
        });
        runtime.shutdown_background();
        match done {
            Ok(()) => Exit::Fine,
            Err(failure) => failure.tell(),
        }
    }

    fn candidates(&self) -> Result<Candidates, Failure> {
        if let Some(path) = self.control.as_deref().filter(|path| !path.is_empty()) {
            return to_socket(path);
        }
        let flag = self.store.clone().filter(|store| !store.is_empty());
        let said = flag.clone().or_else(|| variable("SIDEGATE_STORE"));
        let options = ServerOptions::of_process(
            self.config.clone(),
            self.admin.clone(),
            variable("SIDEGATE_CONTROL"),
            said.clone(),
        );
        let config = options.load().map_err(Failure::Config)?;
        let socket = Place::of(&config.control, config.admin);
        match config.store {
            // State in the memory of a process is reached by its socket.
            StoreConfig::Memory(_) if flag.is_some() => Err(Failure::Unreachable(
                "`memory` is the store of one process, and reached by its `--control`".into(),
            )),
            StoreConfig::Memory(_) => Ok(Candidates { socket, store: None }),
            StoreConfig::Redis(mut redis) => {
                if let Some(prefix) = &self.prefix {
                    redis.prefix = checked_prefix(prefix).map_err(|fault| Failure::Unreachable(fault.to_string()))?;
                }
                Ok(Candidates {
                    socket: socket.filter(|_| said.is_none() && self.prefix.is_none()),
                    store: Some(StoreConfig::Redis(redis)),
                })
            }
        }
    }
}

fn to_socket(path: &str) -> Result<Candidates, Failure> {
    let socket = ControlSocket::written(path, "".as_ref());
    match socket.map_err(|fault| Failure::Unreachable(fault.to_string()))? {
        ControlSocket::At(path) => Ok(Candidates {
            socket: Some(Place::Configured(path)),
            store: None,
        }),
        _ => Err(Failure::Unreachable(format!(
            "`--control {path}` is not a path of a socket"
        ))),
    }
}

/// The store that a configuration says, once it answers.
async fn store_at(config: &StoreConfig) -> Result<Arc<Store>, String> {
    let metrics = Metrics::new().map_err(|error| error.to_string())?;
    let store = Store::start(config, &metrics)?;
    store.connected().await.map_err(|unavailable| unavailable.to_string())?;
    Ok(store)
}

impl Candidates {
    async fn open(self) -> Result<Target, Failure> {
        let mut tried = Vec::new();
        if let Some(place) = self.socket {
            match Client::connect(&place).await {
                Ok(client) => return Ok(Target::Process(place, client)),
                Err(error) => tried.push(format!("the control socket `{place}`: {error}")),
            }
        } else if self.store.is_none() {
            tried.push("nothing: the process has no control socket (`off`, or port 0 as admin address)".to_owned());
        }
        if let Some(config) = self.store {
            match store_at(&config).await {
                Ok(store) => return Ok(Target::Store(store, config)),
                Err(error) => tried.push(format!("the store: {error}")),
            }
        }
        Err(Failure::Unreachable(format!(
            "no process or store could be reached; tried:\n  {}\n\
             is the process running, as this user? `--control PATH` names its socket; `--store redis://…` needs no process",
            tried.join("\n  ")
        )))
    }
}

/// An open way to what is revoked.
#[derive(Debug)]
pub(super) enum Target {
    /// By a process on this machine.
    Process(Place, Client),
    /// Straight in the store that replicas share.
    Store(Arc<Store>, StoreConfig),
}

/// The target, as reports show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TargetKind {
    /// The path of a control socket.
    Control(String),
    /// The kind of a store.
    Store(&'static str),
}

impl Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(path) => write!(f, "the process at `{path}`"),
            Self::Store(kind) => write!(f, "the store in {kind}"),
        }
    }
}

impl Target {
    pub(super) fn via(&self) -> TargetKind {
        match self {
            Self::Process(place, _) => TargetKind::Control(place.to_string()),
            Self::Store(..) => TargetKind::Store("redis"),
        }
    }

    /// Warns of what a command that writes straight to a store cannot know.
    pub(super) fn warning(&self) -> Option<String> {
        match self {
            Self::Store(_, StoreConfig::Redis(redis)) => Some(format!(
                "only processes hear of it that have this Redis, this database, and `store.redis.prefix: {}`",
                redis.prefix
            )),
            _ => None,
        }
    }

    /// Revokes tokens; what is in force then, and which policies look for it, as far as that is known.
    pub(super) async fn revoke(&mut self, revocation: &Revocation) -> Result<(Revocation, Option<Asking>), Failure> {
        match self {
            Self::Process(_, client) => {
                let (in_force, asking) = client.revoke(revocation).await?;
                Ok((in_force, Some(asking)))
            }
            Self::Store(store, _) => {
                // One that cannot be read to its end is added to all the same.
                let _ = store.loaded().await;
                store.revoke(revocation).await?;
                Ok((store.revocations().list().with(revocation), None))
            }
        }
    }

    /// What is revoked at a moment.
    pub(super) async fn revocations(&mut self, now: i64) -> Result<Known, Failure> {
        match self {
            Self::Process(_, client) => Ok(client.revocations().await?),
            Self::Store(store, _) => {
                let known = store.loaded().await?;
                let revocations = known.list().iter().filter(|each| each.expires > now).collect();
                let Revocations::Known { age, .. } = known.view() else {
                    return Err(Failure::Unreachable("the store has no list".into()));
                };
                Ok(Known { revocations, age })
            }
        }
    }
}

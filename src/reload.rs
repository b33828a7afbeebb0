//! Puts changed policies in force, with the files that they name: all of them or none. Files that do not check
//! out leave the old policies in force, and are reported once.
//! A change in a folder, SIGHUP and a slow clock only make it look; what it does depends on what it
//! finds (see [`LoadedFiles`]).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::{ServerConfig, Surroundings};
use crate::jwks::proxy::KeyProxy;
use crate::policy::{ErrorStyle, Policy, PolicySet};
use crate::policy_files::loaded_files::LoadedFiles;
use crate::policy_files::{self, LoadError};
use crate::proxy::policy_snapshot::PolicyHandle;
use crate::startup_log;
use crate::telemetry::metrics::Metrics;
use crate::watch_files::folders::Folders;
use crate::watch_files::watch::FolderWatch;
use crate::watch_files::{DEBOUNCE, MAX_DEBOUNCE, Trigger, poll};

pub mod restart;

/// How often files are read again that change while they are read, until that is worth a word.
const ATTEMPTS: usize = 50;

/// Follows the policy files of a process.
#[derive(Debug)]
pub struct Reloader {
    roots: Vec<PathBuf>,
    default_errors: ErrorStyle,
    surroundings: Surroundings,
    policies: Arc<PolicyHandle>,
    metrics: Metrics,
    /// What the policies in force were read from.
    in_force: LoadedFiles,
    /// What was read last, whether or not it came into force.
    seen: LoadedFiles,
    /// Whether it did not.
    refused: bool,
    /// Whether files could not be looked at, and that was said.
    blind: bool,
    watch: FolderWatch,
    asked: Receiver<()>,
}

/// Why it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Something changed, or it is time.
    Routine,
    /// SIGHUP.
    Asked,
}

impl Reloader {
    /// Prepares to follow the policies of a process from what was read at its start.
    pub fn new(
        config: &ServerConfig,
        (policies, loaded_files): (&Arc<PolicyHandle>, LoadedFiles),
        trigger: &Trigger,
        metrics: &Metrics,
    ) -> Self {
        Self {
            roots: vec![config.policies.clone()],
            default_errors: config.default_errors.clone(),
            surroundings: config.surroundings(),
            policies: Arc::clone(policies),
            metrics: metrics.clone(),
            in_force: loaded_files.clone(),
            seen: loaded_files,
            refused: false,
            blind: false,
            watch: FolderWatch::default(),
            asked: trigger.listen(),
        }
    }

    /// Follows the files for as long as it runs.
    pub async fn run(mut self) {
        tracing::info!(hash = self.in_force.hash(), "policies in force");
        let mut occasion = Occasion::Routine;
        loop {
            // Watched first and read then, so that nothing is missed in between.
            self.arm().await;
            let found = self.look_after(&self.seen).await;
            if self.is_blind(&found) {
                // The next look may see more.
            } else if found != self.seen || (occasion == Occasion::Asked && self.refused) {
                occasion = Occasion::Routine;
                if self.reload().await {
                    continue;
                }
            } else if occasion == Occasion::Asked {
                tracing::info!(
                    hash = self.in_force.hash(),
                    "asked to reload; no policy file has changed"
                );
            }
            occasion = self.wait().await;
        }
    }

    async fn arm(&mut self) {
        let (seen, roots) = (self.seen.clone(), self.roots.clone());
        let folders = spawn_blocking(move || Folders::of(seen.paths(), &roots)).await;
        self.watch.arm(folders.unwrap_or_default());
    }

    /// Returns the files that exist now, of those before.
    async fn look_after(&self, earlier: &LoadedFiles) -> LoadedFiles {
        let (roots, earlier) = (self.roots.clone(), earlier.clone());
        let found = spawn_blocking(move || policy_files::look(&roots, &earlier)).await;
        found.unwrap_or_default()
    }

    /// Waits for an occasion to look.
    async fn wait(&mut self) -> Occasion {
        let poll = poll(&self.watch);
        tokio::select! {
            Ok(()) = self.asked.changed() => return Occasion::Asked,
            () = sleep(poll) => return Occasion::Routine,
            () = self.watch.changed() => {}
        }
        let end = Instant::now() + MAX_DEBOUNCE;
        loop {
            let quiet = (Instant::now() + DEBOUNCE).min(end);
            tokio::select! {
                Ok(()) = self.asked.changed() => return Occasion::Asked,
                () = sleep_until(quiet) => return Occasion::Routine,
                () = self.watch.changed() => {}
            }
        }
    }

    /// Whether a look says nothing about changes; warns when that begins.
    fn is_blind(&mut self, found: &LoadedFiles) -> bool {
        let was_blind = std::mem::replace(&mut self.blind, found.is_blind());
        if self.blind && !was_blind {
            tracing::warn!(
                "the policy files cannot be read, for no file descriptor is left; the policies in force stay"
            );
        }
        self.blind
    }

    /// Reads everything and puts it in force, if it checks out. Says whether it could look.
    async fn reload(&mut self) -> bool {
        let (read, loaded_files) = self.read().await;
        if self.is_blind(&loaded_files) {
            return false;
        }
        let changed = loaded_files.changed_since(&self.in_force);
        let changed: Vec<_> = changed.iter().map(|path| path.display().to_string()).collect();
        self.seen = loaded_files;
        let refusal = match read {
            Ok(policies) => self.policies.replace(policies).await.map_err(LoadError::Unreadable),
            Err(error) => Err(error),
        };
        self.refused = refusal.is_err();
        match refusal {
            Ok(()) => self.accept(changed).await,
            Err(error) => self.refuse(&error, &changed),
        }
        true
    }

    /// Reads until nothing changes for a while: a file may be written at this moment, or some of
    /// them be old and some new. Half a policy may well be one that checks out, and allow more.
    async fn read(&self) -> (Result<PolicySet, LoadError>, LoadedFiles) {
        let mut attempts = 0;
        loop {
            self.watch.forget().await;
            let (read, loaded_files) = self.read_once().await;
            let quiet = timeout(DEBOUNCE, self.watch.changed()).await.is_err();
            if quiet && self.look_after(&loaded_files).await == loaded_files {
                return (read, loaded_files);
            }
            sleep(DEBOUNCE).await;
            attempts += 1;
            if attempts % ATTEMPTS == 0 {
                tracing::warn!("the policies, or files that they name, change again and again while they are read");
            }
        }
    }

    async fn read_once(&self) -> (Result<PolicySet, LoadError>, LoadedFiles) {
        let (roots, errors) = (self.roots.clone(), self.default_errors.clone());
        let read = spawn_blocking(move || policy_files::read(&roots, errors)).await;
        match read {
            Ok((policies, loaded_files)) => (policies.map_err(LoadError::Wrong), loaded_files),
            Err(error) => (
                Err(LoadError::Unreadable(error.to_string())),
                self.look_after(&self.seen).await,
            ),
        }
    }

    async fn accept(&mut self, changed: Vec<String>) {
        let before = std::mem::replace(&mut self.in_force, self.seen.clone()).hash();
        let hash = self.in_force.hash();
        self.metrics
            .policies_in_force(&hash, Some(&before), jiff::Timestamp::now());
        let policies = Arc::clone(self.policies.peek().policies());
        self.metrics.store_features().preregister(&policies);
        let services: Vec<_> = policies
            .policies()
            .iter()
            .map(|policy| policy.service.as_str())
            .collect();
        tracing::info!(
            hash,
            before,
            changed = changed.join(","),
            services = services.join(","),
            "policies in force"
        );
        let surroundings = self.surroundings;
        // Thousands of routes take a while, and no request should wait for it.
        let proxy = self.policies.keys().proxy().clone();
        let announced = spawn_blocking(move || announce_changed((&policies, &proxy), &changed, surroundings));
        let _ = announced.await;
    }

    fn refuse(&self, error: &LoadError, changed: &[String]) {
        match error {
            LoadError::Unreadable(what) => tracing::error!("{what}"),
            LoadError::Wrong(problems) => {
                let (errors, warnings): (Vec<_>, Vec<_>) = problems.iter().partition(|problem| problem.is_error());
                for problem in errors {
                    tracing::error!(
                        code = problem.code().as_str(),
                        place = %problem.location(),
                        help = problem.fix(),
                        "{}",
                        problem.message()
                    );
                }
                startup_log::warnings(warnings);
            }
        }
        tracing::error!(
            hash = self.in_force.hash(),
            changed = changed.join(","),
            "the changed policies are rejected; those in force stay"
        );
        // The log lines exist before the number that leads an operator to them.
        self.metrics.policies_refused();
    }
}

fn announce_changed((policies, proxy): (&PolicySet, &KeyProxy), changed: &[String], surroundings: Surroundings) {
    startup_log::warnings(policies.warnings());
    let changed: HashSet<&str> = changed.iter().map(String::as_str).collect();
    let policy_changed = |policy: &&Policy| changed.contains(policy.file.as_str());
    policies
        .policies()
        .iter()
        .filter(policy_changed)
        .for_each(|policy| startup_log::policy(policy, proxy));
    startup_log::unmet(policies, surroundings);
}

//! The command line. Results go to standard output, everything else to standard error.

use clap::{CommandFactory, Parser, Subcommand};

mod annotations;
mod check;
mod demo;
mod diff;
mod doctor;
mod exit;
mod explain;
mod format;
mod healthcheck;
mod init;
mod output;
mod paths;
mod revocations;
mod revoke;
mod routes;
mod run;
mod schema;
mod target;
mod test;
mod value_parsers;

pub use exit::Exit;

use format::Format;

/// Guards services that it does not change: reads YAML route policies, authenticates requests by
/// JWT, internal key or client certificate, and forwards the verified identity in headers.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM or SIGINT
    Run(run::Run),
    /// Write a first policy and its tests, from flags or from answers to a few questions
    Init(init::Init),
    /// Find every problem in policy files
    Check(check::Check),
    /// Run tests of policies: who may send which requests. Reads no variables and no secrets
    Test(test::Test),
    /// Find the requests that two sets of policies answer differently
    Diff(diff::Diff),
    /// Say what would become of a request, and why
    Explain(explain::Explain),
    /// List all routes with who may call them, the more specific first
    Routes(routes::Routes),
    /// Check this host for ways to bypass Sidegate and for unsafe settings
    Doctor(doctor::Doctor),
    /// Reject tokens from now on, by their `jti`, their subject or their tenant
    Revoke(revoke::Revoke),
    /// List what is revoked
    Revocations(revocations::Revocations),
    /// Run Sidegate in front of four small services on this machine, to try it out
    Demo(demo::Demo),
    /// Print the JSON Schema of a file format, for editors
    Schema(schema::Schema),
    /// Exit 0 when /readyz answers 200
    Healthcheck(healthcheck::Healthcheck),
    /// Print a completion script
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

/// Runs one command.
pub fn main() -> Exit {
    match Cli::parse().command {
        Command::Run(run) => run.execute(),
        Command::Init(init) => init.execute(),
        Command::Check(check) => check.execute(),
        Command::Test(test) => test.execute(),
        Command::Diff(diff) => diff.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Routes(routes) => routes.execute(),
        Command::Doctor(doctor) => doctor.execute(),
        Command::Revoke(revoke) => revoke.execute(),
        Command::Revocations(revocations) => revocations.execute(),
        Command::Demo(demo) => demo.execute(),
        Command::Schema(schema) => schema.execute(),
        Command::Healthcheck(healthcheck) => healthcheck.execute(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sidegate", &mut script);
            output::print(&String::from_utf8_lossy(&script));
            Exit::Fine
        }
    }
}

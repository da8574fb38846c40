//! The command line: a file per subcommand.

mod baseline;
mod check;
mod config;
mod daemon_api;
mod demo;
mod deploy;
mod exception;
mod findings;
mod generate;
mod healthcheck;
mod ledger;
mod plan;
mod report;
mod rules;
mod run;
mod screen;
mod switches;

pub use plan::summary as plan_summary;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Samples production out of band: TLS, HTTP headers, ports and DNS, held to target ranges.
#[derive(Debug, Parser)]
#[command(name = "secchi", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The one table of subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(run::Args),
    /// Sample targets once and judge them
    Check(Box<check::Args>),
    /// See it work: targets on loopback are sampled, broken and mended
    Demo(demo::Args),
    /// Check, describe or explain the config
    #[command(subcommand)]
    Config(config::Args),
    /// The shipped rules
    #[command(subcommand)]
    Rules(rules::Args),
    /// What the sampling plan guarantees and costs
    Plan(plan::Args),
    /// Findings of a running daemon
    Findings(findings::Args),
    /// What a running daemon learnt of DNS records, and what departs from it
    #[command(subcommand)]
    Baseline(baseline::Args),
    /// Accepted risks of a running daemon
    #[command(subcommand)]
    Exception(exception::Args),
    /// Tell a running daemon of a deployment
    #[command(subcommand)]
    Deploy(deploy::Args),
    /// Verify or export the ledger
    #[command(subcommand)]
    Ledger(ledger::Args),
    /// What the samples of a window prove, for auditors
    Report(report::Args),
    /// Whether the daemon on this machine is ready; for containers
    Healthcheck(healthcheck::Args),
    /// Man page and shell completions
    #[command(subcommand)]
    Generate(generate::Args),
}

/// Parses the command line and runs what it asks for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; where the terminal is gone there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    crate::daemon::install_crypto();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            screen::error(&format!("{error:#}"));
            ExitCode::from(USAGE)
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(*args),
        Command::Demo(args) => demo::run(args),
        Command::Config(args) => config::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Findings(args) => findings::run(args),
        Command::Baseline(args) => baseline::run(args),
        Command::Exception(args) => exception::run(args),
        Command::Deploy(args) => deploy::run(args),
        Command::Ledger(args) => ledger::run(args),
        Command::Report(args) => report::run(args),
        Command::Healthcheck(args) => healthcheck::run(args),
        Command::Generate(args) => generate::run(args),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// A runtime for commands that are done soon.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// `--config F`, the same everywhere.
#[derive(Clone, Debug, clap::Args)]
struct ConfigFile {
    /// The config file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/secchi/secchi.yaml",
        env = "SECCHI_CONFIG"
    )]
    config: PathBuf,
}

/// How a command that has two forms writes what it says.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// One object.
    Json,
}

/// Exit status of usage and config errors.
const USAGE: u8 = 2;

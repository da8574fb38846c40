//! `secchi ledger`: proof that what was recorded is whole, and all of it as JSON lines.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;

use super::{ConfigFile, screen};
use crate::daemon::{Source, data_dir};
use crate::ledger;
use crate::rules::RuleSet;

#[derive(Debug, Subcommand)]
pub(super) enum Args {
    /// Check the hash chain, and that replay gives the tables, daemon running or not
    Verify(Where),
    /// Write every event as a JSON line
    Export(Where),
}

#[derive(Debug, clap::Args)]
pub(super) struct Where {
    #[command(flatten)]
    file: ConfigFile,
    /// The data directory, in place of the config's
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Verify(place) => verify(place),
        Args::Export(place) => {
            let mut out = BufWriter::new(std::io::stdout().lock());
            ledger::export(&place.dir()?, &mut out)?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn verify(place: Where) -> anyhow::Result<ExitCode> {
    let dir = place.dir()?;
    match ledger::verify(&dir) {
        Ok(report) if report.faults.is_empty() => {
            let ledger::Report { commits, events, samples, head, head_hash, .. } = report;
            writeln!(
                screen::out(),
                "{}: whole; {commits} commits, {events} events, {samples} samples; head {head} {head_hash}",
                dir.display()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(report) => {
            report
                .faults
                .iter()
                .for_each(|fault| screen::error(&format!("{}: {fault}", dir.display())));
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            screen::error(&format!("{}: {error}", dir.display()));
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Where {
    /// The rules that the config chooses from; what ships where it cannot be read.
    pub(super) fn rules(&self) -> Arc<RuleSet> {
        let config = Source::File(self.file.config.clone()).load();
        config.map_or_else(|_| Arc::new(RuleSet::builtin()), |config| config.rules)
    }

    pub(super) fn dir(self) -> anyhow::Result<PathBuf> {
        let dir = match self.data_dir {
            Some(dir) => Some(dir),
            None => data_dir(None, &Source::File(self.file.config).load()?.data)?,
        };
        dir.context("data.dir is none: there is no ledger on disk")
    }
}

//! `secchi config`: diagnostics, schema, and what is in force for one target.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use super::{ConfigFile, Format, USAGE, plan, screen};
use crate::config::{self, Config, Diagnostics, TargetConfig};
use crate::daemon;
use crate::inventory::{fixed_addresses, points};
use crate::schedule::{Clock, Seed, SystemClock};

#[derive(Debug, Subcommand)]
pub(super) enum Args {
    /// Find every mistake at once
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// human or json
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// The file's JSON schema
    Schema,
    /// Effective settings and next due times of one target
    Explain {
        /// The target's name
        target: String,
        #[command(flatten)]
        file: ConfigFile,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Check { file, format } => check(&file, format),
        Args::Schema => {
            writeln!(screen::out(), "{:#}", config::schema())?;
            Ok(ExitCode::SUCCESS)
        }
        Args::Explain { target, file } => explain(&target, &file),
    }
}

fn check(file: &ConfigFile, format: Format) -> anyhow::Result<ExitCode> {
    match (config::load(&file.config, SystemClock.now()), format) {
        (Ok(mut config), Format::Human) => {
            config.note_lists();
            report(&config.notes);
            let (targets, sources) = (config.targets.len(), config.discovery.len());
            writeln!(
                screen::out(),
                "{}: good; {targets} targets, {sources} discovery sources",
                file.config.display()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        (Ok(mut config), Format::Json) => {
            config.note_lists();
            writeln!(
                screen::out(),
                "{}",
                json!({ "errors": [], "notes": config.notes.to_json() })
            )?;
            Ok(ExitCode::SUCCESS)
        }
        (Err(mistakes), Format::Human) => {
            report(&mistakes);
            Ok(ExitCode::from(USAGE))
        }
        (Err(mistakes), Format::Json) => {
            writeln!(screen::out(), "{}", json!({ "errors": mistakes.to_json() }))?;
            Ok(ExitCode::from(USAGE))
        }
    }
}

/// Mistakes and notes go to standard error, in colour on a terminal.
fn report(diagnostics: &Diagnostics) {
    let text = diagnostics.render(std::io::stderr().is_terminal());
    // Where standard error is gone there is nobody to tell.
    let _ = write!(anstream::AutoStream::auto(std::io::stderr().lock()), "{text}");
}

fn explain(target: &str, file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = match config::load(&file.config, SystemClock.now()) {
        Ok(config) => config,
        Err(mistakes) => {
            report(&mistakes);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let found = config.targets.iter().find(|known| *known.target.name == *target);
    let found = found
        .ok_or_else(|| anyhow::anyhow!("no target `{target}` in {}", file.config.display()))?;
    let mut explained = found.to_json();
    explained["plan_gives"] = plan::gives(found, &config.scope);
    explained["next_due"] = next_due(&config, found)?;
    writeln!(screen::out(), "{explained:#}")?;
    Ok(ExitCode::SUCCESS)
}

/// The next slots of the target's points. Times hang on the seed: without the daemon's own seed
/// only a plan by cron can say them.
fn next_due(config: &Config, target: &TargetConfig) -> anyhow::Result<Value> {
    let Some(seed) = daemon::seed_of_config(config)? else {
        return Ok(json!("unknown: the daemon has not made its seed yet"));
    };
    let addresses = fixed_addresses(&target.target).unwrap_or_default();
    let found = points(&target.target, &target.probes, &addresses, target.max_addresses);
    let mut list = Vec::new();
    for point in found.points {
        let times = slots(&target.plan, &seed, point.key(), SystemClock.now());
        list.push(json!({ "probe": point.probe, "address": point.address, "next_due": times }));
    }
    Ok(Value::Array(list))
}

fn slots(
    plan: &crate::schedule::Plan,
    seed: &Seed,
    key: crate::target::PointKey,
    mut at: DateTime<Utc>,
) -> Vec<String> {
    let mut times = Vec::new();
    while let Some(slot) = plan.next(key, seed, at).filter(|_| times.len() < 3) {
        times.push(slot.due.to_rfc3339_opts(SecondsFormat::Secs, true));
        at = slot.due;
    }
    times
}

//! `secchi plan`: what the sampling plans cost an hour, how soon they see a fault, what they promise
//! of which measurement, and what the budgets refuse.

mod promise;
mod survey;
mod text;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{ConfigFile, USAGE, screen};
use crate::config::{self, Config, TargetConfig};
use crate::inventory::Scope;
use crate::schedule::{Clock, SystemClock};
use survey::Survey;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// human or json
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Exit status 2, as of any config error, where the budgets cannot hold a plan's guarantee; what
/// it comes to and what would fit is said all the same.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match config::load_with_overdrafts(&args.file.config, SystemClock.now()) {
        Ok(config) => config,
        Err(mistakes) => {
            let text = mistakes.render(std::io::stderr().is_terminal());
            // Where standard error is gone there is nobody to tell.
            let _ = write!(anstream::AutoStream::auto(std::io::stderr().lock()), "{text}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let survey = Survey::of(&config);
    let mut out = screen::out();
    match args.format {
        Format::Json => writeln!(out, "{:#}", survey.to_json())?,
        Format::Human => text::write(&mut out, &survey)?,
    }
    let is_refused = config.over_budget.iter().any(|over| over.is_refused);
    Ok(if is_refused { ExitCode::from(USAGE) } else { ExitCode::SUCCESS })
}

/// What `secchi plan --format json` says of a config.
pub fn summary(config: &Config) -> Value {
    Survey::of(config).to_json()
}

/// What its plan gives one target, for `secchi config explain`.
pub(super) fn gives(target: &TargetConfig, scope: &Scope) -> Value {
    let cost = survey::cost(target, scope);
    json!({
        "samples_per_hour": target.plan.samples_per_hour(),
        "samples_per_hour_total": cost.samples_per_hour,
        "connections_per_hour": cost.connections_per_hour,
        "detection_seconds": promise::detection(&target.plan),
        "longest_wait_seconds": target.plan.longest_wait().as_secs_f64(),
        "guarantees": promise::guarantees(&target.plan, &target.probes),
        "independence": promise::INDEPENDENCE,
    })
}

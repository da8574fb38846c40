//! `secchi report`: what the samples of a window prove, for an auditor.

use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::ValueEnum;

use super::{ledger::Where, screen};
use crate::ledger::Archive;
use crate::report::{self, Question};
use crate::schedule::{Clock, Percent, SystemClock};
use crate::target::Span;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Where,
    /// human, json or markdown
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// How far back
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    window: Span,
    /// How sure the bounds must be
    #[arg(long, value_name = "SHARE", default_value = "95%")]
    confidence: Percent,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
    Markdown,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    ensure!((DAY..=3660 * DAY).contains(&args.window.0), "--window is from 1d to 10y");
    let rules = args.place.rules();
    let dir = args.place.dir()?;
    let question =
        Question { window: args.window, confidence: args.confidence, now: SystemClock.now() };
    let made = Archive::open(&dir).and_then(|archive| report::report(&archive, &rules, &question));
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            screen::error(&format!("{}: {error}", dir.display()));
            return Ok(ExitCode::FAILURE);
        }
    };
    for fault in &made.ledger.report.faults {
        screen::error(&format!("{}: {}", dir.display(), screen::clean(fault, 400)));
    }
    let mut out = BufWriter::new(screen::out());
    match args.format {
        Format::Json => writeln!(out, "{:#}", serde_json::to_value(&made)?)?,
        Format::Human => report::write_human(&made, &mut out)?,
        Format::Markdown => report::write_markdown(&made, &mut out)?,
    }
    out.flush()?;
    Ok(if made.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const DAY: Duration = Duration::from_secs(86_400);

//! `secchi exception add|list`: accepted risks of a running daemon.

use std::io::Write;
use std::process::ExitCode;

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::Format;
use super::daemon_api::Api;
use super::screen::{self, clean};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Args {
    /// Accept a risk until a day
    Add(Add),
    /// Every exception, those of the config and those that are over included
    List(List),
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// The rule
    #[arg(long, value_name = "RULE")]
    rule: String,
    /// The target, or a pattern with `*`
    #[arg(long, value_name = "T")]
    target: String,
    /// Only this subject, such as `TLSv1.0` or `6379/tcp`
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Why it is accepted
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who answers for it
    #[arg(long, value_name = "WHO")]
    approved_by: String,
    /// Its last day, 2027-01-31
    #[arg(long, value_name = "DATE")]
    until: NaiveDate,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// human or json
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    api: Api,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Add(args) => add(args),
        Args::List(args) => list(&args),
    }
}

fn add(args: Add) -> anyhow::Result<ExitCode> {
    let Add { rule, target, subject, reason, approved_by, until, api } = args;
    let body = json!({
        "rule": rule,
        "target": target,
        "subject": subject,
        "reason": reason,
        "approved_by": approved_by,
        "until": until,
    });
    let stored = super::runtime()?.block_on(api.send("/api/v1/exceptions", &body))?;
    write_line(&mut screen::out(), &stored["exception"])?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &List) -> anyhow::Result<ExitCode> {
    let read = args.api.read_all("/api/v1/exceptions", "exceptions", "");
    let exceptions = super::runtime()?.block_on(read)?;
    let mut out = screen::out();
    match args.format {
        Format::Json => writeln!(out, "{}", json!({ "exceptions": exceptions }))?,
        Format::Human => exceptions.iter().try_for_each(|one| write_line(&mut out, one))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write_line(out: &mut impl Write, exception: &Value) -> std::io::Result<()> {
    let text = |key: &str| clean(exception[key].as_str().unwrap_or_default(), 120);
    writeln!(
        out,
        "{:<32} {} {}  until {}, approved by {}: {}",
        text("rule"),
        text("target"),
        text("subject"),
        text("until"),
        text("approved_by"),
        text("reason"),
    )
}

//! `secchi findings`: what a running daemon has found.

use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::Format;
use super::daemon_api::{Api, query};
use super::screen::{self, clean};
use crate::sample::Severity;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this state
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only this target
    #[arg(long, value_name = "T")]
    target: Option<String>,
    /// human or json
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    api: Api,
    /// Accepted for symmetry with `run`; the API is asked, not the file
    #[arg(long, value_name = "FILE", hide = true)]
    config: Option<std::path::PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let findings = super::runtime()?.block_on(fetch(&args))?;
    let mut out = screen::out();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::json!({ "findings": findings }))?,
        Format::Human => findings.iter().try_for_each(|finding| write_line(&mut out, finding))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn fetch(args: &Args) -> anyhow::Result<Vec<Value>> {
    let query = query(&[("state", args.state.as_deref()), ("target", args.target.as_deref())]);
    args.api.read_all("/api/v1/findings", "findings", &query).await
}

fn write_line(out: &mut impl Write, finding: &Value) -> std::io::Result<()> {
    let text = |key: &str| clean(finding[key].as_str().unwrap_or_default(), 120);
    let severity: Severity =
        finding["severity"].as_str().and_then(|s| s.parse().ok()).unwrap_or(Severity::Info);
    let style = screen::severity_style(severity);
    writeln!(
        out,
        "{style}{:<8}{style:#} {:<10} {:<32} {} {} {}  since {}",
        severity.as_str(),
        text("state"),
        text("rule"),
        text("target"),
        text("address"),
        text("subject"),
        text("first_seen"),
    )
}

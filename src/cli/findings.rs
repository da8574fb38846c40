//! `secchi findings`: what a running daemon has found.

use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;

use super::daemon_api::Api;
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
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
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(state) = &args.state {
        query.append_pair("state", state);
    }
    if let Some(target) = &args.target {
        query.append_pair("target", target);
    }
    let base = query.finish();
    let (mut all, mut after) = (Vec::new(), String::new());
    for _ in 0..MOST_PAGES {
        let page = args.api.read(&format!("/api/v1/findings?{base}{after}")).await?;
        all.extend(page["findings"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    Ok(all)
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

const MOST_PAGES: usize = 1000;

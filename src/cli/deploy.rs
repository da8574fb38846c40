//! `secchi deploy mark`: tells a running daemon of a deployment.

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::daemon_api::Api;
use super::screen::{self, clean};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Args {
    /// Mark a deployment, so that findings tell what changed before them
    #[command(disable_version_flag = true)]
    Mark(Mark),
}

#[derive(Debug, clap::Args)]
pub(super) struct Mark {
    /// The `service` label of the targets that it changed
    #[arg(long, value_name = "S")]
    service: String,
    /// What was deployed
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// When, RFC 3339; now if it is left out
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    #[command(flatten)]
    api: Api,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args::Mark(Mark { service, version, at, api }) = args;
    let body = json!({ "service": service, "version": version, "at": at });
    let stored = super::runtime()?.block_on(api.send("/api/v1/deployments", &body))?;
    let text = |key: &str| clean(stored[key].as_str().unwrap_or_default(), 120);
    let (service, version, at) = (text("service"), text("version"), text("at"));
    let points = stored["points"].as_u64().unwrap_or_default();
    writeln!(
        screen::out(),
        "marked {service} {version} at {at}; {points} sampling points are looked at now, and after 1 and 10 minutes",
    )?;
    Ok(ExitCode::SUCCESS)
}

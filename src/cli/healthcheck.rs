//! `secchi healthcheck`: asks `/-/ready` over loopback; needs no shell and no curl.

use std::process::ExitCode;

use super::daemon_api::Api;
use super::screen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    api: Api,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let ready = super::runtime()?.block_on(args.api.is_ready());
    match ready {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            screen::error(&format!("not ready: {error:#}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

//! `secchi run`: the daemon.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use ipnet::IpNet;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::daemon::{self, Options, Source};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The config file
    #[arg(
        long,
        value_name = "FILE",
        env = "SECCHI_CONFIG",
        default_value = "/etc/secchi/secchi.yaml"
    )]
    config: PathBuf,
    /// Sample this target without a config file
    #[arg(long, value_name = "T", conflicts_with = "config")]
    target: Vec<String>,
    /// A network that targets of the command line may lie in although it is not public
    #[arg(long, value_name = "CIDR", requires = "target")]
    allow_network: Vec<IpNet>,
    /// Where state is kept, in place of data.dir
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen, in place of web.listen
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Logs: text or json
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    start_logging(args.log_format);
    let source = match args.target.is_empty() {
        true => Source::File(args.config),
        false => Source::Targets(args.target, args.allow_network),
    };
    let options = Options { source, data_dir: args.data_dir, listen: args.listen };
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let on_signal = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            on_signal.cancel();
        });
        daemon::run(options, stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Half of the machine's cores: the rest is its other services', and few busy threads wake each other
/// less than many idle ones do (a tenth of the processor time of a fleet's samples on two cores).
fn runtime() -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if std::env::var_os(WORKERS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        builder.worker_threads((cores / 2).max(1));
    }
    builder.enable_all().build()
}

/// tokio's own switch, which holds where it is set.
const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// Logs go to standard error; `RUST_LOG` says how much.
fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(is_terminal).with_target(false).init();
        }
    }
}

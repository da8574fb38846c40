//! `secchi check`: one shot over the same probes and rules as the daemon, for people, and as a gate
//! of a pipeline.

mod asked;
mod baseline;
mod human;
mod junit;
mod missing;
mod place;
mod report;
mod round;
mod sarif;
mod tls;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use self::asked::Asked;
use self::baseline::Baseline;
use self::place::Places;
use self::report::{Gate, Report};
use self::round::{Often, Round};
use super::screen;
use super::switches::{Switches, span};
use crate::daemon::translate;
use crate::probe;
use crate::probe::tls::explain::TARGET;
use crate::sample::Severity;
use crate::schedule::{Clock, SystemClock};
use crate::target::{Endpoint, ProbeKind, of_network};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// host, host:port, https://host[:port]/path, [v6]:port, starttls+smtp://host:25, 192.0.2.0/24 for
    /// each of its addresses; with --config a target of the file is sampled as the file says, and without any all of its static targets
    #[arg(required_unless_present = "config", value_name = "T", value_parser = targets)]
    targets: Vec<Named>,
    /// Which ways to look
    #[arg(long, value_delimiter = ',', value_name = "PROBE")]
    probe: Vec<ProbeKind>,
    /// Targets with their settings, scope, rules and exceptions of this config; a switch stands
    /// before what the file says
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// human, json, sarif (2.1.0) or junit
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Exit 1 where a finding is at or above this severity
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    fail_on: Severity,
    /// Fail only on findings that this file does not have: the JSON or SARIF of an earlier check
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Do not exit 3 where nothing could be measured
    #[arg(long)]
    allow_unknown: bool,
    /// Which rules judge: baseline, standard, strict, or another profile (docs/rules.md)
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Show every hello that is sent and what comes back, on standard error
    #[arg(long)]
    explain: bool,
    /// Samples of each target
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    samples: u32,
    /// Time between them
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "0")]
    interval: Duration,
    #[command(flatten)]
    switches: Switches,
}

/// What one word of the command line names: a target, or the addresses of a network.
#[derive(Clone, Debug)]
struct Named(Vec<Endpoint>);

impl Args {
    fn endpoints(&self) -> Vec<Endpoint> {
        self.targets.iter().flat_map(|named| named.0.iter().cloned()).collect()
    }
}

fn targets(text: &str) -> Result<Named, String> {
    if let Some(found) = of_network(text) {
        return found.map(Named).map_err(|error| error.to_string());
    }
    let endpoint = text.parse::<Endpoint>();
    endpoint.map(|endpoint| Named(vec![endpoint])).map_err(|error| error.to_string())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
    Junit,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.explain {
        explain();
    }
    probe::read_ahead(if args.probe.is_empty() { &ProbeKind::ALL } else { &args.probe });
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let asked = Asked::of(&args)?;
    let gate = Gate {
        fail_on: args.fail_on,
        allow_unknown: args.allow_unknown,
        baseline,
        exceptions: translate::exceptions(&asked.config.exceptions),
        now: SystemClock.now(),
    };
    let often = Often { samples: args.samples, interval: args.interval };
    let round = Round::new(&asked, often)?;
    let judged = super::runtime()?.block_on(round.take());
    let report = Report::new(judged, &gate, &asked.labels());
    let status = report.exit_status(&gate, &asked.points());
    let mut out = screen::out();
    match args.format {
        Format::Human => human::write(&mut out, &report, &gate, status)?,
        Format::Json => writeln!(out, "{}", report.to_json())?,
        Format::Junit => junit::write(&mut out, &report, &gate)?,
        Format::Sarif => {
            let places = Places::of(&asked.config.path);
            writeln!(out, "{}", sarif::log(&report, &asked.config.rules, &places, status))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::from(status))
}

/// Shows what the tls probe says and hears.
fn explain() {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{TARGET}=debug")))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_level(false)
        .with_target(false)
        .without_time()
        .finish();
    // Where someone else listens already, that one hears it.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_names_each_of_its_addresses_and_no_more_than_can_be_meant() {
        let names = |text: &str| {
            let named = targets(text).map(|named| named.0);
            named.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names("192.0.2.8/30").expect("a network"), ["192.0.2.9", "192.0.2.10"]);
        assert_eq!(names("2001:db8::1/128").expect("a network"), ["2001:db8::1"]);
        assert_eq!(names("example.com:8443").expect("a target"), ["example.com:8443"]);
        assert!(names("10.0.0.0/8").is_err() && names("example.com/x").is_err());
    }
}

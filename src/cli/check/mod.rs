//! `secchi check`: one shot over the same probes and rules as the daemon.

mod human;
mod report;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use self::report::Report;
use super::screen;
use super::switches::Switches;
use crate::config::{AdHoc, Config, TargetConfig};
use crate::daemon::{self, Bounds, Source};
use crate::inventory::{Resolver, ResolverSpec, fixed_addresses, points};
use crate::probe::dial::{Outside, Resolve};
use crate::rules::Selection;
use crate::sample::{Cause, Severity};
use crate::sampler::{Ask, Judged, Pacing, Taker};
use crate::schedule::{Buckets, Budget, Rate, SystemClock};
use crate::target::{Endpoint, Host, Point, ProbeKind, Scheme, Span, Target};
use crate::telemetry::Metrics;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// host, host:port, https://host[:port]/path, [v6]:port, starttls+smtp://host:25
    #[arg(required = true, value_name = "T")]
    targets: Vec<Endpoint>,
    /// Which ways to look
    #[arg(long, value_delimiter = ',', value_name = "PROBE")]
    probe: Vec<ProbeKind>,
    /// Scope, rules and exceptions of this config
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// human or json
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Exit 1 where a finding is at or above this severity
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    fail_on: Severity,
    /// Do not exit 3 where nothing could be measured
    #[arg(long)]
    allow_unknown: bool,
    /// Which rules judge
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Samples of each target
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    samples: u32,
    /// Time between them
    #[arg(long, value_name = "DURATION", value_parser = span, default_value = "0")]
    interval: Duration,
    #[command(flatten)]
    switches: Switches,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let check = Check::prepare(&args)?;
    let judged = super::runtime()?.block_on(check.take(&args));
    let report = Report::new(judged);
    let mut out = screen::out();
    match args.format {
        Format::Json => writeln!(out, "{}", report.to_json())?,
        Format::Human => human::write(&mut out, &report)?,
    }
    out.flush()?;
    let status = report.exit_status(args.fail_on, args.allow_unknown, &check.asked);
    Ok(ExitCode::from(status))
}

/// Everything that one run needs.
struct Check {
    taker: Taker,
    bounds: Arc<Bounds>,
    selection: Selection,
    targets: Vec<(Arc<Target>, Vec<ProbeKind>)>,
    asked: Vec<(String, ProbeKind)>,
    concurrency: usize,
}

impl Check {
    fn prepare(args: &Args) -> anyhow::Result<Self> {
        let bare = args.options()?.config(&args.targets);
        let targets: Vec<_> = bare.targets.iter().map(|target| args.target(target)).collect();
        let asked = targets
            .iter()
            .flat_map(|(target, probes)| {
                probes.iter().map(|probe| (target.name.to_string(), *probe))
            })
            .collect();
        let config = match &args.config {
            Some(file) => {
                let mut config = Source::File(file.clone()).load()?;
                // The first --dns-server stands before the file's.
                if bare.resolvers != ResolverSpec::System {
                    config.resolvers = bare.resolvers;
                }
                config
            }
            None => bare,
        };
        let selection = config
            .rules
            .select(&args.profile, &Default::default())
            .map_err(|errors| anyhow!(errors.join("\n")))?;
        let bounds = Arc::new(args.bounds(&config)?);
        let pacing = Pacing::new(Buckets::new(args.budget()?), args.switches.concurrency);
        let taker = Taker {
            outside: Outside {
                guard: bounds.clone(),
                pace: Arc::new(pacing),
                resolve: bounds.clone(),
            },
            clock: Arc::new(SystemClock),
            seed: daemon::random_seed()?,
            vantage: "local".into(),
            metrics: Arc::new(Metrics::new()?),
            clock_doubted: Arc::default(),
        };
        Ok(Self {
            taker,
            bounds,
            selection,
            targets,
            asked,
            concurrency: args.switches.concurrency.max(1),
        })
    }

    /// Takes every sample: targets side by side, the samples of a target in order.
    async fn take(&self, args: &Args) -> Vec<Judged> {
        let mut jobs = Vec::new();
        for (target, probes) in &self.targets {
            for point in self.points(target, probes).await {
                jobs.push(point);
            }
        }
        let progress = Progress::new(jobs.len() * args.samples as usize);
        let taken = stream::iter(jobs)
            .map(|point| self.repeatedly(point, args, &progress))
            .buffered(self.concurrency * ProbeKind::ALL.len());
        let judged = taken.concat().await;
        progress.end();
        judged
    }

    async fn repeatedly(&self, point: Point, args: &Args, progress: &Progress) -> Vec<Judged> {
        let (mut all, mut memory) = (Vec::new(), None);
        // Only what was asked for is answered: a glimpse is the daemon's.
        let ask = Ask { point: &point, selection: &self.selection, glimpses: false };
        for nth in 0..args.samples {
            if nth > 0 {
                sleep(args.interval).await;
            }
            let judged = self.taker.take(ask, Cause::Manual, None, memory.clone()).await;
            memory = judged.iter().find_map(|judged| judged.memory.clone()).or(memory);
            all.extend(judged);
            progress.step();
        }
        all
    }

    async fn points(&self, target: &Arc<Target>, probes: &[ProbeKind]) -> Vec<Point> {
        let addresses = match (fixed_addresses(target), &target.endpoint.host) {
            (Some(fixed), _) => fixed,
            (None, Host::Name(name)) => self.bounds.lookup(name).await.unwrap_or_default(),
            (None, Host::Address(address)) => vec![*address],
        };
        let mut found = points(target, probes, &addresses, MAX_ADDRESSES).points;
        if addresses.is_empty() {
            let unresolved = probes.iter().filter(|probe| probe.is_per_address());
            found.extend(unresolved.map(|&probe| Point {
                target: Arc::clone(target),
                probe,
                address: None,
            }));
        }
        found
    }
}

impl Args {
    fn options(&self) -> anyhow::Result<AdHoc> {
        Ok(AdHoc {
            allow_networks: self.switches.allow_network.clone(),
            settings: self.switches.settings()?,
            ..AdHoc::default()
        })
    }

    fn target(&self, config: &TargetConfig) -> (Arc<Target>, Vec<ProbeKind>) {
        let default = || default_probes(&config.target.endpoint);
        let probes = if self.probe.is_empty() { default() } else { self.probe.clone() };
        (Arc::clone(&config.target), probes)
    }

    fn bounds(&self, config: &Config) -> anyhow::Result<Bounds> {
        let resolver =
            Resolver::new(&config.resolvers, config.families).context("name resolution")?;
        let known = resolver.servers().iter().chain(&self.switches.dns_server);
        let known: Vec<_> = known.map(SocketAddr::ip).collect();
        Ok(Bounds::new(config.scope.clone().with_resolvers(known), resolver))
    }

    /// `--rate` replaces every budget of the run.
    fn budget(&self) -> anyhow::Result<Budget> {
        let rate = |hertz: f64| {
            Rate::per_second(hertz).ok_or_else(|| anyhow!("{hertz} a second is out of range"))
        };
        if let Some(rate) = self.switches.rate {
            return Ok(Budget::flat(rate));
        }
        let mut budget = Budget::flat(rate(100.0)?);
        budget.per_address[ProbeKind::Ports as usize] = rate(1000.0)?;
        budget.per_address[ProbeKind::Dns as usize] = rate(50.0)?;
        Ok(budget)
    }
}

/// What a target is looked at by, unless `--probe` says it.
fn default_probes(endpoint: &Endpoint) -> Vec<ProbeKind> {
    let is_name = endpoint.host.name().is_some();
    match endpoint.scheme {
        Some(Scheme::StartTls(_) | Scheme::Tls) => vec![ProbeKind::Tls],
        Some(Scheme::Http) => vec![ProbeKind::Http],
        _ if is_name => vec![ProbeKind::Tls, ProbeKind::Http, ProbeKind::Dns],
        _ => vec![ProbeKind::Tls, ProbeKind::Http],
    }
}

/// Samples done, on standard error while a person watches it.
struct Progress {
    of: usize,
    done: std::sync::atomic::AtomicUsize,
    shown: bool,
}

impl Progress {
    fn new(of: usize) -> Self {
        Self { of, done: Default::default(), shown: screen::shows_progress() }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        if self.shown {
            // Progress that cannot be shown is no loss.
            let _ = write!(std::io::stderr(), "\r{done}/{} samples", self.of);
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

const MAX_ADDRESSES: usize = 16;

//! The samples of one `check`: targets side by side, the samples of a point in order.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use super::asked::{Asked, Wanted};
use crate::cli::screen;
use crate::daemon::{self, Bounds};
use crate::inventory::{Resolver, fixed_addresses, points};
use crate::probe::dial::{Outside, Resolve};
use crate::sample::Cause;
use crate::sampler::{Ask, Judged, Pacing, Taker};
use crate::schedule::{Buckets, Budget, Rate, SystemClock};
use crate::target::{Host, Point, ProbeKind};
use crate::telemetry::Metrics;

/// How often each point is sampled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Often {
    pub(super) samples: u32,
    pub(super) interval: Duration,
}

/// Everything that the samples need.
pub(super) struct Round<'a> {
    asked: &'a Asked,
    often: Often,
    bounds: Arc<Bounds>,
    taker: Taker,
}

impl<'a> Round<'a> {
    pub(super) fn new(asked: &'a Asked, often: Often) -> anyhow::Result<Self> {
        let bounds = Arc::new(bounds(asked)?);
        // A target's own rate and concurrency replace these.
        let pacing = Pacing::new(Buckets::new(budget()?), AT_ONCE);
        let outside =
            Outside { guard: bounds.clone(), pace: Arc::new(pacing), resolve: bounds.clone() };
        let taker = Taker {
            spending: Arc::default(),
            outside,
            clock: Arc::new(SystemClock),
            seed: daemon::random_seed()?,
            vantage: Arc::clone(&asked.config.vantage),
            metrics: Arc::new(Metrics::new()?),
            clock_doubted: Arc::default(),
        };
        Ok(Self { asked, often, bounds, taker })
    }

    /// Takes every sample.
    pub(super) async fn take(&self) -> Vec<Judged> {
        let found = stream::iter(&self.asked.targets).map(|target| self.points(target));
        let jobs: Vec<Job<'_>> = found.buffered(RESOLVED_AT_ONCE).concat().await;
        let at_once = |target: &Wanted| target.config.target.settings.concurrency;
        let widest = self.asked.targets.iter().filter_map(at_once).max().unwrap_or(AT_ONCE).max(1);
        let progress = Progress::new(jobs.len() * self.often.samples as usize);
        let taken = stream::iter(jobs)
            .map(|job| self.repeatedly(job, &progress))
            .buffered(widest * ProbeKind::ALL.len());
        let judged = taken.concat().await;
        progress.end();
        judged
    }

    async fn repeatedly(&self, job: Job<'_>, progress: &Progress) -> Vec<Judged> {
        let (mut all, mut memory) = (Vec::new(), None);
        // Only what was asked for is answered: a glimpse is the daemon's.
        let ask = Ask { point: &job.point, selection: &job.target.selection, glimpses: false };
        for nth in 0..self.often.samples {
            if nth > 0 {
                sleep(self.often.interval).await;
            }
            let judged = self.taker.take(ask, Cause::Manual, None, memory.clone()).await;
            memory = judged.iter().find_map(|judged| judged.memory.clone()).or(memory);
            all.extend(judged);
            progress.step();
        }
        all
    }

    /// The sampling points of a target. A name without an address has points too: they say why
    /// nothing could be measured.
    async fn points(&self, wanted: &'a Wanted) -> Vec<Job<'a>> {
        let (config, target) = (&wanted.config, &wanted.config.target);
        let addresses = match (fixed_addresses(target), &target.endpoint.host) {
            (Some(fixed), _) => fixed,
            (None, Host::Name(name)) => self.bounds.lookup(name).await.unwrap_or_default(),
            (None, Host::Address(address)) => vec![*address],
        };
        let mut found = points(target, &config.probes, &addresses, config.max_addresses).points;
        if addresses.is_empty() {
            let unresolved = config.probes.iter().filter(|probe| probe.is_per_address());
            let target = || Arc::clone(target);
            found.extend(unresolved.map(|&probe| Point { target: target(), probe, address: None }));
        }
        found.into_iter().map(|point| Job { target: wanted, point }).collect()
    }
}

struct Job<'a> {
    target: &'a Wanted,
    point: Point,
}

fn bounds(asked: &Asked) -> anyhow::Result<Bounds> {
    let config = &asked.config;
    let resolver = Resolver::new(&config.resolvers, config.families).context("name resolution")?;
    let of_targets = asked.targets.iter().flat_map(|t| &t.config.target.settings.dns_servers);
    let known: Vec<_> = resolver.servers().iter().chain(of_targets).map(SocketAddr::ip).collect();
    Ok(Bounds::new(config.scope.clone().with_resolvers(known), resolver))
}

/// Somebody waits for a check: it is faster than the daemon.
fn budget() -> anyhow::Result<Budget> {
    let rate = |hertz: f64| {
        Rate::per_second(hertz).ok_or_else(|| anyhow!("{hertz} a second is out of range"))
    };
    let mut budget = Budget::flat(rate(100.0)?);
    budget.per_address[ProbeKind::Ports as usize] = rate(1000.0)?;
    budget.per_address[ProbeKind::Dns as usize] = rate(50.0)?;
    Ok(budget)
}

/// Samples done, on standard error while a person watches it.
struct Progress {
    of: usize,
    done: AtomicUsize,
    shown: bool,
}

impl Progress {
    fn new(of: usize) -> Self {
        Self { of, done: AtomicUsize::new(0), shown: screen::shows_progress() }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
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

/// Samples at once per address.
const AT_ONCE: usize = 4;
const RESOLVED_AT_ONCE: usize = 16;

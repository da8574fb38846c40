//! The samples of one `check`: targets side by side, the samples of a point in order.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};

use super::asked::{Asked, Wanted};
use crate::cli::screen;
use crate::daemon::{self, Bounds};
use crate::inventory::{Resolver, fixed_addresses, points};
use crate::probe::dial::{Admission, Outside, Pace, Permit, Resolve};
use crate::probe::{self, Known, joins};
use crate::rules::sample_verdict;
use crate::sample::{Cause, Outcome, Unknown};
use crate::sampler::{Ask, Judged, Pacing, Taker};
use crate::schedule::{Buckets, Budget, Rate, SystemClock};
use crate::target::{Endpoint, Host, Point, ProbeKind};
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
    /// Contacts begun so far.
    begun: Arc<AtomicUsize>,
}

impl<'a> Round<'a> {
    pub(super) fn new(asked: &'a Asked, often: Often) -> anyhow::Result<Self> {
        let bounds = Arc::new(bounds(asked)?);
        // A target's own rate and concurrency replace these.
        let pacing = Pacing::new(Buckets::new(budget()?), AT_ONCE);
        let begun = Arc::new(AtomicUsize::new(0));
        let pace = Arc::new(Counting { pacing, begun: Arc::clone(&begun) });
        let outside = Outside { guard: bounds.clone(), pace, resolve: bounds.clone() };
        let taker = Taker {
            spending: Arc::default(),
            outside,
            clock: Arc::new(SystemClock),
            seed: daemon::random_seed()?,
            vantage: Arc::clone(&asked.config.vantage),
            metrics: Arc::new(Metrics::new()?),
            // Whoever takes all at once joins them when all are there.
            beside: None,
            clock_doubted: Arc::default(),
        };
        Ok(Self { asked, often, bounds, taker, begun })
    }

    /// Takes every sample.
    pub(super) async fn take(&self) -> Vec<Judged> {
        let found = stream::iter(&self.asked.targets).map(|target| self.points(target));
        let jobs: Vec<Job<'_>> = found.buffered(RESOLVED_AT_ONCE).concat().await;
        let at_once = |target: &Wanted| target.config.target.settings.concurrency;
        let widest = self.asked.targets.iter().filter_map(at_once).max().unwrap_or(AT_ONCE).max(1);
        let progress =
            Progress::new(jobs.len() * self.often.samples as usize, self.contacts(&jobs));
        let taken = stream::iter(jobs)
            .map(|job| self.repeatedly(job, &progress))
            .buffered(widest * ProbeKind::ALL.len());
        let taken = taken.concat();
        let mut judged = tokio::select! {
            judged = taken => judged,
            () = progress.watch(&self.begun) => Vec::new(),
        };
        progress.end();
        self.join(&mut judged);
        judged
    }

    /// Holds samples against those of another kind of the same target, and judges them anew.
    fn join(&self, judged: &mut [Judged]) {
        let known: Vec<(Arc<str>, ProbeKind, Known)> = judged
            .iter()
            .filter_map(|one| match &one.sample.outcome {
                Outcome::Unknown(_) => None,
                Outcome::Measured(facts) => Some((&one.sample, facts)),
            })
            .filter(|(sample, _)| {
                ProbeKind::ALL.into_iter().any(|of| joins(of) == Some(sample.probe))
            })
            .map(|(sample, facts)| {
                let facts = serde_json::to_value(facts).unwrap_or_default();
                let known = Known { taken_at: sample.taken_at, facts };
                (Arc::clone(&sample.target), sample.probe, known)
            })
            .collect();
        for one in judged.iter_mut() {
            let sample = &mut one.sample;
            let named = |wanted: &&Wanted| wanted.config.target.name == sample.target;
            let (Some(other), Some(wanted)) =
                (joins(sample.probe), self.asked.targets.iter().find(named))
            else {
                continue;
            };
            let Outcome::Measured(facts) = &mut sample.outcome else { continue };
            let beside =
                known.iter().filter(|(target, kind, _)| *kind == other && *target == sample.target);
            let beside: Vec<Known> = beside.map(|(.., known)| known.clone()).collect();
            let target = &wanted.config.target;
            probe::join(target, sample.probe, facts, &beside, sample.taken_at);
            one.judgements = wanted.selection.evaluate(&one.sample);
            one.verdict = sample_verdict(&one.judgements);
        }
    }

    /// Contacts that all samples are expected to begin.
    fn contacts(&self, jobs: &[Job<'_>]) -> usize {
        let of = |job: &Job<'_>| {
            let target = &job.point.target;
            let addresses = match job.point.probe {
                ProbeKind::Ports => target.settings.addresses.len().max(1),
                _ => 1,
            };
            target.contacts(job.point.probe, true) as usize * addresses
        };
        jobs.iter().map(of).sum::<usize>() * self.often.samples as usize
    }

    async fn repeatedly(&self, job: Job<'_>, progress: &Progress) -> Vec<Judged> {
        let (mut all, mut memory) = (Vec::new(), None);
        // Only what was asked for is answered: http's glimpses are the daemon's, and those of ports
        // come where tls was asked for too.
        let glimpses = job.point.probe == ProbeKind::Ports
            && job.target.config.probes.contains(&ProbeKind::Tls);
        let spoken_for = match glimpses {
            true => self.tls_ports(&job.point.target.endpoint.host).into(),
            false => Arc::default(),
        };
        let ask = Ask {
            point: &job.point,
            selection: &job.target.selection,
            glimpses,
            promised: false,
            spoken_for: &spoken_for,
        };
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

    /// The ports of a host whose TLS is looked at by the tls probe.
    fn tls_ports(&self, host: &Host) -> Vec<u16> {
        let configs = self.asked.targets.iter().map(|wanted| &wanted.config);
        let configs = configs.filter(|config| config.probes.contains(&ProbeKind::Tls));
        let endpoints = configs.map(|config| &config.target.endpoint);
        endpoints.filter(|at| at.host == *host).map(Endpoint::port_or_default).collect()
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

/// Counts what is begun.
struct Counting {
    pacing: Pacing,
    begun: Arc<AtomicUsize>,
}

impl Pace for Counting {
    fn admit(&self, asked: Admission) -> BoxFuture<'_, Result<Permit, Unknown>> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.pacing.admit(asked)
    }
}

/// Samples done and contacts begun, on standard error while a person watches it.
struct Progress {
    of: usize,
    contacts: usize,
    done: AtomicUsize,
    shown: bool,
}

impl Progress {
    fn new(of: usize, contacts: usize) -> Self {
        Self { of, contacts, done: AtomicUsize::new(0), shown: screen::shows_progress() }
    }

    fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows the state of things again and again; never ends.
    async fn watch(&self, begun: &AtomicUsize) {
        if !self.shown {
            std::future::pending::<()>().await;
        }
        let start = Instant::now();
        loop {
            sleep(SHOWN_EVERY).await;
            let done = self.done.load(Ordering::Relaxed);
            let line = line(
                (done, self.of),
                begun.load(Ordering::Relaxed),
                self.contacts,
                start.elapsed(),
            );
            // Progress that cannot be shown is no loss.
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `1/2 samples  [=====     ]  32771/65543 contacts  ETA 0:33`
fn line((done, of): (usize, usize), begun: usize, contacts: usize, passed: Duration) -> String {
    let share = (begun as f64 / contacts.max(1) as f64).min(1.0);
    let bar = "=".repeat((share * BAR as f64) as usize);
    let eta = match share {
        // What is left is waiting for answers.
        share if share <= 0.0 || share >= 1.0 => String::new(),
        share => {
            let left = (passed.as_secs_f64() * (1.0 - share) / share).ceil() as u64;
            format!("  ETA {}:{:02}", left / 60, left % 60)
        }
    };
    format!("{done}/{of} samples  [{bar:BAR$}]  {begun}/{contacts} contacts{eta}")
}

/// Samples at once per address.
const AT_ONCE: usize = 4;
const RESOLVED_AT_ONCE: usize = 16;
const SHOWN_EVERY: Duration = Duration::from_millis(200);
const BAR: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_what_is_left() {
        let half = line((0, 1), 500, 1_000, Duration::from_secs(33));
        assert_eq!(half, "0/1 samples  [==========          ]  500/1000 contacts  ETA 0:33");
        for (begun, contacts) in [(0, 1_000), (2_000, 1_000), (1, 0)] {
            let line = line((1, 2), begun, contacts, Duration::from_secs(5));
            assert!(line.starts_with("1/2 samples") && !line.contains("ETA"), "{line}");
        }
    }
}

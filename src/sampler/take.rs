//! One sample: build the job, run the probe, judge what it saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Spending;
use super::doubt;
use super::meter::Metered;
use crate::probe::dial::{Dialer, Outside, Traffic};
use crate::probe::{self, Job, Known, Memory, Observation};
use crate::rules::{Selection, sample_verdict};
use crate::sample::{Cause, Judgement, Measurements, Outcome, Reason, Sample, Unknown, Verdict};
use crate::schedule::{Clock, Seed};
use crate::target::{Point, ProbeKind};
use crate::telemetry::Metrics;

/// A sample with what the rules said of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The sample.
    pub sample: Sample,
    /// One judgement a rule that applies to its probe.
    pub judgements: Vec<Judgement>,
    /// The worst of them.
    pub verdict: Verdict,
    /// What the probe wants remembered; only with the job's own kind.
    pub memory: Option<Memory>,
}

/// What is known of a target's points from before.
pub trait Beside: Send + Sync {
    /// The latest sample of this kind of each of the target's points, as far as they are known.
    fn latest(&self, target: &str, probe: ProbeKind) -> Vec<Known>;
}

/// Takes samples. Cheap to clone.
#[derive(Clone)]
pub struct Taker {
    /// Scope, budget and names.
    pub outside: Outside,
    /// The time that samples carry and dates are judged by.
    pub clock: Arc<dyn Clock>,
    /// Where each run's randomness comes from.
    pub seed: Seed,
    /// From where.
    pub vantage: Arc<str>,
    /// Where samples are counted.
    pub metrics: Arc<Metrics>,
    /// Where samples are paid for.
    pub spending: Arc<Spending>,
    /// What is known of a target's other points; without it nothing is joined.
    pub beside: Option<Arc<dyn Beside>>,
    /// Whether the wall clock is in doubt: then whatever hangs on the date is unknown.
    pub clock_doubted: Arc<AtomicBool>,
}

/// What is to be sampled.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The point.
    pub point: &'a Point,
    /// What its samples are held to.
    pub selection: &'a Selection,
    /// Whether a glimpse of another probe's measurements is welcome.
    pub glimpses: bool,
    /// Whether its plan gives a guarantee.
    pub promised: bool,
    /// Ports of the host of which none is, for others look at their TLS.
    pub spoken_for: &'a Arc<[u16]>,
}

/// Why and for which slot a sample is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    pub(super) cause: Cause,
    pub(super) slot: Option<i64>,
}

impl Taker {
    /// Takes one sample of a point and judges it, and glimpses after it if there are any. Never
    /// fails: what went wrong is in the sample.
    pub async fn take(
        &self,
        ask: Ask<'_>,
        cause: Cause,
        slot: Option<i64>,
        memory: Option<Memory>,
    ) -> Vec<Judged> {
        let Ask { point, selection, .. } = ask;
        let taken_at = self.clock.now();
        let began_in_doubt = self.is_clock_doubted();
        let occasion = Occasion { cause, slot };
        let inflight = self.metrics.inflight.with_label_values(&[point.probe.as_str()]);
        inflight.inc();
        // A task of its own, so that a panic on some peer's bytes stops one sample and no more.
        let job = self.job(ask, memory, taken_at, cause);
        let traffic = Arc::clone(job.dialer.traffic());
        let run = tokio::spawn(Metered::new(probe::run(job))).await;
        inflight.dec();
        let (run, spent) = run.unwrap_or_else(|error| {
            tracing::error!(target = %point.target.name, probe = %point.probe, %error, "a probe stopped short");
            let unknown = Unknown::new(Reason::LocalError, "the probe stopped short");
            (probe::Run::unknown(point, unknown, Duration::ZERO, 0), Duration::ZERO)
        });
        self.count_cost(point.probe, &traffic, spent);
        let bytes = traffic.received().saturating_add(traffic.sent());
        self.spending.charge(&point.target.name, bytes, spent);
        // A step while the probe ran makes what it saw as doubtful as one before.
        let in_doubt = began_in_doubt || self.is_clock_doubted();
        let mut memory = run.memory.filter(|memory| memory.bytes.len() <= Memory::MAX);
        run.observations
            .into_iter()
            .map(|observation| {
                let own = observation.probe == point.probe;
                let mut sample = self.sample(point, observation, taken_at, occasion);
                if in_doubt {
                    doubt::blank(&mut sample);
                }
                if let (true, Outcome::Measured(facts)) = (own, &mut sample.outcome) {
                    facts.set_value("cost", cost(&traffic, spent));
                    self.join(point, facts, taken_at);
                }
                let judgements = match (own, in_doubt) {
                    (true, false) => selection.evaluate(&sample),
                    (true, true) => selection.evaluate_undated(&sample),
                    (false, in_doubt) => selection.evaluate_glimpse(&sample, !in_doubt),
                };
                let kept = if own { memory.take() } else { None };
                self.judged(sample, judgements, kept)
            })
            .collect()
    }

    /// Holds a sample against what is known of the target by another kind.
    fn join(&self, point: &Point, facts: &mut Measurements, now: DateTime<Utc>) {
        let (Some(beside), Some(other)) = (&self.beside, probe::joins(point.probe)) else { return };
        let known = beside.latest(&point.target.name, other);
        probe::join(&point.target, point.probe, facts, &known, now);
    }

    /// What a run cost: bytes both ways, and processor time.
    fn count_cost(&self, probe: ProbeKind, traffic: &Traffic, spent: Duration) {
        let bytes = |direction: &str| {
            self.metrics.probe_bytes.with_label_values(&[probe.as_str(), direction])
        };
        bytes("received").inc_by(traffic.received());
        bytes("sent").inc_by(traffic.sent());
        let cpu = self.metrics.probe_cpu.with_label_values(&[probe.as_str()]);
        cpu.inc_by(spent.as_secs_f64());
    }

    fn is_clock_doubted(&self) -> bool {
        self.clock_doubted.load(Ordering::Relaxed)
    }

    fn job(&self, ask: Ask<'_>, memory: Option<Memory>, now: DateTime<Utc>, cause: Cause) -> Job {
        let point = ask.point;
        let settings = Arc::clone(&point.target.settings);
        let budget = budget(point.probe, settings.timeout);
        let nanos = now.timestamp_nanos_opt().unwrap_or_default();
        Job {
            point: point.clone(),
            memory,
            now,
            seed: self.seed.for_run(point.key(), nanos),
            cause,
            dialer: Dialer::new(self.outside.clone(), settings, point.probe, budget),
            glimpses: ask.glimpses,
            promised: ask.promised,
            spoken_for: Arc::clone(ask.spoken_for),
        }
    }

    fn sample(
        &self,
        point: &Point,
        seen: Observation,
        taken_at: DateTime<Utc>,
        occasion: Occasion,
    ) -> Sample {
        let target = match seen.port {
            Some(port) => point.target.at_port(port).name,
            None => Arc::clone(&point.target.name),
        };
        Sample {
            target,
            probe: seen.probe,
            address: seen.address,
            taken_at,
            duration: seen.duration,
            connections: seen.connections,
            cause: occasion.cause,
            slot: occasion.slot,
            vantage: Arc::clone(&self.vantage),
            outcome: seen.outcome,
        }
    }

    fn judged(&self, sample: Sample, judgements: Vec<Judgement>, memory: Option<Memory>) -> Judged {
        let verdict = match sample.outcome {
            Outcome::Unknown(_) => Verdict::Unknown,
            Outcome::Measured(_) => sample_verdict(&judgements),
        };
        self.count(&sample, verdict);
        Judged { sample, judgements, verdict, memory }
    }

    fn count(&self, sample: &Sample, verdict: Verdict) {
        let probe = sample.probe.as_str();
        self.metrics.samples.with_label_values(&[probe, verdict.as_str()]).inc();
        self.metrics
            .sample_seconds
            .with_label_values(&[probe])
            .observe(sample.duration.as_secs_f64());
        self.metrics.connections.with_label_values(&[probe]).inc_by(u64::from(sample.connections));
        if let Some(unknown) = sample.unknown() {
            self.metrics.unknowns.with_label_values(&[probe, unknown.reason.as_str()]).inc();
            if unknown.reason == Reason::OutOfScope {
                self.metrics.out_of_scope.with_label_values(&[probe]).inc();
            }
        }
    }
}

/// The run's cost as a measurement; the connections are the sample's own field.
fn cost(traffic: &Traffic, spent: Duration) -> Value {
    json!({
        "received_bytes": traffic.received(),
        "sent_bytes": traffic.sent(),
        "cpu_seconds": spent.as_secs_f64(),
    })
}

/// How long one sample may take in all. For tls and http `--timeout` bounds the sample; for ports
/// and dns it bounds one connect or query, and the sample has what a full pass needs.
fn budget(probe: ProbeKind, timeout: Option<Duration>) -> Duration {
    match probe {
        ProbeKind::Tls | ProbeKind::Http => timeout.unwrap_or(SAMPLE_TIMEOUT),
        ProbeKind::Dns => DNS_PASS,
        ProbeKind::Ports => PORTS_PASS,
    }
}

const SAMPLE_TIMEOUT: Duration = Duration::from_secs(30);
const DNS_PASS: Duration = Duration::from_secs(120);
const PORTS_PASS: Duration = Duration::from_secs(24 * 3600);

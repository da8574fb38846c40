//! Judged samples as the daemon records them: real measurements of one https server, under any name.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secchi::finding::Policy;
use secchi::ledger::Record;
use secchi::rules::{RuleSet, sample_verdict};
use secchi::sample::{Cause, Judgement, Measurements, Outcome, Sample, Verdict};
use secchi::target::{Labels, ProbeKind};
use serde_json::Value;

/// `secchi check --format json` of a local nginx, the members `probe` and `measurements`.
const TAKEN: &str = include_str!("samples.json");

/// Makes records.
pub struct Recorded {
    samples: Vec<(ProbeKind, Measurements, Vec<Judgement>, Verdict)>,
    labels: Arc<Labels>,
    plan: Arc<str>,
    vantage: Arc<str>,
}

impl Recorded {
    /// From the samples that were taken once.
    pub fn new() -> Self {
        let selection =
            RuleSet::builtin().select(&[], &Default::default()).expect("the built-in rules");
        let taken: Vec<Value> = serde_json::from_str(TAKEN).expect("samples");
        let samples = taken.into_iter().map(|mut taken| {
            let probe = serde_json::from_value(taken["probe"].take()).expect("a probe");
            let measurements: Measurements =
                serde_json::from_value(taken["measurements"].take()).expect("measurements");
            let sample = sample(probe, "any", None, DateTime::UNIX_EPOCH, measurements.clone());
            let judgements = selection.evaluate(&sample);
            let verdict = sample_verdict(&judgements);
            (probe, measurements, judgements, verdict)
        });
        Self {
            samples: samples.collect(),
            labels: Arc::new(Labels::from([
                ("service".into(), "shop".into()),
                ("team".into(), "checkout".into()),
                ("env".into(), "production".into()),
            ])),
            plan: "minutely".into(),
            vantage: "local".into(),
        }
    }

    /// The sample of point `n` at a slot; `change` makes its content another.
    pub fn record(&self, n: usize, at: DateTime<Utc>, change: Option<u64>) -> Record {
        let (probe, measurements, judgements, verdict) = &self.samples[n % self.samples.len()];
        let mut measurements = measurements.clone();
        if let Some(change) = change {
            measurements.set("changed", change);
        }
        let target: Arc<str> =
            format!("https://host-{:07}.example.com", n / self.samples.len()).into();
        let mut sample = sample(*probe, &target, Some(n), at, measurements);
        sample.vantage = Arc::clone(&self.vantage);
        Record {
            sample,
            judgements: judgements.clone(),
            verdict: *verdict,
            labels: Arc::clone(&self.labels),
            policy: Policy::default(),
            memory: None,
            memory_before: 0,
            plan: Arc::clone(&self.plan),
            freshness: Duration::from_secs(3600),
            interval: Duration::from_secs(60),
            due: 1,
        }
    }
}

fn sample(
    probe: ProbeKind,
    target: &str,
    n: Option<usize>,
    at: DateTime<Utc>,
    measurements: Measurements,
) -> Sample {
    let address = n.map(|n| [10, (n >> 16) as u8, (n >> 8) as u8, n as u8].into());
    Sample {
        target: target.into(),
        probe,
        address,
        taken_at: at,
        duration: Duration::from_micros(31_415),
        connections: 2,
        cause: Cause::Scheduled,
        slot: Some(at.timestamp()),
        vantage: "local".into(),
        outcome: Outcome::Measured(measurements),
    }
}

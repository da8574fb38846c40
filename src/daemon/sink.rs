//! From the sampler to the ledger.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::mpsc;

use super::notify::Watchdog;
use super::population::Sighting;
use crate::finding::Policy;
use crate::ledger::{self, Ledger, Record};
use crate::probe::Memory;
use crate::sample::{Cause, Sample};
use crate::sampler::{Entry, Judged, Remembered, Sink};
use crate::schedule::Seed;
use crate::target::{Endpoint, PointKey, ProbeKind};
use crate::telemetry::Metrics;

/// Hands judged samples to the ledger, and the ledger's memory to probes.
pub(super) struct LedgerSink {
    ledger: Arc<Ledger>,
    seed: Seed,
    metrics: Arc<Metrics>,
    watchdog: Watchdog,
    /// What ports runs saw of TLS.
    sightings: mpsc::Sender<Sighting>,
}

impl LedgerSink {
    /// A sink that feeds the service's watchdog with the scheduler's turns.
    pub(super) fn new(
        ledger: Arc<Ledger>,
        seed: Seed,
        metrics: Arc<Metrics>,
        sightings: mpsc::Sender<Sighting>,
    ) -> Self {
        Self { ledger, seed, metrics, watchdog: Watchdog::default(), sightings }
    }

    /// What the keeper is to be told of TLS on ports that nobody named.
    fn sighting(entry: &Entry, judged: &[Judged]) -> Option<Sighting> {
        if entry.point.probe != ProbeKind::Ports {
            return None;
        }
        let samples = || judged.iter().map(|judged| &judged.sample);
        let own = samples().find(|sample| sample.probe == ProbeKind::Ports);
        let facts = own.and_then(Sample::measurements)?;
        let seen = samples().filter(|sample| sample.probe == ProbeKind::Tls).filter_map(|sample| {
            Some((sample.address?, sample.target.parse::<Endpoint>().ok()?.port?))
        });
        Some(Sighting {
            giver: Arc::clone(&entry.point.target.name),
            seen: seen.collect(),
            addresses: facts.fact("addresses").cloned().unwrap_or_default(),
        })
    }

    /// Slots of the run's plan that came due since the last sample of its kind, this one included. Summed up
    /// they are every slot since its first, whatever the daemon was kept from meanwhile.
    fn due(&self, entry: &Entry, sample: &Sample) -> u64 {
        let sampled = PointKey::new(&sample.target, sample.probe, sample.address);
        let since = self.ledger.point_state(sampled).last_scheduled;
        let Some(since) = since.filter(|_| sample.cause == Cause::Scheduled) else { return 1 };
        // The ledger keeps milliseconds: a slot may have been due in what was cut off.
        let since = since + TimeDelta::milliseconds(1);
        let slots = entry.plan.slots_between(entry.point.key(), &self.seed, since, sample.taken_at);
        slots.max(1)
    }

    /// Records one sample; answers how many repeats it wants.
    async fn take_in(&self, entry: &Entry, judged: Judged, mark: u64) -> u32 {
        let (probe, seen) = (judged.sample.probe, judged.sample.taken_at);
        let due = self.due(entry, &judged.sample);
        let receipt = match self.ledger.record(record(entry, judged, mark, due)).await {
            Ok(receipt) => receipt,
            Err(error) => {
                tracing::error!(%error, "a sample was not recorded");
                return 0;
            }
        };
        if receipt.opened > 0 {
            self.note_lead(entry, probe, seen, receipt.opened).await;
        }
        receipt.repeats_wanted
    }

    /// Measures how long after a deployment its faults were seen.
    async fn note_lead(&self, entry: &Entry, probe: ProbeKind, seen: DateTime<Utc>, opened: usize) {
        let (ledger, target) = (Arc::clone(&self.ledger), Arc::clone(&entry.point.target));
        let last = tokio::task::spawn_blocking(move || {
            ledger.deployment_before(&target.name, &target.labels, seen)
        });
        let Ok(Ok(Some(last))) = last.await else { return };
        if last.seconds_before <= A_DAY {
            let lead = self.metrics.deployment_lead.with_label_values(&[probe.as_str()]);
            (0..opened).for_each(|_| lead.observe(last.seconds_before as f64));
        }
    }
}

impl Sink for LedgerSink {
    fn memory(&self, key: PointKey) -> Remembered {
        let memory = self.ledger.memory(key).unwrap_or_else(|error| {
            tracing::error!(%error, "a point's memory cannot be read");
            None
        });
        let mark = memory.as_ref().map_or(ledger::Memory::NO_MARK, ledger::Memory::mark);
        let memory = memory.map(|memory| Memory { version: memory.version, bytes: memory.bytes });
        Remembered { memory, mark }
    }

    fn deliver<'a>(
        &'a self,
        entry: &'a Entry,
        judged: Vec<Judged>,
        mark: u64,
    ) -> BoxFuture<'a, u32> {
        Box::pin(async move {
            let sighting = Self::sighting(entry, &judged);
            // Side by side: what one run came to waits for one commit.
            let records = judged.into_iter().map(|judged| self.take_in(entry, judged, mark));
            // A repeat looks again at what the run gave a glimpse of, too.
            let repeats = join_all(records).await.into_iter().max().unwrap_or_default();
            if let Some(sighting) = sighting {
                // Where the keeper is behind, the next run tells.
                let _ = self.sightings.try_send(sighting);
            }
            repeats
        })
    }

    fn turned(&self, now: DateTime<Utc>) {
        self.watchdog.turned(now);
    }
}

/// A finding that comes later than that is not put down to the deployment.
const A_DAY: i64 = 86_400;

fn record(entry: &Entry, judged: Judged, mark: u64, due: u64) -> Record {
    Record {
        sample: judged.sample,
        judgements: judged.judgements,
        verdict: judged.verdict,
        labels: Arc::clone(&entry.point.target.labels),
        policy: Policy {
            samples: entry.repeat.samples,
            agree: entry.repeat.agree,
            ..Policy::default()
        },
        memory: judged
            .memory
            .map(|memory| ledger::Memory { version: memory.version, bytes: memory.bytes }),
        memory_before: mark,
        plan: Arc::clone(&entry.plan_name),
        freshness: entry.freshness,
        interval: entry.plan.interval(),
        due,
    }
}

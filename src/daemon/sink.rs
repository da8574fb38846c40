//! From the sampler to the ledger.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;

use super::notify::Watchdog;
use crate::finding::Policy;
use crate::ledger::{self, Ledger, Record};
use crate::probe::Memory;
use crate::sample::{Cause, Sample};
use crate::sampler::{Entry, Judged, Remembered, Sink};
use crate::schedule::Seed;
use crate::target::PointKey;

/// Hands judged samples to the ledger, and the ledger's memory to probes.
pub(super) struct LedgerSink {
    ledger: Arc<Ledger>,
    seed: Seed,
    watchdog: Watchdog,
}

impl LedgerSink {
    /// A sink that feeds the service's watchdog with the scheduler's turns.
    pub(super) fn new(ledger: Arc<Ledger>, seed: Seed) -> Self {
        Self { ledger, seed, watchdog: Watchdog::default() }
    }
}

impl LedgerSink {
    /// Slots of the point's plan that came due since its last sample, this one included. Summed up
    /// they are every slot since its first, whatever the daemon was kept from meanwhile.
    fn due(&self, entry: &Entry, sample: &Sample) -> u64 {
        let key = entry.point.key();
        let since = self.ledger.point_state(key).last_scheduled;
        let Some(since) = since.filter(|_| sample.cause == Cause::Scheduled) else { return 1 };
        // The ledger keeps milliseconds: a slot may have been due in what was cut off.
        let since = since + TimeDelta::milliseconds(1);
        entry.plan.slots_between(key, &self.seed, since, sample.taken_at).max(1)
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
            let mut repeats = 0;
            for judged in judged {
                let own = judged.sample.probe == entry.point.probe;
                let due = if own { self.due(entry, &judged.sample) } else { 1 };
                let record = record(entry, judged, own, mark, due);
                match self.ledger.record(record).await {
                    Ok(receipt) if own => repeats = repeats.max(receipt.repeats_wanted),
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "a sample was not recorded"),
                }
            }
            repeats
        })
    }

    fn turned(&self, now: DateTime<Utc>) {
        self.watchdog.turned(now);
    }
}

fn record(entry: &Entry, judged: Judged, own: bool, mark: u64, due: u64) -> Record {
    let mut sample = judged.sample;
    if !own {
        sample.slot = None;
    }
    Record {
        sample,
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

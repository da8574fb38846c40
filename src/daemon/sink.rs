//! From the sampler to the ledger.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, join_all};

use super::notify::Watchdog;
use crate::finding::Policy;
use crate::ledger::{self, Ledger, Record};
use crate::probe::Memory;
use crate::sampler::{Entry, Judged, Remembered, Sink};
use crate::target::PointKey;

/// Hands judged samples to the ledger, and the ledger's memory to probes.
pub(super) struct LedgerSink {
    ledger: Arc<Ledger>,
    watchdog: Watchdog,
}

impl LedgerSink {
    /// A sink that feeds the service's watchdog with the scheduler's turns.
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, watchdog: Watchdog::default() }
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
            let records = judged.into_iter().map(|judged| {
                let own = judged.sample.probe == entry.point.probe;
                self.ledger.record(record(entry, judged, own, mark))
            });
            let mut repeats = 0;
            // Side by side: what one run came to waits for one commit.
            for outcome in join_all(records).await {
                match outcome {
                    // A repeat looks again at what the run gave a glimpse of, too.
                    Ok(receipt) => repeats = repeats.max(receipt.repeats_wanted),
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

fn record(entry: &Entry, judged: Judged, own: bool, mark: u64) -> Record {
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
    }
}

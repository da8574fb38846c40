//! Sampling points as the writer knows them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Batch, Desk, Prepared};
use crate::ledger::event::Event;
use crate::ledger::latest::PointLatest;
use crate::ledger::options::{Memory, PointState};
use crate::ledger::project::{millis, time};
use crate::sample::{Cause, Sample, Verdict};
use crate::target::{Labels, PointKey, ProbeKind};

/// One sampling point. Times are milliseconds since 1970.
#[derive(Debug)]
pub(in crate::ledger) struct PointEntry {
    pub(super) number: i64,
    pub(super) target: Arc<str>,
    pub(super) probe: ProbeKind,
    pub(super) address: Option<IpAddr>,
    pub(super) labels: Arc<Labels>,
    pub(super) plan: Arc<str>,
    pub(super) freshness: i64,
    pub(super) retired: bool,
    pub(super) first_at: Option<i64>,
    pub(super) at: Option<i64>,
    pub(super) known_at: Option<i64>,
    pub(super) slot: Option<i64>,
    pub(super) verdict: Option<Verdict>,
    pub(super) unknown: bool,
    pub(super) out_of_range: Option<bool>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) gauges: Box<[(&'static str, f64)]>,
    pub(super) volatile_at: i64,
    pub(super) memory: u64,
    /// The last sample of its own plan.
    pub(super) scheduled_at: Option<i64>,
    pub(super) interval: i64,
}

impl PointEntry {
    /// A point before its first sample.
    pub(super) fn new(
        number: i64,
        (target, probe, address): (Arc<str>, ProbeKind, Option<IpAddr>),
        (labels, plan, freshness): (Arc<Labels>, Arc<str>, i64),
    ) -> Self {
        Self {
            number,
            target,
            probe,
            address,
            labels,
            plan,
            freshness,
            retired: false,
            first_at: None,
            at: None,
            known_at: None,
            slot: None,
            verdict: None,
            unknown: false,
            out_of_range: None,
            digest: None,
            gauges: Box::default(),
            volatile_at: 0,
            memory: Memory::NO_MARK,
            scheduled_at: None,
            interval: 0,
        }
    }

    /// Takes a sample's times and verdict over, as the projection does.
    pub(super) fn seen(&mut self, sample: &Sample, verdict: Verdict) {
        let at = millis(sample.taken_at);
        self.first_at.get_or_insert(at);
        self.at = self.at.max(Some(at));
        self.slot = self.slot.max(sample.slot);
        if is_of_plan(sample) {
            self.scheduled_at = self.scheduled_at.max(Some(at));
        }
        self.verdict = Some(verdict);
        self.unknown = sample.unknown().is_some();
        if !self.unknown {
            self.known_at = self.known_at.max(Some(at));
        }
        if verdict != Verdict::Unknown {
            self.out_of_range = Some(verdict == Verdict::OutOfRange);
        }
    }

    /// Raw fields and latencies are kept where meaning changed, and else now and then: to write
    /// them with every sample would be most of the writing.
    pub(super) fn wants_volatile(&self, at: i64) -> bool {
        at - self.volatile_at >= VOLATILE_EVERY
    }

    /// Whether the memory is another than the one kept.
    pub(super) fn remembers(&mut self, memory: &Memory) -> bool {
        let mark = memory.mark();
        std::mem::replace(&mut self.memory, mark) != mark
    }

    /// Whether the point's memory is the one of this mark, as far as is known.
    pub(super) fn still_has(&self, mark: u64) -> bool {
        self.memory == Memory::NO_MARK || self.memory == mark
    }

    /// The kept memory may be another: take the next one whatever it is.
    pub(super) fn forget(&mut self) {
        self.memory = Memory::NO_MARK;
    }

    /// What the scheduler and the views ask.
    pub(super) fn state(&self) -> PointState {
        PointState {
            last_sample: self.at.map(time),
            last_known: self.known_at.map(time),
            last_scheduled: self.scheduled_at.map(time),
            last_slot: self.slot,
            verdict: self.verdict,
        }
    }

    /// What `/metrics/targets` streams.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn latest(&self, key: PointKey) -> PointLatest {
        PointLatest {
            key,
            target: Arc::clone(&self.target),
            probe: self.probe,
            address: self.address.map(|address| address.to_string()).unwrap_or_default().into(),
            last_sample: self.at.map_or(0.0, |at| at as f64 / 1000.0),
            out_of_range: self.out_of_range,
            unknown: self.unknown,
            gauges: self.gauges.clone(),
        }
    }
}

/// Whether a sample was taken because the point's own plan said so: what statistics go by.
pub(in crate::ledger) fn is_of_plan(sample: &Sample) -> bool {
    sample.cause == Cause::Scheduled && sample.slot.is_some()
}

impl Desk {
    /// Makes the point known, or known otherwise.
    pub(super) fn describe(&mut self, key: PointKey, prepared: &Prepared, batch: &mut Batch) {
        if let Some(point) = self.points.get_mut(&key)
            && !point.retired
            && point.labels == prepared.labels
            && point.plan == prepared.plan
            && point.freshness == prepared.freshness
            && point.interval == prepared.interval
        {
            return;
        }
        let sample = &prepared.sample;
        if !self.points.contains_key(&key) {
            self.last_point += 1;
            let place = (Arc::clone(&sample.target), sample.probe, sample.address);
            let how =
                (Arc::clone(&prepared.labels), Arc::clone(&prepared.plan), prepared.freshness);
            self.add(key, PointEntry::new(self.last_point, place, how));
        }
        let Some(point) = self.points.get_mut(&key) else { return };
        point.retired = false;
        point.labels = Arc::clone(&prepared.labels);
        point.plan = Arc::clone(&prepared.plan);
        point.freshness = prepared.freshness;
        point.interval = prepared.interval;
        batch.events.push(Event::PointDescribed {
            number: point.number,
            target: Arc::clone(&point.target),
            probe: point.probe,
            address: point.address,
            labels: Arc::clone(&point.labels),
            plan: Arc::clone(&point.plan),
            freshness: point.freshness,
            interval: point.interval,
        });
    }

    pub(super) fn add(&mut self, key: PointKey, point: PointEntry) {
        let group = PointKey::new(&point.target, point.probe, None);
        self.groups.entry(group).or_default().push(key);
        self.points.insert(key, point);
    }
}

const VOLATILE_EVERY: i64 = 15 * 60 * 1000;

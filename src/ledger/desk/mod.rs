//! The writer's desk: what it must know to turn samples into events, in memory.
//!
//! Everything here can be read back from the projections, and is at start.

mod batch;
mod happenings;
mod load;
mod points;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::entry::{Code, SampleEntry};
use super::event::Event;
use super::evidence::Sheets;
use super::latest::PointLatest;
use super::options::{Memory, PointState, Receipt};
use super::project::millis;
use crate::finding::{Change, Exception, Finding, Look, Move, Policy, step};
use crate::sample::{Judgement, Measurements, Sample, Verdict};
use crate::target::{Labels, PointKey};
use crate::telemetry::Metrics;

pub(super) use batch::Batch;
pub(super) use points::{PointEntry, is_of_plan};

/// A record, with what can be worked out before the writer's turn.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) sample: Sample,
    pub(super) judgements: Vec<Judgement>,
    pub(super) verdict: Verdict,
    pub(super) labels: Arc<Labels>,
    pub(super) policy: Policy,
    pub(super) memory: Option<Memory>,
    pub(super) memory_before: u64,
    pub(super) plan: Arc<str>,
    pub(super) freshness: i64,
    pub(super) interval: i64,
    pub(super) due: u64,
    /// The mark of what the rules said, of samples of the point's own plan.
    pub(super) sheet: Option<u128>,
    pub(super) content: Option<Content>,
}

/// What was measured: its digest, canonical form and gauges.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) digest: [u8; 32],
    pub(super) stable: String,
    pub(super) gauges: Vec<(&'static str, f64)>,
}

impl Prepared {
    /// Whether it should not wait for others.
    pub(super) fn is_urgent(&self) -> bool {
        self.judgements.iter().any(|judgement| !judgement.breaches.is_empty())
    }
}

/// An open finding with its number in this ledger.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: i64,
    pub(super) finding: Finding,
}

/// What readers are told when a batch is written, or could not be.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) latest: Vec<PointLatest>,
    pub(super) gone: Vec<PointKey>,
    pub(super) states: Vec<(PointKey, PointState)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    points: HashMap<PointKey, PointEntry>,
    /// (target, probe) to its points, for staleness.
    groups: HashMap<PointKey, Vec<PointKey>>,
    open: HashMap<PointKey, Vec<Open>>,
    exceptions: BTreeMap<(String, bool), Exception>,
    in_force: Vec<Exception>,
    last_point: i64,
    last_finding: i64,
    last_sample: i64,
    counts: HashMap<(Arc<str>, &'static str, &'static str), i64>,
    metrics: Arc<Metrics>,
    pub(super) sheets: Sheets,
    pub(super) news: News,
}

impl Desk {
    /// One sample: its events go to the batch.
    pub(super) fn record(&mut self, mut prepared: Prepared, batch: &mut Batch) -> Receipt {
        let sample = &mut prepared.sample;
        // The store keeps milliseconds; finer times would not replay.
        sample.taken_at = trunc(sample.taken_at);
        let at = sample.taken_at;
        let key = PointKey::new(&sample.target, sample.probe, sample.address);
        batch.at = batch.at.max(at);
        let (missed, since) = self.missed(key, &prepared);
        self.describe(key, &prepared, batch);
        let changes = self.look(key, &prepared);
        let mut entry = self.entry(key, &prepared);
        (entry.missed, entry.since) = (missed, since);
        entry.sheet = prepared
            .sheet
            .map(|mark| self.sheets.number(mark, &prepared.sample, &prepared.judgements, batch));
        self.last_sample += 1;
        let id = self.last_sample;
        let mut receipt = Receipt::default();
        let mut steps = Vec::new();
        for change in changes {
            let born = change.step == Move::Stepped { from: None };
            if born {
                receipt.repeats_wanted = prepared.policy.samples;
            }
            receipt.opened += usize::from(born);
            receipt.transitions += usize::from(matches!(change.step, Move::Stepped { .. }));
            match (change.step, self.keep(key, change)) {
                (Move::Counted { breached: true }, (number, _)) => entry.breached.push(number),
                (Move::Counted { breached: false }, (number, _)) => entry.clean.push(number),
                (_, (_, event)) => steps.extend(event),
            }
        }
        self.content(key, id, &mut entry, prepared, batch);
        let measured = entry.unknown.is_none();
        batch.sample(id, entry);
        batch.events.extend(steps);
        if measured {
            self.refreshed(key, at, batch);
        }
        receipt
    }

    fn look(&self, key: PointKey, prepared: &Prepared) -> Vec<Change> {
        let sample = &prepared.sample;
        let look = Look {
            target: &sample.target,
            probe: sample.probe,
            address: sample.address,
            at: sample.taken_at,
            cause: sample.cause,
            measured: sample.unknown().is_none(),
            judgements: &prepared.judgements,
            labels: &prepared.labels,
            exceptions: &self.in_force,
            policy: prepared.policy,
        };
        let open = self.open.get(&key).map_or(&[][..], Vec::as_slice);
        step(open.iter().map(|open| &open.finding), &look)
    }

    /// The slots of the point's plan that passed unseen, and since when. Where it is sampled anew, or
    /// by another plan, none did.
    fn missed(&self, key: PointKey, prepared: &Prepared) -> (i64, Option<i64>) {
        let known = self.points.get(&key).filter(|p| !p.retired && p.plan == prepared.plan);
        let since = known.and_then(|point| point.scheduled_at);
        let missed = i64::try_from(prepared.due.saturating_sub(1)).unwrap_or(i64::MAX);
        if prepared.sheet.is_none() || missed == 0 || since.is_none() {
            return (0, None);
        }
        (missed.min(MOST_MISSED), since)
    }

    fn entry(&self, key: PointKey, prepared: &Prepared) -> SampleEntry {
        let sample = &prepared.sample;
        let vantage = &*sample.vantage;
        SampleEntry {
            point: self.points.get(&key).map_or(0, |point| point.number),
            at: millis(sample.taken_at),
            duration: i64::try_from(sample.duration.as_micros()).unwrap_or(i64::MAX),
            connections: sample.connections,
            cause: Code(sample.cause),
            slot: sample.slot,
            verdict: Code(prepared.verdict),
            vantage: (vantage != "local").then(|| vantage.to_owned()),
            unknown: sample.unknown().map(ToString::to_string),
            ..SampleEntry::default()
        }
    }

    /// What the sample says of its point, and what of it is new.
    fn content(
        &mut self,
        key: PointKey,
        id: i64,
        entry: &mut SampleEntry,
        prepared: Prepared,
        batch: &mut Batch,
    ) {
        let Some(point) = self.points.get_mut(&key) else { return };
        point.seen(&prepared.sample, prepared.verdict);
        if let Some(content) = prepared.content {
            let changed = point.digest != Some(content.digest);
            if changed {
                point.digest = Some(content.digest);
                point.gauges = content.gauges.into();
                entry.digest = Some(hex::encode(content.digest));
                entry.gauges =
                    point.gauges.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
                batch.contents.push((content.digest, content.stable));
            }
            if (changed || point.wants_volatile(entry.at))
                && let Some(text) = prepared.sample.measurements().and_then(whole)
            {
                point.volatile_at = entry.at;
                batch.volatile.push((point.number, id, text));
            }
        }
        if let Some(memory) = prepared.memory
            && point.still_has(prepared.memory_before)
            && point.remembers(&memory)
        {
            batch.memory.insert(key, memory);
        }
        self.news.states.push((key, point.state()));
        self.news.latest.push(point.latest(key));
    }

    /// Takes a change over; gives the finding's number, and the event of anything but a count.
    fn keep(&mut self, key: PointKey, mut change: Change) -> (i64, Option<Event>) {
        let open = self.open.entry(key).or_default();
        let place = open.iter().position(|open| open.finding.id == change.finding.id);
        let number = match place {
            Some(place) => open[place].number,
            None => {
                self.last_finding += 1;
                // Two lives of one identity may begin in one millisecond.
                change.finding.id.truncate(18);
                change.finding.id.push_str(&format!("{:06x}", self.last_finding & 0xff_ffff));
                self.last_finding
            }
        };
        let event = match change.step {
            Move::Counted { .. } => None,
            Move::Retold | Move::Stepped { .. } => Some(changed(number, &change)),
        };
        let before = place.map(|place| open[place].finding.state);
        let after = change.finding.state;
        let told = (Arc::clone(&change.finding.key.rule), change.finding.severity.as_str());
        match place {
            Some(place) if after.is_open() => open[place].finding = change.finding,
            Some(place) => drop(open.remove(place)),
            None => open.push(Open { number, finding: change.finding }),
        }
        if open.is_empty() {
            self.open.remove(&key);
        }
        if before != Some(after) {
            self.metrics.transitions.with_label_values(&[told.1, after.as_str()]).inc();
            let states = [(before, -1), (Some(after), 1)];
            for (state, by) in states {
                if let Some(state) = state.filter(|state| state.is_open()) {
                    self.tell((Arc::clone(&told.0), told.1, state.as_str()), by);
                }
            }
        }
        (number, event)
    }

    /// Keeps the gauge of open findings.
    fn tell(&mut self, series: (Arc<str>, &'static str, &'static str), by: i64) {
        let labels = [&*series.0, series.1, series.2];
        let gauge = self.metrics.findings.with_label_values(&labels);
        let count = self.counts.entry(series).or_default();
        *count += by;
        gauge.set(*count);
    }

    /// Gives up a batch's samples so that memory stays bounded while the store cannot be written.
    pub(super) fn shed(&mut self, batch: &mut Batch) -> u64 {
        let shed = batch.shed();
        for (key, point) in &mut self.points {
            let Some(lost_at) = shed.points.get(&point.number) else { continue };
            // What the store has of it is older: the next sample must say it anew.
            point.digest = None;
            // Slots whose samples are lost count as missed.
            point.scheduled_at = point.scheduled_at.min(Some(*lost_at));
            self.news.states.push((*key, point.state()));
        }
        batch.memory.clear();
        self.points.values_mut().for_each(PointEntry::forget);
        let open: HashMap<i64, &Finding> =
            self.open.values().flatten().map(|open| (open.number, &open.finding)).collect();
        let retold = shed.findings.iter().filter_map(|number| {
            let finding = (*open.get(number)?).clone();
            Some(changed(*number, &Change { finding, step: Move::Retold }))
        });
        batch.events.extend(retold);
        let count = u64::try_from(shed.samples).unwrap_or(u64::MAX);
        if count > 0 {
            batch.events.push(Event::SamplesLost { count });
        }
        count
    }
}

/// The event of a change.
fn changed(number: i64, change: &Change) -> Event {
    let finding = Box::new(change.finding.clone());
    let at = finding.ended_at.unwrap_or(finding.last_judged);
    let (stepped, from) = match change.step {
        Move::Stepped { from } => (true, from),
        Move::Counted { .. } | Move::Retold => (false, None),
    };
    Event::FindingChanged { number, stepped, from, at, finding }
}

fn whole(measurements: &Measurements) -> Option<String> {
    serde_json::to_string(measurements).ok()
}

/// So many slots are counted as missed at once, at most: a second's plan over thirty years.
const MOST_MISSED: i64 = 1_000_000_000;

/// To the millisecond.
pub(super) fn trunc(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

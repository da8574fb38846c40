//! What one commit will write.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::finding::{Finding, FindingState};
use crate::ledger::Memory;
use crate::ledger::entry::SampleEntry;
use crate::ledger::event::Event;
use crate::target::PointKey;

/// Events in order, and beside them what the chain does not cover.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Batch {
    /// The events.
    pub(in crate::ledger) events: Vec<Event>,
    /// Contents that a point came to: digest, canonical JSON.
    pub(in crate::ledger) contents: Vec<([u8; 32], String)>,
    /// Whole measurements: point, sample, JSON.
    pub(in crate::ledger) volatile: Vec<(i64, i64, String)>,
    /// What probes want remembered.
    pub(in crate::ledger) memory: BTreeMap<PointKey, Memory>,
    /// The latest of all times in it.
    pub(in crate::ledger) at: DateTime<Utc>,
    /// Samples in the events.
    pub(in crate::ledger) samples: usize,
}

impl Batch {
    /// Adds a sample; runs of them share one event.
    pub(super) fn sample(&mut self, id: i64, entry: SampleEntry) {
        self.samples += 1;
        if let Some(Event::Samples { first, samples }) = self.events.last_mut()
            && i64::try_from(samples.len()).is_ok_and(|count| *first + count == id)
        {
            samples.push(entry);
            return;
        }
        self.events.push(Event::Samples { first: id, samples: vec![entry] });
    }

    /// Whether there is nothing to write.
    pub(in crate::ledger) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.memory.is_empty()
    }

    /// The findings whose state changed, each as it is after the last step in the batch.
    pub(in crate::ledger) fn stepped(&self) -> BTreeMap<i64, (Finding, DateTime<Utc>)> {
        let mut steps: BTreeMap<i64, (Finding, DateTime<Utc>)> = BTreeMap::new();
        for event in &self.events {
            let Event::FindingChanged { number, stepped, at, finding, .. } = event else {
                continue;
            };
            if *stepped || steps.contains_key(number) {
                let at = if *stepped { *at } else { steps.get(number).map_or(*at, |(_, at)| *at) };
                steps.insert(*number, ((**finding).clone(), at));
            }
        }
        steps
    }

    /// Gives up the samples, keeping every finding's steps: what a store that cannot be written for
    /// long comes down to. Returns the points and findings whose counts went with them.
    pub(super) fn shed(&mut self) -> Shed {
        let mut shed = Shed { samples: self.samples, ..Shed::default() };
        self.samples = 0;
        self.contents.clear();
        self.volatile.clear();
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Samples { samples, .. } => {
                    for sample in samples {
                        let since = sample.since.unwrap_or(sample.at);
                        shed.points.entry(sample.point).or_insert(since);
                        shed.findings.extend(sample.breached);
                        shed.findings.extend(sample.clean);
                    }
                }
                Event::FindingChanged { stepped: false, number, .. } => {
                    shed.findings.insert(number);
                }
                event => self.events.push(event),
            }
        }
        self.coalesce();
        shed
    }

    /// Of a finding that opened and ended again and again, the last step is enough.
    fn coalesce(&mut self) {
        let mut origins: BTreeMap<i64, Option<FindingState>> = BTreeMap::new();
        for event in &self.events {
            if let Event::FindingChanged { number, from, .. } = event {
                origins.entry(*number).or_insert(*from);
            }
        }
        let mut seen = HashSet::new();
        let mut kept: Vec<Event> = Vec::with_capacity(self.events.len());
        for mut event in std::mem::take(&mut self.events).into_iter().rev() {
            if let Event::FindingChanged { number, from, .. } = &mut event {
                if !seen.insert(*number) {
                    continue;
                }
                *from = origins.get(number).copied().flatten();
            }
            kept.push(event);
        }
        kept.reverse();
        self.events = kept;
    }
}

/// What went with samples that were given up.
#[derive(Debug, Default)]
pub(super) struct Shed {
    pub(super) samples: usize,
    /// Each with the time from which slots are to be counted again.
    pub(super) points: HashMap<i64, i64>,
    pub(super) findings: HashSet<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_lost_samples_are_counted_from_the_first_of_them() {
        let mut batch = Batch::default();
        let taken = |point, at, since| SampleEntry { point, at, since, ..SampleEntry::default() };
        for (id, entry) in
            [taken(1, 50, None), taken(1, 60, None), taken(2, 90, Some(30))].into_iter().enumerate()
        {
            batch.sample(i64::try_from(id).expect("a number"), entry);
        }
        let shed = batch.shed();
        assert_eq!(shed.samples, 3);
        assert_eq!(shed.points, HashMap::from([(1, 50), (2, 30)]));
        assert!(batch.is_empty());
    }
}

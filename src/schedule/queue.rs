//! The next due time of every sampling point: a heap with lazy removal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::{DateTime, Utc};

/// A timer queue over points that are named by small, dense numbers. It holds 24 bytes a point, at
/// most twice that between two clean-ups.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    /// By point: which of its entries counts.
    points: Vec<State>,
    queued: usize,
}

/// A point whose time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Due {
    /// Which point.
    pub index: u32,
    /// When it was due; the rest until now is the scheduler's lag.
    pub at: DateTime<Utc>,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues a point; where it was queued already, only the new time counts.
    pub fn insert(&mut self, index: u32, due: DateTime<Utc>) {
        let at = index as usize;
        if self.points.len() <= at {
            self.points.resize(at + 1, State::default());
        }
        let state = &mut self.points[at];
        self.queued += usize::from(!state.queued);
        state.queued = true;
        state.generation = state.generation.wrapping_add(1);
        let due = due.timestamp_nanos_opt().unwrap_or(i64::MAX);
        self.heap.push(Reverse(Entry { due, index, generation: state.generation }));
        self.clean();
    }

    /// Takes a point out; nothing happens if it is not queued.
    pub fn remove(&mut self, index: u32) {
        let Some(state) = self.points.get_mut(index as usize) else { return };
        self.queued -= usize::from(state.queued);
        state.queued = false;
        self.clean();
    }

    /// Takes the point that was due first, if it was due at `now` or before.
    pub fn pop_due(&mut self, now: DateTime<Utc>) -> Option<Due> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let Reverse(entry) = self.heap.pop()?;
        self.points[entry.index as usize].queued = false;
        self.queued -= 1;
        Some(Due { index: entry.index, at: due })
    }

    /// When the next point is due.
    pub fn next_due(&mut self) -> Option<DateTime<Utc>> {
        while let Some(Reverse(entry)) = self.heap.peek() {
            if self.points[entry.index as usize].counts(entry) {
                return Some(DateTime::from_timestamp_nanos(entry.due));
            }
            self.heap.pop();
        }
        None
    }

    /// How many points are queued.
    pub fn len(&self) -> usize {
        self.queued
    }

    /// Whether no point is queued.
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// The memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Entry>() + self.points.capacity() * size_of::<State>()
    }

    /// Entries that no longer count are dropped before they outnumber the ones that do.
    fn clean(&mut self) {
        if self.heap.len() > 2 * self.queued + SLACK {
            let points = &self.points;
            self.heap.retain(|Reverse(entry)| points[entry.index as usize].counts(entry));
        }
    }
}

/// Ordered by time, then by point, so that the same queue always gives the same order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Entry {
    /// Nanoseconds since the Unix epoch.
    due: i64,
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    generation: u32,
    queued: bool,
}

impl State {
    fn counts(self, entry: &Entry) -> bool {
        self.queued && self.generation == entry.generation
    }
}

const SLACK: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn a_million_points_take_far_less_than_two_hundred_bytes_each() {
        let mut queue = Queue::new();
        for index in 0..1_000_000_u32 {
            queue.insert(index, at(i64::from(index.wrapping_mul(2_654_435_761) % 3_600)));
        }
        assert!(queue.bytes() <= 64 * 1_000_000, "{} bytes", queue.bytes());
        assert_eq!(queue.len(), 1_000_000);
    }

    #[test]
    fn entries_that_no_longer_count_are_dropped() {
        let mut queue = Queue::new();
        for round in 0..100_000 {
            queue.insert(0, at(round));
        }
        assert!(queue.heap.len() <= SLACK + 3, "{} entries", queue.heap.len());
        assert_eq!(queue.pop_due(at(200_000)), Some(Due { index: 0, at: at(99_999) }));
        assert_eq!(queue.pop_due(at(200_000)), None);
    }

    proptest! {
        #[test]
        fn a_queue_is_a_map_from_point_to_time(
            steps in prop::collection::vec((0_u8..3, 0_u32..20, 0_i64..50), 1..400),
        ) {
            let mut queue = Queue::new();
            let mut model: BTreeMap<u32, i64> = BTreeMap::new();
            for (what, index, time) in steps {
                match what {
                    0 => {
                        queue.insert(index, at(time));
                        model.insert(index, time);
                    }
                    1 => {
                        queue.remove(index);
                        model.remove(&index);
                    }
                    _ => {
                        let first = model.iter().map(|(index, due)| (*due, *index)).min();
                        let expected = first.filter(|(due, _)| *due <= time);
                        if let Some((_, index)) = expected {
                            model.remove(&index);
                        }
                        let popped = queue.pop_due(at(time));
                        prop_assert_eq!(
                            popped.map(|due| (due.at.timestamp(), due.index)),
                            expected
                        );
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                let next = queue.next_due().map(|due| due.timestamp());
                prop_assert_eq!(next, model.values().min().copied());
            }
        }
    }
}

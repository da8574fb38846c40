//! Samples beside the plan: repeats of a breach, looks at its kin, and looks after a deployment.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::target::{Point, PointKey};

/// A place in the roster: its index, and whose it was.
pub(super) type Seat = (u32, PointKey);

/// Samples to take at a time, at most so many.
pub(super) struct Extras {
    waiting: BinaryHeap<Reverse<(Instant, Seat)>>,
    most: usize,
}

impl Extras {
    /// None yet.
    pub(super) fn new(most: usize) -> Self {
        Self { waiting: BinaryHeap::new(), most }
    }

    /// Adds one; false where there is no room.
    pub(super) fn add(&mut self, at: Instant, seat: Seat) -> bool {
        let fits = self.waiting.len() < self.most;
        if fits {
            self.waiting.push(Reverse((at, seat)));
        }
        fits
    }

    /// Puts one back that could not be taken now.
    pub(super) fn put_back(&mut self, at: Instant, seat: Seat) {
        self.waiting.push(Reverse((at, seat)));
    }

    /// One that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Seat> {
        let Reverse((at, _)) = self.waiting.peek()?;
        if *at > now {
            return None;
        }
        self.waiting.pop().map(|Reverse((_, seat))| seat)
    }

    /// When the first is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((at, _))| *at)
    }
}

/// How many looks at kin may still be begun: a mass failure has kin everywhere, and asks once.
pub(super) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// A full one.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: KIN_BURST, at: now }
    }

    /// Takes up to `wanted`; what it gives comes back at [`KIN_RATE`].
    pub(super) fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * KIN_RATE).min(KIN_BURST);
        self.at = now;
        let given = wanted.min(self.left as usize);
        self.left -= given as f64;
        given
    }
}

/// Which points belong to a service, by the `service` label of their target.
#[derive(Default)]
pub(super) struct Services(HashMap<Box<str>, BTreeSet<u32>>);

impl Services {
    pub(super) fn add(&mut self, point: &Point, index: u32) {
        if let Some(service) = service(point) {
            match self.0.get_mut(service) {
                Some(members) => {
                    members.insert(index);
                }
                None => {
                    self.0.insert(service.into(), BTreeSet::from([index]));
                }
            }
        }
    }

    pub(super) fn remove(&mut self, point: &Point, index: u32) {
        let Some(service) = service(point) else { return };
        if let Some(members) = self.0.get_mut(service) {
            members.remove(&index);
            if members.is_empty() {
                self.0.remove(service);
            }
        }
    }

    /// The members of the point's service, from a place that `chance` chooses, once around.
    pub(super) fn around(&self, point: &Point, chance: u64) -> impl Iterator<Item = u32> {
        let members = service(point).and_then(|service| self.0.get(service));
        let highest = members.and_then(BTreeSet::last).map_or(1, |last| u64::from(*last) + 1);
        let from = u32::try_from(chance % highest).unwrap_or_default();
        let after = members.into_iter().flat_map(move |members| members.range(from..));
        let before = members.into_iter().flat_map(move |members| members.range(..from));
        after.chain(before).copied()
    }
}

fn service(point: &Point) -> Option<&str> {
    point.target.labels.get("service").map(String::as_str).filter(|service| !service.is_empty())
}

/// After a deployment its targets are looked at this much later, each time at all of their points.
pub(super) const AFTER_DEPLOYMENT: [Duration; 3] =
    [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(600)];

/// Looks at kin begun a second, in the long run.
const KIN_RATE: f64 = 5.0;
/// And at once.
const KIN_BURST: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mass_failure_looks_at_its_kin_no_faster_than_the_allowance() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut given = 0;
        for second in 0..60 {
            for _ in 0..1000 {
                given += allowance.take(8, start + Duration::from_secs(second));
            }
        }
        assert_eq!(given, 100 + 59 * 5);
    }

    #[tokio::test(start_paused = true)]
    async fn extras_come_in_time_order_and_never_more_than_fit() {
        let now = Instant::now();
        let mut extras = Extras::new(2);
        assert!(extras.add(now + Duration::from_secs(2), (2, PointKey(2))));
        assert!(extras.add(now + Duration::from_secs(1), (1, PointKey(1))));
        assert!(!extras.add(now, (3, PointKey(3))));
        assert_eq!(extras.pop(now), None);
        let later = now + Duration::from_secs(5);
        assert_eq!(extras.pop(later), Some((1, PointKey(1))));
        assert_eq!(extras.pop(later), Some((2, PointKey(2))));
        assert_eq!(extras.next_at(), None);
    }
}

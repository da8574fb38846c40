//! One stream of due times. A plan is one stream, or the union of a few.
//!
//! Slots are stratified random sampling: one sample at a random place in every slot. RFC 2330 §11
//! asks of a sampling method that it can neither fall into step with what it measures nor be
//! foreseen, and recommends Poisson sampling (§11.1.1) for it. A keyed random place in every slot
//! keeps both properties and adds what Poisson cannot give: a bound on the longest wait, and a
//! number of samples in any window that does not hang on luck.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::cron::Cron;
use super::plan::Slot;
use super::seed::{Seed, Tag};
use crate::target::PointKey;

/// Due times of every point.
#[derive(Debug)]
pub(super) enum Stream {
    Cron(Box<Firings>),
    Slots(Slots),
}

impl Stream {
    /// The first sample strictly after `after`.
    pub(super) fn next(&self, key: PointKey, seed: &Seed, after: DateTime<Utc>) -> Option<Slot> {
        match self {
            Self::Cron(firings) => {
                let due = firings.next(after)?;
                Some(Slot { number: due.timestamp(), due })
            }
            Self::Slots(slots) => {
                let slots = slots.of(key, seed);
                let at = slots.index(after.timestamp_nanos_opt()?)?;
                let first = slots.slot(at).filter(|slot| slot.due > after);
                first.or_else(|| slots.slot(at.checked_add(1)?))
            }
        }
    }

    /// The longest regular time between two samples.
    pub(super) fn interval(&self) -> Duration {
        match self {
            Self::Cron(firings) => seconds(firings.cron.rhythm.interval),
            Self::Slots(slots) => slots.length(),
        }
    }

    /// The longest time between two samples, with chance and daylight saving at their worst.
    pub(super) fn longest_wait(&self) -> Duration {
        match self {
            Self::Cron(firings) => seconds(firings.cron.rhythm.longest_wait),
            Self::Slots(slots) => 2 * slots.length(),
        }
    }

    /// Samples of one point in an hour, on average.
    pub(super) fn samples_per_hour(&self) -> f64 {
        match self {
            Self::Cron(firings) => firings.cron.rhythm.samples_per_hour,
            Self::Slots(slots) => 3_600.0 / slots.length().as_secs_f64(),
        }
    }
}

/// Cron's firings. They are the same for every point, so that the last answer is nearly always the
/// next one too: to ask the calendar for each of a million points would take seconds.
#[derive(Debug)]
pub(super) struct Firings {
    cron: Cron,
    /// No firing lies between the two; the second is one.
    last: Mutex<Option<(DateTime<Utc>, DateTime<Utc>)>>,
}

impl Firings {
    pub(super) fn of(cron: Cron) -> Self {
        Self { cron, last: Mutex::new(None) }
    }

    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, due)) = *last
            && from <= after
            && after < due
        {
            return Some(due);
        }
        let due = self.cron.next(after)?;
        *last = Some((after, due));
        Some(due)
    }
}

/// Equal slots, each with one sample at a random place inside it.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// In nanoseconds, at least a second and at most a year.
    length: i64,
    /// All points begin their slots at the same time: what makes slots the cycles of a group, and
    /// the place in a slot the round in which a point has its turn.
    together: bool,
    /// Which part of a mix this is, so that two parts of one length have nothing in common.
    part: u8,
}

impl Slots {
    pub(super) fn new(length: i64, together: bool, part: u8) -> Self {
        Self { length, together, part }
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_nanos(self.length.unsigned_abs())
    }

    pub(super) fn together(&self) -> bool {
        self.together
    }

    /// The slots of one point.
    pub(super) fn of<'a>(&self, key: PointKey, seed: &'a Seed) -> OfPoint<'a> {
        // A year of nanoseconds leaves the highest bits free for the part; the first changes none.
        let salted = self.length | i64::from(self.part) << PART_BIT;
        let hash = match self.together {
            true => seed.hash(Tag::Round, PointKey(0), salted, 0),
            false => seed.hash(Tag::Phase, key, salted, 0),
        };
        OfPoint { length: self.length, salted, phase: below(self.length, hash), key, seed }
    }
}

/// The slots of one point.
pub(super) struct OfPoint<'a> {
    length: i64,
    salted: i64,
    pub(super) phase: i64,
    key: PointKey,
    seed: &'a Seed,
}

impl OfPoint<'_> {
    /// The slot that a time lies in.
    pub(super) fn index(&self, nanos: i64) -> Option<i64> {
        Some(nanos.checked_sub(self.phase)?.div_euclid(self.length))
    }

    pub(super) fn slot(&self, index: i64) -> Option<Slot> {
        let start = index.checked_mul(self.length)?.checked_add(self.phase)?;
        let place = below(self.length, self.seed.hash(Tag::Place, self.key, self.salted, index));
        let due = DateTime::from_timestamp_nanos(start.checked_add(place)?);
        Some(Slot { number: start.div_euclid(SECOND), due })
    }

    /// The last slot whose sample is due at `at` or before.
    pub(super) fn last_due_by(&self, at: DateTime<Utc>) -> Option<i64> {
        let index = self.index(at.timestamp_nanos_opt()?)?;
        if self.slot(index)?.due <= at { Some(index) } else { index.checked_sub(1) }
    }
}

/// A number from 0 to `limit` − 1, even over all of them.
fn below(limit: i64, hash: u64) -> i64 {
    let product = u128::from(hash) * u128::from(limit.unsigned_abs());
    i64::try_from(product >> 64).unwrap_or_default()
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}

pub(super) const SECOND: i64 = 1_000_000_000;
const PART_BIT: u32 = 56;

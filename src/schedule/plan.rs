//! The pure function *point, time → next due*.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::cron::Cron;
use super::seed::{Seed, Tag};
use super::spec::{PlanError, PlanSpec, zone};
use super::stats;
use crate::target::PointKey;

/// A compiled plan. It holds no state and no randomness of its own, so it is shared by any number
/// of points, and two processes with the same seed agree on every due time.
///
/// `every` and `detect` cut time into equal slots `[k·P, (k+1)·P)`, shifted by a keyed phase of the
/// point; the sample of a slot lies at a keyed random time anywhere inside it. So no cycle of the
/// target can hide from the samples, and the time between two of them is above 0 and below 2 P.
/// `cron` fires exactly when the operator said.
#[derive(Clone, Debug)]
pub struct Plan {
    spec: PlanSpec,
    kind: Kind,
}

/// Once in a quarter of an hour: the plan of a target that names none.
impl Default for Plan {
    fn default() -> Self {
        let spec = PlanSpec::every(Duration::from_secs(QUARTER.unsigned_abs()));
        Self { spec, kind: Kind::Slots { length: QUARTER * SECOND, observations: None } }
    }
}

/// One sample of a plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// The idempotency key: the slot's start (of cron, its time) in Unix seconds. It grows from
    /// slot to slot, also when the point's plan is changed for another.
    pub number: i64,
    /// When to sample.
    pub due: DateTime<Utc>,
}

#[derive(Clone, Debug)]
enum Kind {
    Cron(Box<Cron>),
    /// The slots' length in nanoseconds, at least a second and at most a year.
    Slots {
        length: i64,
        observations: Option<u64>,
    },
}

impl Plan {
    pub(super) fn compile(spec: &PlanSpec) -> Result<Self, PlanError> {
        let kinds = [spec.every.is_some(), spec.cron.is_some(), spec.detect.is_some()];
        let count = kinds.into_iter().filter(|is_there| *is_there).count();
        if count != 1 {
            return Err(PlanError::Kinds(count));
        }
        if spec.time_zone.is_some() && spec.cron.is_none() {
            return Err(PlanError::ZoneWithoutCron);
        }
        let kind = if let Some(text) = &spec.cron {
            Kind::Cron(Box::new(Cron::compile(text, zone(spec.time_zone.as_deref())?)?))
        } else if let Some(detect) = &spec.detect {
            let within = nanos(detect.within.0)
                .ok_or(PlanError::TooLong { key: "detect", span: detect.within })?;
            let (prevalence, confidence) = (detect.prevalence.share(), detect.confidence.share());
            let observations = stats::observations(prevalence, confidence).unwrap_or(u64::MAX);
            // One slot more than observations: any window of `within` then holds that many whole.
            let slots = i64::try_from(observations).unwrap_or(i64::MAX).saturating_add(1);
            let length = within / slots;
            if length < SECOND {
                return Err(PlanError::DetectTooOften { observations, within: detect.within });
            }
            Kind::Slots { length, observations: Some(observations) }
        } else {
            let every = spec.every.unwrap_or_default();
            let length = nanos(every.0).ok_or(PlanError::TooLong { key: "every", span: every })?;
            if length < SECOND {
                return Err(PlanError::TooShort(every));
            }
            Kind::Slots { length, observations: None }
        };
        Ok(Self { spec: spec.clone(), kind })
    }

    /// What the plan was compiled from.
    pub fn spec(&self) -> &PlanSpec {
        &self.spec
    }

    /// The first sample strictly after `after`; `None` at the end of dates (2262, cron 2100).
    pub fn next(&self, key: PointKey, seed: &Seed, after: DateTime<Utc>) -> Option<Slot> {
        let nanos = after.timestamp_nanos_opt()?;
        match &self.kind {
            Kind::Cron(cron) => {
                let due = cron.next(after)?;
                Some(Slot { number: due.timestamp(), due })
            }
            Kind::Slots { length, .. } => {
                let slots = Slots::of(*length, key, seed);
                let at = slots.index(nanos)?;
                let first = slots.slot(at).filter(|slot| slot.due > after);
                first.or_else(|| slots.slot(at.checked_add(1)?))
            }
        }
    }

    /// The number of the slot that `at` lies in. A slot with a greater number begins after `at`.
    pub fn slot_number_at(&self, key: PointKey, seed: &Seed, at: DateTime<Utc>) -> i64 {
        let Kind::Slots { length, .. } = &self.kind else { return at.timestamp() };
        let slots = Slots::of(*length, key, seed);
        let slot = at.timestamp_nanos_opt().and_then(|nanos| slots.slot(slots.index(nanos)?));
        slot.map_or_else(|| at.timestamp(), |slot| slot.number)
    }

    /// How many samples are due after `from` and until `to`, `to` included. Cron counts up to
    /// 10,000 and then stops: so many missed slots are all the same.
    pub fn slots_between(
        &self,
        key: PointKey,
        seed: &Seed,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> u64 {
        if to <= from {
            return 0;
        }
        if let Kind::Slots { length, .. } = &self.kind {
            let slots = Slots::of(*length, key, seed);
            let (from, to) = (slots.last_due_by(from), slots.last_due_by(to));
            return from.zip(to).map_or(0, |(from, to)| to.abs_diff(from));
        }
        let mut at = from;
        for count in 0..MOST_COUNTED {
            match self.next(key, seed, at) {
                Some(slot) if slot.due <= to => at = slot.due,
                _ => return count,
            }
        }
        MOST_COUNTED
    }

    /// The longest regular time between two samples: a slot's length, or cron's widest gap between
    /// two wall-clock times. Freshness is counted in it.
    pub fn interval(&self) -> Duration {
        match &self.kind {
            Kind::Cron(cron) => seconds(cron.rhythm.interval),
            Kind::Slots { length, .. } => Duration::from_nanos(length.unsigned_abs()),
        }
    }

    /// The longest time that can pass between two samples, with chance and daylight saving at
    /// their worst.
    pub fn longest_wait(&self) -> Duration {
        match &self.kind {
            Kind::Cron(cron) => seconds(cron.rhythm.longest_wait),
            Kind::Slots { .. } => 2 * self.interval(),
        }
    }

    /// Samples of one point in an hour, on average.
    pub fn samples_per_hour(&self) -> f64 {
        match &self.kind {
            Kind::Cron(cron) => cron.rhythm.samples_per_hour,
            Kind::Slots { .. } => 3_600.0 / self.interval().as_secs_f64(),
        }
    }

    /// The observations that a `detect` plan makes in its window; `None` for the other kinds.
    pub fn observations(&self) -> Option<u64> {
        match &self.kind {
            Kind::Cron(_) => None,
            Kind::Slots { observations, .. } => *observations,
        }
    }

    /// The time within which a fault that shows on this share of connections, from a random
    /// moment on, is seen with this probability. Exact for slots; for cron an upper bound. `None`
    /// where a share is not one, or the answer is beyond a century.
    pub fn detection_time(&self, prevalence: f64, quantile: f64) -> Option<Duration> {
        let interval = match &self.kind {
            Kind::Slots { .. } => self.interval(),
            Kind::Cron(_) => {
                let waits = stats::observations(prevalence, quantile)?;
                let waits = u32::try_from(waits).ok()?;
                return self.longest_wait().checked_mul(waits).filter(|wait| *wait <= CENTURY);
            }
        };
        let slots = stats::slots_to_detect(prevalence, quantile)?;
        Some(interval.as_secs_f64() * slots)
            .filter(|wait| *wait <= CENTURY.as_secs_f64())
            .map(Duration::from_secs_f64)
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

/// The slots of one point.
struct Slots<'a> {
    length: i64,
    phase: i64,
    key: PointKey,
    seed: &'a Seed,
}

impl<'a> Slots<'a> {
    fn of(length: i64, key: PointKey, seed: &'a Seed) -> Self {
        let phase = below(length, seed.hash(Tag::Phase, key, length, 0));
        Self { length, phase, key, seed }
    }

    /// The slot that a time lies in.
    fn index(&self, nanos: i64) -> Option<i64> {
        Some(nanos.checked_sub(self.phase)?.div_euclid(self.length))
    }

    fn slot(&self, index: i64) -> Option<Slot> {
        let start = index.checked_mul(self.length)?.checked_add(self.phase)?;
        let place = below(self.length, self.seed.hash(Tag::Place, self.key, self.length, index));
        let due = DateTime::from_timestamp_nanos(start.checked_add(place)?);
        Some(Slot { number: start.div_euclid(SECOND), due })
    }

    /// The last slot whose sample is due at `at` or before.
    fn last_due_by(&self, at: DateTime<Utc>) -> Option<i64> {
        let index = self.index(at.timestamp_nanos_opt()?)?;
        if self.slot(index)?.due <= at { Some(index) } else { index.checked_sub(1) }
    }
}

/// A number from 0 to `limit` − 1, even over all of them.
fn below(limit: i64, hash: u64) -> i64 {
    let product = u128::from(hash) * u128::from(limit.unsigned_abs());
    i64::try_from(product >> 64).unwrap_or_default()
}

/// Nanoseconds of a duration that is at most a year.
fn nanos(span: Duration) -> Option<i64> {
    i64::try_from(span.as_nanos()).ok().filter(|nanos| *nanos <= LEAP_YEAR)
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}

const SECOND: i64 = 1_000_000_000;
/// A quarter of an hour in seconds.
const QUARTER: i64 = 15 * 60;
const LEAP_YEAR: i64 = 366 * 86_400 * SECOND;
const CENTURY: Duration = Duration::from_secs(36_525 * 86_400);
const MOST_COUNTED: u64 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(json: &str) -> Plan {
        serde_json::from_str::<PlanSpec>(json).expect(json).compile().expect(json)
    }

    fn every(millis: u64) -> Plan {
        PlanSpec::every(Duration::from_millis(millis)).compile().expect("a plan")
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).expect("a time")
    }

    const SEED: Seed = Seed([42; 16]);

    #[test]
    fn the_guarantee_of_detect_is_observations_in_any_window() {
        let plan =
            plan(r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#);
        assert_eq!(plan.observations(), Some(44));
        assert_eq!(plan.interval().as_secs(), 80);
        for start in (0..200_000).step_by(977) {
            let (from, to) = (at(start * 1_000), at(start * 1_000 + 3_600_000));
            for key in 0..20 {
                assert!(plan.slots_between(PointKey(key), &SEED, from, to) >= 44);
            }
        }
    }

    #[test]
    fn ten_thousand_points_spread_evenly_over_their_interval() {
        let plan = every(300_000);
        let mut buckets = [0_u32; 100];
        for key in 0..10_000 {
            let slot = plan.next(PointKey(key), &SEED, at(1_700_000_000_000)).expect("a slot");
            let start = (slot.number - 1_699_999_700).rem_euclid(300);
            buckets[(start / 3) as usize] += 1;
        }
        let chi_square: f64 = buckets.iter().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
        // 99 degrees of freedom: the 99.9 % quantile is 148; a lopsided spread is in the thousands.
        assert!(chi_square < 148.0, "{chi_square}");
    }

    #[test]
    fn places_inside_the_slot_are_even_too() {
        let (plan, key) = (every(60_000), PointKey(7));
        let slots = Slots::of(60 * SECOND, key, &SEED);
        let mut buckets = [0_u32; 20];
        let mut now = at(1_700_000_000_000);
        for _ in 0..10_000 {
            let slot = plan.next(key, &SEED, now).expect("a slot");
            let nanos = slot.due.timestamp_nanos_opt().expect("our century");
            let into = (nanos - slots.phase).rem_euclid(slots.length);
            buckets[(into / (3 * SECOND)) as usize] += 1;
            now = slot.due;
        }
        let chi_square: f64 = buckets.iter().map(|n| (f64::from(*n) - 500.0).powi(2) / 500.0).sum();
        assert!(chi_square < 60.0, "{chi_square}");
    }

    #[test]
    fn a_due_time_never_changes_between_releases() {
        let slot = every(300_000).next(PointKey(1), &SEED, at(1_700_000_000_000)).expect("a slot");
        assert_eq!(slot.number, 1_699_999_983);
        assert_eq!(slot.due.to_rfc3339(), "2023-11-14T22:15:45.798793320+00:00");
    }

    #[test]
    fn a_changed_plan_keeps_slot_numbers_growing() {
        let now = at(1_700_000_000_000);
        let taken = every(1_000).next(PointKey(1), &SEED, now).expect("a slot");
        for other in [every(60_000), plan(r#"{"cron": "*/5 * * * *"}"#)] {
            let next = other.next(PointKey(1), &SEED, taken.due).expect("a slot");
            let then = other.next(PointKey(1), &SEED, next.due).expect("a slot");
            assert!(then.number > taken.number);
        }
    }

    #[test]
    fn at_the_end_of_dates_there_is_nothing_due_and_nothing_falls() {
        for plan in [every(1_000), every(366 * 86_400_000), plan(r#"{"cron": "* * * * *"}"#)] {
            for after in [DateTime::<Utc>::MAX_UTC, DateTime::from_timestamp_nanos(i64::MAX)] {
                assert_eq!(plan.next(PointKey(1), &SEED, after), None);
                plan.slot_number_at(PointKey(1), &SEED, after);
                plan.slots_between(PointKey(1), &SEED, DateTime::<Utc>::MIN_UTC, after);
            }
            plan.next(PointKey(1), &SEED, DateTime::<Utc>::MIN_UTC);
        }
    }

    #[test]
    fn the_cost_and_the_waits_follow_from_the_plan() {
        let plan = every(300_000);
        assert!((plan.samples_per_hour() - 12.0).abs() < 1e-9);
        assert_eq!(plan.longest_wait().as_secs(), 600);
        let permanent = plan.detection_time(1.0, 0.5).expect("a time");
        assert!((permanent.as_secs_f64() - 157.19).abs() < 0.1, "{permanent:?}");
        assert!(plan.detection_time(0.1, 0.99) > plan.detection_time(0.5, 0.99));
        assert_eq!(plan.detection_time(f64::NAN, 0.5), None);
        assert_eq!(plan.detection_time(1e-300, 0.5), None);
    }

    proptest! {
        #[test]
        fn slots_come_in_order_once_each_and_a_restart_changes_nothing(
            period in 1_000_u64..10_000_000,
            key: u64,
            seed: [u8; 16],
            start in 0_i64..4_000_000_000_000,
            restart in 0.0_f64..1.0,
        ) {
            let (plan, key, seed) = (every(period), PointKey(key), Seed(seed));
            let length = i64::try_from(period).expect("small") * 1_000_000;
            let mut previous = plan.next(key, &seed, at(start)).expect("a slot");
            let first = previous;
            for _ in 0..50 {
                let slot = plan.next(key, &seed, previous.due).expect("a slot");
                let gap = (slot.due - previous.due).num_nanoseconds().expect("small");
                prop_assert!(gap > 0 && gap < 2 * length);
                prop_assert!(slot.number > previous.number);
                prop_assert_eq!(plan.slot_number_at(key, &seed, slot.due), slot.number);
                // Wherever between the two it is asked, the answer is the same.
                let between = previous.due + Duration::from_nanos((gap as f64 * restart) as u64);
                if between < slot.due {
                    prop_assert_eq!(plan.next(key, &seed, between), Some(slot));
                }
                previous = slot;
            }
            prop_assert_eq!(plan.slots_between(key, &seed, first.due, previous.due), 50);
            prop_assert_eq!(plan.slots_between(key, &seed, previous.due, first.due), 0);
        }
    }
}

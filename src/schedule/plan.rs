//! The pure function *point, time → next due*.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::seed::Seed;
use super::spec::{DetectSpec, Importance, PlanSpec};
use super::stream::{SECOND, Slots, Stream};
use crate::target::PointKey;

/// A compiled plan. It decides by no state and no randomness of its own, so it is shared by any
/// number of points, and two processes with the same seed agree on every due time.
///
/// `every` and `detect` cut time into equal slots `[k·P, (k+1)·P)`, shifted by a keyed phase of the
/// point; the sample of a slot lies at a keyed random time anywhere inside it. So no cycle of the
/// target can hide from the samples, and the time between two of them is above 0 and below 2 P.
///
/// With `share` all points begin together with a cycle of ⌈1/share⌉ rounds, and each has its turn
/// at a random time of a random round: once a cycle, in another order each time, so that no wait
/// reaches two cycles. Which round is drawn for each point by itself and hangs on no other point:
/// the share of a round is kept on average, not to the last point, and a target that comes or goes
/// moves nobody's turn.
///
/// `mix` is the union of its parts' due times; two of them in one second are one sample.
/// `cron` fires exactly when the operator said.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) spec: PlanSpec,
    pub(super) streams: Arc<[Stream]>,
    /// Of each part, and of the whole if it is none.
    pub(super) detects: Vec<DetectSpec>,
}

/// Once in a quarter of an hour: the plan of a target that names none.
impl Default for Plan {
    fn default() -> Self {
        let spec = PlanSpec::every(Duration::from_secs(QUARTER.unsigned_abs()));
        let stream = Stream::Slots(Slots::new(QUARTER * SECOND, false, 0));
        Self { spec, streams: Arc::from([stream]), detects: Vec::new() }
    }
}

/// One sample of a plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// The idempotency key: the slot's start (of cron and of a mix, the due time) in Unix seconds.
    /// It grows from slot to slot, also when the point's plan is changed for another.
    pub number: i64,
    /// When to sample.
    pub due: DateTime<Utc>,
}

impl Plan {
    /// What the plan was compiled from.
    pub fn spec(&self) -> &PlanSpec {
        &self.spec
    }

    /// What is shed first when there is more due than can be taken.
    pub fn importance(&self) -> Importance {
        self.spec.importance
    }

    /// The first sample strictly after `after`; `None` at the end of dates (2262, cron 2100).
    pub fn next(&self, key: PointKey, seed: &Seed, after: DateTime<Utc>) -> Option<Slot> {
        after.timestamp_nanos_opt()?;
        if let [only] = &*self.streams {
            return only.next(key, seed, after);
        }
        let first = |after| {
            let slots = self.streams.iter().filter_map(|stream| stream.next(key, seed, after));
            slots.map(|slot| slot.due).min()
        };
        let due = first(after)?;
        let second = DateTime::from_timestamp(due.timestamp(), 0)?;
        // Of one second only the first counts, and here it may lie at `after` or before.
        let is_second = after >= second
            && second
                .checked_sub_signed(A_NANO)
                .and_then(first)
                .is_some_and(|earliest| earliest < due);
        let due = match is_second {
            true => first(second.checked_add_signed(A_SECOND - A_NANO)?)?,
            false => due,
        };
        Some(Slot { number: due.timestamp(), due })
    }

    /// The number of the slot that `at` lies in. A slot with a greater number begins after `at`.
    pub fn slot_number_at(&self, key: PointKey, seed: &Seed, at: DateTime<Utc>) -> i64 {
        let [Stream::Slots(slots)] = &*self.streams else { return at.timestamp() };
        let slots = slots.of(key, seed);
        let slot = at.timestamp_nanos_opt().and_then(|nanos| slots.slot(slots.index(nanos)?));
        slot.map_or_else(|| at.timestamp(), |slot| slot.number)
    }

    /// How many samples are due after `from` and until `to`, `to` included. Cron counts up to
    /// 10,000 and then stops: so many missed slots are all the same. Of a mix, what is beyond is
    /// the sum of its parts.
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
        if let [Stream::Slots(slots)] = &*self.streams {
            return count(slots, key, seed, from, to);
        }
        let mut at = from;
        for count in 0..MOST_COUNTED {
            match self.next(key, seed, at) {
                Some(slot) if slot.due <= to => at = slot.due,
                _ => return count,
            }
        }
        let of_slots = self.streams.iter().map(|stream| match stream {
            Stream::Cron(_) => 0,
            Stream::Slots(slots) => count(slots, key, seed, at, to),
        });
        MOST_COUNTED + of_slots.sum::<u64>()
    }

    /// The longest regular time between two samples: a slot's length, or cron's widest gap between
    /// two wall-clock times; of a mix the least of its parts. Freshness is counted in it.
    pub fn interval(&self) -> Duration {
        self.streams.iter().map(Stream::interval).min().unwrap_or_default()
    }

    /// The longest time that can pass between two samples, with chance and daylight saving at
    /// their worst.
    pub fn longest_wait(&self) -> Duration {
        self.streams.iter().map(Stream::longest_wait).min().unwrap_or_default()
    }

    /// Samples of one point in an hour, on average.
    pub fn samples_per_hour(&self) -> f64 {
        self.streams.iter().map(Stream::samples_per_hour).sum()
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

/// Samples of a stream of slots that are due after `from` and until `to`.
fn count(slots: &Slots, key: PointKey, seed: &Seed, from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    let slots = slots.of(key, seed);
    let (from, to) = (slots.last_due_by(from), slots.last_due_by(to));
    from.zip(to).map_or(0, |(from, to)| to.abs_diff(from))
}

/// A quarter of an hour in seconds.
const QUARTER: i64 = 15 * 60;
const A_NANO: TimeDelta = TimeDelta::nanoseconds(1);
const A_SECOND: TimeDelta = TimeDelta::seconds(1);
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
        assert_eq!(plan.detects[0].observations(), 44);
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
        let slots = Slots::new(60 * SECOND, false, 0);
        let slots = slots.of(key, &SEED);
        let mut buckets = [0_u32; 20];
        let mut now = at(1_700_000_000_000);
        for _ in 0..10_000 {
            let slot = plan.next(key, &SEED, now).expect("a slot");
            let nanos = slot.due.timestamp_nanos_opt().expect("our century");
            let into = (nanos - slots.phase).rem_euclid(60 * SECOND);
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
        for (json, samples, longest) in [
            (r#"{"every": "5m"}"#, 12.0, 600),
            (r#"{"every": "5m", "share": "10%"}"#, 1.2, 6_000),
            (r#"{"every": "5m", "share": "30%"}"#, 3.0, 2_400),
            (r#"{"mix": [{"every": "5m"}, {"cron": "0 * * * *"}]}"#, 13.0, 600),
            (r#"{"mix": [{"every": "1h"}, {"cron": "0 * * * *"}]}"#, 2.0, 3_600),
        ] {
            let plan = plan(json);
            assert!((plan.samples_per_hour() - samples).abs() < 1e-9, "{json}");
            assert_eq!(plan.longest_wait().as_secs(), longest, "{json}");
        }
    }

    #[test]
    fn each_member_has_its_turn_once_a_cycle_and_a_round_takes_its_share() {
        let plan = plan(r#"{"every": "5m", "share": "10%"}"#);
        let (cycle, round) = (3_000_i64, 300_i64);
        let members = 2_000;
        let first = plan.next(PointKey(0), &SEED, at(1_700_000_000_000)).expect("a slot").number;
        let mut rounds = [0_u32; 200];
        let mut orders = std::collections::BTreeSet::new();
        for key in 0..members {
            let (mut now, mut order) = (at(first * 1_000 - 1), Vec::new());
            for nth in 0..20 {
                let mut slot = plan.next(PointKey(key), &SEED, now).expect("a slot");
                if slot.number < first {
                    slot = plan.next(PointKey(key), &SEED, slot.due).expect("a slot");
                }
                // The cycles of all begin together; in each of them there is one turn.
                let begun = first + nth * cycle;
                assert_eq!(slot.number, begun, "{key}");
                let into = slot.due.timestamp() - begun;
                assert!((0..=cycle).contains(&into));
                rounds[((nth * cycle + into).min(20 * cycle - 1) / round) as usize] += 1;
                order.push(into / round);
                now = slot.due;
            }
            orders.insert(order);
        }
        let expected = f64::from(members as u32) / 10.0;
        let off = |n: &u32| (f64::from(*n) - expected).powi(2) / expected;
        let chi_square: f64 = rounds.iter().map(off).sum();
        // 20 cycles of 9 degrees of freedom each: the 99.9 % quantile of 180 is 243.
        assert!(chi_square < 250.0, "{chi_square}");
        assert_eq!(orders.len(), members as usize, "orders are drawn anew");
    }

    #[test]
    fn parts_of_one_length_have_nothing_in_common() {
        let mixed = plan(r#"{"mix": [{"every": "10m"}, {"every": "10m"}]}"#);
        let alone = every(600_000);
        let (mut now, mut samples, mut of_first) = (at(1_700_000_000_000), 0, 0);
        while samples < 2_000 {
            let slot = mixed.next(PointKey(9), &SEED, now).expect("a slot");
            let just_before = slot.due - TimeDelta::nanoseconds(1);
            let is_first = alone.next(PointKey(9), &SEED, just_before).map(|slot| slot.due);
            of_first += i32::from(is_first == Some(slot.due));
            (now, samples) = (slot.due, samples + 1);
        }
        // The first part is what it would be alone.
        assert!((990..=1_010).contains(&of_first), "{of_first}");
    }

    #[test]
    fn two_parts_in_one_second_are_one_sample() {
        let text =
            r#"{"mix": [{"cron": "0 * * * * *"}, {"cron": "0 */2 * * * *"}, {"every": "10s"}]}"#;
        let plan = plan(text);
        let from = at(1_700_000_000_000);
        let (mut now, mut samples) = (from, Vec::new());
        while samples.len() < 5_000 {
            let slot = plan.next(PointKey(3), &SEED, now).expect("a slot");
            // Whatever in this second it is asked after the sample, the next one is in another.
            let later = plan.next(PointKey(3), &SEED, slot.due + TimeDelta::nanoseconds(1));
            assert!(later.is_some_and(|later| later.number > slot.number));
            samples.push(slot.number);
            now = slot.due;
        }
        assert!(samples.windows(2).all(|pair| pair[0] < pair[1]));
        let minutes = samples.iter().filter(|number| **number % 60 == 0).count() as i64;
        let passed = now.timestamp() / 60 - from.timestamp() / 60;
        assert_eq!(minutes, passed);
        assert_eq!(plan.slots_between(PointKey(3), &SEED, from, now), 5_000);
        let week = TimeDelta::days(7);
        let many = plan.slots_between(PointKey(3), &SEED, from, from + week);
        assert!((60_480 - 1_000..=60_480 + 15_120).contains(&many), "{many}");
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

        #[test]
        fn every_kind_of_plan_counts_on_is_reproducible_and_hangs_on_its_seed(
            which in 0_usize..5,
            key: u64,
            seed: [u8; 16],
            start in 0_i64..4_000_000_000_000,
            restart in 0.0_f64..1.0,
        ) {
            let plan = plan(KINDS[which]);
            let (key, seed) = (PointKey(key), Seed(seed));
            let longest = TimeDelta::from_std(plan.longest_wait()).expect("small");
            let mut previous = plan.next(key, &seed, at(start)).expect("a slot");
            let other = Seed(seed.0.map(|byte| byte ^ 1));
            let mut same = 0;
            for _ in 0..30 {
                let slot = plan.next(key, &seed, previous.due).expect("a slot");
                prop_assert!(slot.number > previous.number && slot.due > previous.due);
                prop_assert!(slot.due - previous.due <= longest);
                // A restart, or a reload that compiles the plan anew, between the two.
                let gap = (slot.due - previous.due).num_nanoseconds().expect("small") as f64;
                let between = previous.due + Duration::from_nanos((gap * restart) as u64);
                if between < slot.due {
                    let again = self::plan(KINDS[which]).next(key, &seed, between);
                    prop_assert_eq!(again, Some(slot));
                }
                same += i32::from(plan.next(key, &other, previous.due) == Some(slot));
                previous = slot;
            }
            prop_assert!(same <= 2, "{same} of 30 due times hang on no seed");
        }
    }

    const KINDS: [&str; 5] = [
        r#"{"every": "5m"}"#,
        r#"{"every": "5m", "share": "12%"}"#,
        r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#,
        r#"{"mix": [{"every": "15m"}, {"detect": {"within": "2h", "prevalence": "10%", "confidence": "95%"}}]}"#,
        r#"{"mix": [{"every": "1h", "share": "50%"}, {"every": "10m"}, {"every": "10m"}]}"#,
    ];
}

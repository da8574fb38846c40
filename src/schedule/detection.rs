//! How soon a plan sees a fault: acceptance sampling, with time in place of a lot.
//!
//! Everything here is of one sampling point and of observations by fresh connections. Where a
//! balancer sends one source address always to the same backend, connections are not independent,
//! and a partial fault may stay unseen for ever: no figure here holds then.

use std::time::Duration;

use super::plan::Plan;
use super::stats;
use super::stream::{Slots, Stream};

/// How a fault shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// From some moment on, at every connection.
    Permanent,
    /// At every connection while it is on: bursts, the first of them at once, of whatever rhythm,
    /// that cover this share of any longer time.
    Intermittent(f64),
    /// From some moment on, at this share of connections: on some backends of many.
    Partial(f64),
}

/// What a plan promises: a fault on at least this share of connections, or for this share of the
/// time, is seen within any window of this length with at least this probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guarantee {
    /// The window.
    pub within: Duration,
    /// The share.
    pub prevalence: f64,
    /// The probability; more than was asked for where observations come whole.
    pub confidence: f64,
    /// Observations of the measure in the window, at least.
    pub observations: u64,
}

impl Plan {
    /// Whether anything is promised at all.
    pub fn is_guaranteed(&self) -> bool {
        !self.detects.is_empty()
    }

    /// What `detect` in this plan promises of a measure that each sample observes by so many fresh
    /// connections; one for each `detect` of a mix, none for other plans.
    pub fn guarantees(&self, per_sample: u32) -> Vec<Guarantee> {
        let of = |detect: &super::DetectSpec| {
            let observations = detect.observations().saturating_mul(per_sample.into());
            let prevalence = detect.prevalence.share();
            let confidence = stats::confidence(prevalence, observations).unwrap_or_default();
            Guarantee { within: detect.within.0, prevalence, confidence, observations }
        };
        self.detects.iter().map(of).collect()
    }

    /// The time within which a fault that begins at a random moment is seen with this probability.
    /// Exact for slots; of an intermittent fault a bound that holds for every rhythm. Of cron, whose
    /// times are no secret, a bound that holds whenever the fault begins, and none at all for what
    /// comes and goes, which may fall into step with it. `None` too where a share is not one, or the answer is beyond a century.
    pub fn detection_time(&self, fault: Fault, quantile: f64) -> Option<Duration> {
        let share = match fault {
            Fault::Permanent => 1.0,
            Fault::Intermittent(share) | Fault::Partial(share) => share,
        };
        let is_share = share > 0.0 && share <= 1.0;
        (is_share && quantile > 0.0 && quantile < 1.0)
            .then(|| first_below(1.0 - quantile, |time| self.unseen(fault, time)))
            .flatten()
    }

    /// The time within which a fault that shows at `members` points of this plan from one random
    /// moment on is seen at one of them with this probability.
    pub fn detection_time_of_group(&self, members: u32, quantile: f64) -> Option<Duration> {
        let unseen = |time| {
            let by_streams = self.streams.iter().map(|stream| match stream {
                Stream::Cron(_) => stream.unseen(Fault::Permanent, time),
                Stream::Slots(slots) => slots.unseen_by_all(members, time),
            });
            by_streams.product()
        };
        (members > 0 && quantile > 0.0 && quantile < 1.0)
            .then(|| first_below(1.0 - quantile, unseen))
            .flatten()
    }

    /// The probability that a fault is not seen within so many seconds. The parts of a mix know
    /// nothing of each other, so that they miss it independently.
    fn unseen(&self, fault: Fault, time: f64) -> f64 {
        self.streams.iter().map(|stream| stream.unseen(fault, time)).product()
    }
}

impl Stream {
    fn unseen(&self, fault: Fault, time: f64) -> f64 {
        match (self, fault) {
            (Self::Slots(slots), Fault::Permanent) => slots.unseen(1.0, time),
            // In slot k the sample meets the fault with probability aₖ, the share of the slot that
            // the fault is on, whatever its rhythm: all miss it with Π(1−aₖ), which for a given
            // mean is greatest where all aₖ are equal (the means' inequality). So the steady share
            // is the worst rhythm of all.
            (Self::Slots(slots), Fault::Intermittent(share) | Fault::Partial(share)) => {
                slots.unseen(share, time)
            }
            (Self::Cron(_), Fault::Intermittent(_)) => 1.0,
            (Self::Cron(_), Fault::Permanent) => self.unseen_at_fixed_times(1.0, time),
            (Self::Cron(_), Fault::Partial(share)) => self.unseen_at_fixed_times(share, time),
        }
    }

    /// As if every wait were the longest: a fault may well begin in step with a timetable.
    fn unseen_at_fixed_times(&self, share: f64, time: f64) -> f64 {
        let firings = (time / self.longest_wait().as_secs_f64()).floor();
        if firings > 0.0 { (1.0 - share).powf(firings) } else { 1.0 }
    }
}

impl Slots {
    fn unseen(&self, share: f64, time: f64) -> f64 {
        stats::unseen(share, time / self.length().as_secs_f64())
    }

    /// The probability that none of so many points sees a fault of them all.
    fn unseen_by_all(&self, members: u32, time: f64) -> f64 {
        let slots = time / self.length().as_secs_f64();
        match self.together() {
            // With phases of their own, points are independent.
            false => stats::unseen(1.0, slots).powf(members.into()),
            true => stats::unseen_together(members, slots),
        }
    }
}

/// The least time at which a falling function is at `limit` or below, if it is within a century.
fn first_below(limit: f64, unseen: impl Fn(f64) -> f64) -> Option<Duration> {
    // A step at the limit is met, whatever rounding says.
    let limit = limit + 1e-12;
    let (mut low, mut high) = (0.0, CENTURY);
    if unseen(high) > limit {
        return None;
    }
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if unseen(middle) > limit { low = middle } else { high = middle }
    }
    Some(Duration::from_secs_f64(high))
}

/// In seconds.
const CENTURY: f64 = 36_525.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::PlanSpec;

    fn plan(json: &str) -> Plan {
        serde_json::from_str::<PlanSpec>(json).expect(json).compile().expect(json)
    }

    fn seconds(plan: &Plan, fault: Fault, quantile: f64) -> f64 {
        plan.detection_time(fault, quantile).expect("a time").as_secs_f64()
    }

    #[test]
    fn a_slot_s_sample_sees_a_permanent_fault_as_two_random_places_say() {
        let plan = plan(r#"{"every": "5m"}"#);
        assert!((seconds(&plan, Fault::Permanent, 0.5) - 157.19).abs() < 0.1);
        assert!(
            seconds(&plan, Fault::Partial(0.1), 0.99) > seconds(&plan, Fault::Partial(0.5), 0.99)
        );
        for share in [f64::NAN, 0.0, 1.1, 1e-300] {
            assert_eq!(plan.detection_time(Fault::Partial(share), 0.5), None, "{share}");
        }
    }

    #[test]
    fn cron_promises_nothing_of_a_fault_that_comes_and_goes() {
        let cron = plan(r#"{"cron": "*/15 * * * *"}"#);
        assert_eq!(cron.detection_time(Fault::Intermittent(0.5), 0.5), None);
        assert!((seconds(&cron, Fault::Permanent, 0.5) - 900.0).abs() < 0.1);
        assert!((seconds(&cron, Fault::Partial(0.5), 0.95) - 4_500.0).abs() < 0.1);
        let uneven = plan(r#"{"cron": "0,10 * * * *"}"#);
        assert!((seconds(&uneven, Fault::Permanent, 0.5) - 3_000.0).abs() < 0.1);
        let mixed = plan(r#"{"mix": [{"cron": "@daily"}, {"every": "15m"}]}"#);
        let alone = plan(r#"{"every": "15m"}"#);
        let fault = Fault::Intermittent(0.2);
        assert!((seconds(&mixed, fault, 0.9) - seconds(&alone, fault, 0.9)).abs() < 0.01);
    }

    #[test]
    fn a_mix_sees_a_fault_sooner_than_each_of_its_parts() {
        let mixed = plan(r#"{"mix": [{"every": "15m"}, {"every": "20m"}]}"#);
        let parts = [plan(r#"{"every": "15m"}"#), plan(r#"{"every": "20m"}"#)];
        for fault in [Fault::Permanent, Fault::Intermittent(0.5), Fault::Partial(0.1)] {
            for part in &parts {
                assert!(seconds(&mixed, fault, 0.95) < seconds(part, fault, 0.95));
            }
        }
        assert_eq!(mixed.longest_wait(), parts[0].longest_wait());
    }

    #[test]
    fn a_guarantee_grows_with_what_a_sample_observes() {
        let plan =
            plan(r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#);
        let [one] = plan.guarantees(1)[..] else { panic!("one guarantee") };
        assert_eq!((one.observations, one.within.as_secs()), (44, 3_600));
        assert!(one.confidence >= 0.99 && one.confidence < 0.991);
        let [two] = plan.guarantees(2)[..] else { panic!("one guarantee") };
        assert!(two.observations == 88 && two.confidence > 0.9999);
        let [none] = plan.guarantees(0)[..] else { panic!("one guarantee") };
        assert!((none.observations, none.confidence) == (0, 0.0));
    }

    #[test]
    fn a_group_sees_what_its_members_share_sooner_than_one_member() {
        for json in [r#"{"every": "50m"}"#, r#"{"every": "5m", "share": "10%"}"#] {
            let plan = plan(json);
            let one = plan.detection_time_of_group(1, 0.95).expect("a time").as_secs_f64();
            assert!((one - seconds(&plan, Fault::Permanent, 0.95)).abs() < 1.0, "{json} {one}");
            let many = plan.detection_time_of_group(1_000, 0.95).expect("a time").as_secs_f64();
            assert!(many < 60.0, "{json} {many}");
            assert_eq!(plan.detection_time_of_group(0, 0.95), None);
        }
    }
}

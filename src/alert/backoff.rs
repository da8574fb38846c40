//! Exponential back-off with full jitter.

use chrono::TimeDelta;

/// One receiver's back-off. The random source is seeded, so that a run can be repeated.
#[derive(Debug)]
pub(super) struct Backoff {
    failures: u32,
    max: TimeDelta,
    min: TimeDelta,
    rng: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(min: TimeDelta, max: TimeDelta, seed: u64) -> Self {
        Self { failures: 0, max, min, rng: fastrand::Rng::with_seed(seed) }
    }

    /// The delay after one more failure: at random up to `min × 2^failures`, never below half of
    /// `min` (so that a dead receiver is not hammered) nor above `max`. A receiver's own wish
    /// (Retry-After) is a lower bound, up to `max`.
    pub(super) fn failed(&mut self, wish: Option<TimeDelta>) -> TimeDelta {
        self.failures = self.failures.saturating_add(1);
        let min = self.min.num_milliseconds().max(1);
        let max = self.max.num_milliseconds().max(min);
        let ceiling = min.saturating_mul(1_i64 << self.failures.min(32)).min(max);
        let floor = (min / 2).max(1);
        let delay = TimeDelta::milliseconds(self.rng.i64(floor..=ceiling.max(floor)));
        delay.max(wish.unwrap_or_default()).min(self.max.max(self.min))
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_bound_and_begin_again_after_a_success() {
        let (min, max) = (TimeDelta::seconds(1), TimeDelta::seconds(60));
        let mut backoff = Backoff::new(min, max, 7);
        assert!(backoff.failed(None) <= TimeDelta::seconds(2));
        let delays: Vec<_> = (0..200).map(|_| backoff.failed(None)).collect();
        assert!(delays.iter().all(|delay| *delay <= max && *delay >= min / 2));
        assert!(delays.iter().any(|delay| *delay > TimeDelta::seconds(40)));
        backoff.succeeded();
        assert!(backoff.failed(None) <= TimeDelta::seconds(2));
    }

    #[test]
    fn a_wish_is_a_lower_bound_up_to_the_longest_delay() {
        let mut backoff = Backoff::new(TimeDelta::seconds(1), TimeDelta::seconds(60), 7);
        assert!(backoff.failed(Some(TimeDelta::seconds(30))) >= TimeDelta::seconds(30));
        assert_eq!(backoff.failed(Some(TimeDelta::days(9))), TimeDelta::seconds(60));
    }
}

//! The time of day, and whether it can be trusted.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time of day.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that stands until it is moved; for tests.
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(now))
    }

    /// Puts the clock to `now`, forwards or back.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves the clock forward. Beyond the end of dates it stands still.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = TimeDelta::from_std(by).ok().and_then(|by| now.checked_add_signed(by));
        *now = moved.unwrap_or(*now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

/// What the wall clock did between two looks, beyond the time that really passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// It went back by this much: date verdicts are unknown until it is set right.
    Back(Duration),
    /// It jumped forward by this much, or the machine slept: slots were missed.
    Forward(Duration),
    /// It went on, within [`StepWatch::TOLERANCE`].
    Steady,
}

/// Notices when the wall clock is stepped. Pure: it is handed both times.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepWatch {
    last: Option<(DateTime<Utc>, Duration)>,
}

impl StepWatch {
    /// What a slewed clock and a late look may differ by.
    pub const TOLERANCE: Duration = Duration::from_secs(5);

    /// A watch that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the wall clock and at a clock that never steps (time since any fixed start), and
    /// compares with the look before.
    pub fn observe(&mut self, wall: DateTime<Utc>, monotonic: Duration) -> Step {
        let Some((last_wall, last_monotonic)) = self.last.replace((wall, monotonic)) else {
            return Step::Steady;
        };
        let passed = monotonic.saturating_sub(last_monotonic);
        let passed = TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX);
        let excess = (wall - last_wall).checked_sub(&passed).unwrap_or(TimeDelta::MIN);
        let step = excess.abs().to_std().unwrap_or_default();
        match step > Self::TOLERANCE {
            false => Step::Steady,
            true if excess < TimeDelta::zero() => Step::Back(step),
            true => Step::Forward(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn a_step_is_told_apart_from_time_that_passed() {
        let mut watch = StepWatch::new();
        let mut look = |wall, monotonic| watch.observe(at(wall), Duration::from_secs(monotonic));
        assert_eq!(look(0, 100), Step::Steady);
        assert_eq!(look(3_600, 3_700), Step::Steady);
        assert_eq!(look(3_605, 3_700), Step::Steady);
        assert_eq!(look(3_615, 3_704), Step::Forward(Duration::from_secs(6)));
        assert_eq!(look(3_600, 3_705), Step::Back(Duration::from_secs(16)));
        assert_eq!(look(3_601, 3_706), Step::Steady);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(at(0));
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now(), at(60));
        clock.set(at(-1));
        assert_eq!(clock.now(), at(-1));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), at(-1));
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > at(0));
    }
}

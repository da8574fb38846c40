//! The part of a finding that every sample moves: counts and times.

use chrono::{DateTime, Utc};

use super::Finding;
use crate::sample::Cause;

/// A finding's counts and times. The ledger replays them from one bit a sample.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tally {
    /// The last breach.
    pub last_seen: DateTime<Utc>,
    /// The last sample that could judge it.
    pub last_judged: DateTime<Utc>,
    /// Samples that judged it since the first breach.
    pub samples: u32,
    /// Those of them that were out of range.
    pub positives: u32,
    /// Clean samples since the last breach, repeats left out: they measure the share of the
    /// fault, a minute after it was seen, and prove no mending.
    pub clean: u32,
}

impl Tally {
    /// Counts one more look. Times never go back, whatever the clock does.
    pub fn count(&mut self, breached: bool, at: DateTime<Utc>, cause: Cause) {
        self.last_judged = self.last_judged.max(at);
        self.samples = self.samples.saturating_add(1);
        if breached {
            self.last_seen = self.last_judged;
            self.positives = self.positives.saturating_add(1);
            self.clean = 0;
        } else if cause != Cause::Repeat {
            self.clean = self.clean.saturating_add(1);
        }
    }

    /// Samples that say how often the fault shows: all but the clean streak.
    pub fn seen(&self) -> u32 {
        self.samples.saturating_sub(self.clean)
    }
}

impl Finding {
    /// Its counts and times.
    pub fn tally(&self) -> Tally {
        Tally {
            last_seen: self.last_seen,
            last_judged: self.last_judged,
            samples: self.samples,
            positives: self.positives,
            clean: self.clean,
        }
    }

    /// Replaces its counts and times.
    pub fn set_tally(&mut self, tally: Tally) {
        self.last_seen = tally.last_seen;
        self.last_judged = tally.last_judged;
        self.samples = tally.samples;
        self.positives = tally.positives;
        self.clean = tally.clean;
    }
}

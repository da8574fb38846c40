//! What was fetched of late and need not be fetched again with every sample.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::memory::Baseline;

/// Something fetched, and when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Kept {
    /// The second.
    at: i64,
    /// What it came to.
    pub(super) facts: Value,
}

impl Kept {
    /// When it was fetched.
    pub(super) fn at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.at, 0).unwrap_or_default()
    }

    /// Whether it is younger than this; a clock that was set back makes it old.
    pub(super) fn is_fresh(&self, now: DateTime<Utc>, within: TimeDelta) -> bool {
        (TimeDelta::zero()..within).contains(&(now - self.at()))
    }
}

impl Baseline {
    /// What was fetched under this word.
    pub(super) fn kept(&self, what: &str) -> Option<&Kept> {
        self.kept.get(what)
    }

    /// Keeps what was fetched, if it is small.
    pub(super) fn keep(&mut self, what: &'static str, facts: Value, now: DateTime<Utc>) {
        if facts.to_string().len() <= MAX_KEPT {
            self.kept.insert(what.to_owned(), Kept { at: now.timestamp(), facts });
        } else {
            self.kept.remove(what);
        }
    }
}

/// Bytes of one thing kept.
const MAX_KEPT: usize = 4 * 1024;

//! Too much to do: what matters least is let go first.

use chrono::{DateTime, TimeDelta, Utc};

use crate::schedule::Importance;

/// For how long more has been due than could be taken.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// When nothing was due last.
    since: Option<DateTime<Utc>>,
    asked_at: Option<DateTime<Utc>>,
    is_shedding: bool,
}

impl Backlog {
    /// The loop asks for what is due. After a pause (the machine slept, the clock was set) much is
    /// due at once, and is no sign of too much work.
    pub(super) fn ask(&mut self, now: DateTime<Utc>) {
        let gap = self.asked_at.replace(now).map(|before| now - before);
        if gap.is_none_or(|gap| gap > A_PAUSE || gap < TimeDelta::zero()) {
            self.since = Some(now);
        }
    }

    /// Nothing more is due.
    pub(super) fn clear(&mut self, now: DateTime<Utc>) {
        self.since = Some(now);
        if std::mem::take(&mut self.is_shedding) {
            tracing::info!("all that is due can be taken again");
        }
    }

    /// Whether a sample of this importance is let go, so that more important ones are in time.
    pub(super) fn sheds(&mut self, importance: Importance, now: DateTime<Utc>) -> bool {
        let lasts = self.since.map_or(TimeDelta::zero(), |since| now - since);
        let sheds = match importance {
            Importance::Low => lasts > SHEDS_LOW,
            Importance::Normal => lasts > SHEDS_NORMAL,
            Importance::High => false,
        };
        if sheds && !std::mem::replace(&mut self.is_shedding, true) {
            tracing::warn!("more is due than can be taken; samples of lesser plans are shed");
        }
        sheds
    }
}

const SHEDS_LOW: TimeDelta = TimeDelta::seconds(30);
const SHEDS_NORMAL: TimeDelta = TimeDelta::minutes(2);
const A_PAUSE: TimeDelta = TimeDelta::seconds(10);

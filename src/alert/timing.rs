//! The intervals of delivery.

use chrono::TimeDelta;

/// Intervals of delivery. The defaults are what production wants; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// A firing alert is sent to an Alertmanager again after this.
    pub resend: TimeDelta,
    /// How far ahead `endsAt` of a firing alert lies.
    pub hold: TimeDelta,
    /// The same for severity high and critical: they outlive a longer outage of Secchi.
    pub hold_high: TimeDelta,
    /// How long a resolve is sent again.
    pub resolved_resend: TimeDelta,
    /// How long a receiver holds an alert firing before it hears of the resolve. Set it to the
    /// Alertmanager's `group_wait` plus some seconds: what fires and resolves within `group_wait`
    /// is never notified.
    pub min_firing: TimeDelta,
    /// A resolve is replayed to a member that restarted within this of accepting it.
    pub replay_window: TimeDelta,
    /// At most this often is a member asked for its uptime.
    pub status_interval: TimeDelta,
    /// A webhook's group waits this long for more faces of the same cause.
    pub group_wait: TimeDelta,
    /// Two messages of one group to a webhook are at least this far apart.
    pub group_interval: TimeDelta,
    /// Shortest delay of the back-off.
    pub backoff_min: TimeDelta,
    /// Longest delay of the back-off.
    pub backoff_max: TimeDelta,
    /// Alerts in one request.
    pub batch: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            resend: TimeDelta::seconds(60),
            hold: TimeDelta::minutes(5),
            hold_high: TimeDelta::hours(1),
            resolved_resend: TimeDelta::minutes(15),
            min_firing: TimeDelta::seconds(60),
            replay_window: TimeDelta::hours(1),
            status_interval: TimeDelta::seconds(15),
            group_wait: TimeDelta::seconds(5),
            group_interval: TimeDelta::seconds(60),
            backoff_min: TimeDelta::seconds(1),
            backoff_max: TimeDelta::seconds(60),
            batch: 256,
        }
    }
}

//! systemd: readiness, reload, watchdog, stop. Without systemd none of it does anything.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use sd_notify::NotifyState;

/// The daemon is ready.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        send(&[NotifyState::Reloading, now]);
    }
}

/// The daemon stops.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// The service's watchdog, fed by the scheduler's own turn and never by a timer of its own: a
/// scheduler that is stuck is restarted.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    fed: AtomicI64,
}

impl Watchdog {
    /// The scheduler has turned.
    pub(super) fn turned(&self, now: DateTime<Utc>) {
        let second = now.timestamp();
        // Once a second is plenty, and the loop may turn a thousand times as often.
        if self.fed.swap(second, Ordering::Relaxed) != second {
            send(&[NotifyState::Watchdog]);
        }
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

//! The alert that always fires: it proves scheduler, store, delivery, Alertmanager and pager, for
//! its absence is what an external heartbeat service reports.

use chrono::{DateTime, Utc};

use super::Timing;
use super::plan::{Batch, Entry};
use crate::ledger::{Alert, AlertState};
use crate::sample::Severity;

/// The watchdog's request; it ends by itself two intervals after the last one.
pub(super) fn batch(since: DateTime<Utc>, now: DateTime<Utc>, timing: &Timing) -> Batch {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let alert = Alert {
        id: String::new(),
        labels: pairs(&[
            ("alertname", "SecchiWatchdog"),
            ("severity", "none"),
            ("source", "secchi"),
        ]),
        annotations: pairs(&[
            ("summary", "Secchi samples and delivers"),
            (
                "description",
                "Always firing. Route it to a heartbeat service that pages when it stops.",
            ),
        ]),
        severity: Severity::Info,
        state: AlertState::Firing,
        starts_at: since,
        ends_at: None,
        changed_at: since,
    };
    let ends_at = Some(now + timing.resend * 2);
    let entry =
        Entry { alert, state: AlertState::Firing, ends_at, accepts: Vec::new(), is_news: false };
    Batch { entries: vec![entry], group: None }
}

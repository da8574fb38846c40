//! The outbox: alerts to deliver, written in the transaction of the finding's transition.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::LedgerError;
use crate::sample::Severity;

/// What is delivered of a finding.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Alert {
    /// The finding's id.
    pub id: String,
    /// The contract's labels, frozen at opening; external labels are the alert room's.
    pub labels: BTreeMap<String, String>,
    /// The contract's annotations, of the latest transition.
    pub annotations: BTreeMap<String, String>,
    /// How bad it is.
    pub severity: Severity,
    /// Firing or resolved.
    pub state: AlertState,
    /// When the finding was confirmed.
    pub starts_at: DateTime<Utc>,
    /// When it ended, if it did.
    pub ends_at: Option<DateTime<Utc>>,
    /// The last transition.
    pub changed_at: DateTime<Utc>,
}

/// The two states a receiver knows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The finding is confirmed.
    Firing,
    /// The finding is resolved, excepted or withdrawn.
    Resolved,
}

/// What one receiver is known to have accepted of an alert.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Delivery {
    /// The state accepted last; `None` if it never was.
    pub accepted: Option<AlertState>,
    /// When it was accepted last.
    pub accepted_at: Option<DateTime<Utc>>,
    /// When `Resolved` was accepted first: re-sends end a while after it.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Refused for good (4xx), with the receiver's words.
    pub refused: Option<String>,
}

/// An alert with what one receiver has of it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// The alert.
    pub alert: Alert,
    /// What the receiver has.
    pub delivery: Delivery,
}

/// A receiver's answer to one alert.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Ack {
    /// The alert's id.
    pub id: String,
    /// The state that was sent.
    pub state: AlertState,
    /// When it answered.
    pub at: DateTime<Utc>,
    /// Its words, if it refused for good.
    pub refused: Option<String>,
}

/// The ledger as the alert room sees it.
pub trait Outbox: Send + Sync {
    /// Every alert that is firing, and every resolved one that the receiver may still need to hear
    /// of: not accepted as resolved yet, or accepted within the last hour.
    fn pending(&self, receiver: &str) -> Result<Vec<OutboxRow>, LedgerError>;

    /// Records what the receiver accepted or refused.
    fn acknowledge<'a>(
        &'a self,
        receiver: &'a str,
        acks: Vec<Ack>,
    ) -> BoxFuture<'a, Result<(), LedgerError>>;

    /// Changes its value whenever an alert is added or changes state.
    fn changes(&self) -> watch::Receiver<u64>;
}

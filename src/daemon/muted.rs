//! Maintenance windows of effect `mute`: samples go on, nobody is told of what breaks meanwhile.

use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::ledger::{Ack, AlertState, LedgerError, Outbox, OutboxRow};
use crate::schedule::{Clock, Effect, Window};
use crate::target::Labels;

/// The outbox as receivers see it: what a window mutes waits until it closes. What a receiver knows
/// already stays firing there, and is resolved there when it ends.
pub(super) struct Muted {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) windows: RwLock<Arc<[Window]>>,
}

impl Muted {
    fn hides(&self, row: &OutboxRow, windows: &[Window]) -> bool {
        let is_news = row.alert.state == AlertState::Firing
            && row.delivery.accepted != Some(AlertState::Firing);
        let now = self.clock.now();
        let labels: Labels = row.alert.labels.clone();
        let target = labels.get("target").map_or("", String::as_str);
        is_news
            && windows.iter().any(|w| w.effect() == Effect::Mute && w.covers(now, target, &labels))
    }
}

impl Outbox for Muted {
    fn pending(&self, receiver: &str) -> Result<Vec<OutboxRow>, LedgerError> {
        let mut rows = self.outbox.pending(receiver)?;
        let windows = Arc::clone(&self.windows.read().unwrap_or_else(PoisonError::into_inner));
        if !windows.is_empty() {
            rows.retain(|row| !self.hides(row, &windows));
        }
        Ok(rows)
    }

    fn acknowledge<'a>(
        &'a self,
        receiver: &'a str,
        acks: Vec<Ack>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.outbox.acknowledge(receiver, acks)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.outbox.changes()
    }
}

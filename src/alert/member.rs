//! What is known of one Alertmanager member: its present life, and since when it has held which
//! alert firing in that life. Pure; the courier feeds it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::Timing;
use crate::ledger::{AlertState, OutboxRow};

/// One Alertmanager member. It keeps alerts in memory: what it was told in an earlier life is gone,
/// and a resolve of an alert that it has not held firing in this life is never notified.
#[derive(Debug, Default)]
pub(super) struct Member {
    life: Option<String>,
    /// On our clock.
    started: Option<DateTime<Utc>>,
    held: HashMap<String, DateTime<Utc>>,
    /// Questions in a row that were not answered.
    unanswered: u32,
}

impl Member {
    /// Takes in an answer to `GET /api/v2/status`: the start time as the member writes it, and the
    /// same on our clock. True if the member restarted since the last answer.
    pub(super) fn observe(
        &mut self,
        life: &str,
        started: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> bool {
        self.unanswered = 0;
        match &self.life {
            Some(known) if known == life => false,
            Some(_) => {
                // When exactly is not known: what was accepted before now counts as lost.
                self.life = Some(life.to_owned());
                self.started = Some(now);
                self.held.clear();
                true
            }
            None => {
                self.life = Some(life.to_owned());
                self.started = started;
                false
            }
        }
    }

    /// The member could not be reached.
    pub(super) fn miss(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// The member answered, but does not say when its life began: it is taken for one life.
    pub(super) fn does_not_say(&mut self) {
        self.unanswered = UNANSWERED;
    }

    /// Whether it is known which life would hear of a resolve now. A member that never answers the
    /// question must hear of resolves all the same.
    pub(super) fn is_known(&self) -> bool {
        self.unanswered == 0 || self.unanswered >= UNANSWERED
    }

    /// Since when the member has held this alert firing in its present life; after a resolve, since
    /// when it had held it.
    pub(super) fn held_since(&self, row: &OutboxRow, timing: &Timing) -> Option<DateTime<Utc>> {
        if let Some(since) = self.held.get(&row.alert.id) {
            return Some(*since);
        }
        let accepted_at = row.delivery.accepted_at?;
        match row.delivery.accepted? {
            AlertState::Firing => {
                self.started.is_none_or(|started| started < accepted_at).then_some(accepted_at)
            }
            // A resolve is sent only to a life that was known to hold the alert; a restart may have
            // slipped in since the last look.
            AlertState::Resolved => self
                .started
                .is_none_or(|started| started + timing.status_interval <= accepted_at)
                .then(|| accepted_at - timing.min_firing),
        }
    }

    /// The member accepted the alert as firing.
    pub(super) fn holds(&mut self, id: &str, now: DateTime<Utc>) {
        self.held.entry(id.to_owned()).or_insert(now);
    }

    /// Forgets alerts that the outbox has forgotten.
    pub(super) fn retain(&mut self, rows: &[OutboxRow]) {
        if self.held.len() > rows.len() {
            let known: std::collections::HashSet<&str> =
                rows.iter().map(|row| row.alert.id.as_str()).collect();
            self.held.retain(|id, _| known.contains(id.as_str()));
        }
    }
}

/// So many unanswered questions mean that there will be no answer.
const UNANSWERED: u32 = 5;

//! What is known but cannot be written at present: laid over the stored outbox, so that a full disk
//! loses no alert (DESIGN §4.8).

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::alerts::alert_of;
use super::outbox::{Ack, Alert, AlertState, Delivery, OutboxRow};
use crate::finding::Finding;
use crate::sample::Severity;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    failure: Option<(String, DateTime<Utc>)>,
    /// Findings whose last step is not on disk, by number.
    unrecorded: BTreeMap<i64, (Finding, DateTime<Utc>)>,
    /// What receivers answered meanwhile, by receiver and alert.
    answers: HashMap<(String, String), (Delivery, Ack)>,
    /// The store's own alert.
    own: Option<Alert>,
    pub(super) lost_samples: u64,
}

impl Overlay {
    /// Whether the store cannot be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// Why, since when, and how many findings wait.
    pub(super) fn failure(&self) -> Option<(&str, DateTime<Utc>)> {
        self.failure.as_ref().map(|(why, since)| (why.as_str(), *since))
    }

    /// Findings whose last step is not on disk.
    pub(super) fn waiting(&self) -> usize {
        self.unrecorded.len()
    }

    /// A commit failed; these steps wait. Says whether there are new ones.
    pub(super) fn failed(
        &mut self,
        why: &str,
        now: DateTime<Utc>,
        steps: BTreeMap<i64, (Finding, DateTime<Utc>)>,
    ) -> bool {
        let first = self.failure.is_none();
        let since = self.failure.as_ref().map_or(now, |(_, since)| *since);
        self.failure = Some((why.to_owned(), since));
        self.own = Some(own_alert(why, since, None));
        let news = first || self.unrecorded != steps;
        self.unrecorded = steps;
        news
    }

    /// A commit succeeded. Gives what receivers answered meanwhile, to be written.
    pub(super) fn recovered(&mut self, now: DateTime<Utc>) -> Vec<(String, Ack)> {
        let Some((why, since)) = self.failure.take() else { return Vec::new() };
        self.own = Some(own_alert(&why, since, Some(now)));
        self.unrecorded.clear();
        self.answers.drain().map(|((receiver, _), (_, ack))| (receiver, ack)).collect()
    }

    /// Keeps a receiver's answers while they cannot be written; beyond the bound they are dropped,
    /// and the alerts are sent once more.
    pub(super) fn answer(&mut self, receiver: &str, acks: Vec<Ack>) {
        for ack in acks {
            let key = (receiver.to_owned(), ack.id.clone());
            if self.answers.len() < MOST || self.answers.contains_key(&key) {
                self.answers.insert(key, (delivery(&ack), ack));
            }
        }
    }

    /// The store's own alert is not in the store: its answers stay here.
    pub(super) fn is_own(ack: &Ack) -> bool {
        ack.id == OWN
    }

    /// Lays everything over what the store says.
    pub(super) fn lay_over(
        &self,
        rows: &mut BTreeMap<String, OutboxRow>,
        receiver: &str,
        url: Option<&str>,
        now: DateTime<Utc>,
    ) {
        let answer = |id: &str| {
            self.answers.get(&(receiver.to_owned(), id.to_owned())).map(|(d, _)| d.clone())
        };
        for (finding, at) in self.unrecorded.values() {
            let Some(mut alert) = alert_of(finding, *at, url) else { continue };
            alert.annotations.insert("unrecorded".to_owned(), "true".to_owned());
            let stored = rows.get(&alert.id).map(|row| row.delivery.clone());
            let delivery = stored.unwrap_or_default();
            rows.insert(alert.id.clone(), OutboxRow { alert, delivery });
        }
        let own = self.own.iter().filter(|own| {
            own.ends_at.is_none_or(|end| now.signed_duration_since(end) < TimeDelta::hours(1))
        });
        for alert in own {
            let row = OutboxRow { alert: alert.clone(), delivery: Delivery::default() };
            rows.insert(alert.id.clone(), row);
        }
        for (id, row) in rows {
            if let Some(answer) = answer(id) {
                row.delivery = answer;
            }
        }
    }
}

fn delivery(ack: &Ack) -> Delivery {
    let accepted = ack.refused.is_none();
    let resolved = ack.state == AlertState::Resolved;
    Delivery {
        accepted: accepted.then_some(ack.state),
        accepted_at: accepted.then_some(ack.at),
        resolved_at: resolved.then_some(ack.at),
        refused: ack.refused.clone(),
    }
}

fn own_alert(why: &str, since: DateTime<Utc>, ended: Option<DateTime<Utc>>) -> Alert {
    let labels = [
        ("alertname", "SecchiLedgerFailing"),
        ("severity", "critical"),
        ("rule", "secchi-ledger-failing"),
        ("source", "secchi"),
    ];
    let description = format!("{why}; findings are delivered all the same, marked unrecorded");
    let annotations = [
        ("summary", "Secchi cannot write its ledger".to_owned()),
        ("description", description),
        ("remedy", "Make room in the data directory or mend its disk.".to_owned()),
    ];
    Alert {
        id: OWN.to_owned(),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations: annotations.map(|(name, value)| (name.to_owned(), value)).into(),
        severity: Severity::Critical,
        state: if ended.is_none() { AlertState::Firing } else { AlertState::Resolved },
        starts_at: since,
        ends_at: ended,
        changed_at: ended.unwrap_or(since),
    }
}

const OWN: &str = "ledger-failing";
const MOST: usize = 10_000;

//! The digest of a new release: what its new and changed rules find comes as one alert for a day
//! (DESIGN §4.7), so that an upgrade pages nobody a thousand times.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::ledger::{
    Ack, Alert, AlertState, Delivery, Event, Ledger, LedgerError, Outbox, OutboxRow,
};
use crate::rules::RuleSet;
use crate::sample::Severity;
use crate::schedule::Clock;

/// The outbox as receivers see it: findings of young rules wait, and one alert speaks for them.
pub(super) struct Digest {
    outbox: Arc<dyn Outbox>,
    clock: Arc<dyn Clock>,
    /// Since when each new or changed rule has been there.
    young: BTreeMap<String, DateTime<Utc>>,
    /// What each receiver has of the digest. A restart forgets it, and the digest is sent again.
    told: Mutex<HashMap<String, Delivery>>,
}

/// Records which rules ship with this release, where they are others than those of the last one.
pub(super) async fn record_rules(ledger: &Ledger, at: DateTime<Utc>) -> Result<(), LedgerError> {
    let marks = RuleSet::builtin().marks();
    let before = ledger.shipped_rules()?;
    if before.iter().map(|(rule, of_rule)| (rule, &of_rule.mark)).eq(marks.iter()) {
        return Ok(());
    }
    ledger.append(vec![Event::RulesShipped { at, marks }]).await.map(drop)
}

impl Digest {
    /// Holds back what the young rules of the ledger find.
    pub(super) fn new(ledger: &Arc<Ledger>, clock: Arc<dyn Clock>) -> Result<Self, LedgerError> {
        let shipped = ledger.shipped_rules()?.into_iter();
        let young = shipped.filter_map(|(rule, of_rule)| Some((rule.to_string(), of_rule.since?)));
        let outbox = Arc::clone(ledger) as Arc<dyn Outbox>;
        Ok(Self { young: young.collect(), ..Self::over(outbox, clock) })
    }

    fn over(outbox: Arc<dyn Outbox>, clock: Arc<dyn Clock>) -> Self {
        Self { outbox, clock, young: BTreeMap::new(), told: Mutex::default() }
    }

    /// Whether the row is news of a rule that is still young.
    fn waits(&self, row: &OutboxRow, now: DateTime<Utc>) -> bool {
        let is_news = row.alert.state == AlertState::Firing
            && row.delivery.accepted != Some(AlertState::Firing);
        let since = row.alert.labels.get("rule").and_then(|rule| self.young.get(rule));
        is_news && since.is_some_and(|since| now < *since + DAY)
    }

    /// The digest as one receiver has it; none where it never was and nothing waits.
    fn row(&self, receiver: &str, waiting: &[OutboxRow], now: DateTime<Utc>) -> Option<OutboxRow> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let delivery = told.get(receiver).cloned();
        if waiting.is_empty() && delivery.as_ref().is_none_or(|told| told.resolved_at.is_some()) {
            return None;
        }
        let starts_at = self.young.values().max().copied().unwrap_or(now);
        let (state, ends_at) = match waiting.is_empty() {
            false => (AlertState::Firing, None),
            true => (AlertState::Resolved, Some(now)),
        };
        let severity = waiting.iter().map(|row| row.alert.severity).max().unwrap_or(Severity::Low);
        let alert = Alert {
            id: ID.to_owned(),
            // Labels are an alert's identity, so nothing that changes is among them.
            labels: pairs([("alertname", "SecchiNewRules"), ("rule", ID), ("source", "secchi")]),
            annotations: pairs([
                ("summary", "Rules that this release brings or changes have findings".to_owned()),
                ("description", words(waiting)),
                ("until", (starts_at + DAY).to_rfc3339()),
            ]),
            severity,
            state,
            starts_at,
            ends_at,
            changed_at: starts_at,
        };
        Some(OutboxRow { alert, delivery: delivery.unwrap_or_default() })
    }
}

impl Outbox for Digest {
    fn pending(&self, receiver: &str) -> Result<Vec<OutboxRow>, LedgerError> {
        let now = self.clock.now();
        let rows = self.outbox.pending(receiver)?;
        let (waiting, mut rows): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| self.waits(row, now));
        rows.extend(self.row(receiver, &waiting, now));
        Ok(rows)
    }

    fn acknowledge<'a>(
        &'a self,
        receiver: &'a str,
        acks: Vec<Ack>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        let (own, acks): (Vec<_>, Vec<_>) = acks.into_iter().partition(|ack| ack.id == ID);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for ack in own {
            let resolved = ack.state == AlertState::Resolved;
            let before = told.get(receiver).and_then(|told| told.resolved_at);
            let delivery = Delivery {
                accepted: Some(ack.state),
                accepted_at: Some(ack.at),
                resolved_at: resolved.then(|| before.unwrap_or(ack.at)),
                refused: ack.refused,
            };
            told.insert(receiver.to_owned(), delivery);
        }
        drop(told);
        match acks.is_empty() {
            true => std::future::ready(Ok(())).boxed(),
            false => self.outbox.acknowledge(receiver, acks),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.outbox.changes()
    }
}

/// How many findings of which rules, the most first.
fn words(waiting: &[OutboxRow]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in waiting {
        *counts.entry(row.alert.labels.get("rule").map_or("", String::as_str)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(rule, count)| (std::cmp::Reverse(*count), *rule));
    let shown = counts.iter().take(MOST_NAMED).map(|(rule, count)| format!("{rule}: {count}"));
    let more = counts.len().saturating_sub(MOST_NAMED);
    let rest = (more > 0).then(|| format!("and {more} rules more"));
    let named: Vec<_> = shown.chain(rest).collect();
    match named.is_empty() {
        true => "none are left".to_owned(),
        false => format!("{}; each pages by itself once the day is over", named.join(", ")),
    }
}

fn pairs<T: Into<String>, const N: usize>(pairs: [(&str, T); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// How long a rule is young.
const DAY: TimeDelta = TimeDelta::hours(24);
/// Rules named in the digest.
const MOST_NAMED: usize = 20;
/// The digest's id in the outbox, and its label `rule`, so that receivers group it apart.
const ID: &str = "new-rules";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Options;
    use crate::schedule::ManualClock;
    use crate::telemetry::Metrics;

    /// Findings of an old rule and of two new ones, all firing and told to nobody.
    struct Three;

    impl Outbox for Three {
        fn pending(&self, _: &str) -> Result<Vec<OutboxRow>, LedgerError> {
            Ok(["old", "new", "newer"].map(row).to_vec())
        }

        fn acknowledge<'a>(
            &'a self,
            _: &'a str,
            acks: Vec<Ack>,
        ) -> BoxFuture<'a, Result<(), LedgerError>> {
            assert!(acks.iter().all(|ack| ack.id != ID), "the ledger knows no digest");
            std::future::ready(Ok(())).boxed()
        }

        fn changes(&self) -> watch::Receiver<u64> {
            watch::channel(0).1
        }
    }

    fn row(rule: &str) -> OutboxRow {
        let alert = Alert {
            id: format!("id of {rule}"),
            labels: pairs([("rule", rule)]),
            annotations: BTreeMap::new(),
            severity: Severity::High,
            state: AlertState::Firing,
            starts_at: at(0),
            ends_at: None,
            changed_at: at(0),
        };
        OutboxRow { alert, delivery: Delivery::default() }
    }

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + hours * 3600, 0).expect("a time")
    }

    fn ids(digest: &Digest) -> Vec<String> {
        let rows = digest.pending("am").expect("rows");
        rows.into_iter().map(|row| format!("{} {:?}", row.alert.id, row.alert.state)).collect()
    }

    #[tokio::test]
    async fn what_new_rules_find_comes_as_one_alert_for_a_day_and_by_itself_after_it() {
        let clock = Arc::new(ManualClock::new(at(0)));
        let young = ["new", "newer"].map(|rule| (rule.to_owned(), at(0))).into();
        let digest = Digest { young, ..Digest::over(Arc::new(Three), clock.clone()) };
        assert_eq!(ids(&digest), ["id of old Firing", "new-rules Firing"]);
        let alert = digest.pending("am").expect("rows").pop().expect("the digest").alert;
        assert_eq!(alert.severity, Severity::High);
        assert!(alert.annotations["description"].starts_with("new: 1, newer: 1;"), "{alert:?}");
        let ack = |state| Ack { id: ID.into(), state, at: at(1), refused: None };
        digest.acknowledge("am", vec![ack(AlertState::Firing)]).await.expect("recorded");

        clock.set(at(24));
        let all = ["id of old Firing", "id of new Firing", "id of newer Firing"];
        assert_eq!(ids(&digest), [&all[..], &["new-rules Resolved"]].concat());
        digest.acknowledge("am", vec![ack(AlertState::Resolved)]).await.expect("recorded");
        assert_eq!(ids(&digest), all);
        assert_eq!(digest.pending("other").expect("rows").len(), 3, "never told, never resolved");
    }

    #[tokio::test]
    async fn only_a_release_after_the_first_one_has_new_rules() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let ledger = Ledger::open(Options::default(), metrics, at(0)).expect("a ledger");
        let ledger = Arc::new(ledger);
        let young = |ledger| {
            Digest::new(ledger, Arc::new(ManualClock::new(at(0)))).expect("a digest").young
        };
        record_rules(&ledger, at(0)).await.expect("recorded");
        assert_eq!(young(&ledger).len(), 0);

        let mut marks = RuleSet::builtin().marks();
        marks.insert("http-hsts".into(), "as it was once".into());
        marks.remove("http-csp");
        ledger.append(vec![Event::RulesShipped { at: at(1), marks }]).await.expect("recorded");
        record_rules(&ledger, at(2)).await.expect("recorded");
        let expected = ["http-csp", "http-hsts"].map(|rule| (rule.to_owned(), at(2)));
        assert_eq!(young(&ledger), expected.into());
        record_rules(&ledger, at(3)).await.expect("recorded");
        assert_eq!(young(&ledger).len(), 2, "what is recorded already is not recorded again");
    }
}

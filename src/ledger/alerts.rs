//! Findings as alerts: labels, annotations, and the outbox.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, Row, params};
use serde_json::Value;
use tokio::sync::watch;

use super::LedgerError;
use super::context::{Context, Survey};
use super::handle::Ledger;
use super::outbox::{Ack, Alert, AlertState, Delivery, Outbox, OutboxRow};
use super::project::{millis, time};
use super::read::finding;
use crate::finding::{Finding, FindingState};
use crate::sample::Severity;

/// The alert of a finding as it is after `changed_at`. None of what was never confirmed, nor of
/// what is only worth knowing (`info`).
pub fn alert_of(
    finding: &Finding,
    changed_at: DateTime<Utc>,
    external_url: Option<&str>,
) -> Option<Alert> {
    let starts_at = finding.confirmed_at?;
    if finding.severity == Severity::Info {
        return None;
    }
    let firing = finding.state == FindingState::Confirmed;
    Some(Alert {
        id: finding.id.clone(),
        labels: labels(finding),
        annotations: annotations(finding, external_url),
        severity: finding.severity,
        state: if firing { AlertState::Firing } else { AlertState::Resolved },
        starts_at,
        ends_at: (!firing).then(|| finding.ended_at.unwrap_or(changed_at)),
        changed_at,
    })
}

fn labels(finding: &Finding) -> BTreeMap<String, String> {
    let of_target = |name: &str| finding.labels.get(name).cloned().unwrap_or_default();
    let key = &finding.key;
    let address = key.address.map(|address| address.to_string()).unwrap_or_default();
    [
        ("alertname", alert_name(&key.rule)),
        ("severity", finding.severity.as_str().to_owned()),
        ("rule", key.rule.to_string()),
        ("probe", finding.probe.as_str().to_owned()),
        ("target", key.target.to_string()),
        ("address", address),
        ("subject", key.subject.to_string()),
        ("service", of_target("service")),
        ("team", of_target("team")),
        ("env", of_target("env")),
        ("source", "secchi".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), clean(&value, 256)))
    .collect()
}

fn annotations(finding: &Finding, external_url: Option<&str>) -> BTreeMap<String, String> {
    let measured = match &finding.measured {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut all = vec![
        ("summary", finding.summary.to_string()),
        ("description", format!("measured {}; range {}", clean(&measured, 300), finding.range)),
        ("remedy", finding.remedy.to_string()),
        ("first_seen", finding.first_seen.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ("evidence", finding.evidence.clone()),
    ];
    if let Some(url) = external_url {
        all.push((
            "evidence_url",
            format!("{}/findings/{}", url.trim_end_matches('/'), finding.id),
        ));
    }
    if let Some(url) = finding.labels.get("runbook_url") {
        all.push(("runbook_url", url.clone()));
    }
    match finding.state {
        FindingState::Withdrawn => {
            all.push(("withdrawn", finding.note.clone().unwrap_or_default()))
        }
        FindingState::Excepted => all.push(("excepted", finding.note.clone().unwrap_or_default())),
        _ => {}
    }
    all.into_iter().map(|(name, text)| (name.to_owned(), clean(&text, 1024))).collect()
}

/// `tls-legacy-protocol` → `SecchiTlsLegacyProtocol`.
fn alert_name(rule: &str) -> String {
    let mut name = "Secchi".to_owned();
    for word in rule.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut chars = word.chars();
        name.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(chars.as_str());
    }
    name
}

/// Printable and bounded: peers have a say in these texts.
fn clean(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Outbox for Ledger {
    fn pending(&self, receiver: &str) -> Result<Vec<OutboxRow>, LedgerError> {
        let now = self.now();
        let url = self.shared.external_url.as_deref();
        let stored =
            self.shared.readers.with(|db| pending(db, &mut self.survey(db)?, receiver, now, url));
        let overlay = self.shared.overlay();
        let mut rows = match stored {
            Ok(rows) => rows,
            // Better what is known in memory than nothing.
            Err(error) if overlay.is_failing() => {
                tracing::error!(%error, "the outbox cannot be read");
                BTreeMap::new()
            }
            Err(error) => return Err(error),
        };
        overlay.lay_over(&mut rows, receiver, url, now);
        Ok(rows.into_values().collect())
    }

    fn acknowledge<'a>(
        &'a self,
        receiver: &'a str,
        acks: Vec<Ack>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        self.acked(receiver, acks).boxed()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

/// The rows of one receiver by alert id.
fn pending(
    db: &Connection,
    survey: &mut Survey,
    receiver: &str,
    now: DateTime<Utc>,
    url: Option<&str>,
) -> Result<BTreeMap<String, OutboxRow>, LedgerError> {
    let mut statement = db.prepare_cached(PENDING)?;
    let recently = millis(now - TimeDelta::hours(1));
    let lately = millis(now - TimeDelta::hours(24));
    let mut rows = statement.query(params![receiver, recently, lately])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let finding = finding(row)?;
        let Some(mut alert) = alert_of(&finding, time(row.get(7)?), url) else { continue };
        if alert.state == AlertState::Firing {
            let Context { share, spread, last_deployment } = survey.context(db, &finding)?;
            let deployed = last_deployment.map(|last| ("last_deployment", last.words()));
            let all = [("share", share.words()), ("spread", spread.words())].into_iter();
            let all = all.chain(deployed).map(|(name, text)| (name.to_owned(), clean(&text, 256)));
            alert.annotations.extend(all);
        }
        found.insert(alert.id.clone(), OutboxRow { alert, delivery: delivery(row)? });
    }
    Ok(found)
}

fn delivery(row: &Row<'_>) -> Result<Delivery, LedgerError> {
    let accepted: Option<bool> = row.get(8)?;
    Ok(Delivery {
        accepted: accepted
            .map(|firing| if firing { AlertState::Firing } else { AlertState::Resolved }),
        accepted_at: row.get::<_, Option<i64>>(9)?.map(time),
        resolved_at: row.get::<_, Option<i64>>(10)?.map(time),
        refused: row.get(11)?,
    })
}

/// Alerts of ?1 that fire, and ended ones that it may still need to hear of: it has the firing one
/// (whenever that was), or heard of the end less than an hour ago (?2), or never heard of it at all
/// within a day (?3).
const PENDING: &str = "
WITH wanted (finding) AS (
  SELECT finding FROM alerts WHERE firing = 1
  UNION SELECT finding FROM deliveries WHERE receiver = ?1 AND resolved_at IS NULL
  UNION SELECT finding FROM deliveries WHERE receiver = ?1 AND resolved_at > ?2
  UNION SELECT a.finding FROM alerts a WHERE a.firing = 0 AND a.changed_at > ?3 AND NOT EXISTS
    (SELECT 1 FROM deliveries d WHERE d.receiver = ?1 AND d.finding = a.finding
     AND d.resolved_at IS NOT NULL)
)
SELECT f.number AS number, f.body, t.last_seen, t.last_judged, t.samples, t.positives, t.clean,
       a.changed_at, d.accepted, d.accepted_at, d.resolved_at, d.refused
FROM wanted w JOIN alerts a ON a.finding = w.finding JOIN findings f ON f.number = w.finding
JOIN tallies t ON t.finding = w.finding
LEFT JOIN deliveries d ON d.receiver = ?1 AND d.finding = w.finding
WHERE a.firing = 1 OR d.accepted IS NOT NULL OR a.changed_at > ?3";

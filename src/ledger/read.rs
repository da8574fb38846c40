//! Readers: connections of their own, so that nobody waits for the writer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde_json::Value;

use super::context::{Context, Survey, contexts};
use super::handle::Ledger;
use super::options::Memory;
use super::project::{coded, json, read_tally, shipped, signed, time, unjson, word};
use super::schema::open_reader;
use super::view::{FindingFilter, SampleRow, View};
use super::{EvidenceFilter, EvidencePage, LedgerError, bytes, evidence};
use crate::finding::{Exception, Finding};
use crate::sample::{Measurements, Outcome, Sample, Verdict};
use crate::target::{PointKey, ProbeKind};

/// Connections to read by.
#[derive(Debug)]
pub(super) enum Readers {
    /// The store is a file.
    Files {
        /// The data directory.
        dir: PathBuf,
        /// Connections at rest.
        idle: Mutex<Vec<Connection>>,
    },
    /// The store is the writer's own memory.
    Shared(Arc<Mutex<Connection>>),
}

impl Readers {
    /// Asks the store.
    pub(super) fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        match self {
            Self::Shared(db) => ask(&db.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Files { dir, idle } => {
                let resting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let db = match resting {
                    Some(db) => db,
                    None => open_reader(dir)?,
                };
                let answer = ask(&db);
                let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                if idle.len() < IDLE {
                    idle.push(db);
                }
                answer
            }
        }
    }
}

/// Findings with their counts and times; [`finding`] reads a row.
pub(super) const FINDING: &str =
    "SELECT f.number AS number, f.body, t.last_seen, t.last_judged, t.samples, t.positives, t.clean
     FROM findings f JOIN tallies t ON t.finding = f.number";

/// A row of [`FINDING`].
pub(super) fn finding(row: &Row<'_>) -> Result<Finding, LedgerError> {
    let mut finding: Finding = unjson(row.get_ref(1)?.as_str().unwrap_or_default())?;
    finding.set_tally(read_tally(row, 2)?);
    Ok(finding)
}

impl View for Readers {
    fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, LedgerError> {
        let (mut clauses, mut values) = (vec!["1 = 1".to_owned()], Vec::new());
        let mut hold = |clause: &str, value: String| {
            clauses.push(clause.to_owned());
            values.push(value);
        };
        if !filter.states.is_empty() {
            let words: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
            hold("f.state IN (SELECT value FROM json_each(?))", json(&words)?);
            if filter.states.iter().all(|state| state.is_open()) {
                hold("f.open = 1 AND ? = ''", String::new());
            }
        }
        if let Some(target) = &filter.target {
            hold("f.target = ?", target.clone());
        }
        if let Some(rule) = &filter.rule {
            hold("f.rule = ?", rule.clone());
        }
        if let Some(severity) = filter.severity {
            hold("f.severity >= CAST(? AS INTEGER)", (severity as u8).to_string());
        }
        if let Some(after) = &filter.after {
            hold("f.id > ?", after.clone());
        }
        let limit = filter.limit.min(MOST);
        let sql = format!("{FINDING} WHERE {} ORDER BY f.id LIMIT {limit}", clauses.join(" AND "));
        self.with(|db| {
            let mut statement = db.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(&values))?;
            let mut findings = Vec::new();
            while let Some(row) = rows.next()? {
                findings.push(finding(row)?);
            }
            Ok(findings)
        })
    }

    fn finding(&self, id: &str) -> Result<Option<Finding>, LedgerError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(&format!("{FINDING} WHERE f.id = ?1"))?;
            let mut rows = statement.query([id])?;
            rows.next()?.map(finding).transpose()
        })
    }

    fn contexts(&self, findings: &[Finding]) -> Result<Vec<Context>, LedgerError> {
        self.with(|db| contexts(db, Survey::new(db)?, findings))
    }

    fn samples(
        &self,
        target: &str,
        probe: Option<ProbeKind>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<SampleRow>, LedgerError> {
        self.with(|db| samples(db, target, probe, before.unwrap_or(i64::MAX), limit.min(MOST)))
    }

    fn evidence(&self, filter: &EvidenceFilter) -> Result<EvidencePage, LedgerError> {
        self.with(|db| evidence::page(db, filter))
    }
}

/// A rule that shipped with the release that ran last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShippedRule {
    /// A mark of what it asks.
    pub mark: String,
    /// Since when it asks that; `None` from the ledger's beginning.
    pub since: Option<DateTime<Utc>>,
}

impl Ledger {
    /// What the probe asked to remember of a point.
    pub fn memory(&self, point: PointKey) -> Result<Option<Memory>, LedgerError> {
        self.shared.readers.with(|db| {
            let sql = "SELECT version, body FROM memory WHERE key = ?1";
            let row = db.prepare_cached(sql)?.query_row([signed(point)], |row| {
                Ok(Memory { version: row.get(0)?, bytes: row.get(1)? })
            });
            Ok(row.optional()?)
        })
    }

    /// The last known facts of each of a target's points of one kind, and when they were seen last.
    /// Volatile measurements and points that were withdrawn are left out.
    pub fn last_known(
        &self,
        target: &str,
        probe: ProbeKind,
    ) -> Result<Vec<(DateTime<Utc>, Value)>, LedgerError> {
        self.shared.readers.with(|db| {
            let sql = "SELECT l.known_at, b.body FROM points p JOIN latest l ON l.point = p.number
                       JOIN blobs b ON b.content = l.content
                       WHERE p.target = ?1 AND p.probe = ?2 AND p.retired = 0
                       AND l.known_at IS NOT NULL ORDER BY p.number LIMIT ?3";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query((target, probe.as_str(), MOST_POINTS))?;
            let mut known = Vec::new();
            while let Some(row) = rows.next()? {
                let facts = unpack(row.get_ref(1)?.as_blob().unwrap_or_default())?;
                known.push((time(row.get(0)?), stable_facts(facts)));
            }
            Ok(known)
        })
    }

    /// Every exception in the ledger, expired ones too, and whether it was made by hand (`true`)
    /// or stands in the config.
    pub fn exceptions(&self) -> Result<Vec<(Exception, bool)>, LedgerError> {
        self.shared.readers.exceptions()
    }

    /// The shipped rules that were recorded last.
    pub fn shipped_rules(&self) -> Result<BTreeMap<Arc<str>, ShippedRule>, LedgerError> {
        let found = self.shared.readers.with(shipped)?;
        let since = |millis| Some(millis).filter(|millis| *millis > 0).map(time);
        let one = |(mark, at)| ShippedRule { mark, since: since(at) };
        Ok(found.into_iter().map(|(rule, of_rule)| (rule, one(of_rule))).collect())
    }

    /// The accepted baseline of a point, as the event that accepted it.
    pub fn baseline(
        &self,
        target: &str,
        probe: ProbeKind,
        address: Option<std::net::IpAddr>,
    ) -> Result<Option<Value>, LedgerError> {
        let key = serde_json::json!([target, probe, address]).to_string();
        self.shared.readers.with(|db| {
            let body: Option<String> = db
                .query_row("SELECT body FROM baselines WHERE key = ?1", [key], |row| row.get(0))
                .optional()?;
            body.map(|body| unjson(&body)).transpose()
        })
    }

    /// Every accepted baseline, as the events that accepted them.
    pub fn baselines(&self, limit: usize) -> Result<Vec<Value>, LedgerError> {
        self.shared.readers.with(|db| {
            let mut statement =
                db.prepare_cached("SELECT body FROM baselines ORDER BY key LIMIT ?1")?;
            let mut rows = statement.query([i64::try_from(limit.min(MOST)).unwrap_or(i64::MAX)])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push(unjson(row.get_ref(0)?.as_str().unwrap_or_default())?);
            }
            Ok(all)
        })
    }

    /// Deployments, latest first: when, by whom, what, and the labels of the targets.
    pub fn deployments(&self, limit: usize) -> Result<Vec<Value>, LedgerError> {
        self.shared.readers.deployments(limit)
    }
}

impl Readers {
    /// See [`Ledger::exceptions`].
    pub(super) fn exceptions(&self) -> Result<Vec<(Exception, bool)>, LedgerError> {
        self.with(|db| {
            let mut statement =
                db.prepare("SELECT body, made FROM exceptions ORDER BY key, made")?;
            let mut rows = statement.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.push((unjson(row.get_ref(0)?.as_str().unwrap_or_default())?, row.get(1)?));
            }
            Ok(all)
        })
    }

    /// See [`Ledger::deployments`].
    pub(super) fn deployments(&self, limit: usize) -> Result<Vec<Value>, LedgerError> {
        self.with(|db| {
            let limit = i64::try_from(limit.min(MOST)).unwrap_or(i64::MAX);
            let sql = "SELECT labels, body FROM deployments ORDER BY at DESC, number DESC LIMIT ?1";
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query([limit])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let mut one: Value = unjson(row.get_ref(1)?.as_str().unwrap_or_default())?;
                one["labels"] = unjson(row.get_ref(0)?.as_str().unwrap_or_default())?;
                all.push(one);
            }
            Ok(all)
        })
    }
}

/// A target's samples, latest first. Each sample names the one before it of the same point, so no
/// index grows with the log: the points' lists are merged.
fn samples(
    db: &Connection,
    target: &str,
    probe: Option<ProbeKind>,
    before: i64,
    limit: usize,
) -> Result<Vec<SampleRow>, LedgerError> {
    let sql = "SELECT l.sample FROM points p JOIN latest l ON l.point = p.number
               WHERE p.target = ?1 AND (?2 IS NULL OR p.probe = ?2)";
    let mut statement = db.prepare_cached(sql)?;
    let heads: Result<Vec<i64>, _> =
        statement.query_map((target, probe.map(ProbeKind::as_str)), |row| row.get(0))?.collect();
    let mut heads: std::collections::BinaryHeap<i64> = heads?.into();
    let sql = "SELECT s.prev, s.id, p.target, p.probe, p.address, s.at, s.duration, s.connections,
               s.cause, s.slot, s.vantage, s.verdict, s.unknown, b.body, v.body
               FROM samples s JOIN points p ON p.number = s.point
               LEFT JOIN blobs b ON b.content = s.content
               LEFT JOIN volatile v ON v.point = s.point AND v.sample = s.id
               WHERE s.id = ?1";
    let mut whole = db.prepare_cached(sql)?;
    let mut link = db.prepare_cached("SELECT prev FROM samples WHERE id = ?1")?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(id) = heads.pop()
    {
        let prev: Option<Option<i64>> = if id >= before {
            link.query_row([id], |row| row.get(0)).optional()?
        } else {
            let mut rows = whole.query([id])?;
            match rows.next()? {
                Some(row) => {
                    found.push(sample(row)?);
                    Some(row.get(0)?)
                }
                None => None,
            }
        };
        // Retention ends a list early: what is before the oldest kept sample is gone.
        heads.extend(prev.flatten());
    }
    Ok(found)
}

fn sample(row: &Row<'_>) -> Result<SampleRow, LedgerError> {
    let verdict: Verdict = coded(row.get(11)?);
    let unknown: Option<String> = row.get(12)?;
    let outcome = match unknown {
        Some(text) => Outcome::Unknown(
            serde_json::from_value(text.into())
                .map_err(|error| LedgerError::Event(error.to_string()))?,
        ),
        None => Outcome::Measured(measurements(row)?),
    };
    let micros: i64 = row.get(6)?;
    let address: String = row.get(4)?;
    let vantage: Option<String> = row.get(10)?;
    let sample = Sample {
        target: row.get::<_, String>(2)?.into(),
        probe: word(row.get_ref(3)?.as_str().unwrap_or_default())?,
        address: address.parse().ok(),
        taken_at: time(row.get(5)?),
        duration: std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
        connections: row.get(7)?,
        cause: coded(row.get(8)?),
        slot: row.get(9)?,
        vantage: vantage.map_or_else(|| "local".into(), Into::into),
        outcome,
    };
    Ok(SampleRow { id: row.get(1)?, sample: sample.to_json(verdict) })
}

/// The whole measurements if they are kept, else the stable ones; none after a redaction.
fn measurements(row: &Row<'_>) -> Result<Measurements, LedgerError> {
    let value = match (row.get_ref(14)?.as_blob_or_null(), row.get_ref(13)?.as_blob_or_null()) {
        (Ok(Some(whole)), _) => unpack(whole)?,
        (_, Ok(Some(stable))) => stable_facts(unpack(stable)?),
        _ => Value::Object(serde_json::Map::new()),
    };
    serde_json::from_value(value).map_err(|error| LedgerError::Event(error.to_string()))
}

/// A content as it was before it was packed.
pub(super) fn unpack(packed: &[u8]) -> Result<Value, LedgerError> {
    serde_json::from_slice(&bytes::inflate(packed)?)
        .map_err(|error| LedgerError::Event(error.to_string()))
}

/// The stable measurements as a sample writes them.
fn stable_facts(mut stable: Value) -> Value {
    let unknown = stable["unknown"].take();
    let mut facts = stable["facts"].take();
    if unknown.as_object().is_some_and(|unknown| !unknown.is_empty()) {
        facts["unknown"] = unknown;
    }
    facts
}

/// Connections kept at rest.
const IDLE: usize = 4;

/// The most points of one target that are read at once.
const MOST_POINTS: i64 = 64;

/// The most rows of one answer.
const MOST: usize = 10_000;

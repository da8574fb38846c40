//! Evidence as readers see it: a row a (point, rule), over a window of whole days.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::Value;

use super::sheets::{CLEAN, POSITIVE, split};
use super::{DAY, NO_SHEET, WEEKS, day_of, monday};
use crate::ledger::LedgerError;
use crate::ledger::project::{counter, json, millis, time, unjson, word};
use crate::target::ProbeKind;

/// Which evidence.
#[derive(Clone, Debug, Default)]
pub struct EvidenceFilter {
    /// Only this target.
    pub target: Option<String>,
    /// Only this probe.
    pub probe: Option<ProbeKind>,
    /// Only this rule.
    pub rule: Option<String>,
    /// Where the window begins; it is widened to whole days (UTC), and to whole weeks where it is
    /// older than two of them.
    pub since: DateTime<Utc>,
    /// Where it ends: now.
    pub until: DateTime<Utc>,
    /// Only rows after this one (keyset paging).
    pub after: Option<EvidenceKey>,
    /// At most so many.
    pub limit: usize,
}

/// A row's place: target, probe's name, address in text (empty for ports and dns), rule.
pub type EvidenceKey = (String, ProbeKind, String, String);

/// A part of the evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvidencePage {
    /// Where the window really begins.
    pub since: DateTime<Utc>,
    /// Its rows in the order of their keys.
    pub rows: Vec<EvidenceRow>,
}

/// What the scheduled samples of a window say of one rule at one sampling point.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceRow {
    /// The target.
    pub target: Arc<str>,
    /// The probe.
    pub probe: ProbeKind,
    /// The address; `None` for ports and dns.
    pub address: Option<IpAddr>,
    /// The rule.
    pub rule: Arc<str>,
    /// Its range in words, as it was held last; samples that were held to another do not count.
    pub range: Arc<str>,
    /// Samples that judged it, either way.
    pub samples: u64,
    /// Those of them that were out of range.
    pub positives: u64,
    /// Samples that could not judge it. They are neither clean nor positive.
    pub unknown: u64,
    /// Slots of the point's plan that came due since its first sample in the window.
    pub due: u64,
    /// Those of them that a sample was taken in.
    pub taken: u64,
    /// The oldest of `samples`.
    pub oldest: Option<DateTime<Utc>>,
    /// The point is sampled no more.
    pub retired: bool,
}

impl EvidenceRow {
    /// Its place.
    pub fn key(&self) -> EvidenceKey {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        (self.target.to_string(), self.probe, address, self.rule.to_string())
    }

    /// As the API and the report write it, but for what hangs on a confidence.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::json!({
            "target": self.target,
            "probe": self.probe,
            "address": self.address,
            "rule": self.rule,
            "range": self.range,
            "samples": self.samples,
            "positives": self.positives,
            "unknown": self.unknown,
            "due": self.due,
            "taken": self.taken,
            "coverage": self.coverage(),
            "oldest": self.oldest,
        });
        if self.retired {
            value["retired"] = true.into();
        }
        value
    }

    /// The share of due slots that a sample was taken in.
    pub fn coverage(&self) -> f64 {
        if self.due == 0 { 0.0 } else { self.taken as f64 / self.due as f64 }
    }
}

/// A page of rows. Points are looked up one by one, so that it costs what it gives.
pub(in crate::ledger) fn page(
    db: &Connection,
    filter: &EvidenceFilter,
) -> Result<EvidencePage, LedgerError> {
    let first = first_day(db, day_of(millis(filter.since)))?;
    let days = json(&days(db, first, day_of(millis(filter.until)))?)?;
    let mut page = EvidencePage { since: time(first.saturating_mul(DAY)), rows: Vec::new() };
    let limit = filter.limit.min(MOST);
    let (sql, values) = points_of(filter);
    let mut statement = db.prepare(&sql)?;
    let mut points = statement.query(params_from_iter(values))?;
    let mut words = Dictionary { db, sheets: HashMap::new(), rules: HashMap::new() };
    while page.rows.len() < limit
        && let Some(row) = points.next()?
    {
        let address: String = row.get(3)?;
        let point = Point {
            number: row.get(0)?,
            target: row.get::<_, String>(1)?.into(),
            probe: word(row.get_ref(2)?.as_str().unwrap_or_default())?,
            address: address.parse().ok(),
            retired: row.get(4)?,
            interval: row.get(5)?,
        };
        let found = words.rows(&point, &days, filter)?;
        let after = filter.after.as_ref();
        let rest =
            found.into_iter().filter(|row| after.is_none_or(|after| comes_after(row, after)));
        page.rows.extend(rest.take(limit - page.rows.len()));
    }
    Ok(page)
}

/// Rows come in the order of their keys, so only those of the cursor's own point can lie before it.
fn comes_after(row: &EvidenceRow, after: &EvidenceKey) -> bool {
    let (target, probe, address, rule) = row.key();
    (&target, probe, &address) != (&after.0, after.1, &after.2) || rule > after.3
}

/// The points that a page begins with, in order.
fn points_of(filter: &EvidenceFilter) -> (String, Vec<Cell>) {
    let mut clauses = String::from("1 = 1");
    let mut values = Vec::new();
    if let Some((target, probe, address, _)) = &filter.after {
        clauses.push_str(" AND (p.target, p.probe, p.address) >= (?, ?, ?)");
        let texts = [target.clone(), probe.as_str().to_owned(), address.clone()];
        values.extend(texts.map(Cell::Text));
    }
    if let Some(target) = &filter.target {
        clauses.push_str(" AND p.target = ?");
        values.push(Cell::Text(target.clone()));
    }
    if let Some(probe) = filter.probe {
        clauses.push_str(" AND p.probe = ?");
        values.push(Cell::Text(probe.as_str().to_owned()));
    }
    let sql = format!(
        "SELECT p.number, p.target, p.probe, p.address, p.retired, coalesce(r.interval, 0)
         FROM points p LEFT JOIN rhythms r ON r.point = p.number
         WHERE {clauses} ORDER BY p.target, p.probe, p.address"
    );
    (sql, values)
}

struct Point {
    number: i64,
    target: Arc<str>,
    probe: ProbeKind,
    address: Option<IpAddr>,
    retired: bool,
    interval: i64,
}

/// One rule's counts at one point.
#[derive(Default)]
struct Counts {
    samples: u64,
    positives: u64,
    unknown: u64,
    oldest: Option<i64>,
    last: i64,
}

impl Counts {
    fn add(&mut self, code: u8, samples: u64, first_at: i64, last_at: i64) {
        self.last = self.last.max(last_at);
        if code != CLEAN && code != POSITIVE {
            self.unknown += samples;
            return;
        }
        self.samples += samples;
        self.positives += if code == POSITIVE { samples } else { 0 };
        self.oldest = Some(self.oldest.map_or(first_at, |oldest| oldest.min(first_at)));
    }
}

/// What sheets say and rules are called, read once a page.
struct Dictionary<'a> {
    db: &'a Connection,
    sheets: HashMap<i64, Arc<[i64]>>,
    rules: HashMap<i64, (Arc<str>, Arc<str>)>,
}

impl Dictionary<'_> {
    fn rows(
        &mut self,
        point: &Point,
        days: &str,
        filter: &EvidenceFilter,
    ) -> Result<Vec<EvidenceRow>, LedgerError> {
        let sql = "SELECT sheet, sum(samples), sum(due), min(first_at), max(last_at) FROM evidence
                   WHERE day IN (SELECT value FROM json_each(?1)) AND point = ?2 GROUP BY sheet";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut sums = statement.query((days, point.number))?;
        let (mut taken, mut due, mut last) = (0, 0, None);
        let mut counts: BTreeMap<i64, Counts> = BTreeMap::new();
        while let Some(row) = sums.next()? {
            let count = |at| row.get(at).map(|count: i64| u64::try_from(count).unwrap_or(0));
            let (sheet, samples): (i64, u64) = (row.get(0)?, count(1)?);
            let (first_at, last_at): (i64, i64) = (row.get(3)?, row.get(4)?);
            due += count(2)?;
            if sheet == NO_SHEET {
                continue;
            }
            taken += samples;
            last = last.max(Some(last_at));
            for word in &*self.said(sheet)? {
                let (number, code) = split(*word);
                counts.entry(number).or_default().add(code, samples, first_at, last_at);
            }
        }
        due += last.map_or(0, |last| passed_since(point, last, millis(filter.until)));
        let mut newest: BTreeMap<Arc<str>, (Arc<str>, Counts)> = BTreeMap::new();
        for (number, counts) in counts {
            let (rule, range) = self.rule(number)?;
            if filter.rule.as_ref().is_some_and(|wanted| **wanted != *rule) {
                continue;
            }
            if newest.get(&rule).is_none_or(|(_, known)| known.last <= counts.last) {
                newest.insert(rule, (range, counts));
            }
        }
        let row = |(rule, (range, counts)): (_, (_, Counts))| EvidenceRow {
            target: Arc::clone(&point.target),
            probe: point.probe,
            address: point.address,
            rule,
            range,
            samples: counts.samples,
            positives: counts.positives,
            unknown: counts.unknown,
            due,
            taken,
            oldest: counts.oldest.map(time),
            retired: point.retired,
        };
        Ok(newest.into_iter().map(row).collect())
    }

    fn said(&mut self, sheet: i64) -> Result<Arc<[i64]>, LedgerError> {
        if let Some(said) = self.sheets.get(&sheet) {
            return Ok(Arc::clone(said));
        }
        let sql = "SELECT said FROM sheets WHERE number = ?1";
        let text: Option<String> =
            self.db.prepare_cached(sql)?.query_row([sheet], |row| row.get(0)).optional()?;
        let said: Vec<i64> = text.map_or_else(|| Ok(Vec::new()), |text| unjson(&text))?;
        let said: Arc<[i64]> = said.into();
        self.sheets.insert(sheet, Arc::clone(&said));
        Ok(said)
    }

    fn rule(&mut self, number: i64) -> Result<(Arc<str>, Arc<str>), LedgerError> {
        if let Some(rule) = self.rules.get(&number) {
            return Ok(rule.clone());
        }
        let sql = "SELECT rule, range FROM held_rules WHERE number = ?1";
        let rule = self.db.prepare_cached(sql)?.query_row([number], |row| {
            Ok((row.get::<_, String>(0)?.into(), row.get::<_, String>(1)?.into()))
        })?;
        Ok(self.rules.entry(number).or_insert(rule).clone())
    }
}

/// Slots that have passed as a whole since the last sample. The one under way may still be taken.
fn passed_since(point: &Point, last: i64, until: i64) -> u64 {
    if point.retired || point.interval <= 0 {
        return 0;
    }
    let slots = until.saturating_sub(last) / point.interval - 1;
    u64::try_from(slots).unwrap_or(0)
}

/// The first day of a window: where only weeks are left, that week's.
fn first_day(db: &Connection, day: i64) -> Result<i64, LedgerError> {
    Ok(if day < counter(db, WEEKS)? { monday(day) } else { day })
}

/// The days of a window that there is evidence of, each found by the index.
fn days(db: &Connection, first: i64, last: i64) -> Result<Vec<i64>, LedgerError> {
    let sql = "SELECT min(day) FROM evidence WHERE day >= ?1 AND day <= ?2";
    let mut next = db.prepare_cached(sql)?;
    let (mut days, mut from) = (Vec::new(), first);
    while let Some(day) = next.query_row([from, last], |row| row.get::<_, Option<i64>>(0))? {
        days.push(day);
        from = day + 1;
    }
    Ok(days)
}

/// The most rows of one answer.
const MOST: usize = 10_001;

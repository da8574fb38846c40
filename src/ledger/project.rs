//! Events into tables: the one function that the writer and replay share.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::entry::{Code, SampleEntry};
use super::event::{Event, deployment_text, exception_key};
use super::outbox::{Ack, AlertState};
use super::{LedgerError, bytes, evidence};
use crate::finding::{Finding, FindingState, Tally};
use crate::sample::{Severity, Verdict};
use crate::target::PointKey;

/// Brings the projections up to date with one event. What the tables say afterwards depends on the
/// tables before and the event alone.
pub(super) fn apply(db: &Connection, event: &Event) -> Result<(), LedgerError> {
    match event {
        Event::AlertsAcknowledged { receiver, acks } => {
            acks.iter().try_for_each(|ack| acknowledge(db, receiver, ack))
        }
        Event::BaselineAccepted { target, probe, address, .. } => {
            let key = serde_json::json!([target, probe, address]).to_string();
            let body = json(event)?;
            let sql = "INSERT OR REPLACE INTO baselines (key, body) VALUES (?1, ?2)";
            db.prepare_cached(sql)?.execute(params![key, body])?;
            Ok(())
        }
        Event::ConfigLoaded { exceptions, .. } => {
            db.execute("DELETE FROM exceptions WHERE made = 0", [])?;
            exceptions.iter().try_for_each(|exception| except(db, exception, false))
        }
        Event::DeploymentMarked { at, actor, labels, version } => {
            let sql = "INSERT INTO deployments (at, labels, body) VALUES (?1, ?2, ?3)";
            let body = deployment_text(*at, actor, version);
            db.prepare_cached(sql)?.execute(params![millis(*at), json(labels)?, body])?;
            Ok(())
        }
        Event::EvidenceAged { .. } | Event::RuleDescribed { .. } | Event::SheetDescribed { .. } => {
            evidence::apply(db, event)
        }
        Event::ExceptionEnded { rule, target, subject, .. } => {
            let key = exception_key(rule, target, subject.as_deref());
            db.execute("DELETE FROM exceptions WHERE key = ?1 AND made = 1", [key])?;
            Ok(())
        }
        Event::ExceptionMade { exception, .. } => except(db, exception, true),
        Event::FindingChanged { number, stepped, at, finding, .. } => {
            change(db, *number, *stepped, *at, finding)
        }
        Event::PointDescribed { .. } => describe(db, event),
        Event::PointsWithdrawn { points, .. } => {
            let mut retire = db.prepare_cached("UPDATE points SET retired = 1 WHERE key = ?1")?;
            for point in points {
                retire.execute([signed(*point)])?;
            }
            Ok(())
        }
        Event::Redacted { digest, .. } => redact(db, digest),
        Event::RulesShipped { at, marks } => ship(db, *at, marks),
        Event::Samples { first, samples } => {
            for (id, sample) in (*first..).zip(samples) {
                record(db, id, sample)?;
            }
            evidence::count(db, samples)?;
            let count = i64::try_from(samples.len()).unwrap_or(0);
            set_counter(db, "sample", first + count - 1)
        }
        Event::SamplesLost { count } => {
            let lost = counter(db, "lost")?.saturating_add(i64::try_from(*count).unwrap_or(0));
            set_counter(db, "lost", lost)
        }
        Event::SegmentClosed { segment, last, head, checkpoint } => {
            let sql = "INSERT INTO segments (number, last, head, checkpoint, last_sample, dropped)
                       VALUES (?1, ?2, ?3, ?4, ?5, 0)";
            db.execute(sql, params![segment, last, head, checkpoint, counter(db, "sample")?])?;
            Ok(())
        }
        Event::SegmentsDropped { through } => drop_segments(db, *through),
        Event::FindingWithdrawn { .. }
        | Event::RulesRemoved { .. }
        | Event::Started { .. }
        | Event::Stopped { .. } => Ok(()),
    }
}

/// Keeps since when each shipped rule has asked what it asks; those of the first start always have.
fn ship(
    db: &Connection,
    at: DateTime<Utc>,
    marks: &BTreeMap<Arc<str>, String>,
) -> Result<(), LedgerError> {
    let before = shipped(db)?;
    db.execute("DELETE FROM counters WHERE name GLOB 'rule:*'", [])?;
    for (rule, mark) in marks {
        let known = before.get(rule).filter(|(before, _)| before == mark);
        let since = match known {
            Some((_, since)) => *since,
            None if before.is_empty() => 0,
            None => millis(at),
        };
        set_counter(db, &format!("rule:{rule}:{mark}"), since)?;
    }
    Ok(())
}

/// The shipped rules that were recorded last: each one's mark, and since when it has been so.
pub(super) fn shipped(db: &Connection) -> Result<BTreeMap<Arc<str>, (String, i64)>, LedgerError> {
    let sql = "SELECT name, value FROM counters WHERE name GLOB 'rule:*' ORDER BY name";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut all = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if let Some((rule, mark)) = name.trim_start_matches("rule:").split_once(':') {
            all.insert(rule.into(), (mark.to_owned(), row.get(1)?));
        }
    }
    Ok(all)
}

fn describe(db: &Connection, event: &Event) -> Result<(), LedgerError> {
    let Event::PointDescribed { number, target, probe, address, labels, plan, freshness, interval } =
        event
    else {
        return Ok(());
    };
    evidence::describe(db, *number, *interval)?;
    let key = signed(PointKey::new(target, *probe, *address));
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    let sql =
        "INSERT INTO points (number, key, target, probe, address, labels, plan, freshness, retired)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)
               ON CONFLICT (number) DO UPDATE SET labels = excluded.labels, plan = excluded.plan,
               freshness = excluded.freshness, retired = 0";
    db.prepare_cached(sql)?.execute(params![
        number,
        key,
        target,
        probe.as_str(),
        address,
        json(labels)?,
        plan,
        freshness
    ])?;
    raise_counter(db, "point", *number)
}

fn record(db: &Connection, id: i64, sample: &SampleEntry) -> Result<(), LedgerError> {
    let before: Option<(i64, Option<i64>)> = db
        .prepare_cached("SELECT sample, content FROM latest WHERE point = ?1")?
        .query_row([sample.point], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (prev, old) = before.map_or((None, None), |(prev, content)| (Some(prev), content));
    let content = match &sample.digest {
        Some(digest) => {
            if let Some(old) = old {
                use_content(db, old, id)?;
            }
            Some(content(db, digest, id)?)
        }
        None => old,
    };
    let measured = sample.unknown.is_none();
    let cause = u8::from(sample.cause);
    let verdict = u8::from(sample.verdict);
    let sql = "INSERT INTO samples
               (id, prev, point, at, duration, connections, cause, slot, verdict, content, unknown, vantage)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    db.prepare_cached(sql)?.execute(params![
        id,
        prev,
        sample.point,
        sample.at,
        sample.duration,
        sample.connections,
        cause,
        sample.slot,
        verdict,
        content.filter(|_| measured),
        sample.unknown,
        sample.vantage
    ])?;
    let out = match sample.verdict.0 {
        Verdict::Unknown => None,
        verdict => Some(verdict == Verdict::OutOfRange),
    };
    let gauges = match &sample.digest {
        Some(_) => Some(json(&sample.gauges)?),
        None => None,
    };
    let sql = "INSERT INTO latest
               (point, sample, first_at, at, known_at, slot, verdict, unknown, out_of_range, content, gauges)
               VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
               ON CONFLICT (point) DO UPDATE SET sample = excluded.sample,
               at = max(at, excluded.at), known_at = coalesce(max(known_at, excluded.known_at), excluded.known_at, known_at),
               slot = coalesce(max(slot, excluded.slot), excluded.slot, slot),
               verdict = excluded.verdict, unknown = excluded.unknown,
               out_of_range = coalesce(excluded.out_of_range, out_of_range),
               content = coalesce(excluded.content, content),
               gauges = coalesce(excluded.gauges, gauges)";
    db.prepare_cached(sql)?.execute(params![
        sample.point,
        id,
        sample.at,
        measured.then_some(sample.at),
        sample.slot,
        verdict,
        !measured,
        out,
        content,
        gauges
    ])?;
    for (numbers, breached) in [(&sample.breached, true), (&sample.clean, false)] {
        for number in numbers {
            count(db, *number, breached, sample)?;
        }
    }
    Ok(())
}

fn count(
    db: &Connection,
    number: i64,
    breached: bool,
    sample: &SampleEntry,
) -> Result<(), LedgerError> {
    let Some(mut tally) = tally(db, number)? else { return Ok(()) };
    tally.count(breached, time(sample.at), sample.cause.0);
    set_tally(db, number, tally)
}

/// The content of that digest, new if it was never seen.
fn content(db: &Connection, digest: &str, sample: i64) -> Result<i64, LedgerError> {
    let digest = unhex(digest)?;
    let found: Option<i64> = db
        .prepare_cached("SELECT id FROM contents WHERE digest = ?1")?
        .query_row([&digest], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        use_content(db, id, sample)?;
        return Ok(id);
    }
    let id = counter(db, "content")? + 1;
    db.prepare_cached("INSERT INTO contents (id, digest, used, redacted) VALUES (?1, ?2, ?3, 0)")?
        .execute(params![id, digest, sample])?;
    set_counter(db, "content", id)?;
    Ok(id)
}

/// A content lives while a sample that is kept has it; that is known when a point comes to it and
/// when it leaves it.
fn use_content(db: &Connection, content: i64, sample: i64) -> Result<(), LedgerError> {
    let sql = "UPDATE contents SET used = max(used, ?2) WHERE id = ?1";
    db.prepare_cached(sql)?.execute([content, sample])?;
    Ok(())
}

fn change(
    db: &Connection,
    number: i64,
    stepped: bool,
    at: DateTime<Utc>,
    finding: &Finding,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO findings (number, id, state, open, severity, rule, target, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (number) DO UPDATE SET state = excluded.state, open = excluded.open,
               body = excluded.body";
    db.prepare_cached(sql)?.execute(params![
        number,
        finding.id,
        finding.state.as_str(),
        finding.state.is_open(),
        finding.severity as u8,
        finding.key.rule,
        finding.key.target,
        json(finding)?
    ])?;
    set_tally(db, number, finding.tally())?;
    raise_counter(db, "finding", number)?;
    if !stepped || finding.confirmed_at.is_none() || finding.severity == Severity::Info {
        return Ok(());
    }
    let sql = "INSERT INTO alerts (finding, firing, changed_at, ended_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (finding) DO UPDATE SET firing = excluded.firing,
               changed_at = excluded.changed_at, ended_at = excluded.ended_at
               WHERE firing <> excluded.firing";
    let firing = finding.state == FindingState::Confirmed;
    let ended = (!firing).then(|| millis(finding.ended_at.unwrap_or(at)));
    let moved = db.prepare_cached(sql)?.execute(params![number, firing, millis(at), ended])?;
    if moved > 0 {
        // A receiver that refused the one state may take the other, and must hear of it.
        db.prepare_cached(
            "UPDATE deliveries SET refused = NULL, resolved_at = NULL WHERE finding = ?1",
        )?
        .execute([number])?;
    }
    Ok(())
}

fn acknowledge(db: &Connection, receiver: &str, ack: &Ack) -> Result<(), LedgerError> {
    let number: Option<i64> = db
        .prepare_cached("SELECT number FROM findings WHERE id = ?1")?
        .query_row([&ack.id], |row| row.get(0))
        .optional()?;
    let Some(number) = number else { return Ok(()) };
    let accepted = ack.refused.is_none();
    let firing = ack.state == AlertState::Firing;
    let sql =
        "INSERT INTO deliveries (receiver, finding, accepted, accepted_at, resolved_at, refused)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (receiver, finding) DO UPDATE SET
               accepted = coalesce(excluded.accepted, accepted),
               accepted_at = coalesce(excluded.accepted_at, accepted_at),
               resolved_at = CASE WHEN excluded.resolved_at IS NULL THEN NULL
                                  ELSE coalesce(resolved_at, excluded.resolved_at) END,
               refused = excluded.refused";
    db.prepare_cached(sql)?.execute(params![
        receiver,
        number,
        accepted.then_some(firing),
        accepted.then(|| millis(ack.at)),
        (!firing).then(|| millis(ack.at)),
        ack.refused
    ])?;
    Ok(())
}

fn except(
    db: &Connection,
    exception: &crate::finding::Exception,
    made: bool,
) -> Result<(), LedgerError> {
    let key = exception_key(&exception.rule, &exception.target, exception.subject.as_deref());
    let sql = "INSERT OR REPLACE INTO exceptions (key, made, body) VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute(params![key, made, json(exception)?])?;
    Ok(())
}

fn redact(db: &Connection, digest: &str) -> Result<(), LedgerError> {
    let digest = unhex(digest)?;
    db.execute("UPDATE contents SET redacted = 1 WHERE digest = ?1", [&digest])?;
    Ok(())
}

fn drop_segments(db: &Connection, through: i64) -> Result<(), LedgerError> {
    db.execute("UPDATE segments SET dropped = 1 WHERE number <= ?1", [through])?;
    let last: i64 = db
        .query_row("SELECT last_sample FROM segments WHERE number = ?1", [through], |row| {
            row.get(0)
        })
        .optional()?
        .unwrap_or(0);
    let gone = "point IN (SELECT number FROM points WHERE retired = 1) AND sample <= ?1";
    db.execute(
        &format!("DELETE FROM points WHERE number IN (SELECT point FROM latest WHERE {gone})"),
        [last],
    )?;
    db.execute("DELETE FROM latest WHERE point NOT IN (SELECT number FROM points)", [])?;
    let sql = "DELETE FROM contents WHERE used <= ?1 AND redacted = 0
               AND id NOT IN (SELECT content FROM latest WHERE content IS NOT NULL)";
    db.execute(sql, [last])?;
    Ok(())
}

/// A finding's counts and times.
fn tally(db: &Connection, number: i64) -> Result<Option<Tally>, LedgerError> {
    let sql =
        "SELECT last_seen, last_judged, samples, positives, clean FROM tallies WHERE finding = ?1";
    let row = db.prepare_cached(sql)?.query_row([number], |row| read_tally(row, 0)).optional()?;
    Ok(row)
}

/// The five columns of a tally, from `first` on.
pub(super) fn read_tally(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Tally> {
    Ok(Tally {
        last_seen: time(row.get(first)?),
        last_judged: time(row.get(first + 1)?),
        samples: row.get(first + 2)?,
        positives: row.get(first + 3)?,
        clean: row.get(first + 4)?,
    })
}

fn set_tally(db: &Connection, number: i64, tally: Tally) -> Result<(), LedgerError> {
    let sql = "INSERT OR REPLACE INTO tallies
               (finding, last_seen, last_judged, samples, positives, clean)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    db.prepare_cached(sql)?.execute(params![
        number,
        millis(tally.last_seen),
        millis(tally.last_judged),
        tally.samples,
        tally.positives,
        tally.clean
    ])?;
    Ok(())
}

/// The last number given out under that name.
pub(super) fn counter(db: &Connection, name: &str) -> Result<i64, LedgerError> {
    let value = db
        .prepare_cached("SELECT value FROM counters WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0))
}

fn set_counter(db: &Connection, name: &str, value: i64) -> Result<(), LedgerError> {
    db.prepare_cached("INSERT OR REPLACE INTO counters (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

/// Keeps the greatest number given out under that name.
pub(super) fn raise_counter(db: &Connection, name: &str, value: i64) -> Result<(), LedgerError> {
    if counter(db, name)? < value { set_counter(db, name, value) } else { Ok(()) }
}

/// Milliseconds since 1970, the store's only time.
pub(super) fn millis(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// What [`millis`] was given; nought stands for what no date can be.
pub(super) fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH)
}

/// A point's key as SQLite keeps it: the same 64 bits.
pub(super) fn signed(key: PointKey) -> i64 {
    key.0.cast_signed()
}

/// What [`signed`] was given.
pub(super) fn unsigned(key: i64) -> PointKey {
    PointKey(key.cast_unsigned())
}

/// Compact JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::Event(error.to_string()))
}

/// JSON read back.
pub(super) fn unjson<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| LedgerError::Event(error.to_string()))
}

fn unhex(digest: &str) -> Result<Vec<u8>, LedgerError> {
    hex::decode(digest).map_err(|error| LedgerError::Event(error.to_string()))
}

/// A column that holds a word of a closed list.
pub(super) fn word<T: FromStr>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|_| LedgerError::Event(format!("`{text}` is no known word")))
}

/// A column that holds a coded word.
pub(super) fn coded<T: super::entry::Coded>(code: u8) -> T {
    Code::from(code).0
}

/// Whether the bytes are what the digest says.
pub(super) fn is_digest(body: &[u8], digest: &[u8]) -> bool {
    bytes::sha256(&[body]) == digest
}

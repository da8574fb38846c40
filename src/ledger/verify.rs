//! Whether the ledger is whole: the chain, and the tables against a replay of the events.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::chain::{Link, walk};
use super::event::Event;
use super::project::{apply, is_digest};
use super::schema::{open_reader, open_scratch};
use super::{LedgerError, bytes, dump};

/// What a verification found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Commits that were checked.
    pub commits: u64,
    /// Events that were replayed.
    pub events: u64,
    /// Samples that were compared.
    pub samples: u64,
    /// Contents whose digest was checked.
    pub contents: u64,
    /// The last segment whose samples have left; 0 if the log is whole from its beginning.
    pub dropped_through: i64,
    /// The last commit.
    pub head: i64,
    /// The last commit's hash in hex: noted elsewhere, it proves later that nothing was rewritten.
    pub head_hash: String,
    /// Everything that is not as it should be, where it is.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether the ledger is whole.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Checks a ledger without writing to it, daemon running or not. What it finds is in the report;
/// an error means that it could not look.
pub fn verify(dir: &Path) -> Result<Report, LedgerError> {
    let db = open_reader(dir)?;
    // One snapshot: a running daemon goes on writing beside it.
    db.execute_batch("BEGIN")?;
    verify_in(&db)
}

/// The same, of the moment that the connection's transaction sees.
pub(super) fn verify_in(db: &Connection) -> Result<Report, LedgerError> {
    let mut report = Report::default();
    let scratch = open_scratch()?;
    scratch.execute_batch("BEGIN")?;
    match replay(db, &scratch, &mut report) {
        Ok(()) => compare(db, &scratch, &mut report)?,
        Err(LedgerError::Store(error)) if !is_damage(&error) => return Err(error.into()),
        Err(error) => report.faults.push(error.to_string()),
    }
    Ok(report)
}

/// A damaged file is a finding of its own, not a failure to look.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
        || error.sqlite_error_code().is_none()
}

/// Replays the events from the oldest checkpoint into `scratch`.
fn replay(db: &Connection, scratch: &Connection, report: &mut Report) -> Result<(), LedgerError> {
    let (from, first_sample) = beginning(db, scratch, report)?;
    let mut samples = 0;
    let head = walk(db, from, |link, _, events| {
        for event in &events {
            if let Event::SegmentClosed { segment, last, head, checkpoint } = event {
                closes(db, scratch, link, (*segment, *last), head, checkpoint)?;
            }
            apply(scratch, event).map_err(|error| LedgerError::Broken {
                commit: link.number,
                what: format!("its events cannot be replayed: {error}"),
            })?;
            if let Event::Samples { samples: list, .. } = event {
                samples += list.len() as u64;
                compare_samples(db, scratch, link, report)?;
            }
            report.events += 1;
        }
        report.commits += 1;
        Ok(())
    })?;
    let sql = "SELECT count(*) FROM samples WHERE id > ?1";
    let stored: i64 = db.query_row(sql, [first_sample], |row| row.get(0))?;
    if u64::try_from(stored) != Ok(samples) {
        report.faults.push(format!("{stored} samples are stored, {samples} were recorded"));
    }
    report.samples = samples;
    report.head = head.number;
    report.head_hash = hex::encode(head.hash);
    Ok(())
}

/// Where the replay begins: at the checkpoint that the last dropped segment left, or at nothing.
fn beginning(
    db: &Connection,
    scratch: &Connection,
    report: &mut Report,
) -> Result<(Link, i64), LedgerError> {
    let sql = "SELECT s.number, s.last, s.head, s.checkpoint, s.last_sample, c.bytes
               FROM segments s LEFT JOIN checkpoints c ON c.segment = s.number
               WHERE s.dropped = 1 ORDER BY s.number DESC LIMIT 1";
    let row = db.query_row(sql, [], |row| {
        let (number, last, last_sample) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let (head, hash, bytes) = (
            row.get::<_, Vec<u8>>(2)?,
            row.get::<_, Vec<u8>>(3)?,
            row.get::<_, Option<Vec<u8>>>(5)?,
        );
        Ok((number, last, head, hash, last_sample, bytes))
    });
    let Some((number, last, head, hash, last_sample, packed)) = row.optional()? else {
        return Ok((Link::GENESIS, 0));
    };
    report.dropped_through = number;
    let broken = |what: &str| LedgerError::Broken { commit: last, what: what.to_owned() };
    let packed: Vec<u8> = packed.ok_or_else(|| broken("its checkpoint is missing"))?;
    let text = bytes::inflate(&packed).map_err(|_| broken("its checkpoint cannot be unpacked"))?;
    if !is_digest(&text, &hash) {
        return Err(broken("its checkpoint is not what was written"));
    }
    dump::restore(scratch, &text).map_err(|error| broken(&error.to_string()))?;
    let hash = head.try_into().map_err(|_| broken("its hash is cut"))?;
    Ok((Link { number: last, at: 0, hash }, last_sample))
}

/// The commit that closes a segment must say of it what the replay says.
fn closes(
    db: &Connection,
    scratch: &Connection,
    link: Link,
    (segment, last): (i64, i64),
    head: &[u8],
    checkpoint: &[u8],
) -> Result<(), LedgerError> {
    let broken = |what: String| LedgerError::Broken { commit: link.number, what };
    if last + 1 != link.number {
        return Err(broken(format!("it closes segment {segment} at the wrong place")));
    }
    let prev: Vec<u8> =
        db.query_row("SELECT prev FROM commits WHERE number = ?1", [link.number], |row| {
            row.get(0)
        })?;
    if prev != head || dump::checkpoint_digest(scratch)? != checkpoint {
        return Err(broken(format!("the replay differs from the checkpoint of segment {segment}")));
    }
    Ok(())
}

/// Compares the sample rows that the last event made, and lets them go: a log may hold more of them
/// than memory does.
fn compare_samples(
    db: &Connection,
    scratch: &Connection,
    link: Link,
    report: &mut Report,
) -> Result<(), LedgerError> {
    let sql = "SELECT min(id), max(id) FROM samples";
    let (first, last): (Option<i64>, Option<i64>) =
        scratch.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    let filter = format!("WHERE id BETWEEN {first} AND {last}");
    let stored = dump::digest(db, "samples", "id", &filter)?;
    let replayed = dump::digest(scratch, "samples", "id", &filter)?;
    if stored != replayed && report.faults.len() < MOST {
        let place = format!("samples {first} to {last} of commit {}", link.number);
        report.faults.push(format!("{place} are not what was recorded"));
    }
    scratch.execute("DELETE FROM samples", [])?;
    Ok(())
}

/// Compares every other table, and each content with its digest.
fn compare(db: &Connection, scratch: &Connection, report: &mut Report) -> Result<(), LedgerError> {
    for (table, key) in dump::TABLES.iter().filter(|(table, _)| *table != "samples") {
        if dump::digest(db, table, key, "")? == dump::digest(scratch, table, key, "")? {
            continue;
        }
        let (stored, replayed) =
            dump::first_difference(db, scratch, table, key)?.unwrap_or_default();
        let fault = format!("table {table} holds {stored} where the events give {replayed}");
        report.faults.push(fault);
    }
    let sql = "SELECT c.id, c.digest, b.body FROM contents c LEFT JOIN blobs b ON b.content = c.id
               WHERE c.redacted = 0 ORDER BY c.id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(params![])?;
    while let Some(row) = rows.next()? {
        let (id, digest): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let body: Option<Vec<u8>> = row.get(2)?;
        let whole = body
            .and_then(|packed| bytes::inflate(&packed).ok())
            .is_some_and(|text| is_digest(&text, &digest));
        report.contents += 1;
        if !whole && report.faults.len() < MOST {
            report.faults.push(format!("content {id} is not what its digest says"));
        }
    }
    Ok(())
}

/// Faults that are told one by one.
const MOST: usize = 100;

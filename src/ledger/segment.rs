//! Segments: how the log ends in pieces, and how old pieces leave.

use std::sync::PoisonError;

use chrono::TimeDelta;
use rusqlite::{Connection, OptionalExtension, params};

use super::chain::{self, Link};
use super::event::Event;
use super::evidence::{self, Sheets, day_of};
use super::project::{apply, counter, millis};
use super::writer::Writer;
use super::{LedgerError, dump};

/// The open segment, and what is left to clear of dropped ones.
#[derive(Debug)]
pub(super) struct Segments {
    number: i64,
    bytes: u64,
    begun: i64,
    clearing: bool,
    /// The day on which evidence was looked at last.
    aged: i64,
}

impl Segments {
    /// The open segment as the store has it.
    pub(super) fn load(db: &Connection, head: Link) -> Result<Self, LedgerError> {
        let closed: Option<(i64, i64, i64)> = db
            .query_row(
                "SELECT number, last, last_sample FROM segments ORDER BY number DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let (number, last, last_sample) = closed.unwrap_or((0, 0, 0));
        let sql = "SELECT coalesce(sum(length(events)), 0), coalesce(min(at), ?2)
                   FROM commits WHERE number > ?1";
        let (events, begun): (i64, i64) =
            db.query_row(sql, [last, head.at], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let samples = counter(db, "sample")? - last_sample;
        let bytes = u64::try_from(events + samples * ROW).unwrap_or(0);
        Ok(Self { number: number + 1, bytes, begun, clearing: true, aged: 0 })
    }

    /// A commit was written.
    pub(super) fn grew(&mut self, events: usize, samples: usize) {
        self.bytes += events as u64 + samples as u64 * ROW.unsigned_abs();
    }

    /// Whether dropped segments are still to be cleared away.
    pub(super) fn has_work(&self) -> bool {
        self.clearing
    }
}

impl Writer {
    /// Ends the segment when it is due, drops what is too old or too much, and clears a little.
    pub(super) fn tend_segments(&mut self) -> Result<(), LedgerError> {
        let shared = std::sync::Arc::clone(&self.db);
        let db = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, free) = sizes(&db)?;
        self.metrics.ledger_bytes.set(size);
        let policy = self.options.segment;
        if self.segments.begun == 0 {
            self.segments.begun = self.head.at;
        }
        let age = TimeDelta::milliseconds(self.head.at - self.segments.begun);
        let old = age.to_std().is_ok_and(|age| age >= policy.max_age);
        let used = u64::try_from(size - free).unwrap_or(0);
        let over = self.options.max_size.is_some_and(|most| used > most);
        let worth = self.options.max_size.is_some_and(|most| self.segments.bytes > most / 16);
        let closes = self.segments.bytes >= policy.max_bytes
            || (old && self.segments.bytes > 0)
            || (over && worth && !self.segments.clearing);
        if closes {
            self.close_segment(&db)?;
        }
        if self.segments.clearing {
            self.segments.clearing = clear(&db)?;
        } else {
            self.drop_segments(&db, over)?;
        }
        self.age_evidence(&db)
    }

    /// Folds and drops evidence once a day, by the same time as segments.
    fn age_evidence(&mut self, db: &Connection) -> Result<(), LedgerError> {
        let now = self.head.at.min(millis(self.shared.now()));
        if self.segments.aged == day_of(now) {
            return Ok(());
        }
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        if let Some(event) = evidence::due(db, now, retention)? {
            let transaction = db.unchecked_transaction()?;
            apply(&transaction, &event)?;
            let (head, size) = chain::append(&transaction, self.head, self.head.at, &[event])?;
            transaction.commit()?;
            self.head = head;
            self.segments.grew(size, 0);
            // Sheets that nothing was left of are gone.
            self.desk.sheets = Sheets::load(db)?;
        }
        self.segments.aged = day_of(now);
        Ok(())
    }

    /// Leaves a checkpoint, and its hash in the chain. It is of the state before the closing commit.
    fn close_segment(&mut self, db: &Connection) -> Result<(), LedgerError> {
        let transaction = db.unchecked_transaction()?;
        let (packed, digest) = dump::checkpoint(&transaction)?;
        let event = Event::SegmentClosed {
            segment: self.segments.number,
            last: self.head.number,
            head: self.head.hash.to_vec(),
            checkpoint: digest,
        };
        let sql = "INSERT INTO checkpoints (segment, bytes) VALUES (?1, ?2)";
        transaction.execute(sql, params![self.segments.number, packed])?;
        apply(&transaction, &event)?;
        let (head, size) = chain::append(&transaction, self.head, self.head.at, &[event])?;
        transaction.commit()?;
        self.head = head;
        self.segments.number += 1;
        self.segments.begun = head.at;
        self.segments.bytes = size as u64;
        Ok(())
    }

    /// Drops closed segments past retention, or the oldest one while the store is too big.
    fn drop_segments(&mut self, db: &Connection, over: bool) -> Result<(), LedgerError> {
        let retention = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        // A clock that jumped ahead must not empty the log: the start's time and what has passed
        // since bound it.
        let now = self.head.at.min(millis(self.shared.now()));
        let before = now.saturating_sub(retention);
        let sql = "SELECT max(s.number) FROM segments s JOIN commits c ON c.number = s.last
                   WHERE s.dropped = 0 AND c.at < ?1";
        let mut through: Option<i64> = db.query_row(sql, [before], |row| row.get(0))?;
        if through.is_none() && over {
            let sql = "SELECT min(number) FROM segments WHERE dropped = 0";
            through = db.query_row(sql, [], |row| row.get(0))?;
        }
        let Some(through) = through else { return Ok(()) };
        let event = Event::SegmentsDropped { through };
        let transaction = db.unchecked_transaction()?;
        apply(&transaction, &event)?;
        let (head, size) = chain::append(&transaction, self.head, self.head.at, &[event])?;
        transaction.commit()?;
        self.head = head;
        self.segments.grew(size, 0);
        self.segments.clearing = true;
        Ok(())
    }
}

/// Deletes a bounded part of what dropped segments left; says whether there is more.
fn clear(db: &Connection) -> Result<bool, LedgerError> {
    let sql = "SELECT number, last, last_sample FROM segments WHERE dropped = 1
               ORDER BY number DESC LIMIT 1";
    let dropped: Option<(i64, i64, i64)> =
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((segment, last, last_sample)) = dropped else { return Ok(false) };
    let transaction = db.unchecked_transaction()?;
    let mut cleared = transaction.execute(
        "DELETE FROM samples WHERE id <= min(?1, (SELECT min(id) + 20000 FROM samples))",
        [last_sample],
    )?;
    cleared += transaction.execute(
        "DELETE FROM commits WHERE number <= min(?1, (SELECT min(number) + 500 FROM commits))",
        [last],
    )?;
    cleared += transaction.execute("DELETE FROM checkpoints WHERE segment < ?1", [segment])?;
    if cleared == 0 {
        transaction
            .execute("DELETE FROM blobs WHERE content NOT IN (SELECT id FROM contents)", [])?;
        transaction
            .execute("DELETE FROM volatile WHERE point NOT IN (SELECT number FROM points)", [])?;
        transaction.execute("DELETE FROM memory WHERE key NOT IN (SELECT key FROM points)", [])?;
    }
    transaction.commit()?;
    Ok(cleared > 0)
}

/// Bytes of the store's file, and of those that are free.
fn sizes(db: &Connection) -> Result<(i64, i64), LedgerError> {
    let ask = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let page = ask("page_size")?;
    Ok((ask("page_count")? * page, ask("freelist_count")? * page))
}

/// What a sample's row takes, about.
const ROW: i64 = 48;

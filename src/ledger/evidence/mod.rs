//! What samples prove: how often each rule was judged at each sampling point, and what it said.
//!
//! A **sheet** is what every rule said of one sample, held once however many samples have it. So a
//! scheduled sample costs the log its sheet's number, and the projection one row a (day, point,
//! sheet) that the other samples of that day share. Days older than two weeks are folded into
//! weeks, and weeks leave with `data.retention`; `data.max_size` takes none of them.
//!
//! Only samples of the point's own plan count (DESIGN §4.2): repeats are taken because something was
//! seen, and a deployment's or a person's because something is expected. A row is `due` slots too,
//! those that nothing was taken in laid over the days in which they passed.

mod age;
mod read;
mod sheets;

use rusqlite::{Connection, Statement, params};

use super::LedgerError;
use super::entry::SampleEntry;
use super::event::Event;
use super::project::{json, raise_counter};

pub(super) use age::due;
pub(super) use read::page;
pub use read::{EvidenceFilter, EvidenceKey, EvidencePage, EvidenceRow};
pub(super) use sheets::{Sheets, mark};

/// The projection's tables. Schema 1 had none of them, and an event of its time fills none, so its
/// checkpoints still replay to the same bytes.
pub(super) const TABLES: &str = "
CREATE TABLE held_rules (
  number INTEGER PRIMARY KEY, rule TEXT NOT NULL, measure TEXT NOT NULL, range TEXT NOT NULL
) STRICT;
CREATE TABLE sheets (number INTEGER PRIMARY KEY, said TEXT NOT NULL) STRICT;
CREATE TABLE evidence (
  day INTEGER NOT NULL, point INTEGER NOT NULL, sheet INTEGER NOT NULL, samples INTEGER NOT NULL,
  due INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
  PRIMARY KEY (day, point, sheet)
) STRICT, WITHOUT ROWID;
CREATE TABLE rhythms (point INTEGER PRIMARY KEY, interval INTEGER NOT NULL) STRICT;
";

/// Brings the projection up to date with one of its own events.
pub(super) fn apply(db: &Connection, event: &Event) -> Result<(), LedgerError> {
    match event {
        Event::RuleDescribed { number, rule, measure, range } => {
            let sql =
                "INSERT INTO held_rules (number, rule, measure, range) VALUES (?1, ?2, ?3, ?4)";
            db.prepare_cached(sql)?.execute(params![number, rule, measure, range])?;
            raise_counter(db, "rule", *number)
        }
        Event::SheetDescribed { number, said } => {
            let sql = "INSERT INTO sheets (number, said) VALUES (?1, ?2)";
            db.prepare_cached(sql)?.execute(params![number, json(said)?])?;
            raise_counter(db, "sheet", *number)
        }
        Event::EvidenceAged { weeks_before, dropped_before } => {
            age::fold(db, *weeks_before)?;
            age::drop_before(db, *dropped_before)?;
            raise_counter(db, WEEKS, *weeks_before)
        }
        _ => Ok(()),
    }
}

/// Keeps how often a point is sampled, in milliseconds; nought where the event does not say.
pub(super) fn describe(db: &Connection, point: i64, interval: i64) -> Result<(), LedgerError> {
    if interval > 0 {
        db.prepare_cached("INSERT OR REPLACE INTO rhythms (point, interval) VALUES (?1, ?2)")?
            .execute([point, interval])?;
    }
    Ok(())
}

/// Counts samples of the points' own plans, and the slots that passed unseen before them.
pub(super) fn count(db: &Connection, samples: &[SampleEntry]) -> Result<(), LedgerError> {
    let sql = "INSERT INTO evidence (day, point, sheet, samples, due, first_at, last_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
               ON CONFLICT (day, point, sheet) DO UPDATE SET samples = samples + excluded.samples,
               due = due + excluded.due, first_at = min(first_at, excluded.first_at),
               last_at = max(last_at, excluded.last_at)";
    let mut add = db.prepare_cached(sql)?;
    samples.iter().try_for_each(|sample| count_one(&mut add, sample))
}

fn count_one(add: &mut Statement<'_>, sample: &SampleEntry) -> Result<(), LedgerError> {
    let Some(sheet) = sample.sheet else { return Ok(()) };
    let day = day_of(sample.at);
    let mut due = 1;
    if let Some(since) = sample.since.filter(|_| sample.missed > 0) {
        for (passed, missed) in by_day(sample.missed, since, sample.at) {
            if passed == day {
                due += missed;
            } else {
                add.execute([passed, sample.point, NO_SHEET, 0, missed, since])?;
            }
        }
    }
    add.execute([day, sample.point, sheet, 1, due, sample.at])?;
    Ok(())
}

/// Missed slots, laid evenly over the days between two times; what lies too far back goes to the
/// oldest day that is told.
fn by_day(missed: i64, since: i64, until: i64) -> impl Iterator<Item = (i64, i64)> {
    let last = day_of(until);
    let first = day_of(since.min(until)).max(last - MOST_DAYS);
    let span = i128::from(until.saturating_sub(since).max(1));
    let until_then = move |time: i64| {
        let passed = i128::from(time.saturating_sub(since)).clamp(0, span);
        i64::try_from(i128::from(missed) * passed / span).unwrap_or(0)
    };
    (first..=last).filter_map(move |day| {
        let before = if day == first { 0 } else { until_then(day * DAY) };
        let after = if day == last { missed } else { until_then((day + 1) * DAY) };
        (after > before).then_some((day, after - before))
    })
}

/// The day of a time in milliseconds, counted from 1970-01-01.
pub(super) fn day_of(millis: i64) -> i64 {
    millis.div_euclid(DAY)
}

/// The Monday of a day's week.
fn monday(day: i64) -> i64 {
    day - (day + THURSDAY).rem_euclid(WEEK)
}

/// The sheet of slots that nothing was taken in.
const NO_SHEET: i64 = 0;
/// The counter that holds the first day that is not folded into its week.
const WEEKS: &str = "evidence_weeks";
/// A day in milliseconds.
const DAY: i64 = 86_400_000;
/// A week in days.
const WEEK: i64 = 7;
/// 1970-01-01 was one: so many days after a Monday.
const THURSDAY: i64 = 3;
/// A gap is laid over so many days at most.
const MOST_DAYS: i64 = 400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        // 1970-01-05 and 2026-11-16 were Mondays.
        for (day, begins) in
            [(4, 4), (3, -3), (10, 4), (11, 11), (20_779, 20_773), (20_773, 20_773)]
        {
            assert_eq!(monday(day), begins, "{day}");
        }
    }

    #[test]
    fn a_gap_is_laid_over_the_days_in_which_it_passed() {
        let noon = 20_000 * DAY + DAY / 2;
        let days: Vec<_> = by_day(200, noon, noon + 2 * DAY).collect();
        assert_eq!(days, [(20_000, 50), (20_001, 100), (20_002, 50)]);
        assert_eq!(by_day(3, noon, noon + 1000).collect::<Vec<_>>(), [(20_000, 3)]);
        // A clock that went back, and a gap of ages.
        assert_eq!(by_day(3, noon, noon - 1000).collect::<Vec<_>>(), [(20_000, 3)]);
        assert!(by_day(1_000_000, 0, noon).count() <= 401);
    }

    proptest! {
        #[test]
        fn no_missed_slot_is_lost_or_counted_twice(
            missed in 0_i64..1_000_000, since in -1_i64 << 45..1 << 45, length in -1_i64 << 40..1 << 40,
        ) {
            let sum: i64 = by_day(missed, since, since + length).map(|(_, missed)| missed).sum();
            prop_assert_eq!(sum, missed);
        }
    }
}

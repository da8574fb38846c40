//! How evidence grows old: days become weeks, and weeks leave.

use rusqlite::{Connection, params};

use super::{THURSDAY, WEEK, WEEKS, day_of, monday};
use crate::ledger::LedgerError;
use crate::ledger::event::Event;
use crate::ledger::project::counter;

/// What is to be done on that day, if anything is. `retention` in milliseconds.
pub(in crate::ledger) fn due(
    db: &Connection,
    now: i64,
    retention: i64,
) -> Result<Option<Event>, LedgerError> {
    let folded = counter(db, WEEKS)?;
    let weeks_before = monday(day_of(now) - DAYS_KEPT).max(folded);
    let kept_from = day_of(now.saturating_sub(retention));
    // A week leaves when its last day does.
    let dropped_before = if kept_from < weeks_before { monday(kept_from) } else { kept_from };
    let sql = "SELECT EXISTS (SELECT 1 FROM evidence WHERE day < ?1)
               OR EXISTS (SELECT 1 FROM evidence WHERE day >= ?2 AND day < ?3)";
    let wanted: bool =
        db.query_row(sql, params![dropped_before, folded, weeks_before], |row| row.get(0))?;
    Ok(wanted.then_some(Event::EvidenceAged { weeks_before, dropped_before }))
}

/// Adds the days before that Monday up by week.
pub(super) fn fold(db: &Connection, before: i64) -> Result<(), LedgerError> {
    let weekday = format!("(day + {THURSDAY}) % {WEEK}");
    let sql = format!(
        "INSERT INTO evidence (day, point, sheet, samples, due, first_at, last_at)
         SELECT day - {weekday}, point, sheet, sum(samples), sum(due), min(first_at), max(last_at)
         FROM evidence WHERE day < ?1 AND {weekday} <> 0 GROUP BY 1, 2, 3
         ON CONFLICT (day, point, sheet) DO UPDATE SET samples = samples + excluded.samples,
         due = due + excluded.due, first_at = min(first_at, excluded.first_at),
         last_at = max(last_at, excluded.last_at)"
    );
    db.execute(&sql, [before])?;
    db.execute(&format!("DELETE FROM evidence WHERE day < ?1 AND {weekday} <> 0"), [before])?;
    Ok(())
}

/// Forgets what is older, what belongs to no point, and the sheets and rules that nothing is left of.
pub(super) fn drop_before(db: &Connection, day: i64) -> Result<(), LedgerError> {
    db.execute("DELETE FROM evidence WHERE day < ?1", [day])?;
    let gone = "point NOT IN (SELECT number FROM points)";
    db.execute(&format!("DELETE FROM evidence WHERE {gone}"), [])?;
    db.execute(&format!("DELETE FROM rhythms WHERE {gone}"), [])?;
    db.execute("DELETE FROM sheets WHERE number NOT IN (SELECT sheet FROM evidence)", [])?;
    db.execute(
        "DELETE FROM held_rules WHERE number NOT IN
         (SELECT word.value / 4 FROM sheets, json_each(sheets.said) AS word)",
        [],
    )?;
    Ok(())
}

/// So many days are kept one by one, at least.
const DAYS_KEPT: i64 = 14;

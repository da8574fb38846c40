//! The projections as canonical bytes: what a checkpoint holds and what a replay is compared by.

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use super::{LedgerError, bytes};

/// Every projection but the samples, with its key. Samples follow from the events that are kept, so
/// a checkpoint need not hold them.
pub(super) const TABLES: [(&str, &str); 17] = [
    ("counters", "name"),
    ("segments", "number"),
    ("points", "number"),
    ("latest", "point"),
    ("contents", "id"),
    ("findings", "number"),
    ("tallies", "finding"),
    ("alerts", "finding"),
    ("deliveries", "receiver, finding"),
    ("exceptions", "key, made"),
    ("baselines", "key"),
    ("deployments", "number"),
    ("held_rules", "number"),
    ("sheets", "number"),
    ("evidence", "day, point, sheet"),
    ("rhythms", "point"),
    ("samples", "id"),
];

/// All tables but the samples, one JSON line a row: packed, and the digest of what was packed. The
/// text itself is never in memory as a whole.
pub(super) fn checkpoint(db: &Connection) -> Result<(Vec<u8>, Vec<u8>), LedgerError> {
    let (mut context, mut packer) = (Context::new(&SHA256), bytes::Packer::default());
    for (table, key) in TABLES.iter().filter(|(table, _)| *table != "samples") {
        rows(db, table, key, "", |line| {
            context.update(line);
            packer.take(line);
        })?;
    }
    Ok((packer.finish()?, context.finish().as_ref().to_vec()))
}

/// The digest alone.
pub(super) fn checkpoint_digest(db: &Connection) -> Result<Vec<u8>, LedgerError> {
    let mut context = Context::new(&SHA256);
    for (table, key) in TABLES.iter().filter(|(table, _)| *table != "samples") {
        rows(db, table, key, "", |line| context.update(line))?;
    }
    Ok(context.finish().as_ref().to_vec())
}

/// Fills empty tables from a checkpoint.
pub(super) fn restore(db: &Connection, text: &[u8]) -> Result<(), LedgerError> {
    let fault = || LedgerError::Event("the checkpoint cannot be read".to_owned());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (table, cells): (String, Vec<Value>) =
            serde_json::from_slice(line).map_err(|_| fault())?;
        if !TABLES.iter().any(|(name, _)| *name == table) {
            return Err(fault());
        }
        let cells: Option<Vec<Cell>> = cells.into_iter().map(cell).collect();
        let cells = cells.ok_or_else(fault)?;
        let marks = vec!["?"; cells.len()].join(",");
        let sql = format!("INSERT INTO {table} VALUES ({marks})");
        db.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    }
    Ok(())
}

/// A table's rows in order, hashed; `filter` is a WHERE clause.
pub(super) fn digest(
    db: &Connection,
    table: &str,
    key: &str,
    filter: &str,
) -> Result<(u64, Vec<u8>), LedgerError> {
    let (mut context, mut count) = (Context::new(&SHA256), 0);
    rows(db, table, key, filter, |line| {
        context.update(line);
        count += 1;
    })?;
    Ok((count, context.finish().as_ref().to_vec()))
}

/// The first row in which two stores differ, as both write it.
pub(super) fn first_difference(
    left: &Connection,
    right: &Connection,
    table: &str,
    key: &str,
) -> Result<Option<(String, String)>, LedgerError> {
    let all = |db| -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut lines = Vec::new();
        rows(db, table, key, "", |line| lines.push(line.to_vec()))?;
        Ok(lines)
    };
    let (left, right) = (all(left)?, all(right)?);
    let longest = left.len().max(right.len());
    let show = |line: Option<&Vec<u8>>| {
        line.map_or_else(|| "nothing".to_owned(), |l| String::from_utf8_lossy(l).trim().to_owned())
    };
    Ok((0..longest)
        .find(|at| left.get(*at) != right.get(*at))
        .map(|at| (show(left.get(at)), show(right.get(at)))))
}

/// Each row as a line: `["table",[cells]]`, blobs as `{"x":"hex"}`.
pub(super) fn rows(
    db: &Connection,
    table: &str,
    key: &str,
    filter: &str,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), LedgerError> {
    let mut statement = db.prepare(&format!("SELECT * FROM {table} {filter} ORDER BY {key}"))?;
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    let mut line = Vec::new();
    while let Some(row) = rows.next()? {
        line.clear();
        let cells: Result<Vec<Value>, rusqlite::Error> =
            (0..width).map(|at| row.get_ref(at).map(value)).collect();
        serde_json::to_writer(&mut line, &(table, cells?))
            .map_err(|error| LedgerError::Event(error.to_string()))?;
        line.push(b'\n');
        visit(&line);
    }
    Ok(())
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => serde_json::json!({ "x": hex::encode(bytes) }),
    }
}

fn cell(value: Value) -> Option<Cell> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Number(number) => Cell::Integer(number.as_i64()?),
        Value::String(text) => Cell::Text(text),
        Value::Object(blob) => Cell::Blob(hex::decode(blob.get("x")?.as_str()?).ok()?),
        Value::Bool(_) | Value::Array(_) => return None,
    })
}

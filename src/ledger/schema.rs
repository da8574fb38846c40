//! The store's tables, its migrations, and how a connection is opened.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{LedgerError, evidence};

/// The schema this release writes.
pub(super) const SCHEMA: i64 = 2;

/// The store's file in the data directory.
pub(super) const FILE: &str = "ledger.db";

/// The log, and beside it what the chain does not cover.
const LOG: &str = "
CREATE TABLE commits (
  number INTEGER PRIMARY KEY, at INTEGER NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL,
  events BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (segment INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE blobs (content INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE volatile (point INTEGER PRIMARY KEY, sample INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE memory (key INTEGER PRIMARY KEY, version INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
";

/// What is derived from the events, and from nothing else.
const PROJECTIONS: &str = "
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE segments (
  number INTEGER PRIMARY KEY, last INTEGER NOT NULL, head BLOB NOT NULL, checkpoint BLOB NOT NULL,
  last_sample INTEGER NOT NULL, dropped INTEGER NOT NULL
) STRICT;
CREATE TABLE points (
  number INTEGER PRIMARY KEY, key INTEGER NOT NULL, target TEXT NOT NULL, probe TEXT NOT NULL,
  address TEXT NOT NULL, labels TEXT NOT NULL, plan TEXT NOT NULL, freshness INTEGER NOT NULL,
  retired INTEGER NOT NULL
) STRICT;
CREATE INDEX points_target ON points (target);
CREATE INDEX points_key ON points (key);
CREATE TABLE latest (
  point INTEGER PRIMARY KEY, sample INTEGER NOT NULL, first_at INTEGER NOT NULL,
  at INTEGER NOT NULL, known_at INTEGER, slot INTEGER, verdict INTEGER NOT NULL,
  unknown INTEGER NOT NULL, out_of_range INTEGER, content INTEGER, gauges TEXT
) STRICT;
CREATE TABLE samples (
  id INTEGER PRIMARY KEY, prev INTEGER, point INTEGER NOT NULL, at INTEGER NOT NULL,
  duration INTEGER NOT NULL, connections INTEGER NOT NULL, cause INTEGER NOT NULL, slot INTEGER,
  verdict INTEGER NOT NULL, content INTEGER, unknown TEXT, vantage TEXT
) STRICT;
CREATE TABLE contents (
  id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, used INTEGER NOT NULL,
  redacted INTEGER NOT NULL
) STRICT;
CREATE TABLE findings (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, state TEXT NOT NULL, open INTEGER NOT NULL,
  severity INTEGER NOT NULL, rule TEXT NOT NULL, target TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX findings_id ON findings (id);
CREATE INDEX findings_open ON findings (id) WHERE open = 1;
CREATE INDEX findings_target ON findings (target, id);
CREATE INDEX findings_rule ON findings (rule, id);
CREATE TABLE tallies (
  finding INTEGER PRIMARY KEY, last_seen INTEGER NOT NULL, last_judged INTEGER NOT NULL,
  samples INTEGER NOT NULL, positives INTEGER NOT NULL, clean INTEGER NOT NULL
) STRICT;
CREATE TABLE alerts (
  finding INTEGER PRIMARY KEY, firing INTEGER NOT NULL, changed_at INTEGER NOT NULL, ended_at INTEGER
) STRICT;
CREATE INDEX alerts_changed ON alerts (firing, changed_at);
CREATE TABLE deliveries (
  receiver TEXT NOT NULL, finding INTEGER NOT NULL, accepted INTEGER, accepted_at INTEGER,
  resolved_at INTEGER, refused TEXT, PRIMARY KEY (receiver, finding)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_unresolved ON deliveries (receiver) WHERE resolved_at IS NULL;
CREATE INDEX deliveries_resolved ON deliveries (receiver, resolved_at);
CREATE TABLE exceptions (
  key TEXT NOT NULL, made INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (key, made)
) STRICT, WITHOUT ROWID;
CREATE TABLE baselines (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE deployments (
  number INTEGER PRIMARY KEY, at INTEGER NOT NULL, labels TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX deployments_at ON deployments (at);
";

/// One step from a schema to the next, as SQL.
pub(super) struct Migration {
    from: i64,
    sql: &'static str,
}

/// Every step from an earlier release's schema.
pub(super) const MIGRATIONS: &[Migration] = &[Migration { from: 1, sql: evidence::TABLES }];

/// Opens the store for its one writer; makes or migrates it.
pub(super) fn open_writer(dir: Option<&Path>) -> Result<Connection, LedgerError> {
    let connection = match dir {
        Some(dir) => Connection::open(dir.join(FILE))?,
        None => Connection::open_in_memory()?,
    };
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -8000)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    prepare(&connection, dir.map(|dir| dir.join(FILE)), MIGRATIONS, SCHEMA)?;
    Ok(connection)
}

/// An empty store in memory, for replay.
pub(super) fn open_scratch() -> Result<Connection, LedgerError> {
    let connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(PROJECTIONS)?;
    connection.execute_batch(evidence::TABLES)?;
    Ok(connection)
}

/// Opens the store to read, whether or not a daemon writes it.
pub(super) fn open_reader(dir: &Path) -> Result<Connection, LedgerError> {
    let file = dir.join(FILE);
    if !file.exists() {
        return Err(LedgerError::None { dir: dir.to_owned() });
    }
    let open = |name: PathBuf, flags| -> Result<Connection, LedgerError> {
        let connection =
            Connection::open_with_flags(name, OpenFlags::SQLITE_OPEN_READ_ONLY | flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "cache_size", -2000)?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > SCHEMA {
            return Err(LedgerError::Newer { found, known: SCHEMA });
        }
        if found < SCHEMA {
            return Err(LedgerError::Older { found, known: SCHEMA });
        }
        Ok(connection)
    };
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(file.clone(), flags).or_else(|error| {
        // An auditor may not write the directory; without a log beside it the file is all there is.
        let alone = !dir.join(format!("{FILE}-wal")).exists();
        let uri = url::Url::from_file_path(&file).map(|url| format!("{url}?immutable=1"));
        match uri {
            Ok(uri) if alone => open(uri.into(), flags | OpenFlags::SQLITE_OPEN_URI),
            _ => Err(error),
        }
    })
}

/// Brings the store to the schema `newest`: makes it if it is new, refuses what is newer, and
/// migrates what is older after a copy.
fn prepare(
    connection: &Connection,
    file: Option<PathBuf>,
    migrations: &[Migration],
    newest: i64,
) -> Result<(), LedgerError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let fresh: bool =
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    if found > newest {
        return Err(LedgerError::Newer { found, known: newest });
    }
    if fresh {
        let tables = [LOG, PROJECTIONS, evidence::TABLES].concat();
        let set = format!("BEGIN IMMEDIATE; {tables} PRAGMA user_version = {newest}; COMMIT");
        return Ok(connection.execute_batch(&set)?);
    }
    if found < newest
        && let Some(file) = file
    {
        let copy = file.with_extension(format!("v{found}.db"));
        // What a broken-off migration left is no copy to rely on.
        let _ = std::fs::remove_file(&copy);
        connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    }
    for version in found..newest {
        let step = migrations.iter().find(|migration| migration.from == version);
        let Some(step) = step else {
            return Err(LedgerError::Event(format!("schema {version} has no way up to {newest}")));
        };
        let set =
            format!("BEGIN IMMEDIATE; {} PRAGMA user_version = {}; COMMIT", step.sql, version + 1);
        connection.execute_batch(&set)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let connection = open_writer(Some(dir.path())).expect("a store");
        connection.pragma_update(None, "user_version", SCHEMA + 1).expect("a version");
        drop(connection);
        let error = open_writer(Some(dir.path())).expect_err("refused");
        assert!(matches!(error, LedgerError::Newer { .. }), "{error}");
        assert!(matches!(open_reader(dir.path()), Err(LedgerError::Newer { .. })));
    }

    #[test]
    fn an_older_schema_is_migrated_after_a_copy() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(FILE);
        let connection = Connection::open(&file).expect("a store");
        connection
            .execute_batch(
                "CREATE TABLE old (x); INSERT INTO old VALUES (7); PRAGMA user_version = 3",
            )
            .expect("an old store");
        let steps = [
            Migration { from: 3, sql: "ALTER TABLE old RENAME TO middle;" },
            Migration { from: 4, sql: "ALTER TABLE middle RENAME TO new;" },
        ];
        prepare(&connection, Some(file), &steps, 5).expect("migrated");
        let one = |connection: &Connection, sql: &str| -> i64 {
            connection.query_row(sql, [], |row| row.get(0)).expect("a row")
        };
        assert_eq!(one(&connection, "SELECT x FROM new"), 7);
        assert_eq!(one(&connection, "PRAGMA user_version"), 5);
        let copy = Connection::open(dir.path().join("ledger.v3.db")).expect("the copy");
        assert_eq!(one(&copy, "SELECT x FROM old"), 7);
        prepare(&connection, None, &steps, 6).expect_err("no way up");
    }
}

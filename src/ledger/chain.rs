//! The chain over commits: each holds the hash of the one before.

use rusqlite::{Connection, OptionalExtension, params};

use super::event::{Event, decode, encode};
use super::{LedgerError, bytes};

/// The end of the chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Link {
    pub(super) number: i64,
    pub(super) at: i64,
    pub(super) hash: [u8; 32],
}

impl Link {
    /// Before the first commit.
    pub(super) const GENESIS: Self = Self { number: 0, at: 0, hash: [0; 32] };

    /// The next link, over the events' recorded bytes.
    fn next(self, at: i64, text: &[u8]) -> Self {
        let (number, at) = (self.number + 1, at.max(self.at));
        let parts = [&self.hash[..], &number.to_be_bytes(), &at.to_be_bytes(), text];
        Self { number, at, hash: bytes::sha256(&parts) }
    }
}

/// The last commit.
pub(super) fn head(db: &Connection) -> Result<Link, LedgerError> {
    let sql = "SELECT number, at, hash FROM commits ORDER BY number DESC LIMIT 1";
    let row = db
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)))
        .optional()?;
    let Some((number, at, hash)) = row else { return Ok(Link::GENESIS) };
    let hash = hash
        .try_into()
        .map_err(|_| LedgerError::Broken { commit: number, what: "its hash is cut".into() })?;
    Ok(Link { number, at, hash })
}

/// Writes one commit's events; returns its link and its size in the store.
pub(super) fn append(
    db: &Connection,
    head: Link,
    at: i64,
    events: &[Event],
) -> Result<(Link, usize), LedgerError> {
    let text = encode(events)?;
    let link = head.next(at, &text);
    let packed = bytes::deflate(&text)?;
    let sql = "INSERT INTO commits (number, at, prev, hash, events) VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute(params![
        link.number,
        link.at,
        &head.hash[..],
        &link.hash[..],
        packed
    ])?;
    Ok((link, packed.len()))
}

/// Walks through all commits after `from` in order, checking each against the one before.
pub(super) fn walk(
    db: &Connection,
    from: Link,
    mut visit: impl FnMut(Link, &[u8], Vec<Event>) -> Result<(), LedgerError>,
) -> Result<Link, LedgerError> {
    let mut head = from;
    let sql =
        "SELECT number, at, prev, hash, events FROM commits WHERE number > ?1 ORDER BY number";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([from.number])?;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let broken = |what: &str| LedgerError::Broken { commit: number, what: what.to_owned() };
        let prev: Vec<u8> = row.get(2)?;
        let hash: Vec<u8> = row.get(3)?;
        if number != head.number + 1 {
            return Err(broken(&format!("commit {} is missing before it", head.number + 1)));
        }
        if prev != head.hash {
            return Err(broken("it does not follow from the commit before"));
        }
        let packed: Vec<u8> = row.get(4)?;
        let text = bytes::inflate(&packed).map_err(|_| broken("its events cannot be unpacked"))?;
        let link = head.next(row.get(1)?, &text);
        if link.hash[..] != hash {
            return Err(broken("its events are not what was written"));
        }
        let events = decode(&text).map_err(|error| broken(&error.to_string()))?;
        visit(link, &text, events)?;
        head = link;
    }
    Ok(head)
}

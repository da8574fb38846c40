//! The log as JSON lines.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::LedgerError;
use super::chain::{Link, walk};
use super::read::unpack;
use super::schema::open_reader;

/// Writes the log from its oldest kept commit: a `commit` line each with its events as recorded,
/// then a `content` line for each content that is kept. Returns how many lines there were.
pub fn export(dir: &Path, out: &mut dyn Write) -> Result<u64, LedgerError> {
    let db = open_reader(dir)?;
    db.execute_batch("BEGIN")?;
    let sql = "SELECT number - 1, prev FROM commits ORDER BY number LIMIT 1";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut from = Link::GENESIS;
    if let Some(row) = rows.next()? {
        let prev: Vec<u8> = row.get(1)?;
        let number = row.get(0)?;
        let hash = prev.try_into().map_err(|_| LedgerError::Broken {
            commit: number,
            what: "its hash is cut".to_owned(),
        })?;
        from = Link { number, at: 0, hash };
    }
    let mut lines = 0;
    walk(&db, from, |link, text, _| {
        let text = String::from_utf8_lossy(text);
        let events: Vec<&str> = text.lines().collect();
        let (number, at, hash) = (link.number, link.at, hex::encode(link.hash));
        writeln!(
            out,
            r#"{{"commit":{number},"at":{at},"hash":"{hash}","events":[{}]}}"#,
            events.join(",")
        )?;
        lines += 1;
        Ok(())
    })?;
    let sql =
        "SELECT c.digest, b.body FROM contents c JOIN blobs b ON b.content = c.id ORDER BY c.id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (digest, packed): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let body = unpack(&packed)?;
        writeln!(out, "{}", json!({ "content": hex::encode(digest), "measured": body }))?;
        lines += 1;
    }
    Ok(lines)
}

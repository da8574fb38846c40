//! What can go wrong with the ledger.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the ledger could not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A commit's bytes, its hash or its place in the chain are not what was written.
    #[error("commit {commit} is broken: {what}")]
    Broken {
        /// The commit's number.
        commit: i64,
        /// What is wrong with it.
        what: String,
    },
    /// The writer has stopped.
    #[error("the ledger is closed")]
    Closed,
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used: {source}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// An event that cannot be read: of a type or version of a newer Secchi, or not JSON.
    #[error("an event cannot be read: {0}")]
    Event(String),
    /// Another daemon has the directory.
    #[error("another daemon is using {}; two cannot share a ledger", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The store was written by a newer Secchi.
    #[error("the ledger has schema {found}, this Secchi knows {known}: use the newer release")]
    Newer {
        /// The schema in the file.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// There is no ledger in the directory.
    #[error("there is no ledger in {}", dir.display())]
    None {
        /// The directory.
        dir: PathBuf,
    },
    /// The store was written by an older Secchi, and no daemon of this one has run on it.
    #[error(
        "the ledger has schema {found}, this Secchi reads {known}: start the daemon once, it migrates after a copy"
    )]
    Older {
        /// The schema in the file.
        found: i64,
        /// The schema known here.
        known: i64,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// SQLite failed.
    #[error("the store failed: {0}")]
    Store(#[from] rusqlite::Error),
    /// The store cannot be written at present; findings are kept and delivered all the same.
    #[error("the store cannot be written: {0}")]
    Unwritten(String),
}

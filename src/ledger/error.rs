//! What can go wrong with the ledger.

use thiserror::Error;

/// Why the ledger could not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The writer has stopped.
    #[error("the ledger is closed")]
    Closed,
}

//! The ledger without its writer: to read, and to hold to its chain.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::read::Readers;
use super::schema::open_reader;
use super::verify::{Report, verify_in};
use super::view::{FindingFilter, SampleRow, View};
use super::{Context, EvidenceFilter, EvidencePage, LedgerError};
use crate::finding::{Exception, Finding};
use crate::target::ProbeKind;

/// A data directory as it was at one moment, daemon running or not. Nothing is written to it, and
/// everything that is asked of it belongs to one head of the chain.
pub struct Archive {
    readers: Readers,
}

impl Archive {
    /// Opens the directory's ledger.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        let db = open_reader(dir)?;
        db.execute_batch("BEGIN")?;
        // A transaction sees the moment of its first question.
        db.query_row("SELECT count(*) FROM segments", [], |_| Ok(()))?;
        Ok(Self { readers: Readers::Shared(Arc::new(Mutex::new(db))) })
    }

    /// Holds it to the chain and to a replay of its events.
    pub fn verify(&self) -> Result<Report, LedgerError> {
        self.readers.with(verify_in)
    }

    /// Every exception, expired ones too, and whether it was made by hand.
    pub fn exceptions(&self) -> Result<Vec<(Exception, bool)>, LedgerError> {
        self.readers.exceptions()
    }

    /// Deployments, latest first: when, by whom, what, and the labels of the targets.
    pub fn deployments(&self, limit: usize) -> Result<Vec<Value>, LedgerError> {
        self.readers.deployments(limit)
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

/// Both have [`Readers`], and answer by them.
macro_rules! view {
    ($($kind:ty: $($field:ident).+, $($contexts:ident).+;)+) => {$(
        impl View for $kind {
            fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, LedgerError> {
                self.$($field).+.findings(filter)
            }

            fn finding(&self, id: &str) -> Result<Option<Finding>, LedgerError> {
                self.$($field).+.finding(id)
            }

            fn contexts(&self, findings: &[Finding]) -> Result<Vec<Context>, LedgerError> {
                self.$($contexts).+(findings)
            }

            fn samples(
                &self,
                target: &str,
                probe: Option<ProbeKind>,
                before: Option<i64>,
                limit: usize,
            ) -> Result<Vec<SampleRow>, LedgerError> {
                self.$($field).+.samples(target, probe, before, limit)
            }

            fn evidence(&self, filter: &EvidenceFilter) -> Result<EvidencePage, LedgerError> {
                self.$($field).+.evidence(filter)
            }
        }
    )+};
}

view! {
    Archive: readers, readers.contexts;
    super::Ledger: shared.readers, contexts_of;
}

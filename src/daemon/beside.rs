//! What the ledger knows of a target's other points, for samples that are held against it.

use std::sync::Arc;

use crate::ledger::Ledger;
use crate::probe::Known;
use crate::sampler::Beside;
use crate::target::ProbeKind;

/// The last known facts of each point, out of the ledger.
pub(super) struct LedgerBeside {
    ledger: Arc<Ledger>,
}

impl LedgerBeside {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

impl Beside for LedgerBeside {
    fn latest(&self, target: &str, probe: ProbeKind) -> Vec<Known> {
        let known = self.ledger.last_known(target, probe);
        let known = known.unwrap_or_else(|error| {
            tracing::error!(%error, target, "what is known of a target cannot be read");
            Vec::new()
        });
        known.into_iter().map(|(taken_at, facts)| Known { taken_at, facts }).collect()
    }
}

//! What the ledger knows of a target's other points, for samples that are held against it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::ledger::{Ledger, View};
use crate::probe::Known;
use crate::sampler::Beside;
use crate::target::ProbeKind;

/// The latest measured sample of each point, out of the ledger.
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
        let rows = self.ledger.samples(target, Some(probe), None, LOOKED_AT);
        let rows = rows.unwrap_or_else(|error| {
            tracing::error!(%error, target, "what is known of a target cannot be read");
            Vec::new()
        });
        let mut addresses = HashSet::new();
        let mut latest = Vec::new();
        for mut row in rows {
            let facts = row.sample["measurements"].take();
            let taken_at = row.sample["taken_at"].as_str().and_then(|at| at.parse().ok());
            let (Some(taken_at), Value::Object(map)) = (taken_at, &facts) else { continue };
            let address = row.sample["address"].as_str().unwrap_or_default().to_owned();
            if !map.is_empty() && addresses.insert(address) {
                latest.push(Known { taken_at, facts });
            }
        }
        latest
    }
}

/// Samples looked through: sixteen addresses, and a few samples that measured nothing.
const LOOKED_AT: usize = 64;

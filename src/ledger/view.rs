//! The ledger as the web room sees it: read-only, by pages.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Context, EvidenceFilter, EvidencePage, LedgerError};
use crate::finding::{Finding, FindingState};
use crate::sample::{Severity, Verdict};
use crate::target::{Labels, ProbeKind};

/// Which findings.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Only these states; every state if empty.
    pub states: Vec<FindingState>,
    /// Only this target.
    pub target: Option<String>,
    /// Only this rule.
    pub rule: Option<String>,
    /// Only at or above this severity.
    pub severity: Option<Severity>,
    /// Only ids after this one (keyset paging; ids sort by opening).
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// One sampling point's latest.
#[derive(Clone, Debug, Serialize)]
pub struct TargetRow {
    /// The target.
    pub target: Arc<str>,
    /// The probe.
    pub probe: ProbeKind,
    /// The address.
    pub address: Option<std::net::IpAddr>,
    /// The target's labels.
    pub labels: Arc<Labels>,
    /// The plan's name.
    pub plan: Arc<str>,
    /// The verdict of the last sample; `None` before the first.
    pub verdict: Option<Verdict>,
    /// The last sample.
    pub last_sample: Option<DateTime<Utc>>,
    /// The last sample that measured something.
    pub last_known: Option<DateTime<Utc>>,
    /// When the next is due.
    pub next_due: Option<DateTime<Utc>>,
}

/// One sample as the contract writes it.
#[derive(Clone, Debug, Serialize)]
pub struct SampleRow {
    /// Grows with every sample; keyset paging goes by it.
    pub id: i64,
    /// CONTRACT §Output 2.
    #[serde(flatten)]
    pub sample: serde_json::Value,
}

/// Read-only questions. Every answer is bounded by its `limit`.
pub trait View: Send + Sync {
    /// Findings by id.
    fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, LedgerError>;

    /// One finding.
    fn finding(&self, id: &str) -> Result<Option<Finding>, LedgerError>;

    /// What surrounds each of these findings, in their order.
    fn contexts(&self, findings: &[Finding]) -> Result<Vec<Context>, LedgerError>;

    /// Samples of a target, latest first; `before` an id.
    fn samples(
        &self,
        target: &str,
        probe: Option<ProbeKind>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<SampleRow>, LedgerError>;

    /// What scheduled samples say of each rule at each point, by key.
    fn evidence(&self, filter: &EvidenceFilter) -> Result<EvidencePage, LedgerError>;
}

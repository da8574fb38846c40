//! Evidence added up: by rule, by probe, and its weakest points.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ledger::{EvidenceFilter, EvidenceRow, LedgerError, View};
use crate::schedule::{Percent, UpperBounds};
use crate::target::ProbeKind;

/// Which samples, and how sure.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Where it begins.
    pub since: DateTime<Utc>,
    /// Where it ends.
    pub until: DateTime<Utc>,
    /// The confidence of the bounds.
    pub confidence: Percent,
    /// Whether points count that are sampled no more.
    pub with_retired: bool,
}

/// Evidence added up.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Where the window really begins.
    pub since: DateTime<Utc>,
    /// By rule.
    pub rules: BTreeMap<Arc<str>, RuleProof>,
    /// Slots by probe.
    pub probes: BTreeMap<ProbeKind, Slots>,
    /// Rows by their bound, the greatest first.
    pub weakest: Vec<(f64, EvidenceRow)>,
    /// Rows that are not among them.
    pub left_out: u64,
}

/// What is proven of one rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleProof {
    /// The rule.
    pub rule: Arc<str>,
    /// Points at which it was judged, or could not be.
    pub points: u64,
    /// Samples that judged it.
    pub samples: u64,
    /// Those of them that were out of range.
    pub positives: u64,
    /// Samples that could not judge it.
    pub unknown: u64,
    /// The upper bound on prevalence at its worst point.
    pub prevalence_upper_bound: f64,
    /// Slots that came due at its points.
    pub due: u64,
    /// Those of them that a sample was taken in.
    pub taken: u64,
    /// Their share.
    pub coverage: f64,
}

/// Slots of plans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Slots {
    /// Sampling points.
    pub points: u64,
    /// Slots that came due.
    pub due: u64,
    /// Those of them that a sample was taken in.
    pub taken: u64,
}

/// Adds up everything there is, page by page, with the `most` weakest rows.
pub fn summarize(view: &dyn View, window: &Window, most: usize) -> Result<Summary, LedgerError> {
    let mut bounds = UpperBounds::new(window.confidence);
    let mut summary = Summary { since: window.since, ..Summary::default() };
    let mut filter = EvidenceFilter {
        since: window.since,
        until: window.until,
        limit: PAGE,
        ..EvidenceFilter::default()
    };
    let mut last = None;
    loop {
        let page = view.evidence(&filter)?;
        summary.since = page.since;
        let Some(end) = page.rows.last() else { break };
        filter.after = Some(end.key());
        let is_end = page.rows.len() < PAGE;
        for row in page.rows.into_iter().filter(|row| window.with_retired || !row.retired) {
            let point = (Arc::clone(&row.target), row.probe, row.address);
            let is_new = last.as_ref() != Some(&point);
            last = Some(point);
            let bound = bounds.of(row.positives, row.samples);
            summary.add(row, bound, is_new);
            if summary.weakest.len() > 2 * most {
                summary.cut(most);
            }
        }
        if is_end {
            break;
        }
    }
    summary.cut(most);
    Ok(summary)
}

impl Summary {
    fn add(&mut self, row: EvidenceRow, bound: f64, is_new: bool) {
        if is_new {
            let slots = self.probes.entry(row.probe).or_default();
            slots.points += 1;
            slots.due += row.due;
            slots.taken += row.taken;
        }
        let proof = self.rules.entry(Arc::clone(&row.rule)).or_insert_with_key(|rule| RuleProof {
            rule: Arc::clone(rule),
            points: 0,
            samples: 0,
            positives: 0,
            unknown: 0,
            prevalence_upper_bound: 0.0,
            due: 0,
            taken: 0,
            coverage: 0.0,
        });
        proof.points += 1;
        proof.samples += row.samples;
        proof.positives += row.positives;
        proof.unknown += row.unknown;
        proof.prevalence_upper_bound = proof.prevalence_upper_bound.max(bound);
        proof.due += row.due;
        proof.taken += row.taken;
        proof.coverage = proof.taken as f64 / proof.due.max(1) as f64;
        self.weakest.push((bound, row));
    }

    /// Keeps the weakest.
    fn cut(&mut self, most: usize) {
        self.weakest.sort_by(|(one, left), (other, right)| {
            other.total_cmp(one).then_with(|| left.key().cmp(&right.key()))
        });
        self.left_out += self.weakest.len().saturating_sub(most) as u64;
        self.weakest.truncate(most);
    }
}

const PAGE: usize = 5000;

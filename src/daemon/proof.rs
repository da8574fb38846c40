//! What samples prove, as gauges: worked out now and then, however often they are asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::report::{Summary, Window, summarize};
use crate::schedule::{Clock, Percent};
use crate::telemetry::Metrics;

/// Runs until `stop`.
pub(super) async fn run(
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let Ok(confidence) = CONFIDENCE.parse::<Percent>() else { return };
    let mut beats = interval_at(Instant::now() + FIRST, EVERY);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beats.tick() => {}
        }
        let window =
            Window { with_retired: false, ..Window::until(clock.now(), WINDOW, confidence) };
        let view = Arc::clone(&ledger);
        match tokio::task::spawn_blocking(move || summarize(&*view, &window, 0)).await {
            Ok(Ok(summary)) => tell(&summary, &metrics, &mut told),
            Ok(Err(error)) => tracing::error!(%error, "evidence could not be added up"),
            Err(error) => tracing::error!(%error, "evidence could not be added up"),
        }
    }
}

/// Sets the gauges, and drops those of rules that are no longer judged.
fn tell(summary: &Summary, metrics: &Metrics, told: &mut BTreeSet<Arc<str>>) {
    for (probe, slots) in &summary.probes {
        let coverage = slots.taken as f64 / slots.due.max(1) as f64;
        metrics.evidence_coverage.with_label_values(&[probe.as_str()]).set(coverage);
    }
    let now: BTreeSet<Arc<str>> = summary.rules.keys().take(MOST).map(Arc::clone).collect();
    for rule in &now {
        if let Some(proof) = summary.rules.get(rule) {
            let gauge = metrics.evidence_bound.with_label_values(&[rule]);
            gauge.set(proof.prevalence_upper_bound);
        }
    }
    for gone in told.difference(&now) {
        // It may be gone already.
        let _ = metrics.evidence_bound.remove_label_values(&[&**gone]);
    }
    *told = now;
}

const CONFIDENCE: &str = "95%";
const WINDOW: Duration = Duration::from_secs(30 * 86_400);
const FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(900);
/// Series of rules, at most.
const MOST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{RuleProof, Slots};
    use crate::target::ProbeKind;

    #[test]
    fn a_rule_that_is_judged_no_more_has_no_series() {
        let (metrics, mut told) = (Metrics::new().expect("metrics"), BTreeSet::new());
        let mut summary = Summary::default();
        summary.probes.insert(ProbeKind::Tls, Slots { points: 1, due: 8, taken: 6 });
        for rule in ["tls-a", "tls-b"] {
            let proof = RuleProof {
                rule: rule.into(),
                points: 1,
                samples: 6,
                positives: 0,
                unknown: 0,
                prevalence_upper_bound: 0.25,
                due: 8,
                taken: 6,
                coverage: 0.75,
            };
            summary.rules.insert(rule.into(), proof);
        }
        tell(&summary, &metrics, &mut told);
        summary.rules.remove("tls-a");
        tell(&summary, &metrics, &mut told);
        let text = String::from_utf8(metrics.encode().expect("text")).expect("text");
        assert!(text.contains("secchi_evidence_prevalence_upper_bound{rule=\"tls-b\"} 0.25"));
        assert!(text.contains("secchi_evidence_coverage_ratio{probe=\"tls\"} 0.75"));
        assert!(!text.contains("tls-a"), "{text}");
    }
}

//! What a plan promises, as JSON.

use serde_json::{Value, json};

use crate::sample::{Measure, measures};
use crate::schedule::{Fault, Plan};
use crate::target::ProbeKind;

/// Whether fresh connections meet backends independently. All of them come from this machine's
/// address, and a balancer that hashes it shows one backend for ever; nothing that is known before
/// sampling can rule that out. It matters to partial faults only.
pub(super) const INDEPENDENCE: &str = "unproven";

/// A fault that is on half of the time, and one that shows on a tenth of connections.
pub(super) const INTERMITTENT: f64 = 0.5;
pub(super) const PARTIAL: f64 = 0.1;

/// The three kinds of fault that plans are compared by.
pub(super) const FAULTS: [(&str, Fault); 3] = [
    ("permanent", Fault::Permanent),
    ("intermittent", Fault::Intermittent(INTERMITTENT)),
    ("partial", Fault::Partial(PARTIAL)),
];

pub(super) const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

/// `{permanent, intermittent, partial: {p50, p95, p99}}`, seconds; `null` where nothing is promised.
pub(super) fn detection(plan: &Plan) -> Value {
    let of = |fault| {
        let seconds =
            |quantile| plan.detection_time(fault, quantile).map(|time| time.as_secs_f64());
        QUANTILES.map(|(name, quantile)| (name.to_owned(), json!(seconds(quantile))))
    };
    FAULTS.map(|(name, fault)| (name.to_owned(), Value::from_iter(of(fault)))).into_iter().collect()
}

/// Of each `detect` of the plan: what it promises of each measurement of these probes, and the
/// weakest. Measurements that no sample is sure to observe are named and promised nothing.
pub(super) fn guarantees(plan: &Plan, probes: &[ProbeKind]) -> Value {
    let by_probe = |nth: usize, probe: ProbeKind| {
        let mut counts: Vec<u32> = observed(probe).map(|measure| measure.per_sample).collect();
        counts.sort_unstable();
        counts.dedup();
        let guarantees = counts.into_iter().filter_map(move |per_sample| {
            let guarantee = *plan.guarantees(per_sample).get(nth)?;
            let same = observed(probe).filter(|measure| measure.per_sample == per_sample);
            let paths: Vec<&str> = same.map(|measure| measure.path).collect();
            Some(json!({
                "probe": probe,
                "observations_per_sample": per_sample,
                "observations": guarantee.observations,
                "confidence": guarantee.confidence,
                "measures": paths,
            }))
        });
        guarantees.collect::<Vec<_>>()
    };
    let weakest = weakest(probes);
    let all = plan.guarantees(weakest.unwrap_or_default()).into_iter().enumerate();
    let all = all.map(|(nth, guarantee)| {
        let each: Vec<Value> = probes.iter().flat_map(|probe| by_probe(nth, *probe)).collect();
        json!({
            "within_seconds": guarantee.within.as_secs_f64(),
            "prevalence": guarantee.prevalence,
            "weakest_confidence": weakest.map(|_| guarantee.confidence),
            "by_measure": each,
            "promised_nothing": unpromised(probes),
        })
    });
    all.collect()
}

/// The fewest observations that a sample of these probes makes of a measurement it is sure to see.
pub(super) fn weakest(probes: &[ProbeKind]) -> Option<u32> {
    probes.iter().flat_map(|probe| observed(*probe)).map(|measure| measure.per_sample).min()
}

/// The measurements of these probes that no sample is sure to observe.
pub(super) fn unpromised(probes: &[ProbeKind]) -> Vec<&'static str> {
    let all = probes.iter().flat_map(|probe| measures(*probe));
    all.filter(|measure| measure.per_sample == 0).map(|measure| measure.path).collect()
}

fn observed(probe: ProbeKind) -> impl Iterator<Item = &'static Measure> {
    measures(probe).iter().filter(|measure| measure.per_sample > 0)
}

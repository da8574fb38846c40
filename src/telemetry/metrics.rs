//! The one table of Secchi's own metrics: about 300 series at any number of targets.

use prometheus::{
    Counter, CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec,
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::sample::{Reason, Verdict};
use crate::target::ProbeKind;

/// A metric that could not be registered or written; a fault of the table.
pub type MetricError = prometheus::Error;

const SECONDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What lies between a deployment and a finding: seconds to a day.
const LEAD_SECONDS: [f64; 9] = [5.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0];

fn buckets(name: &str) -> Vec<f64> {
    if name.contains("_lead_") { LEAD_SECONDS.to_vec() } else { SECONDS.to_vec() }
}

macro_rules! table {
    ($($field:ident : $type:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        /// Every metric of `/metrics`, made once at start.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $type,)+
        }

        impl Metrics {
            /// Registers the table, with every enumerable series at zero.
            pub fn new() -> Result<Self, MetricError> {
                let registry = Registry::new();
                $(
                    let $field = <$type as Make>::make($name, $help, &[$($label),*])?;
                    registry.register(Box::new($field.clone()))?;
                )+
                let metrics = Self { registry, $($field,)+ };
                metrics.start_at_zero();
                Ok(metrics)
            }

            /// Every metric's name, for tests that hold docs and rules to the table.
            pub const NAMES: &[&str] = &[$($name,)+];

            const TABLE: &[(&str, &str, &[&str], &str)] =
                &[$(($name, stringify!($type), &[$($label),*], $help),)+];
        }
    };
}

table! {
    build_info: IntGaugeVec "secchi_build_info" ["version"] "Which Secchi this is; always 1.";
    config_reload_ok: IntGauge "secchi_config_last_reload_successful" [] "Whether the last load of the config succeeded.";
    config_reload_time: Gauge "secchi_config_last_reload_success_timestamp_seconds" [] "When the config was last loaded.";
    expect_failing: IntGauge "secchi_expect_sources_failing" [] "Files of expectations that are broken; what they last said stands.";
    targets: IntGaugeVec "secchi_targets" ["source"] "Targets by where they come from.";
    points: IntGaugeVec "secchi_sampling_points" ["probe"] "Sampling points.";
    addresses_excess: IntGauge "secchi_addresses_excess" [] "Addresses beyond max_addresses that are not sampled.";
    discovery_time: GaugeVec "secchi_discovery_last_success_timestamp_seconds" ["source"] "When a discovery source last answered.";
    discovery_held: IntGaugeVec "secchi_discovery_held_targets" ["source"] "Targets that a source no longer lists, over half of it; they stay until a reload.";
    discovery_failures: IntCounterVec "secchi_discovery_failures_total" ["source"] "Failed refreshes of a discovery source.";
    samples: IntCounterVec "secchi_samples_total" ["probe", "verdict"] "Samples taken, by the verdict of the worst rule.";
    unknowns: IntCounterVec "secchi_sample_unknown_total" ["probe", "reason"] "Samples without any measurement, by reason.";
    sample_seconds: HistogramVec "secchi_sample_duration_seconds" ["probe"] "How long samples take.";
    probe_bytes: IntCounterVec "secchi_probe_bytes_total" ["probe", "direction"] "Payload that probes received and sent.";
    probe_cpu: CounterVec "secchi_probe_cpu_seconds_total" ["probe"] "Processor time of the runs' own tasks; what they spawn is not in it.";
    connections: IntCounterVec "secchi_connections_total" ["probe"] "Connections begun and queries asked.";
    out_of_scope: IntCounterVec "secchi_out_of_scope_total" ["probe"] "Contacts that the scope refused.";
    coverage: GaugeVec "secchi_sampling_coverage_ratio" ["probe"] "Share of points sampled within their freshness.";
    oldest: GaugeVec "secchi_sampling_oldest_timestamp_seconds" ["probe"] "The stalest point's last sample.";
    evidence_coverage: GaugeVec "secchi_evidence_coverage_ratio" ["probe"] "Share of the slots due in 30 days that a sample was taken in; worked out every quarter of an hour.";
    evidence_bound: GaugeVec "secchi_evidence_prevalence_upper_bound" ["rule"] "Greatest share of samples that a rule may be out of range on, at its weakest sampling point: exact binomial, 95 %, scheduled samples of 30 days.";
    scheduler_lag: Histogram "secchi_scheduler_lag_seconds" [] "From a slot's due time to its dispatch.";
    scheduler_tick: Gauge "secchi_scheduler_last_tick_timestamp_seconds" [] "The scheduler's last turn.";
    skipped: IntCounterVec "secchi_scheduler_skipped_total" ["reason"] "Slots not sampled: overlap, missed, maintenance, budget (bytes or processor time are spent), shed.";
    clock_steps: IntCounterVec "secchi_clock_steps_total" ["direction"] "Jumps of the clock by more than 5 s.";
    inflight: IntGaugeVec "secchi_probes_inflight" ["probe"] "Samples being taken.";
    findings: IntGaugeVec "secchi_findings_active" ["rule", "severity", "state"] "Open findings.";
    transitions: IntCounterVec "secchi_finding_transitions_total" ["severity", "to"] "Steps in findings' lives.";
    outbox_pending: IntGaugeVec "secchi_alert_outbox_pending" ["receiver"] "Alerts that the receiver has not accepted in their present state.";
    outbox_oldest: GaugeVec "secchi_alert_outbox_oldest_timestamp_seconds" ["receiver"] "The oldest of them; 0 if there is none.";
    deliveries: IntCounterVec "secchi_alert_deliveries_total" ["receiver", "outcome"] "Alerts sent: accepted, retried, refused.";
    deployment_lead: HistogramVec "secchi_deployment_detection_lead_seconds" ["probe"] "From the last deployment of a target, within a day, to the first sight of a finding there.";
    delivery_seconds: HistogramVec "secchi_alert_delivery_latency_seconds" ["receiver"] "From a transition to its first acceptance.";
    receiver_restarts: IntCounterVec "secchi_receiver_restarts_detected_total" ["receiver"] "Restarts of an Alertmanager seen by its uptime.";
    ledger_commits: IntCounter "secchi_ledger_commits_total" [] "Commits.";
    ledger_events: IntCounter "secchi_ledger_events_total" [] "Events written.";
    ledger_seconds: Histogram "secchi_ledger_commit_duration_seconds" [] "How long a commit takes, fsync included.";
    ledger_failures: IntCounter "secchi_ledger_write_failures_total" [] "Commits that failed.";
    ledger_bytes: IntGauge "secchi_ledger_size_bytes" [] "Size of the store on disk.";
    ledger_unrecorded: IntGauge "secchi_ledger_unrecorded_findings" [] "Transitions waiting while the store cannot write.";
    ledger_persistent: IntGauge "secchi_ledger_persistent" [] "1 if the ledger is on disk, 0 with data.dir none.";
    http_requests: IntCounterVec "secchi_http_requests_total" ["route", "code"] "Requests to Secchi's own listener.";
    process_rss: IntGauge "process_resident_memory_bytes" [] "Resident memory size in bytes.";
    process_cpu: Counter "process_cpu_seconds_total" [] "Total user and system CPU time spent in seconds.";
    process_fds: IntGauge "process_open_fds" [] "Number of open file descriptors.";
    process_max_fds: IntGauge "process_max_fds" [] "Maximum number of open file descriptors.";
    process_start: Gauge "process_start_time_seconds" [] "Start time of the process since unix epoch in seconds.";
}

impl Metrics {
    /// The text exposition (format 0.0.4).
    pub fn encode(&self) -> Result<Vec<u8>, MetricError> {
        let mut text = Vec::with_capacity(32 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The reference page of `/metrics`, in Markdown.
    pub fn page() -> String {
        let mut page = String::from(PAGE);
        for (name, kind, labels, help) in Self::TABLE {
            let kind = kind.trim_start_matches("Int").trim_end_matches("Vec").to_lowercase();
            let labels = labels.join(", ");
            page.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
        }
        page
    }

    fn start_at_zero(&self) {
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for probe in ProbeKind::ALL {
            let probe = probe.as_str();
            for verdict in Verdict::ALL {
                self.samples.with_label_values(&[probe, verdict.as_str()]);
            }
            for reason in Reason::ALL {
                self.unknowns.with_label_values(&[probe, reason.as_str()]);
            }
            self.connections.with_label_values(&[probe]);
            self.out_of_scope.with_label_values(&[probe]);
            self.inflight.with_label_values(&[probe]);
            self.points.with_label_values(&[probe]);
            self.sample_seconds.with_label_values(&[probe]);
        }
        for reason in ["overlap", "missed", "maintenance", "budget", "shed"] {
            self.skipped.with_label_values(&[reason]);
        }
        for direction in ["back", "forward"] {
            self.clock_steps.with_label_values(&[direction]);
        }
    }
}

trait Make: Sized {
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, MetricError>;
}

macro_rules! make {
    ($($type:ident $options:ident $plain:tt;)+) => {$(
        impl Make for $type {
            fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, MetricError> {
                make!(@ $type $options $plain name help labels)
            }
        }
    )+};
    (@ $type:ident Opts plain $name:ident $help:ident $labels:ident) => {{
        let _ = $labels;
        $type::with_opts(Opts::new($name, $help))
    }};
    (@ $type:ident Opts vec $name:ident $help:ident $labels:ident) => {
        $type::new(Opts::new($name, $help), $labels)
    };
    (@ $type:ident HistogramOpts plain $name:ident $help:ident $labels:ident) => {{
        let _ = $labels;
        $type::with_opts(HistogramOpts::new($name, $help).buckets(buckets($name)))
    }};
    (@ $type:ident HistogramOpts vec $name:ident $help:ident $labels:ident) => {
        $type::new(HistogramOpts::new($name, $help).buckets(buckets($name)), $labels)
    };
}

make! {
    Counter Opts plain;
    CounterVec Opts vec;
    Gauge Opts plain;
    GaugeVec Opts vec;
    Histogram HistogramOpts plain;
    HistogramVec HistogramOpts vec;
    IntCounter Opts plain;
    IntCounterVec Opts vec;
    IntGauge Opts plain;
    IntGaugeVec Opts vec;
}

const PAGE: &str = "# Metrics

Written from the table in `src/telemetry/metrics.rs`; a test holds this page to it. `/metrics` has about 300 series at any number of targets.
`/metrics/targets` has the series of each sampling point: `secchi_target_out_of_range` (0 or 1, by the last known fact), `secchi_target_unknown` (0 or 1, the last sample),
`secchi_target_last_sample_timestamp_seconds`, and the probes' gauges.

| name | type | labels | meaning |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("SECCHI_WRITE").is_some() {
            std::fs::write(path, Metrics::page()).expect("a page");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == Metrics::page(),
            "run the tests once with SECCHI_WRITE=1 to write {path}"
        );
    }

    #[test]
    fn the_table_registers_and_encodes() {
        let text = Metrics::new().and_then(|metrics| metrics.encode()).expect("metrics");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("secchi_samples_total{probe=\"tls\",verdict=\"unknown\"} 0"));
    }
}

//! Prometheus' alerting rules on Secchi's own metrics: the watcher is watched from outside, and the
//! findings have a second path.

use std::fmt::Write;

use super::RuleSet;
use crate::sample::Severity;

/// A rule file for Prometheus: whether Secchi lives and sees, and one alert a severity for confirmed
/// findings, in case that Secchi's own alerts do not arrive. Expects the scrape job `secchi`.
pub fn prometheus_rules(rules: &RuleSet) -> String {
    let mut text = String::from(HEAD);
    text.push_str("groups:\n  - name: secchi\n    rules:\n");
    for alert in &ALERTS {
        push(&mut text, alert);
    }
    text.push_str("  - name: secchi-findings\n    rules:\n");
    // What is info is worth knowing, and wakes nobody.
    let held = Severity::ALL.into_iter().filter(|severity| *severity != Severity::Info);
    for severity in held.filter(|severity| rules.rules().iter().any(|r| r.severity == *severity)) {
        let expr = format!(
            "sum by (job, instance, rule, severity) (secchi_findings_active{{state=\"confirmed\", \
             severity=\"{severity}\"}}) > 0"
        );
        push(
            &mut text,
            &Alert {
                name: "SecchiFindings",
                expr: &expr,
                hold: "5m",
                severity: severity.as_str(),
                summary: "{{ $value }} confirmed findings of {{ $labels.rule }}",
                description: "Seen by {{ $labels.instance }}. `secchi findings` and the dashboard say where, since \
                              when and what to do. This alert comes from the metrics; Secchi's own comes sooner and \
                              names each target.",
            },
        );
    }
    text
}

struct Alert<'a> {
    name: &'a str,
    expr: &'a str,
    hold: &'a str,
    severity: &'a str,
    summary: &'a str,
    description: &'a str,
}

fn push(text: &mut String, alert: &Alert<'_>) {
    let Alert { name, expr, hold, severity, summary, description } = alert;
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "      - alert: {name}\n        expr: {}\n        for: {hold}\n        labels:\n          severity: {severity}\n        \
         annotations:\n          summary: {}\n          description: {}\n",
        quote(expr),
        quote(summary),
        quote(description),
    );
}

const HEAD: &str = "\
# Alerting rules on Secchi's own metrics. `secchi rules prometheus` writes this file; change it there.
# The scrape job must be called `secchi`.
";

const ALERTS: [Alert<'_>; 17] = [
    Alert {
        name: "SecchiAbsent",
        expr: r#"absent(up{job="secchi"})"#,
        hold: "5m",
        severity: "high",
        summary: "Prometheus knows of no Secchi",
        description: "No target of the job secchi is scraped. Production is not sampled, or nobody would learn of it.",
    },
    Alert {
        name: "SecchiDown",
        expr: r#"up{job="secchi"} == 0"#,
        hold: "5m",
        severity: "high",
        summary: "Secchi at {{ $labels.instance }} does not answer",
        description: "Findings are neither opened nor resolved. Look at the service's journal.",
    },
    Alert {
        name: "SecchiSchedulerStalled",
        expr: "time() - secchi_scheduler_last_tick_timestamp_seconds > 60",
        hold: "2m",
        severity: "high",
        summary: "The scheduler of {{ $labels.instance }} stands still",
        description: "Its last turn was {{ $value | humanizeDuration }} ago: Secchi is up, but takes no samples.",
    },
    Alert {
        name: "SecchiCoverageLow",
        expr: "secchi_sampling_coverage_ratio < 0.99",
        hold: "15m",
        severity: "medium",
        summary: "Only {{ $value | humanizePercentage }} of the {{ $labels.probe }} points are fresh",
        description: "The rest was not sampled within its freshness. Compare secchi_scheduler_skipped_total by reason and secchi_sample_unknown_total.",
    },
    Alert {
        name: "SecchiSamplesUnknown",
        expr: r#"sum by (job, instance, probe) (rate(secchi_samples_total{verdict="unknown"}[30m])) / sum by (job, instance, probe) (rate(secchi_samples_total[30m])) > 0.5"#,
        hold: "30m",
        severity: "medium",
        summary: "{{ $value | humanizePercentage }} of the {{ $labels.probe }} samples come to nothing",
        description: "Secchi is blind there: a firewall, a rate limit, or this machine. secchi_sample_unknown_total has the reasons. No finding is resolved by this.",
    },
    Alert {
        name: "SecchiSchedulerLagging",
        expr: "histogram_quantile(0.99, sum by (job, instance, le) (rate(secchi_scheduler_lag_seconds_bucket[10m]))) > 5",
        hold: "15m",
        severity: "medium",
        summary: "Slots of {{ $labels.instance }} are dispatched late",
        description: "The 99th percentile is {{ $value | humanizeDuration }} or more. Give the process more CPU, or loosen the plans.",
    },
    Alert {
        name: "SecchiTargetsVanished",
        expr: r#"(sum by (job, instance) (secchi_targets) or 0 * sum by (job, instance) (up{job="secchi"} == 1)) < 0.5 * max_over_time(sum by (job, instance) (secchi_targets)[1h:1m])"#,
        hold: "5m",
        severity: "high",
        summary: "More than half of the targets of {{ $labels.instance }} are gone",
        description: "{{ $value }} are left of what there was within the hour. A broken discovery must not look like health; withdrawals wait for a person.",
    },
    Alert {
        name: "SecchiDiscoveryHeld",
        expr: "secchi_discovery_held_targets > 0",
        hold: "5m",
        severity: "high",
        summary: "Over half of the discovery source {{ $labels.source }} vanished",
        description: "It no longer lists {{ $value }} targets, which are sampled on until a reload accepts the loss. A broken discovery must not look like health.",
    },
    Alert {
        name: "SecchiDiscoveryFailing",
        expr: "increase(secchi_discovery_failures_total[15m]) > 0 and on (job, instance, source) time() - secchi_discovery_last_success_timestamp_seconds > 900",
        hold: "5m",
        severity: "medium",
        summary: "The discovery source {{ $labels.source }} fails",
        description: "It has not answered for a quarter of an hour. The last good list is in use; new targets are not seen.",
    },
    Alert {
        name: "SecchiAlertOutboxStuck",
        expr: "time() - (secchi_alert_outbox_oldest_timestamp_seconds > 0) > 300",
        hold: "1m",
        severity: "high",
        summary: "The receiver {{ $labels.receiver }} does not accept alerts",
        description: "The oldest has waited for {{ $value | humanizeDuration }}. Nothing is lost; it is sent once the receiver answers.",
    },
    Alert {
        name: "SecchiAlertsRefused",
        expr: r#"increase(secchi_alert_deliveries_total{outcome="refused"}[15m]) > 0"#,
        hold: "0m",
        severity: "high",
        summary: "The receiver {{ $labels.receiver }} refuses alerts",
        description: "It answers them with an error of ours, so that they are not sent again. The log has each with the answer.",
    },
    Alert {
        name: "SecchiConfigReloadFailed",
        expr: "max_over_time(secchi_config_last_reload_successful[5m]) == 0",
        hold: "5m",
        severity: "medium",
        summary: "{{ $labels.instance }} could not load its configuration",
        description: "The one before it is in use. `secchi config check` shows every mistake with its place.",
    },
    Alert {
        name: "SecchiLedgerFailing",
        expr: "increase(secchi_ledger_write_failures_total[10m]) > 0 or secchi_ledger_unrecorded_findings > 0",
        hold: "2m",
        severity: "high",
        summary: "{{ $labels.instance }} cannot write its ledger",
        description: "Findings are delivered marked `unrecorded` and wait in memory. Look for space and faults on the data directory's disk.",
    },
    Alert {
        name: "SecchiLedgerNotPersistent",
        expr: "secchi_ledger_persistent == 0",
        hold: "1h",
        severity: "info",
        summary: "{{ $labels.instance }} keeps its ledger in memory",
        description: "With `data: {dir: none}` history, findings and evidence end with the process.",
    },
    Alert {
        name: "SecchiClockStepped",
        expr: "increase(secchi_clock_steps_total[15m]) > 0",
        hold: "0m",
        severity: "medium",
        summary: "The clock of {{ $labels.instance }} jumped {{ $labels.direction }}",
        description: "Verdicts about dates are unknown after a step back; slots are counted as missed after one forward. Check the machine's time service.",
    },
    Alert {
        name: "SecchiFileDescriptorsLow",
        expr: r#"process_open_fds{job="secchi"} / process_max_fds{job="secchi"} > 0.8"#,
        hold: "10m",
        severity: "medium",
        summary: "{{ $labels.instance }} runs out of file descriptors",
        description: "{{ $value | humanizePercentage }} are in use. Samples that find none are unknown (local_error). Raise LimitNOFILE.",
    },
    Alert {
        name: "SecchiRestarting",
        expr: r#"changes(process_start_time_seconds{job="secchi"}[15m]) > 2"#,
        hold: "0m",
        severity: "medium",
        summary: "{{ $labels.instance }} starts again and again",
        description: "It started {{ $value }} times within a quarter of an hour. The journal has its last words.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn the_deployed_rule_file_is_what_the_function_writes() {
        let written = prometheus_rules(&RuleSet::builtin());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/secchi.rules.yml");
        if std::env::var_os("SECCHI_WRITE").is_some() {
            std::fs::write(path, &written).expect("the file");
        }
        let deployed = std::fs::read_to_string(path).expect("the file");
        assert!(written == deployed, "run the tests once with SECCHI_WRITE=1 to write {path}");
    }

    #[test]
    fn every_alert_rests_on_metrics_that_exist() {
        for alert in &ALERTS {
            let mut words = alert.expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let named = |word: &&str| word.starts_with("secchi_") || word.starts_with("process_");
            for word in words.by_ref().filter(named) {
                let base = word.strip_suffix("_bucket").unwrap_or(word);
                assert!(Metrics::NAMES.contains(&base), "{}: {word}", alert.name);
            }
        }
    }
}

//! `/metrics` and `/metrics/targets` through the real listener, over loopback HTTP.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use secchi::finding::{Finding, FindingState};
use secchi::ledger::latest::{Latest, PointLatest};
use secchi::ledger::{
    Context, EvidenceFilter, EvidencePage, FindingFilter, LedgerError, SampleRow, View,
};
use secchi::rules::RuleSet;
use secchi::schedule::{Clock, SystemClock};
use secchi::target::{PointKey, ProbeKind};
use secchi::telemetry::Metrics;
use secchi::web::{Security, Settings, Site, serve};
use support::{Series, Watched, free_port, get, mib, size, told};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A ledger without findings: neither page asks it.
struct Nothing;

impl View for Nothing {
    fn evidence(&self, _: &EvidenceFilter) -> Result<EvidencePage, LedgerError> {
        Ok(EvidencePage::default())
    }

    fn contexts(&self, _: &[Finding]) -> Result<Vec<Context>, LedgerError> {
        Ok(Vec::new())
    }

    fn findings(&self, _: &FindingFilter) -> Result<Vec<Finding>, LedgerError> {
        Ok(Vec::new())
    }

    fn finding(&self, _: &str) -> Result<Option<Finding>, LedgerError> {
        Ok(None)
    }

    fn samples(
        &self,
        _: &str,
        _: Option<ProbeKind>,
        _: Option<i64>,
        _: usize,
    ) -> Result<Vec<SampleRow>, LedgerError> {
        Ok(Vec::new())
    }
}

/// A point with four series: three of every point, and its probe's gauge.
fn point(n: usize) -> PointLatest {
    let target: Arc<str> = format!("https://host-{n:07}.example.com").into();
    let address = format!("10.{}.{}.{}", n >> 16, (n >> 8) & 255, n & 255);
    PointLatest {
        key: PointKey::new(&target, ProbeKind::Tls, address.parse().ok()),
        target,
        probe: ProbeKind::Tls,
        address: address.into(),
        last_sample: 1_800_000_000.125 + n as f64 / 1000.0,
        out_of_range: Some(n.is_multiple_of(100)),
        unknown: n % 200 == 1,
        gauges: Box::new([(
            "tls_certificate_not_after_timestamp_seconds",
            1_810_000_000.0 + n as f64,
        )]),
    }
}

/// What a daemon with two receivers and a finding of every rule has.
fn fill(metrics: &Metrics) {
    for rule in RuleSet::builtin().rules() {
        for state in [FindingState::Suspected, FindingState::Confirmed, FindingState::Excepted] {
            let labels = [&*rule.id, rule.severity.as_str(), state.as_str()];
            metrics.findings.with_label_values(&labels).set(12);
            metrics.transitions.with_label_values(&[labels[1], labels[2]]).inc();
        }
    }
    for receiver in ["alertmanager/0", "alertmanager/1"] {
        metrics.outbox_pending.with_label_values(&[receiver]).set(3);
        metrics.outbox_oldest.with_label_values(&[receiver]).set(1.8e9);
        metrics.delivery_seconds.with_label_values(&[receiver]).observe(0.2);
        for outcome in ["accepted", "retried", "refused"] {
            metrics.deliveries.with_label_values(&[receiver, outcome]).inc();
        }
    }
    for probe in ProbeKind::ALL.map(ProbeKind::as_str) {
        for nth in 0..1000 {
            metrics.sample_seconds.with_label_values(&[probe]).observe(f64::from(nth) / 137.0);
        }
        metrics.coverage.with_label_values(&[probe]).set(0.998_765_4);
        metrics.oldest.with_label_values(&[probe]).set(1.8e9);
    }
    metrics.targets.with_label_values(&["static"]).set(100_000);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if !support::is_wanted("metrics") {
        return;
    }
    let latest = Arc::new(Latest::default());
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    fill(&metrics);
    let (commands, _kept) = mpsc::channel(1);
    let site = Arc::new(Site::new(
        Arc::new(Nothing),
        Arc::clone(&latest),
        metrics,
        commands,
        Arc::new(|| SystemClock.now()),
        Settings::default(),
    ));
    site.set_ready(true);
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a listener");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, site, Arc::new(Security::none()), stop.clone()));

    latest.replace((0..100_000).map(point).collect());
    own_page(port).await;
    let points = size("SERIES", 1_000_000) / 4;
    latest.replace((0..points).map(point).collect());
    every_target(port, points).await;
    stop.cancel();
    serving.await.expect("the listener ends");
}

async fn own_page(port: u16) {
    let rounds = size("ROUNDS", 300);
    let asked = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        for _ in 0..rounds {
            all.push(get(port, "/metrics").expect("an answer"));
        }
        all
    });
    let answers = asked.await.expect("no panic");
    assert!(answers.iter().all(|(status, ..)| *status == 200));
    let times = answers.iter().map(|(.., time)| time.as_secs_f64() * 1e3).collect();
    let times = Series::new(times);
    told("/metrics, 100,000 targets", times.in_words("ms"), "goal: below 10 ms");
    told("  p99", format!("{:.2} ms", times.quantile(0.99)), "");
    let bytes = answers.iter().map(|(_, bytes, _)| *bytes).max().unwrap_or_default();
    told("  bytes, head included", bytes, "goal: below 64 kB");
}

async fn every_target(port: u16, points: usize) {
    let own = Watched::own();
    let (mut times, mut extra, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..size("READS", 5) {
        // What the reading before freed goes back to the system at its own pace.
        sleep(Duration::from_millis(200)).await;
        own.forget_peak();
        let before = own.rss();
        let asked = tokio::task::spawn_blocking(move || get(port, "/metrics/targets?mode=all"));
        let (status, read, time) = asked.await.expect("no panic").expect("an answer");
        assert_eq!(status, 200);
        times.push(time.as_secs_f64());
        extra.push(mib(own.peak().saturating_sub(before)));
        bytes = read;
    }
    let title = format!("/metrics/targets, {} series", points * 4);
    told(&title, Series::new(times).in_words("s"), "goal: below 1.5 s");
    told("  extra resident, first reading", format!("{:.1} MiB", extra[0]), "goal: below 64 MiB");
    told("  extra resident, all", Series::new(extra).in_words("MiB"), "");
    told("  bytes", format!("{:.1} MiB", mib(bytes)), "");
    let before = own.rss();
    own.forget_peak();
    let readers =
        [0, 1].map(|_| tokio::task::spawn_blocking(move || get(port, "/metrics/targets?mode=all")));
    for reader in readers {
        let (.., time) = reader.await.expect("no panic").expect("an answer");
        told("  one of two readers at once", format!("{:.2} s", time.as_secs_f64()), "");
    }
    told(
        "  extra resident of both",
        format!("{:.1} MiB", mib(own.peak().saturating_sub(before))),
        "",
    );
}
